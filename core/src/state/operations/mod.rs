//! The life of operations: queued in two lanes, run, ended, kept for a while
//! (contract 5; architecture 6). What each kind does stands in a file of its own.

mod add;
mod create;
mod delete;
mod remove;
mod rollback;
mod switch;
mod upkeep;
mod version;

use super::*;
use crate::ports::EndedOperation;
use add::AddRun;
use delete::DeleteRun;
use remove::RemoveRun;
use rollback::RollbackRun;
use std::collections::VecDeque;
use version::VersionRun;

/// What a piece of work was given out for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Prepare(OperationId),
    RemovePlace(OperationId),
    Ports {
        operation: OperationId,
        room: RoomId,
    },
    Create {
        operation: OperationId,
        room: RoomId,
    },
    /// An intent of an earlier owner, repeated.
    Recreate {
        room: RoomId,
    },
    Terminate {
        operation: Option<OperationId>,
        room: RoomId,
    },
    /// Its result changes nothing.
    Sweep,
}

impl Purpose {
    pub fn room(&self) -> Option<&RoomId> {
        match self {
            Self::Ports { room, .. }
            | Self::Create { room, .. }
            | Self::Recreate { room }
            | Self::Terminate { room, .. } => Some(room),
            _ => None,
        }
    }
    fn makes_room(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Recreate { .. })
    }
    fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Prepare(id) | Self::RemovePlace(id) => Some(*id),
            Self::Ports { operation, .. } | Self::Create { operation, .. } => Some(*operation),
            Self::Terminate { operation, .. } => *operation,
            Self::Recreate { .. } | Self::Sweep => None,
        }
    }
}

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

