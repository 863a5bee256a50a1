//! The ordered writer of one owner: batches become durable in the order in which they
//! were decided, and only then their effects happen (architecture 5, Order).

use crate::executor::Executor;
use maestro_core::domain::{Epoch, RoomId, RoomTouch, SchedulerName, Seq};
use maestro_core::ports::{Change, CommitError, Fence, Store};
use maestro_core::state::{Answer, Refusal, RefusalKind, Reply, TOUCH_CHUNK, Work, WorkId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Decisions that may wait for the store. Callers are bounded before that (256 asks, 4,096
/// pings), so a full queue means a store that is gone for long: the actor then ends and
/// loads anew.
pub(crate) const QUEUE: usize = 8192;
/// Batches that one commit takes: what has arrived, never waiting for more.
const GROUP: usize = 512;
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// What happens once a batch is durable.
pub(crate) enum Outgoing {
    Reply {
        to: oneshot::Sender<Answer>,
        answer: Answer,
    },
    Run {
        id: WorkId,
        work: Work,
        timeout: Duration,
    },
    Abandon(Vec<WorkId>),
    Ended,
}

pub(crate) struct Batch {
    pub changes: Vec<Change>,
    pub outgoing: Vec<Outgoing>,
}

pub(crate) enum Order {
    Batch(Batch),
    /// Steady pings: behind whatever waits.
    Touches(Vec<RoomTouch>),
}

/// What the writer tells its actor.
pub(crate) enum WriterEvent {
    /// A reply that nobody took (the caller's deadline had passed).
    Untaken(RoomId),
    /// The scheduler is gone from the store.
    Ended,
    /// The outcome of a write is unknown, or another owner wrote: nothing in memory counts any more.
    Lost(String),
}

/// Read by `/debug/actors`.
#[derive(Default)]
pub(crate) struct WriterGauge {
    pub waiting: AtomicU64,
    pub seq: AtomicU64,
    pub commits: AtomicU64,
    pub retries: AtomicU64,
}

pub(crate) struct Writer {
    pub scheduler: SchedulerName,
    pub epoch: Epoch,
    pub seq: Seq,
    pub store: Arc<dyn Store>,
    pub executor: Executor,
    pub gauge: Arc<WriterGauge>,
    pub tell: Arc<dyn Fn(WriterEvent) + Send + Sync>,
    /// The owner is ending: one last try, then give up.
    pub ending: CancellationToken,
}

impl Writer {
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut waiting = Vec::with_capacity(GROUP);
        while orders.recv_many(&mut waiting, GROUP).await > 0 {
            let (mut changes, mut outgoing, mut touches) = (Vec::new(), Vec::new(), Vec::new());
            for order in waiting.drain(..) {
                self.gauge.waiting.fetch_sub(1, Relaxed);
                match order {
                    Order::Batch(batch) => {
                        changes.extend(batch.changes);
                        outgoing.extend(batch.outgoing);
                    }
                    Order::Touches(rooms) => touches.extend(rooms),
                }
            }
            if !changes.is_empty()
                && let Err(error) = self.commit(changes).await
            {
                return self.give_up(error, outgoing);
            }
            self.carry_out(outgoing);
            for chunk in touches.chunks(TOUCH_CHUNK) {
                let changes = vec![Change::TouchRooms(chunk.to_vec())];
                if let Err(error) = self.commit(changes).await {
                    return self.give_up(error, Vec::new());
                }
            }
        }
    }

    /// Durable when it returns. Retries for as long as the batch certainly was not applied.
    async fn commit(&mut self, changes: Vec<Change>) -> Result<(), CommitError> {
        let fence = Fence {
            scheduler: self.scheduler.clone(),
            epoch: self.epoch,
            previous: self.seq,
            seq: self.seq.next(),
        };
        let mut wait = RETRY_FIRST;
        loop {
            match self.store.commit(fence.clone(), changes.clone()).await {
                Ok(()) => break,
                Err(error @ CommitError::NotApplied(_)) => {
                    if self.ending.is_cancelled() {
                        return Err(error);
                    }
                }
                // Applied, retry, or neither: what is stored decides.
                Err(error @ (CommitError::Unknown(_) | CommitError::Behind { .. })) => {
                    match self.stored_seq(&error).await? {
                        seq if seq == fence.seq => break,
                        seq if seq == fence.previous => {}
                        _ => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
            self.gauge.retries.fetch_add(1, Relaxed);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.ending.cancelled() => {}
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
        self.seq = fence.seq;
        self.gauge.seq.store(self.seq.0, Relaxed);
        self.gauge.commits.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn stored_seq(&self, cause: &CommitError) -> Result<Seq, CommitError> {
        if let CommitError::Behind { stored } = cause {
            return Ok(*stored);
        }
        let mut wait = RETRY_FIRST;
        loop {
            match self.store.stored_seq(&self.scheduler, self.epoch).await {
                Ok(seq) => return Ok(seq),
                Err(error @ CommitError::Fenced { .. }) => return Err(error),
                Err(error) if self.ending.is_cancelled() => return Err(error),
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.ending.cancelled() => {}
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    fn carry_out(&self, outgoing: Vec<Outgoing>) {
        for item in outgoing {
            match item {
                Outgoing::Reply { to, answer } => {
                    if let Some(room) = deliver(to, answer) {
                        (self.tell)(WriterEvent::Untaken(room));
                    }
                }
                Outgoing::Run { id, work, timeout } => self.executor.run(id, work, timeout),
                Outgoing::Abandon(ids) => self.executor.abandon(&ids),
                Outgoing::Ended => (self.tell)(WriterEvent::Ended),
            }
        }
    }

    /// Nothing of this batch happened as far as anybody is told; the actor is built anew.
    fn give_up(&self, error: CommitError, outgoing: Vec<Outgoing>) {
        let exists = matches!(error, CommitError::AlreadyExists);
        for item in outgoing {
            if let (Outgoing::Reply { to, .. }, true) = (item, exists) {
                let text = format!("error creating scheduler {}: {error}", self.scheduler);
                let refusal = Refusal::new(RefusalKind::AlreadyExists, text);
                // A caller who left needs no answer.
                let _ = to.send(Err(refusal));
            }
        }
        (self.tell)(WriterEvent::Lost(error.to_string()));
    }
}

/// Hands an answer over. Returns the room of an allocation that nobody took.
pub(crate) fn deliver(to: oneshot::Sender<Answer>, answer: Answer) -> Option<RoomId> {
    match to.send(answer) {
        Err(Ok(Reply::Allocated { room, .. })) => Some(room),
        _ => None,
    }
}
