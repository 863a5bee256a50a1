//! `delete_scheduler`: ends every room, then removes the place, then the rows (contract 5.5, 11.16).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::fleet::Purpose;
use crate::state::operations::progress::{DeleteRun, Progress, Running, TERMINATIONS_AT_ONCE};
use crate::state::operations::queue::Operations;
use crate::state::turn::Turn;
use crate::state::work::{Work, WorkResult};
use std::collections::VecDeque;

const LANE: Lane = Lane::Version;

impl Operations {
    pub fn begin_delete(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        fleet.set_phase(turn, SchedulerPhase::Terminating);
        let rooms: VecDeque<RoomId> = fleet.rooms.iter().map(|r| r.record.id.clone()).collect();
        fleet.expired.clear();
        fleet.scaling.desired = Some(0);
        self.note(turn, LANE, &format!("ending {} rooms", rooms.len()));
        self.set_step(LANE, "ending rooms");
        self.set_progress(
            LANE,
            Progress::Delete(DeleteRun {
                left: rooms,
                removing_place: false,
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
            // A room that is still being created would be left behind without its place.
            let making = fleet.work.iter().any(|(_, purpose)| purpose.makes_room());
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
            if rooms_left || in_flight > 0 || run.removing_place || making {
                return;
            }
            run.removing_place = true;
            running.record.resume.step = "removing the place of its rooms".into();
            fleet.run(
                turn,
                Purpose::RemoveNamespace(operation),
                Work::RemoveNamespace,
            );
            return;
        }
    }

    pub fn on_namespace_removed(&mut self, fleet: &mut Fleet, turn: &mut Turn, result: WorkResult) {
        let Some(running) = self.running(LANE) else {
            return;
        };
        let operation = running.record.id;
        let failure = match result {
            WorkResult::Failed(why) => Some(why.to_string()),
            WorkResult::Unknown(why) => Some(why),
            _ => None,
        };
        match (&running.progress, failure) {
            (Progress::Delete(_), None) => {
                self.finish(fleet, turn, LANE, "the scheduler and its rooms are gone");
                self.drop_scheduler(fleet, turn, operation);
            }
            (Progress::Delete(_), Some(cause)) => self.fail(fleet, turn, LANE, cause),
            (Progress::RollBack(_), failure) => self.place_rolled_back(fleet, turn, failure),
            _ => {}
        }
    }
}
