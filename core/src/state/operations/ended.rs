//! The end of operations, and how long they are kept (contract 5.11).

use crate::domain::*;
use crate::ports::EndedOperation;
use crate::state::decision::Effect;
use crate::state::fleet::Fleet;
use crate::state::operations::history::append;
use crate::state::operations::queue::Operations;
use crate::state::report::Outcome;
use crate::state::turn::Turn;
use crate::state::work::WorkId;

/// Maximum number of periodic operations without action that are kept.
const NO_ACTION_MAX: usize = 100;

/// Maximum number of ended `add_rooms` operations that are kept as a whole, because failures of their rooms may still
/// be noted in their history; and of others, for a store that loses them (`SchedulerState::snapshot`).
const RECENT_MAX: usize = 16;

impl Operations {
    /// Appends a line to the history of an `add_rooms` that may have ended already.
    pub fn note_in_ended(&mut self, turn: &mut Turn, id: OperationId, text: &str) {
        if let Some(lane) = self.lane_of(id) {
            return self.note(turn, lane, text);
        }
        let now = turn.now.wall;
        if let Some(record) = self.recent.iter_mut().find(|r| r.id == id) {
            append(record, now, text);
            turn.changes.put_operation(record.clone());
        }
    }

    pub fn finish(&mut self, fleet: &mut Fleet, turn: &mut Turn, lane: Lane, text: &str) {
        self.note(turn, lane, text);
        self.note(turn, lane, "Operation finished");
        self.end(fleet, turn, lane, OperationStatus::Finished);
    }

    /// Ends the operation running in `lane`; the next one starts in the same decision, and so in one commit.
    pub fn end(&mut self, fleet: &mut Fleet, turn: &mut Turn, lane: Lane, status: OperationStatus) {
        let Some(running) = self.running[lane as usize].take() else {
            return;
        };
        if status == OperationStatus::Finished {
            let report = running.executed(turn.now.mono, Outcome::Success, "");
            turn.reports.push(report);
        }
        if lane == Lane::Version {
            fleet.trial = None;
        }
        let id = running.record.id;
        // Results that still arrive belong to an ended attempt.
        let late: Vec<WorkId> = fleet
            .work
            .iter()
            .filter(|(_, p)| p.operation() == Some(id) && p.room().is_none())
            .map(|(work, _)| *work)
            .collect();
        for work in &late {
            fleet.work.take_back(*work);
        }
        if !late.is_empty() {
            turn.effects.push(Effect::Abandon(late));
        }
        self.forget_leases_if_idle();
        self.archive(fleet, turn, running.record, status);
        turn.reconsider = true;
    }

    /// Stores an operation in its final status, and deletes ended ones beyond the retention's limit.
    pub fn archive(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        mut record: OperationRecord,
        status: OperationStatus,
    ) {
        record.status = status;
        record.status_at = turn.now.wall;
        record.lease_until = None;
        record.resume.step.clear();
        let ended = EndedOperation::of(&record);
        self.ended.push_back(ended);
        if !ended.no_action {
            self.keep_recent(record.clone());
        }
        let edit = record.definition.is_version_edit() && status != OperationStatus::Finished;
        turn.changes.put_operation(record);
        self.trim_history(turn);
        if edit {
            self.version_edit_came_to_nothing(fleet, turn);
        }
    }

    /// From the start of a version edit to its switch the scheduler is `creating`; if neither of them continues, this
    /// ends that state.
    fn version_edit_came_to_nothing(&self, fleet: &mut Fleet, turn: &mut Turn) {
        let open = self.any_open(|r| {
            r.definition.is_version_edit()
                || matches!(r.definition, Definition::CreateScheduler { .. })
        });
        if !open && fleet.is_in(SchedulerPhase::Creating) {
            fleet.settle_phase(turn);
        }
    }

    fn keep_recent(&mut self, record: OperationRecord) {
        let adds = |r: &OperationRecord| matches!(r.definition, Definition::AddRooms { .. });
        let kind = adds(&record);
        if self.recent.iter().filter(|r| adds(r) == kind).count() >= RECENT_MAX
            && let Some(oldest) = self.recent.iter().position(|r| adds(r) == kind)
        {
            self.recent.remove(oldest);
        }
        self.recent.push_back(record);
    }

    fn trim_history(&mut self, turn: &mut Turn) {
        let idle = self.ended.iter().filter(|e| e.no_action).count();
        let acted = self.ended.len() - idle;
        let limits = [
            (true, idle, NO_ACTION_MAX),
            (false, acted, self.settings.history_limit),
        ];
        for (no_action, kept, limit) in limits {
            // Nearly always none or one, and that one is among the oldest.
            for _ in limit..kept {
                let ended = &mut self.ended;
                let oldest = ended.iter().position(|e| e.no_action == no_action);
                let Some(gone) = oldest.and_then(|at| ended.remove(at)) else {
                    break;
                };
                turn.changes.forget_operation(gone.id);
                self.recent.retain(|r| r.id != gone.id);
            }
        }
    }
}
