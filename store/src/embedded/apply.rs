//! Writes changes to the tables, inside a transaction that the caller commits.

use super::{
    batch::Batch,
    model::{Active, ModelChange, QueuedOperation},
    tables::{self, DocumentRow, OperationRow, RoomRow, second},
};
use jiff::Timestamp;
use maestro_core::{
    domain::{
        OperationId, OperationRecord, RoomId, RoomRecord, RoomReport, RoomTouch, Scheduler,
        SchedulerName, SchedulerVersion,
    },
    ports::{Change, VersionRow},
};
use redb::{ReadableTable, Table, WriteTransaction};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// The changes of a transaction, by scheduler.
pub type ModelChanges = Vec<(SchedulerName, ModelChange)>;

/// The open tables of one transaction.
pub struct Tables<'txn> {
    seqs: Table<'txn, &'static str, u64>,
    schedulers: Table<'txn, &'static str, DocumentRow>,
    versions: Table<'txn, (&'static str, &'static str), DocumentRow>,
    rooms: Table<'txn, (&'static str, &'static str), RoomRow>,
    operations: Table<'txn, (&'static str, u128), OperationRow>,
    history: Table<'txn, (&'static str, i64, u128), ()>,
    rollouts: Table<'txn, &'static str, &'static [u8]>,
    live: Table<'txn, (&'static str, &'static str), &'static [u8]>,
    runtimes: Table<'txn, &'static str, &'static [u8]>,
}

impl<'txn> Tables<'txn> {
    pub fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            seqs: txn.open_table(tables::SEQS)?,
            schedulers: txn.open_table(tables::SCHEDULERS)?,
            versions: txn.open_table(tables::VERSIONS)?,
            rooms: txn.open_table(tables::ROOMS)?,
            operations: txn.open_table(tables::OPERATIONS)?,
            history: txn.open_table(tables::HISTORY)?,
            rollouts: txn.open_table(tables::ROLLOUTS)?,
            live: txn.open_table(tables::LIVE)?,
            runtimes: txn.open_table(tables::RUNTIMES)?,
        })
    }

    /// Applies an admitted batch: from here on only the file itself can fail.
    pub fn apply(&mut self, batch: &Batch, out: &mut ModelChanges) -> Result<(), redb::Error> {
        let name = &batch.fence.scheduler;
        self.seqs.insert(name.as_str(), batch.fence.seq.0)?;
        for (index, (change, document)) in batch.encoded().enumerate() {
            // Operations of later batches, and of later changes in a batch, were created later.
            let order = (batch.fence.seq.0 << 16) | (index as u64 & 0xffff);
            let mut rows = Rows {
                tables: self,
                scheduler: name,
                out,
            };
            rows.apply(change, document, order)?;
        }
        Ok(())
    }
}

/// The rows of one scheduler.
struct Rows<'a, 'txn> {
    tables: &'a mut Tables<'txn>,
    scheduler: &'a SchedulerName,
    out: &'a mut ModelChanges,
}

impl Rows<'_, '_> {
    fn apply(&mut self, change: &Change, document: &[u8], order: u64) -> Result<(), redb::Error> {
        match change {
            Change::CreateScheduler(scheduler) => self.create(scheduler, document),
            Change::UpdateScheduler(scheduler) => self.update(scheduler, document),
            Change::CreateVersion {
                scheduler,
                created_at,
            } => self.add_version(scheduler, *created_at, document),
            Change::UpdateVersion(scheduler) => self.update_version(scheduler, document),
            Change::DeleteScheduler { keep } => self.delete(*keep),
            Change::Clear => self.clear(),
            Change::PutRoom(room) => self.put_room(room, document),
            Change::DeleteRoom(room) => self.delete_room(room),
            Change::DeleteVersion(version) => self.delete_version(version),
            Change::PutOperator(_) => {
                let name = self.scheduler.as_str();
                self.tables.rollouts.insert(name, document)?;
                Ok(())
            }
            Change::PutRuntime(_) => {
                let name = self.scheduler.as_str();
                self.tables.runtimes.insert(name, document)?;
                self.tell(ModelChange::Runtime);
                Ok(())
            }
            Change::PutLiveVersion(live) => {
                let key = (self.scheduler.as_str(), live.version.as_str());
                self.tables.live.insert(key, document)?;
                Ok(())
            }
            Change::TouchRooms(touches) => touches.iter().try_for_each(|t| self.touch(t)),
            Change::PutOperation(operation) => {
                self.put_operation(Arc::new(OperationRecord::clone(operation)), document, order)
            }
            Change::RenewOperationLease { operation, until } => self.renew(*operation, *until),
            Change::DeleteOperations(ids) => {
                ids.iter().try_for_each(|id| self.delete_operation(*id))
            }
        }
    }

