//! Applies the results of calls on the runtime to operations.

use crate::state::fleet::Fleet;
use crate::state::fleet::Purpose;
use crate::state::operations::Operations;
use crate::state::turn::Turn;
use crate::state::work::{WorkId, WorkResult};
use crate::state::{creations, reconcile, terminations};

pub(in crate::state) fn on_work_done(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    id: WorkId,
    result: WorkResult,
) {
    let Some(purpose) = fleet.work.take_back(id) else {
        fleet.work.stale += 1;
        return;
    };
    let lane = purpose
        .operation()
        .and_then(|operation| operations.lane_of(operation));
    match purpose {
        Purpose::Prepare(_) => operations.on_prepared(fleet, turn, result),
        Purpose::RemovePlace(_) => operations.on_place_removed(fleet, turn, result),
        Purpose::EnsureRuntime(_) => operations.on_runtime_ensured(fleet, turn, result),
        Purpose::Show => fleet.on_shown(turn, &result),
        Purpose::Ports { operation, room } => {
            creations::on_ports(fleet, operations, turn, operation, room, result)
        }
        Purpose::Create { room, operation } => {
            creations::on_created(fleet, operations, turn, Some(operation), room, result)
        }
        Purpose::Recreate { room } => {
            creations::on_created(fleet, operations, turn, None, room, result)
        }
        Purpose::Terminate {
            operation,
            room,
            uid,
        } => terminations::on_terminated(
            fleet,
            operations,
            turn,
            lane.zip(operation),
            &room,
            uid,
            result,
        ),
        Purpose::Protect => fleet.on_protected(turn, &result),
        Purpose::Sweep => {}
    }
    reconcile::reconcile(fleet, operations, turn);
    // A rollback waits for all work that was in flight when it began.
    if let Some(lane) = lane {
        operations.rollback_step(fleet, turn, lane);
    }
}
