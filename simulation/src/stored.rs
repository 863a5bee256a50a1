//! The store of the simulated world: what survives an owner.

use maestro_core::domain::*;
use maestro_core::ports::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A fault of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// It is not applied, and reported as such.
    NotApplied,
    /// It is not applied, and the outcome is unknown.
    NotAppliedUnknown,
    /// It is applied, but its outcome is unknown.
    AppliedUnknown,
    /// That many commits before it are lost, or as many as are remembered, as in a fail-over.
    Loses(usize),
    /// All rooms and operations are lost, as in a restart without data. The documents are elsewhere, so they stay.
    LosesEverything,
}

/// Everything that is stored for one scheduler.
#[derive(Clone, Default)]
pub struct Stored {
    pub scheduler: Option<Arc<Scheduler>>,
    pub versions: BTreeMap<SchedulerVersion, Arc<Scheduler>>,
    pub rooms: BTreeMap<RoomId, RoomRecord>,
    pub operations: BTreeMap<OperationId, OperationRecord>,
    pub live: BTreeMap<SchedulerVersion, LiveVersion>,
    pub runtime: Option<RuntimeRecord>,
    pub operator: OperatorRecord,
    pub seq: Seq,
    /// It lost everything, and nothing was written since.
    pub behind: bool,
    /// The sequence numbers of the operations' arrival.
    came: BTreeMap<OperationId, u64>,
    last: u64,
}

impl Stored {
    /// A store with a scheduler from before this world began.
    pub fn with(scheduler: Scheduler) -> Self {
        let mut stored = Self::default();
        stored.apply(&Change::CreateScheduler(Arc::new(scheduler)));
        stored
    }

    /// Applies one change, and panics if it breaks a rule of the store.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::CreateScheduler(s) => {
                assert!(self.scheduler.is_none(), "created twice");
                self.versions.insert(s.version().clone(), s.clone());
                self.scheduler = Some(s.clone());
            }
            Change::UpdateScheduler(s) => self.scheduler = Some(s.clone()),
            Change::CreateVersion { scheduler, .. } => {
                let version = scheduler.version().clone();
                let row = self.versions.entry(version);
                row.or_insert_with(|| scheduler.clone());
            }
            Change::UpdateVersion(document) => {
                let stored = self.versions.get_mut(document.version());
                *stored.expect("updates a version that is not there") = document.clone();
            }
            Change::DeleteScheduler { keep } => {
                self.scheduler = None;
                self.versions.clear();
                self.rooms.clear();
                self.live.clear();
                self.operator = OperatorRecord::default();
                self.runtime = None;
                self.operations.retain(|id, _| id == keep);
            }
            Change::Clear => {
                self.rooms.clear();
                self.operations.retain(|_, o| o.status.is_final());
                let operations = &self.operations;
                self.came.retain(|id, _| operations.contains_key(id));
            }
            Change::PutRoom(room) => {
                assert!(self.scheduler.is_some(), "a room of no scheduler");
                self.rooms.insert(room.id.clone(), (**room).clone());
            }
            Change::DeleteRoom(id) => drop(self.rooms.remove(id)),
            Change::DeleteVersion(version) => {
                let active = self.scheduler.as_ref().map(|s| s.version());
                assert_ne!(active, Some(version), "the active version goes");
                self.versions.remove(version);
                self.live.remove(version);
            }
            Change::PutRuntime(record) => self.runtime = Some((**record).clone()),
            Change::PutOperator(record) => self.operator = *record,
            Change::PutLiveVersion(live) => {
                let known = self.versions.contains_key(&live.version);
                assert!(known, "the state of a version that is not there");
                self.live.insert(live.version.clone(), (**live).clone());
            }
            Change::TouchRooms(touches) => touches.iter().for_each(|t| self.touch(t)),
            Change::PutOperation(record) => self.put(record),
            Change::RenewOperationLease { operation, until } => {
                if let Some(record) = self.operations.get_mut(operation) {
                    record.lease_until = Some(*until);
                }
            }
            Change::DeleteOperations(ids) => self.operations.retain(|id, _| !ids.contains(id)),
        }
    }

    /// Stores an operation, as its owner or another program does.
    pub fn put(&mut self, record: &OperationRecord) {
        self.last += 1;
        self.came.entry(record.id).or_insert(self.last);
        if let Some(old) = self.operations.get(&record.id) {
            let again = old.status.is_final() && !record.status.is_final();
            assert!(!again, "{} goes on after its end", record.id);
        }
        self.operations.insert(record.id, record.clone());
    }

    pub(crate) fn touch(&mut self, touch: &RoomTouch) {
        if let Some(room) = self.rooms.get_mut(&touch.room) {
            room.reported.touch(touch);
        }
    }

    /// Loses all rooms and operations.
    pub(crate) fn lose_everything(&mut self) {
        self.rooms.clear();
        self.operations.clear();
        self.came.clear();
        self.seq = Seq::default();
        self.behind = true;
    }

    /// Commits one batch under its fence, atomically.
    pub(crate) fn commit(
        &mut self,
        fence: &Fence,
        changes: &[Change],
        fault: Option<StoreFault>,
    ) -> Result<(), CommitError> {
        match fault {
            Some(StoreFault::NotApplied) => return Err(CommitError::NotApplied("away".into())),
            Some(StoreFault::NotAppliedUnknown) => {
                return Err(CommitError::Unknown("silent".into()));
            }
            _ => {}
        }
        if self.seq != fence.previous {
            return Err(CommitError::Behind { stored: self.seq });
        }
        changes.iter().for_each(|change| self.apply(change));
        self.seq = fence.seq;
        self.behind = false;
        match fault {
            Some(StoreFault::AppliedUnknown) => Err(CommitError::Unknown("silent".into())),
            _ => Ok(()),
        }
    }

    /// The state that an owner loads at its start.
    pub fn loaded(&self) -> Loaded {
        let came = |o: &OperationRecord| self.came.get(&o.id).copied().unwrap_or_default();
        let mut open: Vec<_> = self.operations.values().cloned().collect();
        open.retain(|o| !o.status.is_final());
        open.sort_by_key(|o| match o.priority {
            true => (0, u64::MAX - came(o)),
            false => (1, came(o)),
        });
        let ended = self.operations.values().filter(|o| o.status.is_final());
        let mut ended: Vec<_> = ended.map(EndedOperation::of).collect();
        ended.sort_by_key(|e| e.ended_at);
        Loaded {
            scheduler: self.scheduler.clone(),
            versions: self.versions.values().cloned().collect(),
            rooms: self.rooms.values().cloned().collect(),
            operations: open,
            ended,
            live: self.live.values().cloned().collect(),
            runtime: self.runtime.clone(),
            operator: self.operator,
            seq: self.seq,
            behind: self.behind,
        }
    }
}
