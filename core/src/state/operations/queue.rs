//! The two lanes of operations: waiting and running ones, and notes about them.

use crate::domain::*;
use crate::ports::{Change, EndedOperation};
use crate::settings::CoreSettings;
use crate::state::command::{CommandResult, Refusal, RefusalKind, Reply};
use crate::state::fleet::Fleet;
use crate::state::operations::history::append;
use crate::state::operations::progress::{Progress, Running};
use crate::state::turn::Turn;
use std::collections::VecDeque;
use std::sync::Arc;

/// When operations are due; `None` if nothing is.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::state) struct LaneTimers {
    pub health: Option<Mono>,
    pub cleanup: Option<Mono>,
    pub leases: Option<Mono>,
}

/// The operations of one scheduler: waiting, running, and recently ended ones.
pub(in crate::state) struct Operations {
    /// The scheduler's name.
    pub name: SchedulerName,
    pub settings: Arc<CoreSettings>,
    pub queues: [VecDeque<OperationRecord>; 2],
    pub running: [Option<Running>; 2],
    /// Operations that have left their lane and wait for the rooms of their version.
    pub observing: Vec<Running>,
    /// Oldest first.
    pub ended: VecDeque<EndedOperation>,
    /// The last ended operations as a whole, oldest first: rooms of `add_rooms` may still fail, which is noted in its
    /// history, and a store that lost them gets them again.
    pub recent: VecDeque<OperationRecord>,
    pub timers: LaneTimers,
    /// When the first operation that waits for its scheduler's row will be ended.
    pub orphans_due: Option<Mono>,
}

impl Operations {
    pub fn new(name: SchedulerName, settings: Arc<CoreSettings>) -> Self {
        Self {
            name,
            settings,
            queues: Default::default(),
            running: Default::default(),
            observing: Vec::new(),
            ended: VecDeque::new(),
            recent: VecDeque::new(),
            timers: LaneTimers::default(),
            orphans_due: None,
        }
    }

    pub fn running(&self, lane: Lane) -> Option<&Running> {
        self.running[lane as usize].as_ref()
    }
    pub fn running_mut(&mut self, lane: Lane) -> Option<&mut Running> {
        self.running[lane as usize].as_mut()
    }
    pub fn queue(&self, lane: Lane) -> &VecDeque<OperationRecord> {
        &self.queues[lane as usize]
    }
    /// All operations that have not ended.
    pub fn open(&self) -> impl Iterator<Item = &OperationRecord> {
        let running = self.running.iter().flatten().chain(&self.observing);
        running
            .map(|r| &r.record)
            .chain(self.queues.iter().flatten())
    }
    /// Whether any open operation satisfies `is`. It runs at each evaluation of the fleet: two plain loops over running
    /// and waiting operations cost a third of a search in [`Self::open`].
    pub fn any_open(&self, is: impl Fn(&OperationRecord) -> bool) -> bool {
        let running = self.running.iter().flatten().chain(&self.observing);
        running.map(|r| &r.record).any(&is) || self.queues.iter().any(|q| q.iter().any(&is))
    }
    pub fn lane_of(&self, id: OperationId) -> Option<Lane> {
        [Lane::Version, Lane::Room]
            .into_iter()
            .find(|lane| self.running(*lane).is_some_and(|r| r.record.id == id))
    }
    pub fn restore(&mut self, record: OperationRecord) {
        self.queues[record.definition.lane() as usize].push_back(record);
    }
    pub fn restore_ended(&mut self, ended: Vec<EndedOperation>) {
        self.ended = ended.into();
    }
}

/// How an operation is enqueued.
#[derive(Clone, Debug, Default)]
pub(in crate::state) struct Enqueue {
    pub priority: bool,
    pub by_user: bool,
    /// Lines for the history, after `Created`.
    pub notes: Vec<String>,
}

impl Operations {
    pub fn queue_is_full(&self) -> bool {
        self.queues.iter().map(VecDeque::len).sum::<usize>() >= self.settings.queue_limit
    }

