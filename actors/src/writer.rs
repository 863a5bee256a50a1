//! The ordered writer of one owner: batches become durable in the order in which they were decided, and their effects
//! happen only after that (architecture 5, Order).

use crate::executor::Executor;
use crate::forwarding::{Held, Outbox};
use crate::group::{Group, Outgoing};
use crate::turn_trace::TurnTrace;
use futures_util::FutureExt;
use maestro_core::domain::{Epoch, RoomId, RoomTouch, SchedulerName, Seq};
use maestro_core::ports::{Change, CommitError, Fence, Store};
use maestro_core::rules::back_off::BackOff;
use maestro_core::rules::grouping::BATCHES_MAX;
use maestro_core::rules::writing::{AfterCommit, PendingTouches, after_commit, after_lookup};
use maestro_core::state::{Caller, Refusal, RefusalKind, TOUCH_CHUNK};
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// Capacity of the queue, in decisions that wait during a commit. Callers are limited before it fills up (256 asks,
/// 4,096 pings), and once a commit has failed, the decisions are taken out of the queue and merged (`group`), so an
/// outage does not fill it either.
pub(crate) const QUEUE: usize = 8192;
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long to wait for one answer of the store; an owner that is ending waits less.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const LAST_TRY_MAX: Duration = Duration::from_secs(2);
const SILENT: &str = "the store did not answer in time";

pub(crate) struct Batch {
    pub trace: TurnTrace,
    pub changes: Vec<Change>,
    pub outgoing: Vec<Outgoing>,
}

pub(crate) enum Order {
    Batch(Batch),
    /// Steady pings; stored after everything else that waits.
    Touches(Vec<RoomTouch>),
}

fn commit_span(batch: &Batch) -> Option<Span> {
    match batch.changes.len() {
        0 => None,
        changes => batch.trace.commit(changes),
    }
}

/// Reports of the writer to its actor.
pub(crate) enum WriterEvent {
    /// A reply whose caller had stopped waiting (its deadline had passed).
    Untaken(RoomId, Caller),
    /// The scheduler was deleted from the store.
    Ended,
    /// Another owner wrote: the scheduler is not ours any more.
    Fenced,
    /// The outcome of a write is unknown: the state in memory is invalid.
    Lost(String),
}

/// Read by `/debug/actors`.
#[derive(Default)]
pub(crate) struct WriterGauge {
    pub waiting: AtomicU64,
    pub seq: AtomicU64,
    pub commits: AtomicU64,
    pub retries: AtomicU64,
    pub held: Held,
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
    /// The owner is ending: make one last attempt, then give up.
    pub ending: CancellationToken,
    /// The owner's thread is blocked: give up now.
    pub abandoned: CancellationToken,
}

/// What the owner has sent and the writer has not processed yet.
struct Inbox {
    orders: mpsc::Receiver<Order>,
    gauge: Arc<WriterGauge>,
    outbox: Outbox,
    /// Decisions that arrived while an earlier commit was being retried, merged.
    folded: Group,
    touches: PendingTouches,
}

impl Inbox {
    /// The next group: everything that has arrived. Waits only if there is nothing else to do. `None` when the owner
    /// has ended and everything is processed.
    async fn group(&mut self) -> Option<Group> {
        let mut group = std::mem::take(&mut self.folded);
        if group.is_empty() && self.touches.is_empty() {
            let first = self.orders.recv().await?;
            self.add(&mut group, first);
        }
        let most = group.changes.batches().max(BATCHES_MAX);
        while group.changes.batches() < most {
            let Ok(order) = self.orders.try_recv() else {
                break;
            };
            self.add(&mut group, order);
        }
        let taken = group.changes.batches();
        self.gauge.waiting.fetch_sub(taken, Relaxed);
        Some(group)
    }

    fn add(&mut self, group: &mut Group, order: Order) {
        match order {
            Order::Batch(batch) => {
                group.spans.extend(commit_span(&batch));
                group.changes.add(batch.changes, &mut self.touches);
                group.outgoing.extend(batch.outgoing);
            }
            Order::Touches(rooms) => {
                self.gauge.waiting.fetch_sub(1, Relaxed);
                self.touches.add(rooms);
            }
        }
    }

    /// Receives and merges decisions for as long as it is polled.
    async fn fold(&mut self, cause: Option<&str>) -> Infallible {
        loop {
            let Some(order) = self.orders.recv().await else {
                return std::future::pending().await;
            };
            let mut folded = std::mem::take(&mut self.folded);
            self.add(&mut folded, order);
            if let Some(cause) = cause {
                folded.not_stored(cause);
            }
            for event in folded.sweep() {
                self.gauge.held.done(&event.room);
                self.outbox.drop_event(&event);
            }
            self.folded = folded;
        }
    }
}

impl Writer {
    /// Runs the writer. If a store panics, the actor is told, so that it does not keep a dead writer.
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

    async fn run(mut self, orders: mpsc::Receiver<Order>) {
        let mut inbox = Inbox {
            orders,
            gauge: self.gauge.clone(),
            outbox: self.outbox.clone(),
            folded: Group::default(),
            touches: PendingTouches::default(),
        };
        let abandoned = self.abandoned.clone();
        loop {
            let group = tokio::select! {
                biased;
                () = abandoned.cancelled() => return,
                group = inbox.group() => group,
            };
            let Some(mut group) = group else { return };
            let changes = group.changes.take();
            if !changes.is_empty()
                && let Err(error) = self.commit(changes.into(), &mut group, &mut inbox).await
            {
                return self.give_up(error, group.outgoing);
            }
            group.spans.clear();
            self.carry_out(group.outgoing);
            if !inbox.folded.is_empty() {
                // Waiting pings may have come after its changes.
                continue;
            }
            // Store one chunk of steady pings, then look again for other work.
            let chunk = inbox.touches.take(TOUCH_CHUNK);
            if chunk.is_empty() {
                continue;
            }
            let (changes, mut nothing) = ([Change::TouchRooms(chunk)].into(), Group::default());
            if let Err(error) = self.commit(changes, &mut nothing, &mut inbox).await {
                return self.give_up(error, Vec::new());
            }
        }
    }

