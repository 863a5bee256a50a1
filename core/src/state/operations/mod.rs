//! The life of operations: queued in two lanes, run, ended, kept for a while
//! (contract 5; architecture 6). What each kind does stands in a file of its own.

mod add;
mod cancel;
mod create;
mod delete;
mod ended;
mod orphan;
mod remove;
mod rollback;
mod switch;
mod upkeep;
mod version;
mod work;

use super::*;
use crate::ports::EndedOperation;
use add::AddRun;
use delete::DeleteRun;
use remove::RemoveRun;
use rollback::RollbackRun;
use std::collections::VecDeque;
use version::VersionRun;
pub(super) use work::{Purpose, WorkTable};

/// Where a running operation stands.
#[derive(Debug)]
pub(super) enum Progress {
    Starting,
    Create,
    Add(AddRun),
    Remove(RemoveRun),
    Delete(DeleteRun),
    Version(VersionRun),
    Test { until: Mono },
    RollBack(RollbackRun),
}

#[derive(Debug)]
pub(super) struct Running {
    pub record: OperationRecord,
    pub progress: Progress,
    /// Pieces of its work that have not come back.
    pub in_flight: usize,
    /// When its work, or its rollback, began.
    pub began: Mono,
}

#[derive(Default)]
pub(super) struct Operations {
    queues: [VecDeque<OperationRecord>; 2],
    running: [Option<Running>; 2],
    /// Oldest first.
    ended: VecDeque<EndedOperation>,
    /// The last ended add_rooms: their rooms may still fail, and their history tells of it.
    recent: VecDeque<OperationRecord>,
}

/// Lines that one operation's history may hold.
const HISTORY_LINES_MAX: usize = 200;
/// Calls on the runtime that one operation has open at a time, beside its own batch size.
pub(super) const TERMINATIONS_AT_ONCE: usize = 64;

impl Operations {
    pub fn running(&self, lane: Lane) -> Option<&Running> {
        self.running[lane as usize].as_ref()
    }
    pub fn running_mut(&mut self, lane: Lane) -> Option<&mut Running> {
        self.running[lane as usize].as_mut()
    }
    pub fn queue(&self, lane: Lane) -> &VecDeque<OperationRecord> {
        &self.queues[lane as usize]
    }
    /// Everything that has not ended.
    pub fn open(&self) -> impl Iterator<Item = &OperationRecord> {
        let running = self.running.iter().flatten().map(|r| &r.record);
        running.chain(self.queues.iter().flatten())
    }
    fn lane_of(&self, id: OperationId) -> Option<Lane> {
        [Lane::Version, Lane::Room]
            .into_iter()
            .find(|lane| self.running(*lane).is_some_and(|r| r.record.id == id))
    }
    pub(super) fn restore(&mut self, record: OperationRecord) {
        self.queues[record.definition.lane() as usize].push_back(record);
    }
    pub(super) fn restore_ended(&mut self, ended: Vec<EndedOperation>) {
        self.ended = ended.into();
    }
}

/// How an operation comes into the queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Enqueue {
    pub priority: bool,
    pub by_user: bool,
    /// A line for the history, after `Created`.
    pub note: Option<String>,
}

impl SchedulerState {
    pub(super) fn queue_is_full(&self) -> bool {
        self.operations
            .queues
            .iter()
            .map(VecDeque::len)
            .sum::<usize>()
            >= self.settings.queue_limit
    }

    pub(super) fn enqueue(&mut self, definition: Definition, how: Enqueue) -> OperationId {
        let id = self.fresh_operation_id();
        let now = self.now.wall;
        let mut record = OperationRecord {
            id,
            scheduler: self.name.clone(),
            definition,
            status: OperationStatus::Pending,
            created_at: now,
            status_at: now,
            history: Vec::new(),
            priority: how.priority,
            lease_until: None,
            journal: Journal {
                by_user: how.by_user,
                request_id: self.request.as_deref().map(str::to_owned),
                ..Journal::default()
            },
        };
        append(&mut record, now, "Created");
        if let Some(note) = how.note {
            append(&mut record, now, &note);
        }
        self.dirty.operations.insert(id, Box::new(record.clone()));
        let queue = &mut self.operations.queues[record.definition.lane() as usize];
        if how.priority {
            // Not before what had begun before a restart: one runs per lane.
            let begun = queue.iter().take_while(|r| r.journal.attempt > 0).count();
            queue.insert(begun, record)
        } else {
            queue.push_back(record)
        }
        id
    }

