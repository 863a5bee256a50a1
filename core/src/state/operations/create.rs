//! `create_scheduler`: makes the place for the rooms (contract 5.5; D17).

use super::*;

const LANE: Lane = Lane::Version;

impl SchedulerState {
    pub(super) fn begin_create(&mut self, turn: &mut Turn) {
        let (Some(running), Some(scheduler)) = (self.operations.running(LANE), &self.scheduler)
        else {
            return;
        };
        let (id, scheduler) = (running.record.id, scheduler.clone());
        self.set_progress(LANE, Progress::Create);
        self.set_step(LANE, "preparing the place for its rooms");
        self.run(turn, Purpose::Prepare(id), Work::Prepare(scheduler));
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
                self.set_scheduler_state(turn, scheduler_state::IN_SYNC);
                self.finish(turn, LANE, "the place for its rooms is there");
                turn.reconsider = true;
            }
        }
    }

    /// Takes the scheduler away with all that belongs to it; `keep` stays to tell of it.
    pub(super) fn drop_scheduler(&mut self, turn: &mut Turn, keep: OperationId) {
        turn.changes.delete_scheduler(keep);
        self.rooms = RoomTable::default();
        self.rooms.clear_board();
        self.reconciliation = None;
        self.parked = None;
        self.expired.clear();
        self.touched.clear();
        self.scheduler = None;
        // Nobody could take a pause back any more, and what waits for the name would wait for ever.
        self.operator = OperatorRecord::default();
        self.audience = None;
        self.versions.clear();
        self.operations.queues = Default::default();
        self.operations.ended.clear();
        self.operations.recent.clear();
        turn.effects.push(Effect::Ended);
    }
}
