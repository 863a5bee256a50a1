//! Rows of owners that nothing needs any more: their schedulers were deleted, or never created.

use super::statements::count_of;
use crate::postgres::Param;
use crate::postgres::connect::Database;
use crate::postgres::error::DatabaseError;
use crate::postgres::rows::count;
use maestro_core::domain::{Epoch, SchedulerName};
use tokio_postgres::types::Type;

/// Names that are looked at together; more are found the next time.
const TOGETHER_MAX: i64 = 1000;
/// Whether nobody needs the row `o`: no scheduler, no runtime without one, no batch that Redis lacks, and no session
/// that lives or may go on after a pause of this database.
const UNNEEDED: &str = "
    NOT EXISTS (SELECT FROM schedulers s WHERE s.name = o.scheduler)
    AND NOT EXISTS (SELECT FROM maestro_runtime r WHERE r.scheduler = o.scheduler)
    AND NOT EXISTS (SELECT FROM maestro_outbox b WHERE b.scheduler = o.scheduler)
    AND NOT EXISTS (SELECT FROM maestro_node n
        WHERE n.session = o.session AND n.expires_at > clock_timestamp() - interval '1 minute')";

/// Names whose rows nobody needs.
///
/// # Errors
/// If the database fails.
pub async fn unneeded(database: &Database) -> Result<Vec<SchedulerName>, DatabaseError> {
    let statement = format!(
        "SELECT o.scheduler FROM maestro_owner o WHERE {UNNEEDED} ORDER BY o.scheduler LIMIT $1"
    );
    let most: [Param<'_>; 1] = [(&TOGETHER_MAX, Type::INT8)];
    let rows = database.query(&statement, &most).await?;
    Ok(rows
        .iter()
        .map(|row| row.get::<_, String>(0).into())
        .collect())
}

/// Those of these names that the database does not know at all: they have no row of an owner either.
///
/// # Errors
/// If the database fails.
pub async fn unknown(
    database: &Database,
    names: &[&str],
) -> Result<Vec<SchedulerName>, DatabaseError> {
    let statement = "
        SELECT w.name FROM unnest($1) AS w (name)
        WHERE NOT EXISTS (SELECT FROM maestro_owner o WHERE o.scheduler = w.name)
            AND NOT EXISTS (SELECT FROM schedulers s WHERE s.name = w.name)
            AND NOT EXISTS (SELECT FROM maestro_runtime r WHERE r.scheduler = w.name)
            AND NOT EXISTS (SELECT FROM maestro_outbox b WHERE b.scheduler = w.name)
        ORDER BY w.name LIMIT $2";
    let asked: [Param<'_>; 2] = [(&names, Type::TEXT_ARRAY), (&TOGETHER_MAX, Type::INT8)];
    let rows = database.query(statement, &asked).await?;
    Ok(rows
        .iter()
        .map(|row| row.get::<_, String>(0).into())
        .collect())
}

/// Deletes those of these rows that nobody needs, and answers their last epochs.
///
/// Who takes such a name at this moment keeps it: a row is deleted only as it was seen, and who comes later makes a new
/// one. No epoch returns, so that an owner that was stopped long ago stays fenced off: new rows begin after the highest
/// epoch that was deleted, which is a setting (`super::statements::ACQUIRE` reads it).
///
/// # Errors
/// If the database fails.
pub async fn forget(
    database: &Database,
    names: &[SchedulerName],
) -> Result<Vec<(SchedulerName, Epoch)>, DatabaseError> {
    let counted = count_of!("m.value");
    let statement = format!(
        "WITH seen AS MATERIALIZED (
            SELECT o.scheduler, o.session, o.epoch, o.seq FROM maestro_owner o
            WHERE o.scheduler = ANY($1) AND {UNNEEDED}
        ), locked AS MATERIALIZED (
            SELECT o.scheduler FROM maestro_owner o JOIN seen s ON s.scheduler = o.scheduler
            WHERE s.epoch = o.epoch AND s.seq = o.seq AND s.session IS NOT DISTINCT FROM o.session
            FOR UPDATE OF o SKIP LOCKED
        ), forgotten AS (
            DELETE FROM maestro_owner o USING locked l WHERE o.scheduler = l.scheduler
            RETURNING o.scheduler, o.epoch
        ), counted AS (
            INSERT INTO maestro_setting AS m (key, value)
            SELECT 'epochs', max(epoch)::text FROM forgotten HAVING count(*) > 0
            ON CONFLICT (key) DO UPDATE SET value = greatest({counted}, excluded.value::bigint)::text
        )
        SELECT scheduler, epoch FROM forgotten"
    );
    let names: Vec<&str> = names.iter().map(SchedulerName::as_str).collect();
    let asked: [Param<'_>; 1] = [(&names, Type::TEXT_ARRAY)];
    let rows = database.change(&statement, &asked).await?;
    let forgotten = rows.iter().map(|row| {
        let epoch = Epoch(count(row.get(1)));
        (row.get::<_, String>(0).into(), epoch)
    });
    Ok(forgotten.collect())
}