    #[cfg(test)]
    pub(super) fn open_operations(&self) -> BTreeSet<OperationId> {
        self.operations.open().map(|r| r.id).collect()
    }

    /// Starts what may start. True when something moved.
    pub(super) fn advance(&mut self) -> bool {
        if self.is_paused() {
            return false;
        }
        let mut moved = false;
        for lane in [Lane::Version, Lane::Room] {
            if self.operations.running(lane).is_none()
                && self.may_start(lane)
                && let Some(record) = self.operations.queues[lane as usize].pop_front()
            {
                self.start(lane, record);
                moved = true;
            }
        }
        moved
    }

    /// Create and delete exclude the room lane (architecture 6); nothing touches rooms
    /// before the runtime has said which there are.
    fn may_start(&mut self, lane: Lane) -> bool {
        let Some(head) = self.operations.queue(lane).front() else {
            return false;
        };
        if self.scheduler.is_none() {
            return head.journal.cancel_requested || self.orphan_until(head) <= self.now.mono;
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
                    self.cancel_running(Lane::Room, "the scheduler is to be deleted");
                }
                self.listed && self.operations.running(Lane::Room).is_none()
            }
            (Lane::Version, Definition::CreateScheduler { .. }) => true,
            (Lane::Version, _) => self.listed,
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
                self.listed && !barred
            }
        }
    }

    fn start(&mut self, lane: Lane, mut record: OperationRecord) {
        let now = self.now;
        if record.journal.cancel_requested && record.journal.attempt == 0 {
            return self.cancel_waiting(record);
        }
        if self.scheduler.is_none() {
            self.end_orphan(record);
            if self.operations.open().next().is_none() {
                self.effects.push(Effect::Ended);
            }
            return;
        }
        if let Definition::Unknown { name, .. } = &record.definition {
            let text = format!("Operation evicted: no operation is called \"{name}\"");
            let operation = Named::of(&record);
            append(&mut record, now.wall, &text);
            self.measured.reports.push(Report::Evicted { operation });
            return self.archive(record, OperationStatus::Evicted);
        }
        let resumed = record.journal.attempt > 0;
        record.journal.attempt += 1;
        record.status = OperationStatus::InProgress;
        record.status_at = now.wall;
        record.lease_until = Some(self.lease_end());
        let text = match (resumed, &record.journal.request_id) {
            (true, _) => "Resuming operation after a restart".to_owned(),
            (false, None) => "Starting operation".to_owned(),
            (false, Some(request)) => format!("Starting operation, ordered by request {request}"),
        };
        append(&mut record, now.wall, &text);
        self.measured.reports.push(Report::Began {
            operation: Named::of(&record),
            text,
        });
        if self.timers.leases.is_none() {
            self.timers.leases = Some(now.mono.plus(self.settings.operation_lease_ttl / 2));
        }
        self.dirty
            .operations
            .insert(record.id, Box::new(record.clone()));
        let definition = record.definition.clone();
        let (failure, cancel) = (
            record.journal.failure.clone(),
            record.journal.cancel_requested,
        );
        self.operations.running[lane as usize] = Some(Running {
            record,
            progress: Progress::Starting,
            in_flight: 0,
            began: now.mono,
        });
        if let Some(cause) = failure {
            return self.roll_back(lane, cause, cancel);
        }
        self.begin(lane, definition, resumed);
        if cancel {
            self.cancel_running(lane, "canceled on request");
        }
    }

    fn begin(&mut self, lane: Lane, definition: Definition, resumed: bool) {
        match definition {
            Definition::CreateScheduler { .. } => self.begin_create(),
            Definition::CreateNewSchedulerVersion { scheduler } => self.begin_version(&scheduler),
            Definition::SwitchActiveVersion { new_active_version } => {
                self.begin_switch(&new_active_version);
            }
            Definition::DeleteScheduler => self.begin_delete(),
            Definition::AddRooms { amount } => self.begin_add(amount),
            Definition::RemoveRooms {
                amount,
                rooms_ids,
                reason,
            } => {
                self.begin_remove(amount, rooms_ids.unwrap_or_default(), &reason);
            }
            Definition::HealthController { .. } => self.run_health(resumed),
            Definition::StorageCleanUp => self.run_clean_up(),
            Definition::TestOperation { .. } if resumed => {
                self.fail(lane, "it was interrupted by a restart".into());
            }
            Definition::TestOperation { sleep_seconds } => {
                let sleep = Duration::from_secs(sleep_seconds.max(0).unsigned_abs());
                self.set_progress(
                    lane,
                    Progress::Test {
                        until: self.now.mono.plus(sleep),
                    },
                );
                self.set_step(lane, "sleeping");
                self.operations_due();
            }
            // Evicted before it comes here.
            Definition::Unknown { .. } => self.finish(lane, "nothing to do"),
        }
    }

    pub(super) fn set_progress(&mut self, lane: Lane, progress: Progress) {
        if let Some(running) = self.operations.running_mut(lane) {
            running.progress = progress;
        }
    }

    /// Says where it stands, for people; stored with its next write.
    pub(super) fn set_step(&mut self, lane: Lane, step: &str) {
        if let Some(running) = self.operations.running_mut(lane) {
            running.record.journal.step = step.into();
        }
    }

    /// Appends a line to the history of the operation that runs in `lane`.
    pub(super) fn note(&mut self, lane: Lane, text: &str) {
        let now = self.now.wall;
        if let Some(running) = self.operations.running_mut(lane) {
            append(&mut running.record, now, text);
            self.dirty
                .operations
                .insert(running.record.id, Box::new(running.record.clone()));
        }
    }

    pub(super) fn operations_wake(&self) -> Option<Mono> {
        self.operations
            .running
            .iter()
            .flatten()
            .filter_map(|running| match &running.progress {
                Progress::Test { until } => Some(*until),
                Progress::Version(run) => run.wake(),
                _ => None,
            })
            .min()
    }

    /// Looks at the operations that wait for a moment.
    pub(super) fn operations_due(&mut self) {
        let now = self.now.mono;
        let slept = self
            .operations
            .running(Lane::Room)
            .is_some_and(|r| matches!(r.progress, Progress::Test { until } if until <= now));
        if slept {
            self.finish(Lane::Room, "slept as long as it was asked to");
        }
        self.version_due();
    }

    fn lease_end(&self) -> jiff::Timestamp {
        self.now
            .wall
            .saturating_add(self.settings.operation_lease_ttl)
            .unwrap_or(self.now.wall)
    }

    /// Renewed at half its time, to an absolute end (contract 5.9).
    pub(super) fn renew_operation_leases(&mut self) {
        let until = self.lease_end();
        for running in self.operations.running.iter_mut().flatten() {
            running.record.lease_until = Some(until);
            let operation = running.record.id;
            if !self.dirty.operations.contains_key(&operation) {
                self.dirty
                    .changes
                    .push(Change::RenewOperationLease { operation, until });
            }
        }
        let running = self.operations.running.iter().any(Option::is_some);
        let next = self.now.mono.plus(self.settings.operation_lease_ttl / 2);
        self.timers.leases = running.then_some(next);
    }

    /// An operation that another program put into the queue (contract 5.2).
    pub(super) fn on_pushed(&mut self, record: OperationRecord) {
        // A hint may come twice, and late.
        let known = self.operations.open().any(|r| r.id == record.id)
            || self.operations.ended.iter().any(|e| e.id == record.id);
        if known || record.status.is_final() {
            return;
        }
        self.dirty
            .operations
            .insert(record.id, Box::new(record.clone()));
        self.operations.restore(record);
    }
}

/// Adds a line to a history; beyond the bound only the last place is written again.
pub(super) fn append(record: &mut OperationRecord, at: jiff::Timestamp, event: &str) {
    if record.history.len() >= HISTORY_LINES_MAX {
        record.history.pop();
    }
    record.history.push(OperationEvent {
        created_at: at,
        event: event.into(),
    });
}
