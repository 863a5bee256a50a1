//! `create_scheduler`: creates the place for the rooms (contract 5.5; D17).

use crate::domain::*;
use crate::ports::OperatorRecord;
use crate::state::decision::Effect;
use crate::state::fleet::Fleet;
use crate::state::fleet::Purpose;
use crate::state::fleet::RoomTable;
use crate::state::operations::progress::Progress;
use crate::state::operations::queue::Operations;
use crate::state::turn::Turn;
use crate::state::work::{Work, WorkResult};

const LANE: Lane = Lane::Version;

impl Operations {
    pub fn begin_create(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let (Some(running), Some(scheduler)) = (self.running(LANE), &fleet.scheduler) else {
            return;
        };
        let (id, scheduler) = (running.record.id, scheduler.clone());
        self.set_progress(LANE, Progress::Create);
        self.set_step(LANE, "preparing the place for its rooms");
        fleet.run(turn, Purpose::Prepare(id), Work::Prepare(scheduler));
    }

    pub fn on_prepared(&mut self, fleet: &mut Fleet, turn: &mut Turn, result: WorkResult) {
        let creating = self
            .running(LANE)
            .is_some_and(|r| matches!(r.progress, Progress::Create));
        if !creating {
            return;
        }
        match result {
            WorkResult::Failed(why) => self.fail(fleet, turn, LANE, why.to_string()),
            WorkResult::Unknown(why) => self.fail(fleet, turn, LANE, why),
            _ => {
                fleet.set_phase(turn, SchedulerPhase::InSync);
                self.finish(fleet, turn, LANE, "the place for its rooms is there");
                turn.reconsider = true;
            }
        }
    }

    /// Deletes the scheduler and everything that belongs to it, except the operation `keep`.
    pub fn drop_scheduler(&mut self, fleet: &mut Fleet, turn: &mut Turn, keep: OperationId) {
        turn.changes.delete_scheduler(keep);
        fleet.rooms = RoomTable::default();
        fleet.rooms.clear_ping_cache();
        fleet.listing.current = None;
        fleet.listing.parked = None;
        fleet.expired.clear();
        fleet.touched.clear();
        fleet.scheduler = None;
        // Nobody could lift a pause any more, and operations under this name would wait forever.
        fleet.operator = OperatorRecord::default();
        fleet.audience = None;
        fleet.versions.clear();
        self.queues = Default::default();
        self.ended.clear();
        self.recent.clear();
        turn.effects.push(Effect::Ended);
    }
}
