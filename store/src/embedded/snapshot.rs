//! Reads a whole file: the read model of all schedulers, and everything that the owner of one scheduler needs.

use super::{
    model::{Active, Entries, ModelChange, QueuedOperation},
    shared::ReadError,
    tables::{self, RowError},
};
use jiff::Timestamp;
use maestro_core::{
    domain::{OperationRecord, RoomRecord, Scheduler, SchedulerName, SchedulerVersion, Seq},
    ports::{EndedOperation, Loaded, VersionRow},
};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};
use std::{collections::HashMap, sync::Arc};

pub type Seqs = HashMap<SchedulerName, Seq>;

/// The read model and the seqs stored in the file.
pub fn everything(db: &Database) -> Result<(Entries, Seqs), ReadError> {
    let txn = db.begin_read()?;
    let mut entries = Entries::new();
    let mut tell = |name: &str, change| entries.entry(name.into()).or_default().apply(change);
    for row in txn.open_table(tables::SCHEDULERS)?.iter()? {
        let (name, row) = row?;
        let (created, document) = row.value();
        let document: Arc<Scheduler> = tables::decode("schedulers", name.value(), document)?;
        let created_at = moment(created);
        let active = Active::new(document, created_at);
        tell(name.value(), ModelChange::Active(active));
    }
    for row in txn.open_table(tables::VERSIONS)?.iter()? {
        let (key, row) = row?;
        let (name, version) = key.value();
        let row = VersionRow {
            version: SchedulerVersion::from(version),
            created_at: moment(row.value().0),
        };
        tell(name, ModelChange::Version(row));
    }
    for row in txn.open_table(tables::ROOMS)?.iter()? {
        let (key, row) = row?;
        let to = tables::room_status(row.value().0);
        tell(key.value().0, ModelChange::Room { from: None, to });
    }
    for row in txn.open_table(tables::OPERATIONS)?.iter()? {
        let (key, row) = row?;
        let (name, _) = key.value();
        if let Some(operation) = open_operation(key.value().1, row.value())? {
            let history = 0;
            tell(name, ModelChange::Operation { operation, history });
        }
    }
    for row in txn.open_table(tables::RUNTIMES)?.iter()? {
        let (name, _) = row?;
        tell(name.value(), ModelChange::Runtime);
    }
    for row in txn.open_table(tables::HISTORY)?.iter()? {
        let (key, _) = row?;
        let (name, _, _) = key.value();
        tell(name, ModelChange::Ended);
    }
    let mut seqs = Seqs::new();
    for row in txn.open_table(tables::SEQS)?.iter()? {
        let (name, seq) = row?;
        seqs.insert(name.value().into(), Seq(seq.value()));
    }
    Ok((entries, seqs))
}

/// The active version of each scheduler.
pub fn schedulers(db: &Database) -> Result<Vec<Arc<Scheduler>>, ReadError> {
    let mut documents = Vec::new();
    for row in db.begin_read()?.open_table(tables::SCHEDULERS)?.iter()? {
        let (name, row) = row?;
        documents.push(tables::decode("schedulers", name.value(), row.value().1)?);
    }
    Ok(documents)
}

/// All rows of one scheduler.
pub fn load(txn: &ReadTransaction, name: &str) -> Result<Loaded, ReadError> {
    let end = tables::successor(name);
    let texts = (name, "")..(end.as_str(), "");
    let mut loaded = Loaded::default();
    if let Some(row) = txn.open_table(tables::SCHEDULERS)?.get(name)? {
        loaded.scheduler = Some(tables::decode("schedulers", name, row.value().1)?);
    }
    for row in txn.open_table(tables::VERSIONS)?.range(texts.clone())? {
        let (key, row) = row?;
        let document = tables::decode("versions", key.value().1, row.value().1)?;
        loaded.versions.push(document);
    }
    for row in txn.open_table(tables::LIVE)?.range(texts.clone())? {
        let (key, row) = row?;
        let live = tables::decode("live_versions", key.value().1, row.value())?;
        loaded.live.push(live);
    }
    for row in txn.open_table(tables::ROOMS)?.range(texts)? {
        let (key, row) = row?;
        let room: RoomRecord = tables::decode("rooms", key.value().1, row.value().1)?;
        loaded.rooms.push(room);
    }
    let mut queue = Vec::new();
    let ids = (name, 0)..=(name, u128::MAX);
    for row in txn.open_table(tables::OPERATIONS)?.range(ids)? {
        let (key, row) = row?;
        match open_operation(key.value().1, row.value())? {
            Some(open) => queue.push(open),
            None => loaded
                .ended
                .push(ended_operation(key.value().1, row.value())?),
        }
    }
    loaded.ended.sort_by_key(|ended| ended.ended_at);
    if let Some(row) = txn.open_table(tables::ROLLOUTS)?.get(name)? {
        loaded.operator = tables::decode("rollouts", name, row.value())?;
    }
    if let Some(row) = txn.open_table(tables::RUNTIMES)?.get(name)? {
        loaded.runtime = Some(tables::decode("runtimes", name, row.value())?);
    }
    queue.sort_by(QueuedOperation::by_queue);
    loaded.operations = queue
        .into_iter()
        .map(|o| Arc::unwrap_or_clone(o.record))
        .collect();
    let seq = txn.open_table(tables::SEQS)?.get(name)?;
    loaded.seq = Seq(seq.map_or(0, |seq| seq.value()));
    Ok(loaded)
}

fn open_operation(
    id: u128,
    row: (u64, bool, i64, &[u8]),
) -> Result<Option<QueuedOperation>, RowError> {
    let (order, is_open, _, document) = row;
    if !is_open {
        return Ok(None);
    }
    let id = uuid::Uuid::from_u128(id).to_string();
    let record: Arc<OperationRecord> = tables::decode("operations", &id, document)?;
    Ok(Some(QueuedOperation { order, record }))
}

/// The fields of an ended operation that retention needs.
fn ended_operation(id: u128, row: (u64, bool, i64, &[u8])) -> Result<EndedOperation, RowError> {
    let id = uuid::Uuid::from_u128(id).to_string();
    let record: OperationRecord = tables::decode("operations", &id, row.3)?;
    Ok(EndedOperation::of(&record))
}

/// Stored nanoseconds originate from a [`Timestamp`], so they are in its range.
fn moment(nanoseconds: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
