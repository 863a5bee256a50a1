//! Reads of the nodes and of who owns what.

use super::statements::{EPOCH, MEMBERS, OUTBOX, OWNED, OWNER, OWNERS, STANDINGS, UNOWNED};
use crate::postgres::connect::Database;
use crate::postgres::error::DatabaseError;
use crate::postgres::rows::count;
use maestro_core::domain::{Epoch, SchedulerName};
use maestro_core::ports::{Holder, Member, Outbox, Overview, Owner, Standing};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

pub async fn members(database: &Database) -> Result<Vec<Member>, DatabaseError> {
    let rows = database.query(MEMBERS, &[]).await?;
    Ok(rows.iter().map(member).collect())
}

fn member(row: &Row) -> Member {
    Member {
        session: row.get(0),
        name: row.get(1),
        address: row.get(2),
        hosts: row.get(3),
        draining: row.get(4),
        runtime_domain: row.get(5),
        version: row.get(6),
    }
}

pub async fn overview(database: &Database) -> Result<Overview, DatabaseError> {
    let rows = database.query(STANDINGS, &[]).await?;
    let standing = |row: &Row| Standing {
        member: member(row),
        left: Some(seconds(row.get(7))),
        owned: count(row.get(8)),
    };
    let unowned = database.query(UNOWNED, &[]).await?;
    Ok(Overview {
        store: "postgres",
        nodes: rows.iter().map(standing).collect(),
        unowned: unowned.first().map_or(0, |row| count(row.get(0))),
    })
}

pub async fn outbox(database: &Database) -> Result<Outbox, DatabaseError> {
    let rows = database.query(OUTBOX, &[]).await?;
    let outbox = |row: &Row| Outbox {
        rows: count(row.get(0)),
        oldest: row.get::<_, Option<f64>>(1).map(seconds),
    };
    Ok(rows.first().map(outbox).unwrap_or_default())
}

/// A difference of two readings of the database's clock, which may be set back in between.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

pub async fn owners(database: &Database) -> Result<Vec<(SchedulerName, Holder)>, DatabaseError> {
    let rows = database.query(OWNERS, &[]).await?;
    let owner = |row: &Row| {
        let holder = Holder {
            session: row.get(0),
            address: row.get(1),
            epoch: Epoch(count(row.get(2))),
        };
        (row.get::<_, String>(3).into(), holder)
    };
    Ok(rows.iter().map(owner).collect())
}

/// The schedulers that a session holds, and their epochs.
pub async fn owned_by(
    database: &Database,
    session: &Uuid,
) -> Result<Vec<(SchedulerName, Epoch)>, DatabaseError> {
    let rows = database.query(OWNED, &[(session, Type::UUID)]).await?;
    let owned = rows.iter().map(|row| {
        let epoch = Epoch(count(row.get(1)));
        (row.get::<_, String>(0).into(), epoch)
    });
    Ok(owned.collect())
}

/// The epoch of the last owner; 0 if nobody ever owned it, or the name was forgotten.
pub async fn current_epoch(
    database: &Database,
    name: &SchedulerName,
) -> Result<Epoch, DatabaseError> {
    let name = name.as_str();
    let rows = database.query(EPOCH, &[(&name, Type::TEXT)]).await?;
    Ok(rows
        .first()
        .map_or(Epoch(0), |row| Epoch(count(row.get(0)))))
}

pub async fn owner(database: &Database, name: &SchedulerName) -> Result<Owner, DatabaseError> {
    let name = name.as_str();
    let rows = database.query(OWNER, &[(&name, Type::TEXT)]).await?;
    let Some(row) = rows.first() else {
        return Ok(Owner::Unknown);
    };
    let (session, exists): (Option<Uuid>, bool) = (row.get(0), row.get(3));
    Ok(match session {
        Some(session) => Owner::Held(Holder {
            session,
            address: row.get(1),
            epoch: Epoch(count(row.get(2))),
        }),
        None if exists => Owner::Nobody,
        None => Owner::Unknown,
    })
}
