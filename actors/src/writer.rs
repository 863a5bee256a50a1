//! The ordered writer of one owner: batches become durable in the order in which they
//! were decided, and only then their effects happen (architecture 5, Order).

use crate::cause::Cause;
use crate::executor::Executor;
use crate::forwarding::Outbox;
use futures_util::FutureExt;
use maestro_core::domain::{Epoch, RoomId, RoomTouch, SchedulerName, Seq};
use maestro_core::ports::{Change, CommitError, Fence, Forwarding, Store};
use maestro_core::state::{Answer, Caller, Refusal, RefusalKind, Reply, TOUCH_CHUNK, Work, WorkId};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, Release},
};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// Decisions that may wait for the store. Callers are bounded before that (256 asks, 4,096
/// pings), so a full queue means a store that is gone for long: the actor then ends and
/// loads anew.
pub(crate) const QUEUE: usize = 8192;
/// Batches that one commit takes: what has arrived, never waiting for more.
const GROUP: usize = 512;
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long the store may take for one answer; an owner that ends waits less.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const LAST_TRY_MAX: Duration = Duration::from_secs(2);
const SILENT: &str = "the store did not answer in time";

/// Somebody who waits for an answer, and the place among those who may.
pub(crate) struct Waiter {
    to: oneshot::Sender<Answer>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Waiter {
    pub fn new(to: oneshot::Sender<Answer>, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            to,
            _permit: permit,
        }
    }
    /// Hands an answer over. Returns the room of an allocation that nobody took.
    #[must_use]
    pub fn deliver(self, answer: Answer) -> Option<RoomId> {
        match self.to.send(answer) {
            Err(Ok(Reply::Allocated { room, .. })) => Some(room),
            _ => None,
        }
    }
}

/// What happens once a batch is durable.
pub(crate) enum Outgoing {
    Reply {
        caller: Caller,
        to: Waiter,
        answer: Answer,
    },
    Run {
        cause: Cause,
        id: WorkId,
        work: Work,
        timeout: Duration,
    },
    Abandon(Vec<WorkId>),
    Forward(Arc<Forwarding>),
    Ended,
}

pub(crate) struct Batch {
    pub cause: Cause,
    pub changes: Vec<Change>,
    pub outgoing: Vec<Outgoing>,
}

pub(crate) enum Order {
    Batch(Batch),
    /// Steady pings: behind whatever waits.
    Touches(Vec<RoomTouch>),
}

fn commit_span(order: &Order) -> Option<Span> {
    match order {
        Order::Batch(batch) if !batch.changes.is_empty() => batch.cause.commit(batch.changes.len()),
        _ => None,
    }
}

/// What the writer tells its actor.
pub(crate) enum WriterEvent {
    /// A reply that nobody took (the caller's deadline had passed).
    Untaken(RoomId, Caller),
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
    /// Events that are forwarded once the changes before them are durable.
    pub forwards: AtomicU64,
}

pub(crate) struct Writer {
    pub scheduler: SchedulerName,
    pub epoch: Epoch,
    pub seq: Seq,
    pub store: Arc<dyn Store>,
    pub executor: Executor,
    pub outbox: Outbox,
    pub gauge: Arc<WriterGauge>,
    pub tell: Arc<dyn Fn(WriterEvent) + Send + Sync>,
    /// The owner is ending: one last try, then give up.
    pub ending: CancellationToken,
}

