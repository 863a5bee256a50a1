//! `create_scheduler`: creates the place for the rooms, in [`super::place`] (contract 5.5; D17).

use crate::domain::*;
use crate::ports::{Change, OperatorRecord};
use crate::state::decision::Effect;
use crate::state::fleet::Fleet;
use crate::state::fleet::RoomTable;
use crate::state::operations::progress::{Progress, Tries};
use crate::state::operations::queue::Operations;
use crate::state::turn::Turn;

const LANE: Lane = Lane::Version;

impl Operations {
    pub fn begin_create(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        self.set_progress(LANE, Progress::Create(Tries::default()));
        self.set_step(LANE, "preparing the place for its rooms");
        self.prepare_place(fleet, turn);
    }

    /// Undoes the creation of a scheduler. A runtime that was there before it stays, and so do orders to make one.
    pub fn drop_new_scheduler(&mut self, fleet: &mut Fleet, turn: &mut Turn, keep: OperationId) {
        let makes_runtime = |record: &&OperationRecord| {
            matches!(record.definition, Definition::CreateRuntime { .. })
        };
        let running = self.running(LANE).map(|running| &running.record);
        let running = running.filter(makes_runtime).cloned();
        let waiting = self.queue(LANE).iter().filter(makes_runtime);
        let waiting: Vec<OperationRecord> = waiting.cloned().collect();
        let runtime = fleet.runtime.take();
        self.drop_all(fleet, turn, keep);
        for record in running.into_iter().chain(waiting.iter().cloned()) {
            turn.changes.put_operation(record);
        }
        waiting.into_iter().for_each(|record| self.restore(record));
        if let Some(record) = &runtime {
            let change = Change::PutRuntime(Box::new(record.clone()));
            turn.changes.push(change);
        }
        fleet.runtime = runtime;
        self.end_if_unused(fleet, turn);
    }

    /// Deletes the scheduler and everything that belongs to it, except the operation `keep`.
    pub fn drop_scheduler(&mut self, fleet: &mut Fleet, turn: &mut Turn, keep: OperationId) {
        self.drop_all(fleet, turn, keep);
        turn.effects.push(Effect::Ended);
    }

    fn drop_all(&mut self, fleet: &mut Fleet, turn: &mut Turn, keep: OperationId) {
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
        fleet.runtime = None;
        fleet.audience = None;
        fleet.live.clear();
        fleet.loops.clear();
        fleet.versions.clear();
        self.queues = Default::default();
        self.ended.clear();
        self.recent.clear();
        self.observing.clear();
    }
}
