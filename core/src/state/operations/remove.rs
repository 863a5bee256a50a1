//! `remove_rooms`: by ids, or a number of rooms in the order of deletion (contract 5.5, 5.6; D22, D27).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::progress::{Progress, RemoveRun, Running, TERMINATIONS_AT_ONCE};
use crate::state::operations::queue::Operations;
use crate::state::turn::Turn;
use std::time::Duration;

const LANE: Lane = Lane::Room;

/// Maximum number of ids named in one line of a history.
const IDS_SHOWN: usize = 20;
/// Wait after a removal that found nothing to remove.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// The input of the operation.
pub struct RemoveOrder {
    pub amount: i32,
    pub ids: Vec<RoomId>,
    pub reason: RemovalReason,
    pub force: bool,
    pub version: Option<SchedulerVersion>,
}

impl Operations {
    pub fn begin_remove(&mut self, fleet: &mut Fleet, turn: &mut Turn, order: RemoveOrder) {
        let reason = order.reason;
        let Some(running) = self.running(LANE) else {
            return;
        };
        let (resumed, pushed) = (
            running.record.resume.rooms.clone(),
            running.record.resume.pushed,
        );
        let mut run = RemoveRun::default();
        if !resumed.is_empty() {
            // Their removal is stored, unless another instance was found by that name since.
            run.left.extend(resumed);
            run.left
                .retain(|id| pushed || fleet.may_still_go(turn.now, id, reason));
        } else {
            run.left.extend(order.ids.iter().cloned());
            let amount = order.amount.clamp(0, self.settings.remove_limit);
            // The original ends the rooms that the order names, whatever happened since.
            run.left
                .retain(|id| pushed || fleet.may_still_go(turn.now, id, reason));
            pick(fleet, turn, amount as usize, &order, pushed, &mut run);
        }
        run.left.retain(|id| fleet.rooms.get(id.as_str()).is_some());
        for id in run.left.clone() {
            fleet.expired.remove(&id);
            fleet.mark_removal(turn, &id, reason, false);
        }
        if let Some(running) = self.running_mut(LANE) {
            running.record.resume.rooms = run.left.iter().cloned().collect();
            running.record.resume.step = "ending rooms".into();
            turn.changes.put_operation(running.record.clone());
            running.progress = Progress::Remove(run);
        }
        self.note_drained(turn);
        self.continue_remove(fleet, turn);
    }

    /// Stored together with the drains, so that a restart loses neither.
    fn note_drained(&mut self, turn: &mut Turn) {
        let Some(Running {
            progress: Progress::Remove(run),
            ..
        }) = self.running(LANE)
        else {
            return;
        };
        if let Some(named) = some_of(&run.drained) {
            let count = run.drained.len();
            self.note(
                turn,
                LANE,
                &format!("{count} rooms go when their matches end: {named}"),
            );
        }
    }
}

/// Chooses rooms in the order of deletion, idle ones first. Rooms with a match are only marked for draining, unless the
/// order is forced or `pushed` by another program (D27).
fn pick(
    fleet: &mut Fleet,
    turn: &mut Turn,
    amount: usize,
    order: &RemoveOrder,
    pushed: bool,
    run: &mut RemoveRun,
) {
    if amount == 0 {
        return;
    }
    // No version of a managed scheduler loses rooms for another's sake.
    let active = fleet.scheduler.as_ref().filter(|_| fleet.is_managed());
    let active = active.map(|s| s.version().clone());
    let version = order.version.clone().or(active);
    // Its version was started again before the operation began.
    let is_wanted = |of: &SchedulerVersion| fleet.wants_rooms_of(of);
    if order.reason == RemovalReason::VersionStopped && version.as_ref().is_some_and(is_wanted) {
        return;
    }
    let chosen = fleet.deletion_order(turn.now, amount, order.reason, version.as_ref());
    run.left.extend(chosen.remove);
    run.left.extend(chosen.terminating);
    for id in chosen.drain {
        if order.force || pushed {
            run.left.push_back(id);
        } else {
            fleet.mark_removal(turn, &id, order.reason, true);
            run.drained.push(id);
        }
    }
}

impl Operations {
    pub fn continue_remove(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        loop {
            let Some(running) = self.running_mut(LANE) else {
                return;
            };
            let operation = running.record.id;
            let in_flight = fleet.work.in_flight(operation);
            let Progress::Remove(run) = &mut running.progress else {
                return;
            };
            if in_flight >= TERMINATIONS_AT_ONCE {
                return;
            }
            let Some(id) = run.left.pop_front() else {
                if in_flight == 0 {
                    self.finish_remove(fleet, turn);
                }
                return;
            };
            fleet.order_termination(turn, &id, Some(operation));
        }
    }

    fn finish_remove(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let Some(Running {
            progress: Progress::Remove(run),
            ..
        }) = self.running_mut(LANE)
        else {
            return;
        };
        let run = std::mem::take(run);
        if run.removed.is_empty() && run.drained.is_empty() {
            // No room could be removed: an immediate evaluation would only order the same again.
            fleet.scaling.hold_until = Some(turn.now.mono.plus(IDLE_WAIT));
        }
        if run.failed > 0 {
            let total = run.failed + run.removed.len();
            let cause = run.cause.unwrap_or_default();
            return self.fail(
                fleet,
                turn,
                LANE,
                format!(
                    "{} of {total} rooms could not be ended: {cause}",
                    run.failed
                ),
            );
        }
        let mut text = format!("removed {} rooms", run.removed.len());
        if let Some(named) = some_of(&run.removed) {
            text.push_str(&format!(": {named}"));
        }
        if !run.drained.is_empty() {
            let more = run.drained.len();
            text.push_str(&format!("; {more} more go when their matches end"));
        }
        self.finish(fleet, turn, LANE, &text);
    }
}

/// The first of these ids, for a line of a history; `None` if there are none.
fn some_of(ids: &[RoomId]) -> Option<String> {
    let shown: Vec<&str> = ids.iter().take(IDS_SHOWN).map(RoomId::as_str).collect();
    let others = if ids.len() > IDS_SHOWN {
        " and others"
    } else {
        ""
    };
    (!ids.is_empty()).then(|| format!("{}{others}", shown.join(", ")))
}
