//! Results of terminations.

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::fleet::Purpose;
use crate::state::fleet::Room;
use crate::state::operations::Operations;
use crate::state::operations::Progress;
use crate::state::report::Report;
use crate::state::turn::Turn;
use crate::state::work::{Work, WorkResult};

/// `uid` is the instance that was told to end; `None` if none was known.
pub(super) fn on_terminated(
    fleet: &mut Fleet,
    operations: &mut Operations,
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
    if not_found && fleet.is_another_instance(id, uid.as_deref()) {
        return another_came_to_life(fleet, operations, turn, of, id);
    }
    let failure = match result {
        WorkResult::Done => {
            let now = turn.now.mono;
            fleet
                .rooms
                .update(id.as_str(), |room| room.terminated_at = Some(now));
            let from = fleet.rooms.get(id.as_str()).map(Room::status);
            let may = from.is_some_and(|from| {
                crate::rules::status::transition_allowed(from, RoomStatus::Terminating)
            });
            if may {
                fleet.set_status(turn, id, RoomStatus::Terminating);
            }
            fleet.schedule_health(turn.now, id);
            None
        }
        WorkResult::Failed(crate::ports::RuntimeError::NotFound) => {
            // A pending creation could still start it.
            fleet.graveyard.bury(turn.now, id.clone());
            fleet.forget_room(turn, id);
            fleet.run(
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
        // Repeated when its time to end, counted from now, has passed.
        let now = turn.now.mono;
        fleet
            .rooms
            .update(id.as_str(), |room| room.terminated_at = Some(now));
        fleet.schedule_health(turn.now, id);
    }
    let Some((lane, _)) = of else { return };
    termination_ended(fleet, operations, turn, lane, id, failure);
}

/// A new instance appeared after the runtime had looked for the room: a creation took effect late.
pub(super) fn another_came_to_life(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    of: Option<(Lane, OperationId)>,
    id: &RoomId,
) {
    let room = fleet.rooms.get(id.as_str());
    let removal = room.and_then(|room| room.record.intent.removal);
    if removal.is_some_and(|removal| !removal.drain) {
        return fleet.order_termination(turn, id, of.map(|(_, operation)| operation));
    }
    // Its row is a new one as well: the room that was told to end has ended.
    if let Some((lane, _)) = of {
        termination_ended(fleet, operations, turn, lane, id, None);
    }
}

pub(super) fn termination_ended(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    lane: Lane,
    id: &RoomId,
    failure: Option<String>,
) {
    let Some(running) = operations.running_mut(lane) else {
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
            operations.continue_remove(fleet, turn);
        }
        Progress::Delete(_) => operations.continue_delete(fleet, turn),
        Progress::Version(_) => operations.validation_room_terminated(fleet, turn, id),
        _ => {}
    }
}
