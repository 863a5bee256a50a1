//! The tables of the file: their keys, their values, and how rows are encoded.
//!
//! Documents are JSON, so that people can read them. Fields that the store itself needs precede the document, so that
//! it never has to parse a document in order to change another.

use maestro_core::domain::{OperationRecord, OperationStatus, RoomStatus};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

/// `format`, `installation` and `epoch`, as text.
pub const META: TableDefinition<&str, &str> = TableDefinition::new("meta");
/// The last applied batch of each scheduler.
pub const SEQS: TableDefinition<&str, u64> = TableDefinition::new("seqs");
/// Active documents: creation time of the row (nanoseconds), document.
pub const SCHEDULERS: TableDefinition<&str, DocumentRow> = TableDefinition::new("schedulers");
/// By scheduler and version: creation time of the version (nanoseconds), document.
pub const VERSIONS: TableDefinition<(&str, &str), DocumentRow> = TableDefinition::new("versions");
/// By scheduler and room: status, document.
pub const ROOMS: TableDefinition<(&str, &str), RoomRow> = TableDefinition::new("rooms");
/// By scheduler and operation: see [`OperationRow`].
pub const OPERATIONS: TableDefinition<(&str, u128), OperationRow> =
    TableDefinition::new("operations");
/// Ended operations that listings show: scheduler, second in which the operation ended (see [`second`]), operation.
/// Within a second they are ordered by their ids (contract 2.4).
pub const HISTORY: TableDefinition<(&str, i64, u128), ()> = TableDefinition::new("history");

/// The second that contains a time in microseconds.
pub fn second(microseconds: i64) -> i64 {
    microseconds.div_euclid(1_000_000)
}

/// An operator's decisions about a scheduler.
pub const ROLLOUTS: TableDefinition<&str, &[u8]> = TableDefinition::new("rollouts");

/// By scheduler and version: how far the version is.
pub const LIVE: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("live_versions");

/// Runtimes that were created by themselves, by name.
pub const RUNTIMES: TableDefinition<&str, &[u8]> = TableDefinition::new("runtimes");

pub type DocumentRow = (i128, &'static [u8]);
pub type RoomRow = (u8, &'static [u8]);
/// Position in the order of creation; whether the operation is open; when it got its status (microseconds); document.
pub type OperationRow = (u64, bool, i64, &'static [u8]);

/// A room's status from its stored number.
pub fn room_status(number: u8) -> Option<RoomStatus> {
    RoomStatus::ALL.get(usize::from(number)).copied()
}

/// Whether an operation is in the history that listings show (contract 2.4, `final`).
pub fn is_in_history(operation: &OperationRecord) -> bool {
    operation.status.is_final()
        && !(operation.status == OperationStatus::Finished && operation.definition.is_no_action())
}

/// The smallest text after `name`, as the end of a key range: keys of `a-b` are not between `a` and its successor.
pub fn successor(name: &str) -> String {
    format!("{name}\0")
}

pub fn encode(document: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(document)
}

pub fn decode<'a, T: Deserialize<'a>>(
    table: &'static str,
    key: &str,
    bytes: &'a [u8],
) -> Result<T, RowError> {
    serde_json::from_slice(bytes).map_err(|source| RowError {
        table,
        key: key.into(),
        source,
    })
}

/// A malformed row.
#[derive(Debug, thiserror::Error)]
#[error("row {key:?} of table {table}: {source}")]
pub struct RowError {
    table: &'static str,
    key: String,
    #[source]
    source: serde_json::Error,
}

/// Creates all tables, so that readers find them.
pub fn create_all(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(META)?;
    txn.open_table(SEQS)?;
    txn.open_table(SCHEDULERS)?;
    txn.open_table(VERSIONS)?;
    txn.open_table(ROOMS)?;
    txn.open_table(OPERATIONS)?;
    txn.open_table(HISTORY)?;
    txn.open_table(ROLLOUTS)?;
    txn.open_table(LIVE)?;
    txn.open_table(RUNTIMES)?;
    Ok(())
}

/// Copies every row of every table.
pub fn copy_all(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), redb::Error> {
    copy(from, to, META)?;
    copy(from, to, SEQS)?;
    copy(from, to, SCHEDULERS)?;
    copy(from, to, VERSIONS)?;
    copy(from, to, ROOMS)?;
    copy(from, to, OPERATIONS)?;
    copy(from, to, HISTORY)?;
    copy(from, to, ROLLOUTS)?;
    copy(from, to, LIVE)?;
    copy(from, to, RUNTIMES)
}

fn copy<K: redb::Key + 'static, V: redb::Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<(), redb::Error> {
    let source = from.open_table(table)?;
    let mut target = to.open_table(table)?;
    for row in source.iter()? {
        let (key, value) = row?;
        target.insert(key.value(), value.value())?;
    }
    Ok(())
}
