//! Cancels operations (contract 2.4, 5.10; D1).

use crate::domain::*;
use crate::state::command::{CommandResult, Refusal, RefusalKind, Reply};
use crate::state::fleet::Fleet;
use crate::state::operations::history::append;
use crate::state::operations::progress::Progress;
use crate::state::operations::queue::Operations;
use crate::state::report::Report;
use crate::state::turn::Turn;

impl Operations {
    /// Handles a request to cancel an operation (contract 2.4, 5.10; D1).
    pub fn cancel(&mut self, fleet: &mut Fleet, turn: &mut Turn, id: OperationId) -> CommandResult {
        let paused = fleet.is_paused();
        for queue in &mut self.queues {
            let Some(at) = queue.iter().position(|r| r.id == id) else {
                continue;
            };
            if paused || queue[at].resume.attempt > 0 {
                // The request is stored but not applied: the queues are paused (architecture 6), or work done before a
                // restart has to be undone first.
                queue[at].resume.cancel_requested = true;
                turn.changes.put_operation(queue[at].clone());
            } else if let Some(record) = queue.remove(at) {
                self.cancel_waiting(fleet, turn, record);
            }
            return Ok(Reply::Done);
        }
        if let Some(running) = self.observing.iter_mut().find(|r| r.record.id == id) {
            // Carried out at the end of this decision, or of the one that ends a pause.
            running.record.resume.cancel_requested = true;
            turn.changes.put_operation(running.record.clone());
            return Ok(Reply::Done);
        }
        if let Some(lane) = self.lane_of(id) {
            if let Some(running) = self.running_mut(lane) {
                running.record.resume.cancel_requested = true;
                turn.changes.put_operation(running.record.clone());
            }
            if !paused {
                self.cancel_running(fleet, turn, lane, "canceled on request");
            }
            return Ok(Reply::Done);
        }
        if self.ended.iter().any(|e| e.id == id) {
            return Err(Refusal::new(
                RefusalKind::Ended,
                format!("operation {id} cannot be canceled: it has ended already"),
            ));
        }
        Err(Refusal::new(
            RefusalKind::NotFound,
            format!("operation {id} not found in scheduler {}", self.name),
        ))
    }

    pub fn cancel_waiting(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        mut record: OperationRecord,
    ) {
        let why = "canceled before it started";
        append(&mut record, turn.now.wall, why);
        turn.reports.push(Report::not_begun(&record, why));
        fleet.take_back_replicas(turn, &record);
        fleet.keep_rooms_of(turn, &record);
        let id = record.id;
        let creation = matches!(record.definition, Definition::CreateScheduler { .. });
        self.archive(fleet, turn, record, OperationStatus::Canceled);
        if creation {
            // As its rollback does: a scheduler whose creation was canceled does not exist (D17).
            self.drop_new_scheduler(fleet, turn, id);
        }
    }

    /// Cancels the running edit of versions, if there is one.
    pub fn cancel_version_edit(&mut self, fleet: &mut Fleet, turn: &mut Turn, cause: &str) {
        let running = self.running(Lane::Version);
        if running.is_some_and(|r| r.record.definition.is_version_edit()) {
            self.cancel_running(fleet, turn, Lane::Version, cause);
        }
    }

    pub fn cancel_running(&mut self, fleet: &mut Fleet, turn: &mut Turn, lane: Lane, cause: &str) {
        let Some(running) = self.running_mut(lane) else {
            return;
        };
        running.record.resume.cancel_requested = true;
        match &mut running.progress {
            Progress::RollBack(_) => {}
            // Rooms are ending already and cannot be brought back, so the deletion continues.
            Progress::Delete(_) => {
                self.note(
                    turn,
                    lane,
                    "cannot be canceled any more: its rooms are ending",
                );
            }
            Progress::Add(run) => {
                run.stop(cause);
                self.continue_add(fleet, turn);
            }
            _ => self.roll_back(fleet, turn, lane, cause.into(), true),
        }
    }
}
