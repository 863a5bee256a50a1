//! When an operation may start, and its first step (contract 5.3).

use crate::domain::*;
use crate::state::SchedulerState;
use crate::state::input::Effect;
use crate::state::operations::append;
use crate::state::operations::{Progress, Running};
use crate::state::report::{Named, Report};
use crate::state::turn::Turn;
use std::time::Duration;

impl SchedulerState {
    /// Create and delete exclude the room lane (architecture 6); nothing touches rooms
    /// before the runtime has said which there are.
    pub(super) fn may_start(&mut self, turn: &mut Turn, lane: Lane) -> bool {
        let Some(head) = self.operations.queue(lane).front() else {
            return false;
        };
        if self.fleet.scheduler.is_none() {
            return head.journal.cancel_requested
                || self.orphan_until(turn.now, head) <= turn.now.mono;
        }
        // Nothing is done for these; one that had begun is undone, in its turn.
        let untouched = head.journal.attempt == 0;
        let settled = (head.journal.cancel_requested && untouched)
            || matches!(head.definition, Definition::Unknown { .. });
        if settled {
            return true;
        }
        match (lane, &head.definition) {
            (Lane::Version, Definition::DeleteScheduler) => {
                if self.operations.running(Lane::Room).is_some() {
                    self.cancel_running(turn, Lane::Room, "the scheduler is to be deleted");
                }
                self.fleet.listing.complete && self.operations.running(Lane::Room).is_none()
            }
            (Lane::Version, Definition::CreateScheduler { .. }) => true,
            (Lane::Version, _) => self.fleet.listing.complete,
            (Lane::Room, _) => {
                let excluded = |d: &Definition| {
                    matches!(
                        d,
                        Definition::CreateScheduler { .. } | Definition::DeleteScheduler
                    )
                };
                let running = self.operations.running(Lane::Version);
                let next = self.operations.queue(Lane::Version).front();
                let barred = running.is_some_and(|r| excluded(&r.record.definition))
                    || next.is_some_and(|r| excluded(&r.definition));
                self.fleet.listing.complete && !barred
            }
        }
    }

    pub(super) fn start(&mut self, turn: &mut Turn, lane: Lane, mut record: OperationRecord) {
        let now = turn.now;
        if record.journal.cancel_requested && record.journal.attempt == 0 {
            return self.cancel_waiting(turn, record);
        }
        if self.fleet.scheduler.is_none() {
            self.end_orphan(turn, record);
            if self.operations.open().next().is_none() {
                turn.effects.push(Effect::Ended);
            }
            return;
        }
        if let Definition::Unknown { name, .. } = &record.definition {
            let text = format!("Operation evicted: no operation is called \"{name}\"");
            let operation = Named::of(&record);
            append(&mut record, now.wall, &text);
            turn.reports.push(Report::Evicted { operation });
            return self.archive(turn, record, OperationStatus::Evicted);
        }
        let resumed = record.journal.attempt > 0;
        record.journal.attempt += 1;
        record.status = OperationStatus::InProgress;
        record.status_at = now.wall;
        record.lease_until = Some(self.lease_end(turn.now));
        let text = match (resumed, &record.journal.request_id) {
            (true, _) => "Resuming operation after a restart".to_owned(),
            (false, None) => "Starting operation".to_owned(),
            (false, Some(request)) => format!("Starting operation, ordered by request {request}"),
        };
        append(&mut record, now.wall, &text);
        turn.reports.push(Report::Began {
            operation: Named::of(&record),
            text,
        });
        if self.lane_timers.leases.is_none() {
            self.lane_timers.leases =
                Some(now.mono.plus(self.fleet.settings.operation_lease_ttl / 2));
        }
        turn.changes.put_operation(record.clone());
        let definition = record.definition.clone();
        let (failure, cancel) = (
            record.journal.failure.clone(),
            record.journal.cancel_requested,
        );
        self.operations.running[lane as usize] = Some(Running {
            record,
            progress: Progress::Starting,
            began: now.mono,
        });
        if let Some(cause) = failure {
            return self.roll_back(turn, lane, cause, cancel);
        }
        self.begin(turn, lane, definition, resumed);
        if cancel {
            self.cancel_running(turn, lane, "canceled on request");
        }
    }

    fn begin(&mut self, turn: &mut Turn, lane: Lane, definition: Definition, resumed: bool) {
        match definition {
            Definition::CreateScheduler { .. } => self.begin_create(turn),
            Definition::CreateNewSchedulerVersion { scheduler } => {
                self.begin_version(turn, &scheduler)
            }
            Definition::SwitchActiveVersion { new_active_version } => {
                self.begin_switch(turn, &new_active_version);
            }
            Definition::DeleteScheduler => self.begin_delete(turn),
            Definition::AddRooms { amount } => self.begin_add(turn, amount),
            Definition::RemoveRooms {
                amount,
                rooms_ids,
                reason,
                force,
            } => {
                self.begin_remove(turn, amount, rooms_ids.unwrap_or_default(), &reason, force);
            }
            Definition::HealthController { .. } => self.run_health(turn, resumed),
            Definition::StorageCleanUp => self.run_clean_up(turn),
            Definition::TestOperation { .. } if resumed => {
                self.fail(turn, lane, "it was interrupted by a restart".into());
            }
            Definition::TestOperation { sleep_seconds } => {
                let sleep = Duration::from_secs(sleep_seconds.max(0).unsigned_abs());
                self.set_progress(
                    lane,
                    Progress::Test {
                        until: turn.now.mono.plus(sleep),
                    },
                );
                self.set_step(lane, "sleeping");
                self.operations_due(turn);
            }
            // Evicted before it comes here.
            Definition::Unknown { .. } => self.finish(turn, lane, "nothing to do"),
        }
    }
}