    fn tell(&mut self, change: ModelChange) {
        self.out.push((self.scheduler.clone(), change));
    }

    fn create(&mut self, scheduler: &Arc<Scheduler>, document: &[u8]) -> Result<(), redb::Error> {
        let created_at = scheduler.created_at;
        let row = (created_at.as_nanosecond(), document);
        let name = self.scheduler.as_str();
        self.tables.schedulers.insert(name, row)?;
        self.tell(ModelChange::Active(Active::new(
            scheduler.clone(),
            created_at,
        )));
        self.add_version(scheduler, created_at, document)
    }

    fn update(&mut self, scheduler: &Arc<Scheduler>, document: &[u8]) -> Result<(), redb::Error> {
        let name = self.scheduler.as_str();
        let created = self.tables.schedulers.get(name)?.map(|row| row.value().0);
        let created = created.unwrap_or(scheduler.created_at.as_nanosecond());
        self.tables.schedulers.insert(name, (created, document))?;
        let created_at = Timestamp::from_nanosecond(created).unwrap_or(scheduler.created_at);
        self.tell(ModelChange::Active(Active::new(
            scheduler.clone(),
            created_at,
        )));
        Ok(())
    }

    /// A version needs an existing scheduler; an existing version is not overwritten.
    fn add_version(
        &mut self,
        scheduler: &Scheduler,
        created_at: Timestamp,
        document: &[u8],
    ) -> Result<(), redb::Error> {
        let version = scheduler.version();
        let name = self.scheduler.as_str();
        let key = (name, version.as_str());
        if self.tables.schedulers.get(name)?.is_none() || self.tables.versions.get(key)?.is_some() {
            return Ok(());
        }
        let row = (created_at.as_nanosecond(), document);
        self.tables.versions.insert(key, row)?;
        self.tell(ModelChange::Version(VersionRow {
            version: version.clone(),
            created_at,
        }));
        Ok(())
    }

    /// Only the document changes; the version's listing stays the same.
    fn update_version(
        &mut self,
        scheduler: &Scheduler,
        document: &[u8],
    ) -> Result<(), redb::Error> {
        let key = (self.scheduler.as_str(), scheduler.version().as_str());
        let created = self.tables.versions.get(key)?.map(|row| row.value().0);
        if let Some(created) = created {
            self.tables.versions.insert(key, (created, document))?;
        }
        Ok(())
    }

    fn delete_version(&mut self, version: &SchedulerVersion) -> Result<(), redb::Error> {
        let key = (self.scheduler.as_str(), version.as_str());
        if self.tables.versions.remove(key)?.is_some() {
            self.tell(ModelChange::VersionGone(version.clone()));
        }
        self.tables.live.remove(key)?;
        Ok(())
    }

    fn delete(&mut self, keep: OperationId) -> Result<(), redb::Error> {
        let name = self.scheduler.as_str();
        let end = tables::successor(name);
        let kept = keep.0.as_u128();
        self.tables.schedulers.remove(name)?;
        self.tables.rollouts.remove(name)?;
        self.tables.runtimes.remove(name)?;
        let texts = (name, "")..(end.as_str(), "");
        self.tables
            .versions
            .retain_in(texts.clone(), |_, _| false)?;
        self.tables.live.retain_in(texts.clone(), |_, _| false)?;
        self.tables.rooms.retain_in(texts, |_, _| false)?;
        let ids = (name, 0)..=(name, u128::MAX);
        self.tables
            .operations
            .retain_in(ids, |(_, id), _| id == kept)?;
        let mut history = 0;
        let moments = (name, i64::MIN, 0)..=(name, i64::MAX, u128::MAX);
        self.tables.history.retain_in(moments, |(_, _, id), ()| {
            history += u64::from(id == kept);
            id == kept
        })?;
        self.tell(ModelChange::Deleted { keep, history });
        Ok(())
    }

    /// Everything that the owner of a running scheduler keeps in memory as a whole.
    fn clear(&mut self) -> Result<(), redb::Error> {
        let name = self.scheduler.as_str();
        let end = tables::successor(name);
        let mut gone = Vec::new();
        let texts = (name, "")..(end.as_str(), "");
        self.tables.rooms.retain_in(texts, |_, (status, _)| {
            let from = tables::room_status(status);
            gone.push(ModelChange::Room { from, to: None });
            false
        })?;
        let ids = (name, 0)..=(name, u128::MAX);
        let ended = |(_, id): (&str, u128), (_, is_open, _, _): (u64, bool, i64, &[u8])| {
            if is_open {
                let id = OperationId(uuid::Uuid::from_u128(id));
                gone.push(ModelChange::OperationGone { id, history: 0 });
            }
            !is_open
        };
        self.tables.operations.retain_in(ids, ended)?;
        gone.into_iter().for_each(|change| self.tell(change));
        Ok(())
    }

