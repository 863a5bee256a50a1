//! Undoes the effects of an operation that failed or was canceled (contract 5.3; D1, D16, D17).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::progress::{
    Progress, RollbackRun, Running, TERMINATIONS_AT_ONCE, Tries,
};
use crate::state::operations::queue::Operations;
use crate::state::report::{Named, Outcome, Report};
use crate::state::turn::Turn;

impl Operations {
    /// Ends the operation in `lane` in status `error`, after its rollback.
    pub fn fail(&mut self, fleet: &mut Fleet, turn: &mut Turn, lane: Lane, cause: String) {
        self.roll_back(fleet, turn, lane, cause, false);
    }

    /// Begins a rollback. The cause is stored first, so that a restart continues with the rollback rather than the
    /// work.
    pub fn roll_back(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        lane: Lane,
        cause: String,
        canceled: bool,
    ) {
        let Some(running) = self.running_mut(lane) else {
            return;
        };
        let resumed = running.record.resume.failure.is_some();
        running.record.resume.failure = Some(cause.clone());
        running.record.resume.step = "rolling back".into();
        let definition = running.record.definition.clone();
        let by_user = running.record.resume.by_user;
        if !resumed {
            let word = if canceled {
                OperationRecord::CANCELED
            } else {
                OperationRecord::FAILED
            };
            self.note(turn, lane, &format!("{word}: {cause}"));
            self.note(turn, lane, "Starting operation rollback");
            if let Some(record) = self.running(lane).map(|r| r.record.clone()) {
                fleet.take_back_replicas(turn, &record);
            }
            self.report_failed(turn, lane, canceled, &cause);
        }
        let mut run = RollbackRun {
            canceled,
            ..RollbackRun::default()
        };
        match definition {
            Definition::AddRooms { .. } if by_user => {
                let made = self.running(lane).map(|r| fleet.rooms_made_by(r.record.id));
                run.left = made.unwrap_or_default().into();
                for id in &run.left {
                    fleet.mark_removal(turn, id, RemovalReason::AddRoomsRollback, false);
                }
            }
            Definition::CreateNewSchedulerVersion { .. } => {
                let rooms = fleet.rooms.iter().filter(|r| r.record.intent.validation);
                run.left = rooms.map(|r| r.record.id.clone()).collect();
                for id in &run.left {
                    fleet.mark_removal(turn, id, RemovalReason::NewVersionRollback, false);
                }
                fleet.settle_phase(turn);
            }
            Definition::CreateScheduler { .. } => run.place = Some(Tries::default()),
            _ => {}
        }
        if lane == Lane::Version {
            fleet.trial = None;
        }
        self.set_progress(lane, Progress::RollBack(run));
        self.rollback_step(fleet, turn, lane);
    }

    /// From here on the rollback's time is measured.
    fn report_failed(&mut self, turn: &mut Turn, lane: Lane, canceled: bool, cause: &str) {
        let outcome = if canceled {
            Outcome::Canceled
        } else {
            Outcome::Failure
        };
        let Some(running) = self.running_mut(lane) else {
            return;
        };
        let rolls_back = Report::RollsBack {
            operation: Named::of(&running.record),
        };
        let report = running.executed(turn.now.mono, outcome, cause);
        running.began = turn.now.mono;
        turn.reports.extend([report, rolls_back]);
    }

    /// Continues a rollback; ends the operation when nothing is left to undo.
    pub fn rollback_step(&mut self, fleet: &mut Fleet, turn: &mut Turn, lane: Lane) {
        loop {
            let Some(running) = self.running_mut(lane) else {
                return;
            };
            let operation = running.record.id;
            let in_flight = fleet.work.in_flight(operation);
            let Progress::RollBack(run) = &mut running.progress else {
                return;
            };
            if in_flight >= TERMINATIONS_AT_ONCE {
                return;
            }
            if let Some(id) = run.left.pop_front() {
                fleet.order_termination(turn, &id, Some(operation));
                continue;
            }
            if in_flight > 0 {
                return;
            }
            return match run.place.as_ref().map(|tries| tries.again) {
                None => self.end_rollback(fleet, turn, lane, None),
                Some(None) => self.roll_back_place(fleet, turn),
                Some(Some(_)) => {}
            };
        }
    }

    /// The rollback of `create_scheduler` removes everything except the operation (D17).
    pub fn place_rolled_back(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        failure: Option<String>,
    ) {
        let Some(running) = self.running(Lane::Version) else {
            return;
        };
        let id = running.record.id;
        self.end_rollback(fleet, turn, Lane::Version, failure);
        self.drop_new_scheduler(fleet, turn, id);
    }

    fn end_rollback(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        lane: Lane,
        failure: Option<String>,
    ) {
        let Some(Running {
            progress: Progress::RollBack(run),
            ..
        }) = self.running(lane)
        else {
            return;
        };
        let status = if run.canceled {
            OperationStatus::Canceled
        } else {
            OperationStatus::Error
        };
        self.report_rolled_back(turn, lane, failure.is_none());
        match failure {
            None => self.note(turn, lane, "rollback succeeded"),
            Some(cause) => self.note(turn, lane, &format!("rollback failed: {cause}")),
        }
        self.note(turn, lane, "Operation finished");
        let record = self.running(lane).map(|running| running.record.clone());
        self.end(fleet, turn, lane, status);
        let record = record.filter(|r| matches!(r.definition, Definition::CreateRuntime { .. }));
        if let Some(record) = record {
            self.runtime_not_made(fleet, turn, &record);
        }
    }

    fn report_rolled_back(&self, turn: &mut Turn, lane: Lane, success: bool) {
        let Some(running) = self.running(lane) else {
            return;
        };
        turn.reports.push(Report::RolledBack {
            operation: Named::of(&running.record),
            took: turn.now.mono.since(running.began),
            success,
        });
    }
}
