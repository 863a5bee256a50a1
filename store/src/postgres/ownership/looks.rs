//! Reads of the nodes and of who owns what.

use super::statements::{MEMBERS, OWNER, OWNERS};
use crate::postgres::connect::Database;
use crate::postgres::error::DatabaseError;
use crate::postgres::rows::count;
use maestro_core::domain::{Epoch, SchedulerName};
use maestro_core::ports::{Holder, Member, Owner};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

pub async fn members(database: &Database) -> Result<Vec<Member>, DatabaseError> {
    let rows = database.query(MEMBERS, &[]).await?;
    let member = |row: &Row| Member {
        session: row.get(0),
        name: row.get(1),
        address: row.get(2),
        hosts: row.get(3),
        draining: row.get(4),
        runtime_domain: row.get(5),
        version: row.get(6),
    };
    Ok(rows.iter().map(member).collect())
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
