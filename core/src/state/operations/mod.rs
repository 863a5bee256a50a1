//! The life of operations: queued in two lanes, run, ended, kept for a while
//! (contract 5; architecture 6). What each kind does stands in a file of its own.

use crate::domain::*;
use crate::ports::Change;
use crate::ports::EndedOperation;
use crate::state::SchedulerState;

use crate::state::report::{Named, Outcome, Report};
use crate::state::turn::Turn;
use add::AddRun;
use delete::DeleteRun;
use remove::RemoveRun;
use rollback::RollbackRun;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use version::VersionRun;

mod add;
mod cancel;
mod create;
mod delete;
mod ended;
mod history;
mod orphan;
mod remove;
mod results;
mod rollback;
mod start;
mod switch;
mod upkeep;
mod version;

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
    /// Lines for the history, after `Created`.
    pub notes: Vec<String>,
}

impl SchedulerState {
    pub(super) fn queue_is_full(&self) -> bool {
        self.operations
            .queues
            .iter()
            .map(VecDeque::len)
            .sum::<usize>()
            >= self.fleet.settings.queue_limit
    }

    pub(super) fn enqueue(
        &mut self,
        turn: &mut Turn,
        definition: Definition,
        how: Enqueue,
    ) -> OperationId {
        let id = turn.fresh_operation_id();
        let now = turn.now.wall;
        let mut record = OperationRecord {
            id,
            scheduler: self.fleet.name.clone(),
            definition,
            status: OperationStatus::Pending,
            created_at: now,
            status_at: now,
            history: Vec::new(),
            priority: how.priority,
            lease_until: None,
            journal: Journal {
                by_user: how.by_user,
                request_id: turn.request.as_deref().map(str::to_owned),
                ..Journal::default()
            },
        };
        append(&mut record, now, "Created");
        for note in &how.notes {
            append(&mut record, now, note);
        }
        turn.changes.put_operation(record.clone());
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

    /// Operations that have not ended, waiting ones among them.
    pub fn open_operations(&self) -> BTreeSet<OperationId> {
        self.operations.open().map(|r| r.id).collect()
    }

    /// Starts what may start. True when something moved.
    pub(super) fn advance(&mut self, turn: &mut Turn) -> bool {
        if self.fleet.is_paused() {
            return false;
        }
        let mut moved = false;
        for lane in [Lane::Version, Lane::Room] {
            if self.operations.running(lane).is_none()
                && self.may_start(turn, lane)
                && let Some(record) = self.operations.queues[lane as usize].pop_front()
            {
                self.start(turn, lane, record);
                moved = true;
            }
        }
        moved
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
    pub(super) fn note(&mut self, turn: &mut Turn, lane: Lane, text: &str) {
        let now = turn.now.wall;
        if let Some(running) = self.operations.running_mut(lane) {
            append(&mut running.record, now, text);
            turn.changes.put_operation(running.record.clone());
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
    pub(super) fn operations_due(&mut self, turn: &mut Turn) {
        let now = turn.now.mono;
        let slept = self
            .operations
            .running(Lane::Room)
            .is_some_and(|r| matches!(r.progress, Progress::Test { until } if until <= now));
        if slept {
            self.finish(turn, Lane::Room, "slept as long as it was asked to");
        }
        self.version_due(turn);
    }

    fn lease_end(&self, now: Now) -> jiff::Timestamp {
        now.wall
            .saturating_add(self.fleet.settings.operation_lease_ttl)
            .unwrap_or(now.wall)
    }

    /// Renewed at half its time, to an absolute end (contract 5.9).
    pub(super) fn renew_operation_leases(&mut self, turn: &mut Turn) {
        let until = self.lease_end(turn.now);
        for running in self.operations.running.iter_mut().flatten() {
            running.record.lease_until = Some(until);
            let operation = running.record.id;
            if !turn.changes.puts_operation(operation) {
                turn.changes
                    .push(Change::RenewOperationLease { operation, until });
            }
        }
        let running = self.operations.running.iter().any(Option::is_some);
        let next = turn
            .now
            .mono
            .plus(self.fleet.settings.operation_lease_ttl / 2);
        self.lane_timers.leases = running.then_some(next);
    }

    /// An operation that another program put into the queue (contract 5.2).
    pub(super) fn on_pushed(&mut self, turn: &mut Turn, mut record: OperationRecord) {
        // A hint may come twice, and late.
        let known = self.operations.open().any(|r| r.id == record.id)
            || self.operations.ended.iter().any(|e| e.id == record.id);
        if known || record.status.is_final() {
            return;
        }
        record.journal.pushed = true;
        turn.changes.put_operation(record.clone());
        self.operations.restore(record);
    }
}

/// Adds a line to the history of an operation.
pub(super) fn append(record: &mut OperationRecord, at: jiff::Timestamp, event: &str) {
    history::append(&mut record.history, at, event);
}

impl Running {
    /// Its work is over; a rollback may follow.
    pub(super) fn executed(&self, now: Mono, outcome: Outcome, cause: &str) -> Report {
        Report::Executed {
            operation: Named::of(&self.record),
            took: now.since(self.began),
            outcome,
            cause: cause.to_owned(),
        }
    }
}
