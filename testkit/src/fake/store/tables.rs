//! What is stored of one scheduler, and how a change changes it.

use jiff::Timestamp;
use maestro_core::{domain::*, ports::*};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;
use uuid::Uuid;

#[derive(Clone, Default)]
pub(super) struct Tables {
    pub scheduler: Option<Arc<Scheduler>>,
    /// Creation time of the row: an update does not change it.
    pub created_at: Timestamp,
    pub versions: BTreeMap<SchedulerVersion, (Timestamp, Arc<Scheduler>)>,
    pub rooms: BTreeMap<RoomId, Arc<RoomRecord>>,
    /// Operations with their sequence number of arrival.
    pub operations: BTreeMap<OperationId, (u64, Arc<OperationRecord>)>,
    pub live: BTreeMap<SchedulerVersion, LiveVersion>,
    pub runtime: Option<RuntimeRecord>,
    pub operator: OperatorRecord,
    came: u64,
}

impl Tables {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::CreateScheduler(scheduler) => {
                let row = (scheduler.created_at, scheduler.clone());
                self.versions.insert(scheduler.version().clone(), row);
                self.scheduler = Some(scheduler.clone());
                self.created_at = scheduler.created_at;
            }
            Change::UpdateScheduler(scheduler) => {
                if self.scheduler.is_none() {
                    self.created_at = scheduler.created_at;
                }
                self.scheduler = Some(scheduler.clone());
            }
            Change::CreateVersion {
                scheduler,
                created_at,
            } => {
                if self.scheduler.is_some() {
                    let row = (*created_at, scheduler.clone());
                    let version = scheduler.version().clone();
                    self.versions.entry(version).or_insert(row);
                }
            }
            Change::UpdateVersion(scheduler) => {
                if let Some((_, document)) = self.versions.get_mut(scheduler.version()) {
                    *document = scheduler.clone();
                }
            }
            Change::DeleteScheduler { keep } => {
                self.scheduler = None;
                self.versions.clear();
                self.live.clear();
                self.runtime = None;
                self.operator = OperatorRecord::default();
                self.rooms.clear();
                self.operations.retain(|id, _| id == keep);
            }
            Change::Clear => {
                self.rooms.clear();
                self.operations.retain(|_, (_, o)| o.status.is_final());
            }
            Change::PutRoom(room) => {
                self.rooms
                    .insert(room.id.clone(), Arc::new((**room).clone()));
            }
            Change::DeleteVersion(version) => {
                self.versions.remove(version);
                self.live.remove(version);
            }
            Change::PutLiveVersion(live) => {
                self.live.insert(live.version.clone(), (**live).clone());
            }
            Change::PutRuntime(record) => self.runtime = Some((**record).clone()),
            Change::PutOperator(record) => self.operator = *record,
            Change::DeleteRoom(id) => drop(self.rooms.remove(id)),
            Change::TouchRooms(touches) => touches.iter().for_each(|t| self.touch(t)),
            Change::PutOperation(record) => self.put_operation(record),
            Change::RenewOperationLease { operation, until } => self.renew(*operation, *until),
            Change::DeleteOperations(ids) => {
                self.operations.retain(|id, _| !ids.contains(id));
            }
        }
    }

    fn touch(&mut self, touch: &RoomTouch) {
        if let Some(room) = self.rooms.get_mut(&touch.room) {
            Arc::make_mut(room).reported.touch(touch);
        }
    }

    fn put_operation(&mut self, record: &OperationRecord) {
        self.came += 1;
        let came = self.operations.get(&record.id).map(|(came, _)| *came);
        let row = (came.unwrap_or(self.came), Arc::new(record.clone()));
        self.operations.insert(record.id, row);
    }

    fn renew(&mut self, id: OperationId, until: Timestamp) {
        if let Some((_, record)) = self.operations.get_mut(&id)
            && !record.status.is_final()
        {
            Arc::make_mut(record).lease_until = Some(until);
        }
    }

    /// The queue in its order: operations with priority come first, the latest of them before the
    /// others.
    pub fn queue(&self) -> Vec<Arc<OperationRecord>> {
        let open = self.operations.values();
        let mut open: Vec<_> = open.filter(|(_, o)| !o.status.is_final()).collect();
        open.sort_by_key(|(came, o)| match o.priority {
            true => (0, u64::MAX - came),
            false => (1, *came),
        });
        open.into_iter().map(|(_, o)| o.clone()).collect()
    }

    /// Whether there is anything for an owner to do.
    pub fn is_wanted(&self) -> bool {
        let open = |(_, o): &(u64, Arc<OperationRecord>)| !o.status.is_final();
        self.scheduler.is_some() || self.runtime.is_some() || self.operations.values().any(open)
    }

    /// Ended operations, oldest first.
    pub fn ended(&self) -> Vec<Arc<OperationRecord>> {
        let all = self.operations.values().map(|(_, o)| o.clone());
        let mut ended: Vec<_> = all.filter(|o| o.status.is_final()).collect();
        ended.sort_by_key(|o| (o.status_at.as_second(), o.id));
        ended
    }
}

/// Everything about one scheduler.
#[derive(Default)]
pub(super) struct Row {
    pub epoch: Epoch,
    pub seq: Seq,
    /// Session of the owning node.
    pub owner: Option<Uuid>,
    pub tables: Tables,
    /// The state before the last batch.
    pub before: Option<(Seq, Tables)>,
    /// Rooms and operations were lost, and nothing was written since.
    pub behind: bool,
}

impl Row {
    pub fn lose_last(&mut self) {
        if let Some((seq, tables)) = self.before.take() {
            (self.seq, self.tables) = (seq, tables);
        }
    }

    /// The documents are elsewhere, so they stay.
    pub fn lose_rooms_and_operations(&mut self) {
        self.tables.rooms.clear();
        self.tables.operations.clear();
        self.seq = Seq::default();
        self.before = None;
        self.behind = true;
    }
}

pub(super) fn loaded(row: &Row) -> Loaded {
    let tables = &row.tables;
    let versions = tables.versions.values().map(|(_, v)| v.clone());
    Loaded {
        scheduler: tables.scheduler.clone(),
        versions: versions.collect(),
        rooms: tables.rooms.values().map(|r| (**r).clone()).collect(),
        operations: tables.queue().iter().map(|o| (**o).clone()).collect(),
        ended: tables
            .ended()
            .iter()
            .map(|o| EndedOperation::of(o))
            .collect(),
        live: tables.live.values().cloned().collect(),
        runtime: tables.runtime.clone(),
        operator: tables.operator,
        seq: row.seq,
        behind: row.behind,
    }
}

/// A process in the table of nodes.
#[derive(Clone)]
pub(super) struct Session {
    pub member: Member,
    pub until: Instant,
}
