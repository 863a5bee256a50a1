//! The disruption budget of a scheduler (contract 4.9, D11): evictions leave the rooms alone in which somebody plays.
//!
//! The budget selects the pods with the label of protected rooms, and asks that as many stay available. So evictions of
//! all other rooms are allowed. At no time does the disruption controller count more pods than that number, or it would
//! let one of them be evicted:
//!
//! - The number is raised before pods are labelled. The API server refuses evictions until the controller has taken
//!   notice of the higher number, so nobody waits for that.
//! - It is lowered later, to no less than what the controller has counted: it hears of a budget and of pods in two
//!   streams, and could hear of the lower number before it hears that a pod lost its label. Too high a number refuses
//!   no eviction, since all that it selects is to be protected.

use super::budget_object::{Lowered, Raising, find, is_marked, labelling, lower, raise, repair};
use super::client::{Calls, Failure, pods};
use super::index::Index;
use super::limiter::{Leave, Urgency};
use super::namespace::{Namespaces, is_missing};
use super::seen::SeenPod;
use futures_util::stream::{self, StreamExt};
use kube::api::{Patch, PatchParams};
use maestro_core::domain::{RoomId, SchedulerName};
use maestro_core::ports::{Protection, RuntimeError};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use written::Written;

mod written;

/// Tries in a row that change nothing; the next order for all rooms goes on with it.
const LOWER_TRIES: u32 = 6;
/// Pods of one order that are labelled at once.
const LABELLED_AT_ONCE: usize = 32;

/// An order that changes nothing looks whether somebody edited the budget. Such looks are as urgent as their orders,
/// and those of many schedulers would take all calls: while others wait for theirs, a budget is looked at this often.
const LOOK_WITHIN: Duration = Duration::from_secs(60);

/// Writes budgets and the labels that they select.
pub struct Budgets {
    writer: Writer,
    tasks: TaskTracker,
    stopping: CancellationToken,
    /// Each scheduler's orders are carried out one after the other, in the order in which they came.
    schedulers: Mutex<HashMap<SchedulerName, OneByOne>>,
}

type OneByOne = Arc<tokio::sync::Mutex<Written>>;

#[derive(Clone)]
struct Writer {
    calls: Calls,
    namespaces: Namespaces,
    index: Arc<Index>,
    is_refused: Arc<AtomicBool>,
}

impl Budgets {
    pub fn new(
        calls: Calls,
        namespaces: Namespaces,
        index: Arc<Index>,
        tasks: TaskTracker,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            writer: Writer {
                calls,
                namespaces,
                index,
                is_refused: Arc::default(),
            },
            tasks,
            stopping,
            schedulers: Mutex::default(),
        }
    }

    /// Makes the rooms of the order protected or not, and the number that of the order. An order that has begun is
    /// carried out to its end when the caller goes away: calls of it that are under way could overtake the next one.
    ///
    /// # Errors
    /// As the API server answers. Whatever was written stays; the same order can be repeated.
    pub async fn protect(
        &self,
        scheduler: &SchedulerName,
        order: &Protection,
    ) -> Result<(), RuntimeError> {
        let of_scheduler = {
            let mut all = self.schedulers.lock();
            if !all.contains_key(scheduler) {
                // Those of other owners by now, of which nobody tells.
                let feeds = self.writer.index.feeds();
                all.retain(|name, used| Arc::strong_count(used) > 1 || feeds.is_watched(name));
            }
            all.entry(scheduler.clone()).or_default().clone()
        };
        // Its owner may go while it waits for the orders before.
        let term = self.writer.index.feeds().term(scheduler);
        let mut written = of_scheduler.clone().lock_owned().await;
        let (writer, scheduler, order) = (self.writer.clone(), scheduler.clone(), order.clone());
        let (tasks, stopping) = (self.tasks.clone(), self.stopping.clone());
        let carried_out = async move {
            writer
                .carry_out(&scheduler, term, &order, &mut written)
                .await?;
            let is_too_high = written
                .number
                .is_some_and(|number| number > written.ordered);
            if is_too_high && !std::mem::replace(&mut written.is_lowering, true) {
                let io = writer.calls.io().clone();
                let lowered = writer.lower_later(scheduler, of_scheduler);
                // Whoever owns the scheduler next lowers it.
                tasks.spawn_on(stopping.run_until_cancelled_owned(lowered), &io);
            }
            Ok(())
        };
        let task = self.tasks.spawn_on(carried_out, self.writer.calls.io());
        let done: Result<(), Failure> = task.await.unwrap_or(Err(Failure::Stopped));
        Ok(done?)
    }

    /// The scheduler's namespace is gone.
    pub fn forget(&self, scheduler: &SchedulerName) {
        self.schedulers.lock().remove(scheduler);
    }
}

