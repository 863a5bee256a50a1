//! Batches whose rows are committed, and which Redis may still lack.

use super::rows::{count, number};
use super::{Database, DatabaseError, Param};
use maestro_core::domain::{SchedulerName, Seq};
use std::collections::HashMap;
use tokio_postgres::types::Type;

const PENDING: &str =
    "SELECT scheduler, seq, payload FROM maestro_outbox WHERE scheduler = ANY($1) ORDER BY seq";
const CLEAR: &str = "DELETE FROM maestro_outbox WHERE scheduler = $1 AND seq <= $2";

/// By scheduler: seq and payload of each batch, in their order.
pub type Pending = HashMap<String, Vec<(Seq, Vec<u8>)>>;

/// The batches of these schedulers that are in the outbox.
///
/// # Errors
/// If the database fails.
pub async fn pending(database: &Database, names: &[&str]) -> Result<Pending, DatabaseError> {
    let rows = database
        .query(PENDING, &[(&names, Type::TEXT_ARRAY)])
        .await?;
    let mut pending = Pending::new();
    for row in &rows {
        let batch = (Seq(count(row.get(1))), row.get(2));
        pending.entry(row.get(0)).or_default().push(batch);
    }
    Ok(pending)
}

/// Redis has all batches up to this one.
///
/// # Errors
/// If the database fails.
pub async fn clear(
    database: &Database,
    scheduler: &SchedulerName,
    until: Seq,
) -> Result<(), DatabaseError> {
    let (name, seq) = (scheduler.as_str(), number(until.0));
    let both: [Param<'_>; 2] = [(&name, Type::TEXT), (&seq, Type::INT8)];
    database.change(CLEAR, &both).await?;
    Ok(())
}
