//! `remove_rooms`: by ids, or as many as asked in the order of deletion (contract 5.5, 5.6; D22, D27).

use crate::domain::*;
use crate::state::SchedulerState;
use crate::state::fleet::Purpose;
use crate::state::fleet::Room;
use crate::state::input::{Work, WorkResult};
use crate::state::operations::{Progress, Running, TERMINATIONS_AT_ONCE};
use crate::state::report::Report;
use crate::state::turn::Turn;
use std::collections::VecDeque;
use std::time::Duration;

const LANE: Lane = Lane::Room;

#[derive(Debug, Default)]
pub(in crate::state) struct RemoveRun {
    left: VecDeque<RoomId>,
    removed: Vec<RoomId>,
    /// Rooms with a match that were told to go after it.
    drained: Vec<RoomId>,
    failed: usize,
    cause: Option<String>,
}

/// Ids that one line of a history names.
const IDS_SHOWN: usize = 20;
/// After a removal that found nothing to remove.
const IDLE_WAIT: Duration = Duration::from_secs(1);

impl SchedulerState {
    pub(super) fn begin_remove(
        &mut self,
        turn: &mut Turn,
        amount: i32,
        ids: Vec<RoomId>,
        reason: &str,
        force: bool,
    ) {
        let reason = RemovalReason::from_word(reason).unwrap_or(RemovalReason::RequestedByUser);
        let Some(running) = self.operations.running(LANE) else {
            return;
        };
        let (resumed, pushed) = (
            running.record.journal.rooms.clone(),
            running.record.journal.pushed,
        );
        let mut run = RemoveRun::default();
        if !resumed.is_empty() {
            run.left.extend(resumed);
        } else {
            run.left.extend(ids);
            let amount = amount.clamp(0, self.fleet.settings.remove_limit);
            // The original ends what the order names, whatever happened since.
            run.left
                .retain(|id| pushed || self.fleet.may_still_go(turn.now, id, reason));
            self.pick(turn, amount as usize, reason, force || pushed, &mut run);
        }
        run.left
            .retain(|id| self.fleet.rooms.get(id.as_str()).is_some());
        for id in run.left.clone() {
            self.fleet.expired.remove(&id);
            self.fleet.mark_removal(turn, &id, reason, false);
        }
        if let Some(running) = self.operations.running_mut(LANE) {
            running.record.journal.rooms = run.left.iter().cloned().collect();
            running.record.journal.step = "ending rooms".into();
            turn.changes.put_operation(running.record.clone());
            running.progress = Progress::Remove(run);
        }
        self.note_drained(turn);
        self.continue_remove(turn);
    }