    fn put_room(&mut self, room: &RoomRecord, document: &[u8]) -> Result<(), redb::Error> {
        let key = (self.scheduler.as_str(), room.id.as_str());
        let row = (room.reported.status as u8, document);
        let old = self.tables.rooms.insert(key, row)?;
        let from = old.and_then(|row| tables::room_status(row.value().0));
        let to = Some(room.reported.status);
        if from != to {
            self.tell(ModelChange::Room { from, to });
        }
        Ok(())
    }

    fn delete_room(&mut self, room: &RoomId) -> Result<(), redb::Error> {
        let key = (self.scheduler.as_str(), room.as_str());
        let old = self.tables.rooms.remove(key)?;
        let from = old.and_then(|row| tables::room_status(row.value().0));
        if from.is_some() {
            self.tell(ModelChange::Room { from, to: None });
        }
        Ok(())
    }

    /// Applies a steady ping: the status is unchanged, so no count changes.
    fn touch(&mut self, touch: &RoomTouch) -> Result<(), redb::Error> {
        let key = (self.scheduler.as_str(), touch.room.as_str());
        let row = self.tables.rooms.get(key)?.and_then(|row| {
            let (status, document) = row.value();
            let mut room: TouchedRoom = read("rooms", key.1, document)?;
            room.reported.touch(touch);
            Some((status, written(&room)?))
        });
        if let Some((status, document)) = row {
            self.tables
                .rooms
                .insert(key, (status, document.as_slice()))?;
        }
        Ok(())
    }

    fn put_operation(
        &mut self,
        record: Arc<OperationRecord>,
        document: &[u8],
        order: u64,
    ) -> Result<(), redb::Error> {
        let name = self.scheduler.as_str();
        let id = record.id.0.as_u128();
        let at = record.status_at.as_microsecond();
        let old = self.tables.operations.get((name, id))?.map(|row| {
            let (order, _, at, _) = row.value();
            (order, at)
        });
        let order = old.map_or(order, |(order, _)| order);
        let is_open = !record.status.is_final();
        let row = (order, is_open, at, document);
        self.tables.operations.insert((name, id), row)?;
        let mut history = 0;
        if let Some((_, old_at)) = old
            && self
                .tables
                .history
                .remove((name, second(old_at), id))?
                .is_some()
        {
            history -= 1;
        }
        if tables::is_in_history(&record) {
            self.tables.history.insert((name, second(at), id), ())?;
            history += 1;
        }
        let operation = QueuedOperation { order, record };
        self.tell(ModelChange::Operation { operation, history });
        Ok(())
    }

    /// Operations that are gone or have ended get no lease.
    fn renew(&mut self, id: OperationId, until: Timestamp) -> Result<(), redb::Error> {
        let key = (self.scheduler.as_str(), id.0.as_u128());
        let found = self.tables.operations.get(key)?.and_then(|row| {
            let (order, is_open, at, document) = row.value();
            let record = is_open.then(|| read("operations", &id.to_string(), document))?;
            record.map(|record: OperationRecord| (order, at, record))
        });
        let Some((order, at, mut record)) = found else {
            return Ok(());
        };
        record.lease_until = Some(until);
        let Some(document) = written(&record) else {
            return Ok(());
        };
        let row = (order, true, at, document.as_slice());
        self.tables.operations.insert(key, row)?;
        let record = Arc::new(record);
        self.tell(ModelChange::Operation {
            operation: QueuedOperation { order, record },
            history: 0,
        });
        Ok(())
    }

    fn delete_operation(&mut self, id: OperationId) -> Result<(), redb::Error> {
        let name = self.scheduler.as_str();
        let number = id.0.as_u128();
        let old = self.tables.operations.remove((name, number))?;
        let Some(at) = old.map(|row| row.value().2) else {
            return Ok(());
        };
        let shown = self
            .tables
            .history
            .remove((name, second(at), number))?
            .is_some();
        self.tell(ModelChange::OperationGone {
            id,
            history: -i64::from(shown),
        });
        Ok(())
    }
}

/// The part of a [`RoomRecord`] that a steady ping changes. The other parts are copied unparsed.
#[derive(Serialize, Deserialize)]
struct TouchedRoom<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    intent: &'a RawValue,
    reported: RoomReport,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    instance: Option<&'a RawValue>,
}

/// An unreadable row is skipped: it must not block the other changes.
fn read<'a, T: Deserialize<'a>>(table: &'static str, key: &str, document: &'a [u8]) -> Option<T> {
    tables::decode(table, key, document)
        .inspect_err(|error| tracing::error!(%error, "skipped a row that cannot be read"))
        .ok()
}

fn written(document: &impl Serialize) -> Option<Vec<u8>> {
    tables::encode(document)
        .inspect_err(|error| tracing::error!(%error, "skipped a row that cannot be written"))
        .ok()
}
