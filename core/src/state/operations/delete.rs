//! `delete_scheduler`: ends every room, then removes the place, then the rows (contract 5.5, 11.16).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::progress::{
    DeleteRun, Progress, Running, TERMINATIONS_AT_ONCE, Tries,
};
use crate::state::operations::queue::Operations;
use crate::state::turn::Turn;
use std::collections::VecDeque;

const LANE: Lane = Lane::Version;

impl Operations {
    pub fn begin_delete(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        fleet.set_phase(turn, SchedulerPhase::Terminating);
        self.observe_no_more(fleet, turn, "the scheduler is to be deleted");
        let rooms: VecDeque<RoomId> = fleet.rooms.iter().map(|r| r.record.id.clone()).collect();
        fleet.expired.clear();
        fleet.scaling.desired = Some(0);
        self.note(turn, LANE, &format!("ending {} rooms", rooms.len()));
        self.set_step(LANE, "ending rooms");
        self.set_progress(
            LANE,
            Progress::Delete(DeleteRun {
                left: rooms,
                place: None,
            }),
        );
        self.continue_delete(fleet, turn);
    }

    /// Called whenever a room was told to end or is gone.
    pub fn continue_delete(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let deletes = |r: &Running| matches!(r.progress, Progress::Delete(_));
        if !self.running(LANE).is_some_and(deletes) {
            return;
        }
        loop {
            let rooms_left = !fleet.rooms.is_empty();
            // What is still being made would be left behind without its place.
            let making = fleet.work.iter().any(|(_, purpose)| purpose.fills_place());
            let Some(running) = self.running_mut(LANE) else {
                return;
            };
            let operation = running.record.id;
            let in_flight = fleet.work.in_flight(operation);
            let Progress::Delete(run) = &mut running.progress else {
                return;
            };
            if in_flight >= TERMINATIONS_AT_ONCE {
                return;
            }
            if let Some(id) = run.left.pop_front() {
                // Marked as they are told, not all at once, to keep turns short.
                fleet.mark_removal(turn, &id, RemovalReason::SchedulerDeleted, false);
                fleet.order_termination(turn, &id, Some(operation));
                continue;
            }
            if rooms_left || in_flight > 0 || run.place.is_some() || making {
                return;
            }
            run.place = Some(Tries::default());
            running.record.resume.step = "removing the place of its rooms".into();
            return self.remove_place(fleet, turn);
        }
    }
}
