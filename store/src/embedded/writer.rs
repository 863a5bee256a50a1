//! The one thread that writes: it takes what has arrived, of all schedulers, makes one
//! transaction of it and answers when that is durable. It waits for nothing more.
//!
//! After an I/O error the file has to be closed and opened again before anything else works
//! (a full disk, most often). Until that succeeds the store is down: everybody is told so
//! at once, and the next try comes after a pause that doubles up to two seconds.

use super::{
    admission::Admission,
    apply::{ModelChanges, Tables},
    batch::Batch,
    file, format,
    queue::{Backlog, Job, Queued},
    shared::Shared,
    snapshot::{self, Seqs},
};
use maestro_core::{
    domain::{Epoch, SchedulerName, Seq},
    ports::{CommitError, StoreError},
};
use redb::Database;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

const REOPEN_FIRST: Duration = Duration::from_millis(50);
const REOPEN_LATER: Duration = Duration::from_secs(2);

pub struct Writer {
    shared: Arc<Shared>,
    jobs: Receiver<Queued>,
    backlog: Backlog,
    seqs: Seqs,
    down: Option<Down>,
}

/// Since when there is no file to write to, in a manner of speaking.
struct Down {
    reason: String,
    retry_at: Instant,
    pause: Duration,
}

/// How the transaction of a group ended.
enum Outcome {
    /// Durable, but for the batches that were refused.
    Done(Vec<Result<(), CommitError>>, ModelChanges, Seqs),
    /// Nothing of it was applied.
    NotApplied(String),
    /// It failed at its end: all of it was applied, or nothing.
    Unknown(String),
}

impl Writer {
    pub fn new(shared: Arc<Shared>, jobs: Receiver<Queued>, seqs: Seqs) -> Self {
        Self {
            shared,
            jobs,
            backlog: Backlog::default(),
            seqs,
            down: None,
        }
    }

    /// Ends when the store is closed, or when nobody can send a job any more.
    pub fn run(mut self) {
        while self.receive() {
            if self.down.is_some() {
                self.try_again_when_due();
            }
            let group = match &self.down {
                None => self.backlog.next_group(),
                Some(_) => self.backlog.take_all(),
            };
            let closing = group.iter().any(|q| matches!(q.job, Job::Close));
            match self.down.as_ref().map(|d| d.reason.clone()) {
                None => self.serve(group),
                Some(reason) => turn_away(group, &reason),
            }
            if closing {
                break;
            }
        }
        self.finish();
    }