    /// Stored with the drains themselves, so that a restart loses neither.
    fn note_drained(&mut self, turn: &mut Turn) {
        let Some(Running {
            progress: Progress::Remove(run),
            ..
        }) = self.operations.running(LANE)
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

impl SchedulerState {
    /// Chooses by the order of deletion, idle rooms first; those with a match are only marked
    /// to be drained, unless they are to go `at_once` (D27).
    fn pick(
        &mut self,
        turn: &mut Turn,
        amount: usize,
        reason: RemovalReason,
        at_once: bool,
        run: &mut RemoveRun,
    ) {
        if amount == 0 {
            return;
        }
        let order = self.fleet.deletion_order(turn.now, amount, reason);
        run.left.extend(order.remove);
        run.left.extend(order.terminating);
        for id in order.drain {
            if at_once {
                run.left.push_back(id);
            } else {
                self.fleet.mark_removal(turn, &id, reason, true);
                run.drained.push(id);
            }
        }
    }
}

impl SchedulerState {
    pub(super) fn continue_remove(&mut self, turn: &mut Turn) {
        loop {
            let Some(running) = self.operations.running_mut(LANE) else {
                return;
            };
            let operation = running.record.id;
            let in_flight = self.fleet.work.in_flight(operation);
            let Progress::Remove(run) = &mut running.progress else {
                return;
            };
            if in_flight >= TERMINATIONS_AT_ONCE {
                return;
            }
            let Some(id) = run.left.pop_front() else {
                if in_flight == 0 {
                    self.finish_remove(turn);
                }
                return;
            };
            self.fleet.order_termination(turn, &id, Some(operation));
        }
    }

    fn finish_remove(&mut self, turn: &mut Turn) {
        let Some(Running {
            progress: Progress::Remove(run),
            ..
        }) = self.operations.running_mut(LANE)
        else {
            return;
        };
        let run = std::mem::take(run);
        if run.removed.is_empty() && run.drained.is_empty() {
            // Nothing could go: another look at once would only order the same again.
            self.fleet.scaling.hold_until = Some(turn.now.mono.plus(IDLE_WAIT));
        }
        if run.failed > 0 {
            let total = run.failed + run.removed.len();
            let cause = run.cause.unwrap_or_default();
            return self.fail(
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
        self.finish(turn, LANE, &text);
    }
}

impl SchedulerState {
    /// `uid` is the instance that was told to end; `None`: none was known.
    pub(super) fn on_terminated(
        &mut self,
        turn: &mut Turn,
        of: Option<(Lane, OperationId)>,
        id: &RoomId,
        uid: Option<String>,
        result: WorkResult,
    ) {
        let not_found = matches!(
            result,
            WorkResult::Failed(crate::ports::RuntimeError::NotFound)
        );
        if not_found && self.fleet.is_another_instance(id, uid.as_deref()) {
            return self.another_came_to_life(turn, of, id);
        }
        let failure = match result {
            WorkResult::Done => {
                let now = turn.now.mono;
                self.fleet
                    .rooms
                    .update(id.as_str(), |room| room.terminated_at = Some(now));
                let from = self.fleet.rooms.get(id.as_str()).map(Room::status);
                let may = from.is_some_and(|from| {
                    crate::rules::status::transition_allowed(from, RoomStatus::Terminating)
                });
                if may {
                    self.fleet.set_status(turn, id, RoomStatus::Terminating);
                }
                self.fleet.schedule_health(turn.now, id);
                None
            }
            WorkResult::Failed(crate::ports::RuntimeError::NotFound) => {
                // A creation that still comes back would bring it to life again.
                self.fleet.graveyard.bury(turn.now, id.clone());
                self.fleet.forget_room(turn, id);
                self.fleet.run(
                    turn,
                    Purpose::Sweep,
                    Work::ReleasePorts { room: id.clone() },
                );
                None
            }
            WorkResult::Failed(why) => Some(why.to_string()),
            WorkResult::Unknown(why) => Some(why),
            other => Some(format!("the runtime answered a termination with {other:?}")),
        };
        if failure.is_some() {
            // Tried again when its time to end is over, counted from now.
            let now = turn.now.mono;
            self.fleet
                .rooms
                .update(id.as_str(), |room| room.terminated_at = Some(now));
            self.fleet.schedule_health(turn.now, id);
        }
        let Some((lane, _)) = of else { return };
        self.termination_ended(turn, lane, id, failure);
    }

    /// It did so after the runtime had looked for the room: a creation took effect late.
    fn another_came_to_life(
        &mut self,
        turn: &mut Turn,
        of: Option<(Lane, OperationId)>,
        id: &RoomId,
    ) {
        let room = self.fleet.rooms.get(id.as_str());
        let removal = room.and_then(|room| room.record.removal);
        if removal.is_some_and(|removal| !removal.drain) {
            return self
                .fleet
                .order_termination(turn, id, of.map(|(_, operation)| operation));
        }
        // Its row is another one too: what was told to end has ended.
        if let Some((lane, _)) = of {
            self.termination_ended(turn, lane, id, None);
        }
    }
}

impl SchedulerState {
    fn termination_ended(
        &mut self,
        turn: &mut Turn,
        lane: Lane,
        id: &RoomId,
        failure: Option<String>,
    ) {
        let Some(running) = self.operations.running_mut(lane) else {
            return;
        };
        match &mut running.progress {
            Progress::Remove(run) => {
                match failure {
                    None => run.removed.push(id.clone()),
                    Some(cause) => {
                        turn.reports.push(Report::RoomNotRemoved);
                        run.failed += 1;
                        run.cause.get_or_insert(cause);
                    }
                }
                self.continue_remove(turn);
            }
            Progress::Delete(_) => self.continue_delete(turn),
            Progress::Version(_) => self.validation_room_terminated(turn, id),
            _ => {}
        }
    }
}

/// The first of these ids, for a line of a history; `None`: there are none.
fn some_of(ids: &[RoomId]) -> Option<String> {
    let shown: Vec<&str> = ids.iter().take(IDS_SHOWN).map(RoomId::as_str).collect();
    let others = if ids.len() > IDS_SHOWN {
        " and others"
    } else {
        ""
    };
    (!ids.is_empty()).then(|| format!("{}{others}", shown.join(", ")))
}