impl Writer {
    async fn carry_out(
        &self,
        scheduler: &SchedulerName,
        term: Option<u64>,
        order: &Protection,
        written: &mut Written,
    ) -> Result<(), Failure> {
        let number = count(order.number);
        let is_new = order.all && written.term.take() != term;
        // An order that fails leaves everything in doubt.
        let before = written.number.take();
        let known = before.filter(|_| !order.all);
        let labelled = std::mem::replace(&mut written.ordered, number);
        let (on, off, selected) = self.changes(scheduler, order, labelled);
        let least = number.max(selected);
        let is_as_before = on.is_empty()
            && off.is_empty()
            && (least == 0 || before.is_some_and(|before| before >= least));
        if is_as_before && !is_new && self.can_wait(written) {
            written.number = before;
            if order.all {
                written.term = term;
            }
            return Ok(());
        }
        written.looked = Instant::now();
        let found = match known {
            Some(known) if known >= least => Some(known),
            Some(_) => self.raise(scheduler, term, least, Raising::Number).await?,
            None if is_new => {
                let how = Raising::TakeOver;
                self.raise(scheduler, term, least, how).await?
            }
            None => self.raise(scheduler, term, least, Raising::Repair).await?,
        };
        let (on, off) = tokio::join!(
            self.label(scheduler, term, on, true),
            self.label(scheduler, term, off, false)
        );
        on?;
        off?;
        written.number = found;
        if order.all {
            written.term = term;
        }
        Ok(())
    }

    /// Whether others need the calls that it costs to find that nobody edited the budget.
    fn can_wait(&self, written: &Written) -> bool {
        self.calls.are_behind() && written.looked.elapsed() < LOOK_WITHIN
    }

    /// The pods that are to be labelled and unlabelled, and how many the budget selects in between. An order for all
    /// rooms writes nothing to pods that are as they should be; any other names only those that change.
    fn changes(
        &self,
        scheduler: &SchedulerName,
        order: &Protection,
        labelled: i32,
    ) -> (Vec<RoomId>, Vec<RoomId>, i32) {
        if !order.all {
            let selected = labelled.saturating_add(count(order.on.len()));
            return (order.on.clone(), order.off.clone(), selected);
        }
        let labelled = self.index.protected(scheduler);
        let meant: HashSet<&RoomId> = order.on.iter().collect();
        let on = order.on.iter().filter(|room| !labelled.contains(*room));
        let on: Vec<RoomId> = on.cloned().collect();
        let mut off: HashSet<RoomId> = order.off.iter().cloned().collect();
        let too_many = labelled.iter().filter(|room| !meant.contains(room));
        off.extend(too_many.cloned());
        let selected = count(labelled.len() + on.len());
        (on, off.into_iter().collect(), selected)
    }

    /// Makes the number of the budget at least this one. The answer is its number; `None` if there is no budget, since
    /// its namespace is going or not ours, or since this process may not write it.
    async fn raise(
        &self,
        scheduler: &SchedulerName,
        term: Option<u64>,
        least: i32,
        how: Raising,
    ) -> Result<Option<i32>, Failure> {
        let raised = match how {
            Raising::Repair | Raising::TakeOver => None,
            Raising::Number => {
                let _turn = self.turn(scheduler, term).await?;
                match raise(&self.calls, scheduler, least).await {
                    // Somebody deleted it.
                    Err(failure) if failure.code() == 404 => None,
                    raised => Some(raised.map(Some)),
                }
            }
        };
        let written = match raised {
            Some(raised) => raised,
            None => {
                let takes_over = how == Raising::TakeOver;
                self.repair(scheduler, term, least, takes_over).await
            }
        };
        match written {
            Err(failure) if failure.is_right_missing() => {
                self.refused(&failure);
                Ok(None)
            }
            Err(failure) if is_missing(&failure) => Ok(None),
            written => written,
        }
    }