    /// Waits until there is something to do. False: nobody is left who could ask.
    fn receive(&mut self) -> bool {
        if self.backlog.is_empty() {
            let first = match &self.down {
                None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(down) => {
                    let wait = down.retry_at.saturating_duration_since(Instant::now());
                    self.jobs.recv_timeout(wait)
                }
            };
            match first {
                Ok(job) => self.backlog.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        for job in self.jobs.try_iter() {
            self.backlog.push(job);
        }
        true
    }

    fn serve(&mut self, group: Vec<Queued>) {
        let batches: Vec<&Batch> = group.iter().filter_map(|q| q.job.batch()).collect();
        match self.write(&batches) {
            Outcome::Done(verdicts, changes, seqs) => {
                self.shared.model.apply(changes);
                self.seqs.extend(seqs);
                self.answer(group, verdicts);
            }
            Outcome::NotApplied(reason) => {
                self.reopen(&reason);
                let verdict = |batch: &Batch| self.refused(batch, &reason);
                let verdicts = batches.iter().map(|b| verdict(b)).collect();
                self.answer(group, verdicts);
            }
            Outcome::Unknown(reason) => {
                self.reopen(&reason);
                let verdict = |batch: &Batch| self.looked_up(batch, &reason);
                let verdicts = batches.iter().map(|b| verdict(b)).collect();
                self.answer(group, verdicts);
            }
        }
    }

    fn write(&self, batches: &[&Batch]) -> Outcome {
        if batches.is_empty() {
            return Outcome::Done(vec![], ModelChanges::new(), Seqs::new());
        }
        let database = match self.shared.database() {
            Ok(database) => database,
            Err(e) => return Outcome::NotApplied(e.to_string()),
        };
        let work = AssertUnwindSafe(|| self.transact(&database, batches));
        catch_unwind(work).unwrap_or_else(|_| {
            Outcome::Unknown("the pages of the store contradict each other".into())
        })
    }

    fn transact(&self, database: &Database, batches: &[&Batch]) -> Outcome {
        let mut staged = Admission::new(&self.shared, &self.seqs);
        let mut changes = ModelChanges::new();
        let mut verdicts = Vec::with_capacity(batches.len());
        let mut fill = || -> Result<_, redb::Error> {
            let txn = database.begin_write()?;
            {
                let mut tables = Tables::open(&txn)?;
                for batch in batches {
                    let verdict = staged.admit(batch);
                    if verdict.is_ok() {
                        tables.apply(batch, &mut changes)?;
                    }
                    verdicts.push(verdict);
                }
            }
            Ok(txn)
        };
        let txn = match fill() {
            Ok(txn) => txn,
            Err(e) => return Outcome::NotApplied(e.to_string()),
        };
        let seqs = staged.into_seqs();
        if seqs.is_empty() {
            // Every batch was refused: there is nothing to make durable.
            return match txn.abort() {
                Ok(()) => Outcome::Done(verdicts, changes, Seqs::new()),
                Err(e) => Outcome::NotApplied(e.to_string()),
            };
        }
        match txn.commit() {
            Ok(()) => Outcome::Done(verdicts, changes, seqs),
            Err(e) => Outcome::Unknown(redb::Error::from(e).to_string()),
        }
    }

    /// The verdict on a batch of a group that was certainly not applied.
    fn refused(&self, batch: &Batch, reason: &str) -> Result<(), CommitError> {
        if batch.fence.epoch != self.shared.epoch {
            let stored = self.shared.epoch;
            return Err(CommitError::Fenced { stored });
        }
        Err(CommitError::NotApplied(reason.into()))
    }

    /// The verdict on a batch of a group that failed at its end: what the file says, once
    /// it is open again. A seq that has been reached is for the caller to ask about.
    fn looked_up(&self, batch: &Batch, reason: &str) -> Result<(), CommitError> {
        let is_open = self.down.is_none();
        if is_open && self.stored(&batch.fence.scheduler) < batch.fence.seq {
            return self.refused(batch, reason);
        }
        Err(CommitError::Unknown(reason.into()))
    }

    fn stored(&self, scheduler: &SchedulerName) -> Seq {
        self.seqs.get(scheduler).copied().unwrap_or_default()
    }

    fn answer(&self, group: Vec<Queued>, verdicts: Vec<Result<(), CommitError>>) {
        let mut verdicts = verdicts.into_iter();
        let down = self.down.as_ref().map(|d| d.reason.as_str());
        for queued in group {
            // Whoever stopped waiting has no use for the answer.
            match queued.job {
                Job::Commit { answer, .. } => {
                    // One verdict was made for each commit of the group, in order.
                    let lost = || Err(CommitError::Unknown("no verdict".into()));
                    let _ = answer.send(verdicts.next().unwrap_or_else(lost));
                }
                Job::StoredSeq {
                    scheduler,
                    epoch,
                    answer,
                } => {
                    let _ = answer.send(self.stored_seq(&scheduler, epoch, down));
                }
                Job::Acquire { names, answer } => {
                    let seqs = names.iter().map(|name| self.stored(name)).collect();
                    let _ = answer.send(up(down).map(|()| seqs));
                }
                Job::Barrier { answer } => {
                    let _ = answer.send(up(down));
                }
                Job::Close => {}
            }
        }
    }

    fn stored_seq(
        &self,
        scheduler: &SchedulerName,
        epoch: Epoch,
        down: Option<&str>,
    ) -> Result<Seq, CommitError> {
        if let Some(reason) = down {
            return Err(CommitError::Unknown(reason.into()));
        }
        if epoch != self.shared.epoch {
            let stored = self.shared.epoch;
            return Err(CommitError::Fenced { stored });
        }
        Ok(self.stored(scheduler))
    }

    fn reopen(&mut self, reason: &str) {
        tracing::error!(reason, "the store failed and is opened anew");
        self.down = Some(Down {
            reason: reason.into(),
            retry_at: Instant::now(),
            pause: REOPEN_FIRST,
        });
        self.try_again_when_due();
    }

    fn try_again_when_due(&mut self) {
        let Some(down) = &mut self.down else { return };
        if Instant::now() < down.retry_at {
            return;
        }
        drop(self.shared.take_down(down.reason.clone()));
        match open_anew(&self.shared) {
            Ok((database, seqs)) => {
                self.seqs = seqs;
                self.shared.put_up(database);
                self.down = None;
                tracing::info!("the store is back");
            }
            Err(reason) => {
                tracing::warn!(reason, "the store cannot be opened yet");
                down.retry_at = Instant::now() + down.pause;
                down.pause = (down.pause * 2).min(REOPEN_LATER);
                down.reason.clone_from(&reason);
                self.shared.take_down(reason);
            }
        }
    }

    /// Closes the file, so that the next opening finds it clean, and gives the lock up.
    fn finish(mut self) {
        for job in self.jobs.try_iter() {
            self.backlog.push(job);
        }
        let closed = "the store has been closed";
        turn_away(self.backlog.take_all(), closed);
        let database = self.shared.take_down(closed.into());
        if let Some(Ok(database)) = database.map(Arc::try_unwrap)
            && let Err(error) = database.close()
        {
            tracing::warn!(%error, "the store was not closed cleanly; the next start repairs it");
        }
        self.shared.unlock();
    }
}

impl Job {
    fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Commit { batch, .. } => Some(batch),
            _ => None,
        }
    }
}

fn up(down: Option<&str>) -> Result<(), StoreError> {
    down.map_or(Ok(()), |reason| Err(StoreError::Unavailable(reason.into())))
}

/// Answers everything that nothing was done for.
fn turn_away(group: Vec<Queued>, reason: &str) {
    let unavailable = || StoreError::Unavailable(reason.into());
    for queued in group {
        match queued.job {
            Job::Commit { answer, .. } => {
                let _ = answer.send(Err(CommitError::NotApplied(reason.into())));
            }
            Job::StoredSeq { answer, .. } => {
                let _ = answer.send(Err(CommitError::Unknown(reason.into())));
            }
            Job::Acquire { answer, .. } => {
                let _ = answer.send(Err(unavailable()));
            }
            Job::Barrier { answer } => {
                let _ = answer.send(Err(unavailable()));
            }
            Job::Close => {}
        }
    }
}

/// Opens the file again and reads from it what is known of it: the failed transaction may
/// have been applied. The lock was held all the time, so the epoch stays.
fn open_anew(shared: &Shared) -> Result<(Database, Seqs), String> {
    if !shared.is_ours() {
        return Err("the lock of the data folder is gone; start again".into());
    }
    let path = shared.dir.join(file::NAME);
    let database = file::open_existing(&path).map_err(|e| e.to_string())?;
    if format::epoch(&path, &database).map_err(|e| e.to_string())? != shared.epoch.0 {
        return Err("the file of the store is another one now; start again".into());
    }
    let read = file::guarded(&path, || Ok(snapshot::everything(&database)));
    let (entries, seqs) = read
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    shared.model.replace(entries);
    Ok((database, seqs))
}
