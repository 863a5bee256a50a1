//! `delete_scheduler`: ends every room, then the place, then the rows (contract 5.5, 11.16).

use crate::domain::*;
use crate::state::SchedulerState;
use crate::state::fleet::Purpose;
use crate::state::input::{Work, WorkResult};
use crate::state::operations::{Progress, Running, TERMINATIONS_AT_ONCE};
use crate::state::turn::Turn;
use std::collections::VecDeque;

const LANE: Lane = Lane::Version;

#[derive(Debug, Default)]
pub(in crate::state) struct DeleteRun {
    left: VecDeque<RoomId>,
    removing_place: bool,
}

impl SchedulerState {
    pub(super) fn begin_delete(&mut self, turn: &mut Turn) {
        self.fleet
            .set_scheduler_state(turn, scheduler_state::TERMINATING);
        let rooms: VecDeque<RoomId> = self
            .fleet
            .rooms
            .iter()
            .map(|r| r.record.id.clone())
            .collect();
        self.fleet.expired.clear();
        self.fleet.scaling.desired = Some(0);
        self.note(turn, LANE, &format!("ending {} rooms", rooms.len()));
        self.set_step(LANE, "ending rooms");
        self.set_progress(
            LANE,
            Progress::Delete(DeleteRun {
                left: rooms,
                removing_place: false,
            }),
        );
        self.continue_delete(turn);
    }

    /// Called again whenever a room was told to end, or has gone.
    pub(in crate::state) fn continue_delete(&mut self, turn: &mut Turn) {
        let deletes = |r: &Running| matches!(r.progress, Progress::Delete(_));
        if !self.operations.running(LANE).is_some_and(deletes) {
            return;
        }
        loop {
            let rooms_left = !self.fleet.rooms.is_empty();
            // One that is being made would be left in a place that is gone.
            let making = self
                .fleet
                .work
                .iter()
                .any(|(_, purpose)| purpose.makes_room());
            let Some(running) = self.operations.running_mut(LANE) else {
                return;
            };
            let operation = running.record.id;
            let in_flight = self.fleet.work.in_flight(operation);
            let Progress::Delete(run) = &mut running.progress else {
                return;
            };
            if in_flight >= TERMINATIONS_AT_ONCE {
                return;
            }
            if let Some(id) = run.left.pop_front() {
                // Written down as they are told, not all at once: a turn stays short.
                self.fleet
                    .mark_removal(turn, &id, RemovalReason::SchedulerDeleted, false);
                self.fleet.order_termination(turn, &id, Some(operation));
                continue;
            }
            if rooms_left || in_flight > 0 || run.removing_place || making {
                return;
            }
            run.removing_place = true;
            running.record.journal.step = "removing the place of its rooms".into();
            self.fleet
                .run(turn, Purpose::RemovePlace(operation), Work::RemovePlace);
            return;
        }
    }

    pub(super) fn on_place_removed(&mut self, turn: &mut Turn, result: WorkResult) {
        let Some(running) = self.operations.running(LANE) else {
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
                self.finish(turn, LANE, "the scheduler and its rooms are gone");
                self.drop_scheduler(turn, operation);
            }
            (Progress::Delete(_), Some(cause)) => self.fail(turn, LANE, cause),
            (Progress::RollBack(_), failure) => self.place_rolled_back(turn, failure),
            _ => {}
        }
    }
}
