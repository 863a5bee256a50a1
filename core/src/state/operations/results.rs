//! What the results of calls on the runtime mean for operations.

use crate::state::SchedulerState;
use crate::state::fleet::Purpose;
use crate::state::input::{WorkId, WorkResult};
use crate::state::turn::Turn;

impl SchedulerState {
    pub(in crate::state) fn on_work_done(
        &mut self,
        turn: &mut Turn,
        id: WorkId,
        result: WorkResult,
    ) {
        let Some(purpose) = self.fleet.work.take_back(id) else {
            self.stale_results += 1;
            return;
        };
        let lane = purpose
            .operation()
            .and_then(|operation| self.operations.lane_of(operation));
        match purpose {
            Purpose::Prepare(_) => self.on_prepared(turn, result),
            Purpose::RemovePlace(_) => self.on_place_removed(turn, result),
            Purpose::Ports { operation, room } => self.on_ports(turn, operation, room, result),
            Purpose::Create { room, operation } => {
                self.on_created(turn, Some(operation), room, result)
            }
            Purpose::Recreate { room } => self.on_created(turn, None, room, result),
            Purpose::Terminate {
                operation,
                room,
                uid,
            } => self.on_terminated(turn, lane.zip(operation), &room, uid, result),
            Purpose::Sweep => {}
        }
        self.reconcile(turn);
        // A rollback waits for everything that was still under way when it began.
        if let Some(lane) = lane {
            self.rollback_step(turn, lane);
        }
    }
}