    /// A budget in a namespace is what says that a Maestro made that (D17), so none is written in one of somebody else.
    async fn repair(
        &self,
        scheduler: &SchedulerName,
        term: Option<u64>,
        least: i32,
        takes_over: bool,
    ) -> Result<Option<i32>, Failure> {
        let found = find(&self.calls, scheduler, Urgency::Urgent).await?;
        let is_known = found.as_ref().is_some_and(is_marked);
        if !is_known
            && self
                .namespaces
                .is_foreign(scheduler, Urgency::Urgent)
                .await?
        {
            return Ok(None);
        }
        let _turn = self.turn(scheduler, term).await?;
        repair(&self.calls, scheduler, least, found, takes_over)
            .await
            .map(Some)
    }

    /// Waits for the turn of a write. An order may have begun long before: when another process owns the scheduler by
    /// then, what it writes now would undo what that has written.
    async fn turn(&self, scheduler: &SchedulerName, term: Option<u64>) -> Result<Leave, Failure> {
        let leave = self.calls.leave(scheduler, Urgency::Urgent).await?;
        match self.index.feeds().term(scheduler) == term {
            true => Ok(leave),
            false => Err(Failure::Left),
        }
    }

    /// Lowers the number once the disruption controller has counted again, between two orders, and while the scheduler
    /// is ours: its next owner has a number of its own.
    async fn lower_later(self, scheduler: SchedulerName, of_scheduler: OneByOne) {
        let (mut tries, mut before) = (0, None);
        loop {
            let pause = of_scheduler.lock().await.pause(Instant::now());
            sleep(pause).await;
            let mut written = of_scheduler.lock().await;
            if !self.index.feeds().is_watched(&scheduler) {
                (written.number, written.is_lowering) = (None, false);
                return;
            }
            self.lower(&scheduler, &mut written).await;
            let after = Some((written.number, written.ordered));
            // Under load there is an order between two tries.
            tries = if after == before { tries + 1 } else { 1 };
            before = after;
            let is_low = written
                .number
                .is_none_or(|number| number <= written.ordered);
            if is_low || tries == LOWER_TRIES {
                written.is_lowering = false;
                return;
            }
        }
    }

    async fn lower(&self, scheduler: &SchedulerName, written: &mut Written) {
        let wanted = written.ordered;
        let Some(number) = written.number.filter(|number| *number > wanted) else {
            return;
        };
        match lower(&self.calls, scheduler, number, wanted).await {
            Ok(Lowered::To(number)) => written.number = Some(number),
            Ok(Lowered::NotYet) => {}
            // The next order looks at it.
            Ok(Lowered::ByAnother) | Err(_) => written.number = None,
        }
    }

    /// All pods are tried, whatever happens to one of them.
    async fn label(
        &self,
        scheduler: &SchedulerName,
        term: Option<u64>,
        rooms: Vec<RoomId>,
        on: bool,
    ) -> Result<(), Failure> {
        let labelled = rooms
            .into_iter()
            .map(|room| self.label_one(scheduler, term, room, on));
        let labelled = stream::iter(labelled).buffer_unordered(LABELLED_AT_ONCE);
        let all: Vec<_> = labelled.collect().await;
        all.into_iter().collect()
    }

    async fn label_one(
        &self,
        scheduler: &SchedulerName,
        term: Option<u64>,
        room: RoomId,
        on: bool,
    ) -> Result<(), Failure> {
        let _turn = self.turn(scheduler, term).await?;
        let pinned = self.index.is_pinned(scheduler, &room);
        let (of, patch) = (scheduler.clone(), labelling(on, pinned));
        let call = move |client| {
            let (of, room, patch) = (of.clone(), room.clone(), Patch::Merge(patch.clone()));
            async move {
                let api = pods(client, &of);
                api.patch(room.as_str(), &PatchParams::default(), &patch)
                    .await
            }
        };
        match self.calls.run(scheduler, Urgency::Urgent, call).await {
            Ok(pod) => {
                // The next order may come before the watch tells.
                if let Some(seen) = SeenPod::of(&pod) {
                    let _ = self.index.apply(seen, true);
                }
                Ok(())
            }
            Err(failure) if failure.is_right_missing() => {
                self.refused(&failure);
                Ok(())
            }
            // The room is gone.
            Err(failure) if failure.code() == 404 => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Rooms run without budgets, as they do without the right to write events.
    fn refused(&self, failure: &Failure) {
        if !self.is_refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                ?failure,
                "this process may not protect rooms from evictions: grant it to get, create and patch \
                 poddisruptionbudgets and to patch pods"
            );
        }
    }
}

fn count(rooms: usize) -> i32 {
    i32::try_from(rooms).unwrap_or(i32::MAX)
}
