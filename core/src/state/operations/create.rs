//! `create_scheduler`: makes the place for the rooms (contract 5.5; D17).

use crate::domain::*;
use crate::ports::OperatorRecord;
use crate::state::SchedulerState;
use crate::state::fleet::Purpose;
use crate::state::fleet::RoomTable;
use crate::state::input::{Effect, Work, WorkResult};
use crate::state::operations::Progress;
use crate::state::turn::Turn;

const LANE: Lane = Lane::Version;

impl SchedulerState {
    pub(super) fn begin_create(&mut self, turn: &mut Turn) {
        let (Some(running), Some(scheduler)) =
            (self.operations.running(LANE), &self.fleet.scheduler)
        else {
            return;
        };
        let (id, scheduler) = (running.record.id, scheduler.clone());
        self.set_progress(LANE, Progress::Create);
        self.set_step(LANE, "preparing the place for its rooms");
        self.fleet
            .run(turn, Purpose::Prepare(id), Work::Prepare(scheduler));
    }

    pub(super) fn on_prepared(&mut self, turn: &mut Turn, result: WorkResult) {
        let creating = self
            .operations
            .running(LANE)
            .is_some_and(|r| matches!(r.progress, Progress::Create));
        if !creating {
            return;
        }
        match result {
            WorkResult::Failed(why) => self.fail(turn, LANE, why.to_string()),
            WorkResult::Unknown(why) => self.fail(turn, LANE, why),
            _ => {
                self.fleet
                    .set_scheduler_state(turn, scheduler_state::IN_SYNC);
                self.finish(turn, LANE, "the place for its rooms is there");
                turn.reconsider = true;
            }
        }
    }

    /// Takes the scheduler away with all that belongs to it; `keep` stays to tell of it.
    pub(super) fn drop_scheduler(&mut self, turn: &mut Turn, keep: OperationId) {
        turn.changes.delete_scheduler(keep);
        self.fleet.rooms = RoomTable::default();
        self.fleet.rooms.clear_board();
        self.fleet.listing.current = None;
        self.fleet.listing.parked = None;
        self.fleet.expired.clear();
        self.fleet.touched.clear();
        self.fleet.scheduler = None;
        // Nobody could take a pause back any more, and what waits for the name would wait for ever.
        self.fleet.operator = OperatorRecord::default();
        self.fleet.audience = None;
        self.fleet.versions.clear();
        self.operations.queues = Default::default();
        self.operations.ended.clear();
        self.operations.recent.clear();
        turn.effects.push(Effect::Ended);
    }
}
