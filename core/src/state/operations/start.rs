//! When an operation may start, and its first step (contract 5.3).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::history::append;
use crate::state::operations::progress::{Progress, Running};
use crate::state::operations::queue::Operations;
use crate::state::operations::remove::RemoveOrder;
use crate::state::report::{Named, Report};
use crate::state::turn::Turn;
use std::time::Duration;

/// Why an operation of another program ends in error.
const ABANDONED: &str =
    "the program that had begun it has ended, and what it had done is not known";

/// Whether an operation that another program had begun would have an effect a second time. The others have steps that
/// can be repeated. What is missing then, such as rooms, the next look at the fleet finds (architecture 6).
fn cannot_go_on(definition: &Definition) -> bool {
    matches!(
        definition,
        Definition::AddRooms { .. }
            | Definition::RemoveRooms { .. }
            | Definition::CreateNewSchedulerVersion { .. }
    )
}

impl Operations {
    /// Create and delete exclude the room lane (architecture 6), and nothing touches rooms before the runtime has
    /// listed them.
    pub fn may_start(&mut self, fleet: &mut Fleet, turn: &mut Turn, lane: Lane) -> bool {
        let Some(head) = self.queue(lane).front() else {
            return false;
        };
        if fleet.scheduler.is_none() {
            return head.resume.cancel_requested
                || self.needs_no_scheduler(fleet, head)
                || self.orphan_until(turn.now, head) <= turn.now.mono;
        }
        // These need no work; an operation that had begun is rolled back in its turn.
        let untouched = head.resume.attempt == 0;
        let settled = (head.resume.cancel_requested && untouched)
            || matches!(head.definition, Definition::Unknown { .. });
        if settled {
            return true;
        }
        match (lane, &head.definition) {
            (Lane::Version, Definition::DeleteScheduler) => {
                if self.running(Lane::Room).is_some() {
                    self.cancel_running(fleet, turn, Lane::Room, "the scheduler is to be deleted");
                }
                fleet.listing.complete && self.running(Lane::Room).is_none()
            }
            (
                Lane::Version,
                Definition::CreateScheduler { .. } | Definition::CreateRuntime { .. },
            ) => true,
            (Lane::Version, _) => fleet.listing.complete,
            (Lane::Room, _) => {
                let excluded = |d: &Definition| {
                    matches!(
                        d,
                        Definition::CreateScheduler { .. } | Definition::DeleteScheduler
                    )
                };
                let running = self.running(Lane::Version);
                let next = self.queue(Lane::Version).front();
                let barred = running.is_some_and(|r| excluded(&r.record.definition))
                    || next.is_some_and(|r| excluded(&r.definition));
                fleet.listing.complete && !barred
            }
        }
    }

    pub fn start(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        lane: Lane,
        mut record: OperationRecord,
    ) {
        let now = turn.now;
        if record.resume.cancel_requested && record.resume.attempt == 0 {
            return self.cancel_waiting(fleet, turn, record);
        }
        if fleet.scheduler.is_none() && !self.needs_no_scheduler(fleet, &record) {
            self.end_orphan(fleet, turn, record);
            return self.end_if_unused(fleet, turn);
        }
        if let Definition::Unknown { name, contents } = &record.definition {
            let text = match Definition::read_contents(name, contents) {
                Ok(None) => format!("Operation evicted: no operation is called \"{name}\""),
                Ok(Some(_)) => "Operation evicted: it has no input".to_owned(),
                Err(reason) => format!("Operation evicted: its input cannot be read: {reason}"),
            };
            let operation = Named::of(&record);
            append(&mut record, now.wall, &text);
            turn.reports.push(Report::Evicted { operation });
            return self.archive(fleet, turn, record, OperationStatus::Evicted);
        }
        let foreign = record.resume.foreign;
        let resumed = record.resume.attempt > 0 || foreign;
        record.resume.attempt += 1;
        record.status = OperationStatus::InProgress;
        record.status_at = now.wall;
        record.lease_until = Some(self.lease_end(turn.now));
        let text = match (resumed, &record.resume.request_id) {
            (true, _) if foreign && record.resume.attempt == 1 => {
                "Taking over the operation from the program that had begun it".to_owned()
            }
            (true, _) => "Resuming operation after a restart".to_owned(),
            (false, None) => "Starting operation".to_owned(),
            (false, Some(request)) => format!("Starting operation, ordered by request {request}"),
        };
        append(&mut record, now.wall, &text);
        turn.reports.push(Report::Began {
            operation: Named::of(&record),
            text,
        });
        if self.timers.leases.is_none() {
            self.timers.leases = Some(now.mono.plus(self.settings.operation_lease_ttl / 2));
        }
        turn.changes.put_operation(record.clone());
        let definition = record.definition.clone();
        let (failure, cancel) = (
            record.resume.failure.clone(),
            record.resume.cancel_requested,
        );
        self.running[lane as usize] = Some(Running {
            record,
            progress: Progress::Starting,
            began: now.mono,
        });
        if let Some(cause) = failure {
            return self.roll_back(fleet, turn, lane, cause, cancel);
        }
        match foreign && cannot_go_on(&definition) {
            true => self.fail(fleet, turn, lane, ABANDONED.into()),
            false => self.begin(fleet, turn, lane, definition, resumed),
        }
        if cancel {
            self.cancel_running(fleet, turn, lane, "canceled on request");
        }
    }

    fn begin(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        lane: Lane,
        definition: Definition,
        resumed: bool,
    ) {
        match definition {
            Definition::CreateScheduler { .. } => self.begin_create(fleet, turn),
            Definition::CreateNewSchedulerVersion { scheduler } => {
                self.begin_version(fleet, turn, &scheduler)
            }
            Definition::SwitchActiveVersion { new_active_version } => {
                self.begin_switch(fleet, turn, &new_active_version);
            }
            Definition::DeleteScheduler => self.begin_delete(fleet, turn),
            Definition::CreateRuntime { .. } => self.begin_runtime(fleet, turn),
            Definition::StartVersion { version } => self.begin_start(fleet, turn, &version),
            Definition::StopVersion { version, force } => {
                self.begin_stop(fleet, turn, &version, force);
            }
            Definition::PublishVersion { version } => self.begin_publish(fleet, turn, &version),
            Definition::UnpublishVersion { version } => {
                self.begin_unpublish(fleet, turn, &version);
            }
            Definition::UpdateVersionConfig { version, restart } => {
                self.begin_config(fleet, turn, &version, restart);
            }
            Definition::AddRooms { amount, version } => {
                self.begin_add(fleet, turn, amount, version);
            }
            Definition::RemoveRooms {
                amount,
                rooms_ids,
                reason,
                force,
                version,
            } => {
                let order = RemoveOrder {
                    amount,
                    ids: rooms_ids.unwrap_or_default(),
                    reason: reason.reason(),
                    force,
                    version,
                };
                self.begin_remove(fleet, turn, order);
            }
            Definition::HealthController { .. } => self.run_health(fleet, turn, resumed),
            Definition::StorageCleanUp => self.run_clean_up(fleet, turn),
            Definition::TestOperation { .. } if resumed => {
                self.fail(fleet, turn, lane, "it was interrupted by a restart".into());
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
                self.operations_due(fleet, turn);
            }
            // Evicted before it gets here.
            Definition::Unknown { .. } => self.finish(fleet, turn, lane, "nothing to do"),
        }
    }
}