    /// Returns once the group is durable or refused. Retries as long as it is certain that it was not applied.
    async fn commit(
        &mut self,
        changes: Arc<[Change]>,
        group: &mut Group,
        inbox: &mut Inbox,
    ) -> Result<(), CommitError> {
        let fence = Fence {
            scheduler: self.scheduler.clone(),
            epoch: self.epoch,
            previous: self.seq,
            seq: self.seq.next(),
        };
        let mut back_off = BackOff::new(RETRY_FIRST, RETRY_MAX);
        // During an outage an attempt may take until the store's next retry, so callers are told at once.
        let mut failed = self.store.outage().is_some();
        self.tell_those_who_wait(group);
        loop {
            let tried = self.store.commit(fence.clone(), changes.clone());
            let tried = match failed {
                false => self.within(tried).await,
                true => self.folding(inbox, self.within(tried)).await,
            };
            let outcome = tried.unwrap_or_else(|| Err(CommitError::Unknown(SILENT.into())));
            let after = match after_commit(&fence, &outcome) {
                AfterCommit::LookUp => {
                    self.tell_those_who_wait(group);
                    after_lookup(&fence, self.stored_seq(inbox).await?)
                }
                known => known,
            };
            match after {
                AfterCommit::Durable => break,
                AfterCommit::Again if !self.ending.is_cancelled() => {}
                _ => return outcome,
            }
            failed = true;
            self.tell_those_who_wait(group);
            self.gauge.retries.fetch_add(1, Relaxed);
            self.pause(&mut back_off, inbox).await;
        }
        self.seq = fence.seq;
        self.gauge.seq.store(self.seq.0, Relaxed);
        self.gauge.commits.fetch_add(1, Relaxed);
        Ok(())
    }

    fn tell_those_who_wait(&self, group: &mut Group) {
        if let Some(outage) = self.store.outage() {
            group.not_stored(&outage.cause);
        }
    }

    /// Runs `work` while receiving and merging what the owner sends.
    async fn folding<T>(&self, inbox: &mut Inbox, work: impl Future<Output = T>) -> T {
        let outage = self.store.outage();
        let cause = outage.as_ref().map(|outage| outage.cause.as_str());
        tokio::select! {
            biased;
            done = work => done,
            never = inbox.fold(cause) => match never {},
        }
    }

    /// Waits between two attempts.
    async fn pause(&self, back_off: &mut BackOff, inbox: &mut Inbox) {
        let wait = back_off.pause();
        let pause = async {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.ending.cancelled() => {}
            }
        };
        self.folding(inbox, pause).await;
    }

    /// `None` if the store did not answer in time. If the write succeeds nevertheless, a retry finds its own seq.
    async fn within<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let ending = async {
            self.ending.cancelled().await;
            tokio::select! {
                () = tokio::time::sleep(LAST_TRY_MAX) => {}
                () = self.abandoned.cancelled() => {}
            }
        };
        tokio::select! {
            answer = call => Some(answer),
            () = tokio::time::sleep(ANSWER_MAX) => None,
            () = ending => None,
        }
    }

    async fn stored_seq(&self, inbox: &mut Inbox) -> Result<Seq, CommitError> {
        let mut back_off = BackOff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            let asked = self.store.stored_seq(&self.scheduler, self.epoch);
            let silent = || CommitError::NotApplied(SILENT.into());
            let asked = self.folding(inbox, self.within(asked)).await;
            match asked.unwrap_or_else(|| Err(silent())) {
                Ok(seq) => return Ok(seq),
                Err(error @ CommitError::Fenced { .. }) => return Err(error),
                Err(error) if self.ending.is_cancelled() => return Err(error),
                Err(_) => {}
            }
            self.pause(&mut back_off, inbox).await;
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
                    trace,
                    id,
                    work,
                    timeout,
                } => self.executor.run(&trace, id, work, timeout),
                Outgoing::Abandon(ids) => self.executor.abandon(&ids),
                Outgoing::Forward(event) => {
                    self.outbox.push(&event);
                    self.gauge.held.done(&event.room);
                }
                Outgoing::Ended => (self.tell)(WriterEvent::Ended),
            }
        }
    }

    /// Discards a batch whose effects nobody was told about; the actor is then rebuilt.
    fn give_up(&self, error: CommitError, outgoing: Vec<Outgoing>) {
        let exists = matches!(error, CommitError::AlreadyExists);
        let fenced = matches!(error, CommitError::Fenced { .. });
        for item in outgoing {
            if let (Outgoing::Reply { to, .. }, true) = (item, exists) {
                let text = format!("error creating scheduler {}: {error}", self.scheduler);
                let refusal = Refusal::new(RefusalKind::AlreadyExists, text);
                // The caller may have stopped waiting.
                let _ = to.deliver(Err(refusal));
            }
        }
        (self.tell)(match fenced {
            true => WriterEvent::Fenced,
            false => WriterEvent::Lost(error.to_string()),
        });
    }
}
