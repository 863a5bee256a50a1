//! The bounded queue to the writer, and the choice of the jobs for one transaction.

use super::batch::Batch;
use maestro_core::{
    domain::{Epoch, SchedulerName, Seq},
    ports::{CommitError, StoreError},
};
use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, mpsc},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Maximum number of jobs that are waiting or running; beyond it, callers wait for a slot.
const PLACES: usize = 1024;
/// Maximum number of rows of steady pings in a transaction with other changes.
const STEADY_ROWS: usize = 256;

pub enum Job {
    Commit {
        batch: Batch,
        answer: oneshot::Sender<Result<(), CommitError>>,
    },
    StoredSeq {
        scheduler: SchedulerName,
        epoch: Epoch,
        answer: oneshot::Sender<Result<Seq, CommitError>>,
    },
    Acquire {
        names: Vec<SchedulerName>,
        answer: oneshot::Sender<Result<Vec<Seq>, StoreError>>,
    },
    /// Answered once everything sent before has been processed.
    Barrier {
        answer: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Process what has arrived, close the file, then end.
    Close,
}

impl Job {
    /// Whether the job is not a commit; it is answered after everything that arrived before it.
    fn is_question(&self) -> bool {
        !matches!(self, Self::Commit { .. })
    }
}

/// A job and its slot in the queue, which is released when this is dropped.
pub struct Queued {
    pub job: Job,
    _place: Option<OwnedSemaphorePermit>,
}

/// The callers' end of the queue.
pub struct Inlet {
    places: Arc<Semaphore>,
    jobs: mpsc::Sender<Queued>,
}

/// The writer has ended, so the job was certainly not done.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the store has been closed")]
pub struct Closed;

pub fn queue() -> (Inlet, mpsc::Receiver<Queued>) {
    let (jobs, outlet) = mpsc::channel();
    let places = Arc::new(Semaphore::new(PLACES));
    (Inlet { places, jobs }, outlet)
}

impl Inlet {
    /// Waits for a slot. If dropped while waiting, the job was not sent.
    pub async fn send(&self, job: Job) -> Result<(), Closed> {
        let place = self.places.clone().acquire_owned().await;
        let _place = Some(place.map_err(|_| Closed)?);
        let queued = Queued { job, _place };
        self.jobs.send(queued).map_err(|_| Closed)
    }

    /// Sends the last job; callers that still wait for a slot get an error.
    pub fn close(&self) {
        self.places.close();
        let job = Job::Close;
        // A writer that has already ended has nothing to close.
        let _ = self.jobs.send(Queued { job, _place: None });
    }
}

/// Jobs that have arrived and are not done. Bounded by the slots of the queue.
#[derive(Default)]
pub struct Backlog {
    jobs: VecDeque<Queued>,
}

impl Backlog {
    pub fn push(&mut self, job: Queued) {
        self.jobs.push_back(job);
    }
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
    /// Takes all jobs, in the order of their arrival.
    pub fn take_all(&mut self) -> Vec<Queued> {
        std::mem::take(&mut self.jobs).into()
    }

    /// Whether a question is waiting.
    pub fn has_questions(&self) -> bool {
        self.jobs.iter().any(|queued| queued.job.is_question())
    }
    pub fn take_commits(&mut self) -> Vec<Queued> {
        let all = self.jobs.drain(..);
        let (questions, commits): (Vec<_>, Vec<_>) = all.partition(|q| q.job.is_question());
        self.jobs = questions.into();
        commits
    }

    /// The jobs of the next transaction: all that a caller waits for, and as many steady pings as fit. Batches of one
    /// scheduler stay in order, and a question is answered after everything that arrived before it.
    pub fn next_group(&mut self) -> Vec<Queued> {
        let mut urgent = HashSet::new();
        for queued in &self.jobs {
            match &queued.job {
                Job::Commit { batch, .. } if batch.steady_rows().is_some() => {}
                Job::Commit { batch, .. } => {
                    urgent.insert(batch.fence.scheduler.clone());
                }
                _ => return self.take_all(),
            }
        }
        let mut rows = 0;
        let mut later = HashSet::new();
        let (group, rest) = self.take_all().into_iter().partition::<Vec<_>, _>(|q| {
            let Job::Commit { batch, .. } = &q.job else {
                return true;
            };
            let name = &batch.fence.scheduler;
            if urgent.contains(name) {
                return true;
            }
            let more = batch.steady_rows().unwrap_or(0);
            let fits = rows == 0 || rows + more <= STEADY_ROWS;
            if !fits || later.contains(name) {
                later.insert(name.clone());
                return false;
            }
            rows += more;
            true
        });
        self.jobs = rest.into();
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::{
        domain::{PingStatus, RoomTouch},
        ports::{Change, Fence},
    };

    fn batch(name: &str, seq: u64, changes: Vec<Change>) -> Queued {
        let fence = Fence {
            scheduler: name.into(),
            epoch: Epoch(1),
            previous: Seq(seq - 1),
            seq: Seq(seq),
        };
        let batch = Batch::new(fence, changes.into()).unwrap();
        let (answer, _) = oneshot::channel();
        let job = Job::Commit { batch, answer };
        Queued { job, _place: None }
    }

    fn touches(rows: usize) -> Vec<Change> {
        let touch = |i| RoomTouch {
            room: format!("room-{i}").into(),
            last_ping_at: jiff::Timestamp::UNIX_EPOCH,
            matches: 0,
            ping: PingStatus::Ready,
            metadata: None,
        };
        vec![Change::TouchRooms((0..rows).map(touch).collect())]
    }

    fn names(group: &[Queued]) -> Vec<(String, u64)> {
        let name = |q: &Queued| match &q.job {
            Job::Commit { batch, .. } => (batch.fence.scheduler.to_string(), batch.fence.seq.0),
            _ => panic!("only commits here"),
        };
        group.iter().map(name).collect()
    }

    #[test]
    fn steady_pings_wait_behind_what_somebody_waits_for() {
        let mut backlog = Backlog::default();
        backlog.push(batch("a", 1, touches(200)));
        backlog.push(batch("b", 1, touches(200)));
        backlog.push(batch("b", 2, touches(1)));
        backlog.push(batch("c", 1, vec![]));
        let group = names(&backlog.next_group());
        assert_eq!(group, [("a".into(), 1), ("c".into(), 1)]);
        let group = names(&backlog.next_group());
        assert_eq!(group, [("b".into(), 1), ("b".into(), 2)]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn the_pings_before_a_change_of_the_same_scheduler_go_with_it() {
        let mut backlog = Backlog::default();
        backlog.push(batch("a", 1, touches(256)));
        backlog.push(batch("b", 1, touches(256)));
        backlog.push(batch("b", 2, vec![Change::DeleteRoom("r".into())]));
        let group = names(&backlog.next_group());
        assert_eq!(group, [("a".into(), 1), ("b".into(), 1), ("b".into(), 2)]);
    }

    #[test]
    fn a_batch_of_too_many_pings_still_has_its_turn() {
        let mut backlog = Backlog::default();
        backlog.push(batch("a", 1, touches(1000)));
        assert_eq!(backlog.next_group().len(), 1);
    }
}
