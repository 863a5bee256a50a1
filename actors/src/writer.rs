//! The ordered writer of one owner: batches become durable in the order in which they were decided, and their effects
//! happen only after that (architecture 5, Order).

use crate::effects::Effects;
use crate::group::{Group, Outgoing};
use crate::writer_event::WriterEvent;
use crate::writer_inbox::Inbox;
use crate::writer_inbox::Order;
use futures_util::FutureExt;
use maestro_core::domain::{Epoch, SchedulerName, Seq};
use maestro_core::ports::{Change, CommitError, Fence, Store};
use maestro_core::rules::back_off::BackOff;
use maestro_core::rules::writing::{
    AfterCommit, after_commit, after_lookup, repairing, republication,
};
use maestro_core::state::{Refusal, RefusalKind, TOUCH_CHUNK};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Capacity of the queue, in decisions that wait during a commit. Callers are limited before it fills up (256 asks,
/// 4,096 pings), and once a commit has failed, the decisions are taken out of the queue and merged (`group`), so an
/// outage does not fill it either.
pub(crate) const QUEUE: usize = 8192;
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long to wait for one answer of the store; an owner that is ending waits less.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const LAST_TRY_MAX: Duration = Duration::from_secs(2);
/// After what time of refusals callers are told why, where the store takes the changes of all others.
const REFUSED_MAX: Duration = Duration::from_secs(1);
const SILENT: &str = "the store did not answer in time";

/// The end of the attempts to write a batch.
enum Attempt {
    Durable,
    /// The store lost changes, and is at this seq.
    Behind(Seq),
}

pub(crate) struct Writer {
    pub scheduler: SchedulerName,
    pub epoch: Epoch,
    pub seq: Seq,
    pub store: Arc<dyn Store>,
    pub effects: Effects,
    /// The owner is ending: make one last attempt, then give up.
    pub ending: CancellationToken,
    /// The owner's thread is blocked: give up now.
    pub abandoned: CancellationToken,
}

/// Refusals of one batch, one after the other.
#[derive(Default)]
struct Refused {
    since: Option<Instant>,
    cause: Option<String>,
}

impl Refused {
    /// True when it is to be told for the first time: a refusal may be over with the next try.
    fn note(&mut self, cause: &str) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        let is_first = self.cause.is_none() && since.elapsed() >= REFUSED_MAX;
        if is_first {
            self.cause = Some(cause.to_owned());
        }
        is_first
    }

    fn told(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

impl Writer {
    /// Runs the writer. If a store panics, the actor is told, so that it does not keep a dead writer.
    pub async fn watched(self, orders: mpsc::Receiver<Order>) {
        let tell = self.effects.tell.clone();
        if AssertUnwindSafe(self.run(orders))
            .catch_unwind()
            .await
            .is_err()
        {
            tell(WriterEvent::Lost("its writer panicked".into()));
        }
    }

    async fn run(mut self, orders: mpsc::Receiver<Order>) {
        let mut inbox = Inbox::new(
            orders,
            self.effects.gauge.clone(),
            self.effects.outbox.clone(),
        );
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
            self.effects.carry_out(group.outgoing);
            if !inbox.folded.is_empty() {
                // Waiting pings may have come after its changes.
                continue;
            }
            // Store one chunk of steady pings, then look again for other work.
            let chunk = inbox.touches.take(TOUCH_CHUNK);
            if chunk.is_empty() {
                continue;
            }
            // It stays empty unless the store has to be repaired.
            let (changes, mut group) = ([Change::TouchRooms(chunk)].into(), Group::default());
            if let Err(error) = self.commit(changes, &mut group, &mut inbox).await {
                return self.give_up(error, group.outgoing);
            }
            self.effects.carry_out(group.outgoing);
        }
    }

    /// Returns once the group is durable or refused. If the store lost changes, everything that the owner knows is
    /// written again with it, and what the owner sends meanwhile joins the group.
    async fn commit(
        &mut self,
        mut changes: Arc<[Change]>,
        group: &mut Group,
        inbox: &mut Inbox,
    ) -> Result<(), CommitError> {
        let mut fence = Fence {
            scheduler: self.scheduler.clone(),
            epoch: self.epoch,
            previous: self.seq,
            seq: self.seq.next(),
        };
        let mut back_off = BackOff::new(RETRY_FIRST, RETRY_MAX);
        let mut behind = false;
        while let Attempt::Behind(stored) = self.attempt(&fence, &changes, group, inbox).await? {
            let again = std::mem::replace(&mut behind, true);
            match again {
                true => self.pause(&mut back_off, None, inbox).await,
                false => warn!(
                    scheduler_name = %self.scheduler, stored_seq = stored.0, expected_seq = fence.previous.0,
                    "the store lost changes: everything is written again"
                ),
            }
            let repair = self.repair(&changes, again, group, inbox).await;
            changes = repair.ok_or(CommitError::Behind { stored })?;
            fence = repairing(&fence, stored);
        }
        self.seq = fence.seq;
        self.effects.gauge.seq.store(self.seq.0, Relaxed);
        self.effects.gauge.commits.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Retries as long as it is certain that the batch was not applied.
    async fn attempt(
        &self,
        fence: &Fence,
        changes: &Arc<[Change]>,
        group: &mut Group,
        inbox: &mut Inbox,
    ) -> Result<Attempt, CommitError> {
        let mut back_off = BackOff::new(RETRY_FIRST, RETRY_MAX);
        // During an outage an attempt may take until the store's next retry, so callers are told at once.
        let mut failed = self.store.outage().is_some();
        let mut refused = Refused::default();
        self.tell_those_who_wait(group, None);
        loop {
            let tried = self.store.commit(fence.clone(), changes.clone());
            let tried = match failed {
                false => self.within(tried).await,
                true => {
                    self.folding(inbox, refused.told(), self.within(tried))
                        .await
                }
            };
            let outcome = tried.unwrap_or_else(|| Err(CommitError::Unknown(SILENT.into())));
            self.note_refusal(&outcome, &mut refused);
            let after = match after_commit(fence, &outcome) {
                AfterCommit::LookUp => {
                    self.tell_those_who_wait(group, None);
                    after_lookup(fence, self.stored_seq(inbox).await?)
                }
                known => known,
            };
            match after {
                AfterCommit::Durable => {
                    self.effects.gauge.refused.store(0, Relaxed);
                    return Ok(Attempt::Durable);
                }
                AfterCommit::Republish(stored) => return Ok(Attempt::Behind(stored)),
                AfterCommit::Again if !self.ending.is_cancelled() => {}
                _ => return outcome.map(|()| Attempt::Durable),
            }
            failed = true;
            self.tell_those_who_wait(group, refused.told());
            self.effects.gauge.retries.fetch_add(1, Relaxed);
            self.pause(&mut back_off, refused.told(), inbox).await;
        }
    }

    /// Notes why the store refuses this scheduler's changes while it takes those of all others: something foreign
    /// lies under its keys. Nobody else says so.
    fn note_refusal(&self, outcome: &Result<(), CommitError>, refused: &mut Refused) {
        let is_general = self.store.outage().is_some();
        match outcome {
            Err(CommitError::NotApplied(cause)) if !is_general && refused.note(cause.text()) => {
                warn!(
                    scheduler_name = %self.scheduler, %cause,
                    "the store refuses the changes of this scheduler; they are tried again and again"
                )
            }
            // An answer that is missing says nothing of what the store would have answered.
            Err(CommitError::NotApplied(_) | CommitError::Unknown(_)) => {}
            _ => *refused = Refused::default(),
        }
        let is_alone = !is_general && refused.told().is_some();
        self.effects
            .gauge
            .refused
            .store(u64::from(is_alone), Relaxed);
    }

    /// Asks the owner for a snapshot. It comes in the order of the decisions: those before it join the group, those
    /// behind it stay in the queue. `None`: the owner has ended.
    async fn repair(
        &self,
        refused: &[Change],
        again: bool,
        group: &mut Group,
        inbox: &mut Inbox,
    ) -> Option<Arc<[Change]>> {
        (self.effects.tell)(WriterEvent::Behind { again });
        let snapshot = tokio::select! {
            biased;
            () = self.abandoned.cancelled() => None,
            snapshot = inbox.fold_up_to_snapshot(None) => snapshot,
        };
        let snapshot = snapshot?;
        // A store that lost its fence refuses no earlier owner, so only one with a lease may write to it.
        tokio::select! {
            biased;
            () = self.effects.executor.lease.usable(&*self.effects.executor.clock) => {}
            () = self.ending.cancelled() => return None,
            () = self.abandoned.cancelled() => return None,
        }
        let mut waiting = refused.to_vec();
        waiting.append(&mut inbox.join(group));
        let changes = republication(&waiting, snapshot);
        inbox.touches.superseded_by(&changes);
        Some(changes.into())
    }

    fn tell_those_who_wait(&self, group: &mut Group, refused: Option<&str>) {
        if let Some(outage) = self.store.outage() {
            group.not_stored(&outage.cause);
        } else if let Some(cause) = refused {
            group.not_stored(cause);
        }
    }

    /// Runs `work` while receiving and merging what the owner sends.
    async fn folding<T>(
        &self,
        inbox: &mut Inbox,
        refused: Option<&str>,
        work: impl Future<Output = T>,
    ) -> T {
        let outage = self.store.outage();
        let cause = outage.as_ref().map(|outage| outage.cause.as_str());
        let cause = cause.or(refused);
        tokio::select! {
            biased;
            done = work => done,
            never = inbox.fold(cause) => match never {},
        }
    }

    /// Waits between two attempts.
    async fn pause(&self, back_off: &mut BackOff, refused: Option<&str>, inbox: &mut Inbox) {
        let wait = back_off.pause();
        let pause = async {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.ending.cancelled() => {}
            }
        };
        self.folding(inbox, refused, pause).await;
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
            let asked = self.folding(inbox, None, self.within(asked)).await;
            match asked.unwrap_or_else(|| Err(silent())) {
                Ok(seq) => return Ok(seq),
                Err(error @ CommitError::Fenced { .. }) => return Err(error),
                Err(error) if self.ending.is_cancelled() => return Err(error),
                Err(_) => {}
            }
            self.pause(&mut back_off, None, inbox).await;
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
        (self.effects.tell)(match fenced {
            true => WriterEvent::Fenced,
            false => WriterEvent::Lost(error.to_string()),
        });
    }
}