    pub fn enqueue(
        &mut self,
        turn: &mut Turn,
        definition: Definition,
        how: Enqueue,
    ) -> OperationId {
        let id = turn.fresh_operation_id();
        let now = turn.now.wall;
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
            resume: ResumeState {
                by_user: how.by_user,
                request_id: turn.request.as_deref().map(str::to_owned),
                ..ResumeState::default()
            },
        };
        append(&mut record, now, "Created");
        for note in &how.notes {
            append(&mut record, now, note);
        }
        turn.changes.put_operation(record.clone());
        let queue = &mut self.queues[record.definition.lane() as usize];
        if how.priority {
            // Not before operations that had begun before a restart, since one runs per lane.
            let begun = queue.iter().take_while(|r| r.resume.attempt > 0).count();
            queue.insert(begun, record)
        } else {
            queue.push_back(record)
        }
        id
    }

    /// Starts operations that may start. True if anything changed.
    pub fn advance(&mut self, fleet: &mut Fleet, turn: &mut Turn) -> bool {
        let idle = self.queues.iter().all(VecDeque::is_empty);
        if idle || fleet.is_paused() {
            return false;
        }
        let mut moved = false;
        for lane in [Lane::Version, Lane::Room] {
            if self.running(lane).is_none()
                && self.may_start(fleet, turn, lane)
                && let Some(record) = self.queues[lane as usize].pop_front()
            {
                self.start(fleet, turn, lane, record);
                moved = true;
            }
        }
        moved
    }

    pub fn set_progress(&mut self, lane: Lane, progress: Progress) {
        if let Some(running) = self.running_mut(lane) {
            running.progress = progress;
        }
    }

    /// Sets the current step, for people; stored with the operation's next write.
    pub fn set_step(&mut self, lane: Lane, step: &str) {
        if let Some(running) = self.running_mut(lane) {
            running.record.resume.step = step.into();
        }
    }

    /// Appends a line to the history of the operation running in `lane`.
    pub fn note(&mut self, turn: &mut Turn, lane: Lane, text: &str) {
        let now = turn.now.wall;
        if let Some(running) = self.running_mut(lane) {
            append(&mut running.record, now, text);
            turn.changes.put_operation(running.record.clone());
        }
    }

    pub fn operations_wake(&self) -> Option<Mono> {
        self.running
            .iter()
            .flatten()
            .filter_map(|running| match &running.progress {
                Progress::Test { until } => Some(*until),
                Progress::Version(run) => run.wake(),
                progress => progress.place()?.again,
            })
            .min()
    }

    /// Handles operations whose waiting time has passed.
    pub fn operations_due(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let now = turn.now.mono;
        let slept = self
            .running(Lane::Room)
            .is_some_and(|r| matches!(r.progress, Progress::Test { until } if until <= now));
        if slept {
            self.finish(fleet, turn, Lane::Room, "slept as long as it was asked to");
        }
        self.version_due(fleet, turn);
        self.place_due(fleet, turn);
    }

    fn anything_runs(&self) -> bool {
        self.running.iter().any(Option::is_some) || !self.observing.is_empty()
    }

    pub fn forget_leases_if_idle(&mut self) {
        if !self.anything_runs() {
            self.timers.leases = None;
        }
    }

    pub fn lease_end(&self, now: Now) -> jiff::Timestamp {
        now.wall
            .saturating_add(self.settings.operation_lease_ttl)
            .unwrap_or(now.wall)
    }

    /// Renews the leases at half their time, with an absolute end (contract 5.9).
    pub fn renew_operation_leases(&mut self, turn: &mut Turn) {
        let until = self.lease_end(turn.now);
        for running in self.running.iter_mut().flatten().chain(&mut self.observing) {
            running.record.lease_until = Some(until);
            let operation = running.record.id;
            if !turn.changes.puts_operation(operation) {
                turn.changes
                    .push(Change::RenewOperationLease { operation, until });
            }
        }
        let running = self.anything_runs();
        let next = turn.now.mono.plus(self.settings.operation_lease_ttl / 2);
        self.timers.leases = running.then_some(next);
    }

    /// An operation that another program queued (contract 5.2).
    pub fn on_pushed(&mut self, turn: &mut Turn, mut record: OperationRecord) {
        // The notification may arrive twice, and late.
        let known =
            self.any_open(|r| r.id == record.id) || self.ended.iter().any(|e| e.id == record.id);
        if known || record.status.is_final() {
            return;
        }
        record.resume.pushed = true;
        turn.changes.put_operation(record.clone());
        self.restore(record);
    }

    pub fn is_deleting(&self) -> bool {
        self.any_open(|r| matches!(r.definition, Definition::DeleteScheduler))
    }

    pub fn order(&mut self, turn: &mut Turn, definition: Definition) -> CommandResult {
        self.order_with(turn, definition, false)
    }

    /// Queues it before others that wait in its lane.
    pub fn order_first(&mut self, turn: &mut Turn, definition: Definition) -> CommandResult {
        self.order_with(turn, definition, true)
    }

    fn order_with(
        &mut self,
        turn: &mut Turn,
        definition: Definition,
        priority: bool,
    ) -> CommandResult {
        if self.queue_is_full() {
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!(
                    "{} operations of scheduler {} are waiting already; try again when some have ended",
                    self.settings.queue_limit, self.name
                ),
            ));
        }
        let how = Enqueue {
            by_user: true,
            priority,
            ..Enqueue::default()
        };
        Ok(Reply::Operation(self.enqueue(turn, definition, how)))
    }

    /// Only one edit of versions at a time (contract 2.4, conflicts).
    pub fn no_version_edit(&self, what: &str) -> Result<(), Refusal> {
        // A publication that only waits for the platform has made its change.
        let is_waited_for =
            |id: OperationId| self.observing.iter().any(|running| running.record.id == id);
        let mut edits = self.open().filter(|r| r.definition.is_version_edit());
        match edits.find(|r| !is_waited_for(r.id)) {
            None => Ok(()),
            Some(open) => Err(Refusal::new(
                RefusalKind::Conflict,
                format!(
                    "cannot {what}: there is already an ongoing version operation (id: {}) for scheduler {}",
                    open.id, self.name
                ),
            )),
        }
    }

    /// A scheduler that is being deleted accepts only another deletion: other orders would never be executed.
    pub fn not_terminating(&self, fleet: &Fleet) -> Result<(), Refusal> {
        if !fleet.is_terminating() {
            return Ok(());
        }
        let why = match self.is_deleting() {
            true => "it is being deleted",
            false => "its deletion failed; delete it again",
        };
        let text = format!("scheduler {} takes no orders: {why}", self.name);
        Err(Refusal::new(RefusalKind::Conflict, text))
    }
}