impl Writer {
    /// Runs it. A panic in a store must not leave the actor with a writer that is gone.
    pub async fn watched(self, orders: mpsc::Receiver<Order>) {
        let tell = self.tell.clone();
        if AssertUnwindSafe(self.run(orders))
            .catch_unwind()
            .await
            .is_err()
        {
            tell(WriterEvent::Lost("its writer panicked".into()));
        }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut waiting = Vec::with_capacity(GROUP);
        let mut touches = BTreeMap::new();
        loop {
            if touches.is_empty() {
                if orders.recv_many(&mut waiting, GROUP).await == 0 {
                    return;
                }
            } else {
                let more = std::iter::from_fn(|| orders.try_recv().ok());
                waiting.extend(more.take(GROUP));
            }
            // One span for each batch that somebody traces, for as long as the commit takes.
            let spans: Vec<Span> = waiting.iter().filter_map(commit_span).collect();
            let (changes, outgoing) = self.gather(&mut waiting, &mut touches);
            if !changes.is_empty()
                && let Err(error) = self.commit(changes).await
            {
                return self.give_up(error, outgoing);
            }
            drop(spans);
            self.carry_out(outgoing);
            // One chunk of steady pings, then again what has arrived meanwhile.
            let chunk = std::iter::from_fn(|| touches.pop_first().map(|(_, touch)| touch));
            let chunk: Vec<RoomTouch> = chunk.take(TOUCH_CHUNK).collect();
            if !chunk.is_empty()
                && let Err(error) = self.commit(vec![Change::TouchRooms(chunk)]).await
            {
                return self.give_up(error, Vec::new());
            }
        }
    }

    /// One group out of all that waits. Steady pings are written behind it, so those of a
    /// room that the group itself writes later are old by then, and dropped.
    fn gather(
        &self,
        waiting: &mut Vec<Order>,
        touches: &mut BTreeMap<RoomId, RoomTouch>,
    ) -> (Vec<Change>, Vec<Outgoing>) {
        let (mut changes, mut outgoing) = (Vec::new(), Vec::new());
        for order in waiting.drain(..) {
            self.gauge.waiting.fetch_sub(1, Relaxed);
            match order {
                Order::Batch(batch) => {
                    for change in &batch.changes {
                        match change {
                            Change::PutRoom(room) => drop(touches.remove(&room.id)),
                            Change::DeleteRoom(id) => drop(touches.remove(id)),
                            _ => {}
                        }
                    }
                    changes.extend(batch.changes);
                    outgoing.extend(batch.outgoing);
                }
                Order::Touches(rooms) => {
                    touches.extend(rooms.into_iter().map(|t| (t.room.clone(), t)));
                }
            }
        }
        (changes, outgoing)
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
            let tried = self.store.commit(fence.clone(), changes.clone());
            let silent = || CommitError::Unknown(SILENT.into());
            match self.within(tried).await.unwrap_or_else(|| Err(silent())) {
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
                        seq if seq == fence.previous && !self.ending.is_cancelled() => {}
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

    /// `None`: no answer in time. A write that happens after all meets its own seq.
    async fn within<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let ending = async {
            self.ending.cancelled().await;
            tokio::time::sleep(LAST_TRY_MAX).await;
        };
        tokio::select! {
            answer = call => Some(answer),
            () = tokio::time::sleep(ANSWER_MAX) => None,
            () = ending => None,
        }
    }

    async fn stored_seq(&self, cause: &CommitError) -> Result<Seq, CommitError> {
        if let CommitError::Behind { stored } = cause {
            return Ok(*stored);
        }
        let mut wait = RETRY_FIRST;
        loop {
            let asked = self.store.stored_seq(&self.scheduler, self.epoch);
            let silent = || CommitError::NotApplied(SILENT.into());
            match self.within(asked).await.unwrap_or_else(|| Err(silent())) {
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
                Outgoing::Reply { caller, to, answer } => {
                    if let Some(room) = to.deliver(answer) {
                        (self.tell)(WriterEvent::Untaken(room, caller));
                    }
                }
                Outgoing::Run {
                    cause,
                    id,
                    work,
                    timeout,
                } => self.executor.run(&cause, id, work, timeout),
                Outgoing::Abandon(ids) => self.executor.abandon(&ids),
                Outgoing::Forward(event) => {
                    self.outbox.push(&event);
                    self.gauge.forwards.fetch_sub(1, Release);
                }
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
                let _ = to.deliver(Err(refusal));
            }
        }
        (self.tell)(WriterEvent::Lost(error.to_string()));
    }
}