/// Ended add_rooms operations that may still be told of their rooms' failures.
const RECENT_MAX: usize = 16;
/// How long an operation waits for its scheduler's row.
const ORPHAN_WAIT: Duration = Duration::from_secs(60);
/// Lines that one operation's history may hold.
const HISTORY_LINES_MAX: usize = 200;
/// Periodic operations without action that are kept.
const NO_ACTION_MAX: usize = 100;
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
            queue.push_front(record)
        } else {
            queue.push_back(record)
        }
        id
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
        let settled =
            head.journal.cancel_requested || matches!(head.definition, Definition::Unknown { .. });
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

    /// Until then an operation waits for the row of its scheduler: other programs may write
    /// them in either order (architecture 6).
    fn orphan_until(&self, record: &OperationRecord) -> Mono {
        self.now.mono_of(record.created_at).plus(ORPHAN_WAIT)
    }

    /// When the first operation without a scheduler is to be ended.
    pub(super) fn orphans_wake(&self) -> Option<Mono> {
        if self.scheduler.is_some() {
            return None;
        }
        let heads = self.operations.queues.iter().filter_map(VecDeque::front);
        heads.map(|head| self.orphan_until(head)).min()
    }

    /// What was left under a name does not become part of the scheduler that gets it.
    pub(super) fn end_orphans(&mut self) {
        for queue in std::mem::take(&mut self.operations.queues) {
            for record in queue {
                self.end_orphan(record);
            }
        }
    }

    fn end_orphan(&mut self, mut record: OperationRecord) {
        let text = format!("scheduler {} not found", self.name);
        append(&mut record, self.now.wall, &text);
        self.archive(record, OperationStatus::Error);
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
            append(&mut record, now.wall, &text);
            return self.archive(record, OperationStatus::Evicted);
        }
        let resumed = record.journal.attempt > 0;
        record.journal.attempt += 1;
        record.status = OperationStatus::InProgress;
        record.status_at = now.wall;
        record.lease_until = Some(self.lease_end());
        let text = if resumed {
            "Resuming operation after a restart"
        } else {
            "Starting operation"
        };
        append(&mut record, now.wall, text);
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

    /// Appends a line to the history of an add_rooms that may have ended already.
    pub(super) fn note_in_ended(&mut self, id: OperationId, text: &str) {
        if let Some(lane) = self.operations.lane_of(id) {
            return self.note(lane, text);
        }
        let now = self.now.wall;
        if let Some(record) = self.operations.recent.iter_mut().find(|r| r.id == id) {
            append(record, now, text);
            self.dirty.operations.insert(id, Box::new(record.clone()));
        }
    }

    pub(super) fn finish(&mut self, lane: Lane, text: &str) {
        self.note(lane, text);
        self.note(lane, "Operation finished");
        self.end(lane, OperationStatus::Finished);
    }

    /// Ends what runs in `lane`; the next one starts in the same decision, so in one commit.
    pub(super) fn end(&mut self, lane: Lane, status: OperationStatus) {
        let Some(running) = self.operations.running[lane as usize].take() else {
            return;
        };
        let id = running.record.id;
        // Results that still come are late ones of an ended attempt.
        let late: Vec<WorkId> = self
            .work
            .iter()
            .filter(|(_, p)| p.operation() == Some(id) && p.room().is_none())
            .map(|(work, _)| *work)
            .collect();
        for work in &late {
            self.work.remove(work);
        }
        if !late.is_empty() {
            self.effects.push(Effect::Abandon(late));
        }
        if self.operations.running.iter().all(Option::is_none) {
            self.timers.leases = None;
        }
        self.archive(running.record, status);
        self.dirty.reconsider = true;
    }

    /// Stores an operation in its final status, and drops what the retention has no room for.
    fn archive(&mut self, mut record: OperationRecord, status: OperationStatus) {
        record.status = status;
        record.status_at = self.now.wall;
        record.lease_until = None;
        record.journal.step.clear();
        self.operations.ended.push_back(EndedOperation::of(&record));
        if matches!(record.definition, Definition::AddRooms { .. }) {
            if self.operations.recent.len() >= RECENT_MAX {
                self.operations.recent.pop_front();
            }
            self.operations.recent.push_back(record.clone());
        }
        let edit = record.definition.is_version_edit() && status != OperationStatus::Finished;
        self.dirty.operations.insert(record.id, Box::new(record));
        self.trim_history();
        if edit {
            self.version_edit_came_to_nothing();
        }
    }

    /// The scheduler is `creating` from the start of a version edit to its switch: when
    /// none of the two goes on, nobody else would end that.
    fn version_edit_came_to_nothing(&mut self) {
        let open = self.operations.open().any(|r| {
            r.definition.is_version_edit()
                || matches!(r.definition, Definition::CreateScheduler { .. })
        });
        let creating = |s: &Arc<Scheduler>| s.state == scheduler_state::CREATING;
        if !open && self.scheduler.as_ref().is_some_and(creating) {
            self.set_scheduler_state(scheduler_state::IN_SYNC);
        }
    }

    fn trim_history(&mut self) {
        for no_action in [true, false] {
            let limit = if no_action {
                NO_ACTION_MAX
            } else {
                self.settings.history_limit
            };
            let ended = &mut self.operations.ended;
            let mut excess = ended
                .iter()
                .filter(|e| e.no_action == no_action)
                .count()
                .saturating_sub(limit);
            ended.retain(|e| {
                let drop = excess > 0 && e.no_action == no_action;
                if drop {
                    excess -= 1;
                    self.dirty.operations.remove(&e.id);
                    self.dirty.forgotten.push(e.id);
                    self.operations.recent.retain(|r| r.id != e.id);
                }
                !drop
            });
        }
    }

    /// A request to end an operation early (contract 2.4, 5.10; D1).
    pub(super) fn cancel(&mut self, id: OperationId) -> Answer {
        let paused = self.is_paused();
        for queue in &mut self.operations.queues {
            let Some(at) = queue.iter().position(|r| r.id == id) else {
                continue;
            };
            if paused || queue[at].journal.attempt > 0 {
                // Stored, not applied: the queues stand still (architecture 6), or what it
                // did before a restart is to be undone.
                queue[at].journal.cancel_requested = true;
                self.dirty
                    .operations
                    .insert(id, Box::new(queue[at].clone()));
            } else if let Some(record) = queue.remove(at) {
                self.cancel_waiting(record);
            }
            return Ok(Reply::Done);
        }
        if let Some(lane) = self.operations.lane_of(id) {
            if let Some(running) = self.operations.running_mut(lane) {
                running.record.journal.cancel_requested = true;
                self.dirty
                    .operations
                    .insert(id, Box::new(running.record.clone()));
            }
            if !paused {
                self.cancel_running(lane, "canceled on request");
            }
            return Ok(Reply::Done);
        }
        if self.operations.ended.iter().any(|e| e.id == id) {
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

    fn cancel_waiting(&mut self, mut record: OperationRecord) {
        append(&mut record, self.now.wall, "canceled before it started");
        self.take_back_replicas(&record);
        let id = record.id;
        let creation = matches!(record.definition, Definition::CreateScheduler { .. });
        self.archive(record, OperationStatus::Canceled);
        if creation {
            // As its rollback does: a scheduler that nobody goes on making is none (D17).
            self.drop_scheduler(id);
        }
    }

    fn cancel_running(&mut self, lane: Lane, cause: &str) {
        let Some(running) = self.operations.running_mut(lane) else {
            return;
        };
        running.record.journal.cancel_requested = true;
        match &mut running.progress {
            Progress::RollBack(_) => {}
            // Rooms are ending already: there is no way back, so it goes on to its end.
            Progress::Delete(_) => {
                self.note(lane, "cannot be canceled any more: its rooms are ending");
            }
            Progress::Add(run) => {
                run.stop(cause);
                self.continue_add();
            }
            _ => self.roll_back(lane, cause.into(), true),
        }
    }

    pub(super) fn on_work_done(&mut self, id: WorkId, result: WorkResult) {
        let Some(purpose) = self.work.remove(&id) else {
            self.stale_results += 1;
            return;
        };
        let lane = purpose
            .operation()
            .and_then(|operation| self.operations.lane_of(operation));
        if let Some(running) = lane.and_then(|lane| self.operations.running_mut(lane)) {
            running.in_flight = running.in_flight.saturating_sub(1);
        }
        match purpose {
            Purpose::Prepare(_) => self.on_prepared(result),
            Purpose::RemovePlace(_) => self.on_place_removed(result),
            Purpose::Ports { operation, room } => self.on_ports(operation, room, result),
            Purpose::Create { room, operation } => self.on_created(Some(operation), room, result),
            Purpose::Recreate { room } => self.on_created(None, room, result),
            Purpose::Terminate { room, .. } => self.on_terminated(lane, &room, result),
            Purpose::Sweep => {}
        }
        // A rollback waits for everything that was still under way when it began.
        if let Some(lane) = lane {
            self.rollback_step(lane);
        }
    }

    /// Gives out work for the operation that runs in `lane`.
    pub(super) fn run_for(&mut self, lane: Lane, purpose: Purpose, work: Work) {
        if let Some(running) = self.operations.running_mut(lane) {
            running.in_flight += 1;
        }
        self.run(purpose, work);
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
        if self.operations.open().any(|r| r.id == record.id) || record.status.is_final() {
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
