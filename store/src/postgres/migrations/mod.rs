//! The schema: the original's tables in the original's seven steps and with its bookkeeping, `schema_migrations`
//! (contract 8.1), then our own tables, counted in `maestro_schema`, which the original does not know.

use super::connect::Database;
use super::error::DatabaseError;
use tokio_postgres::{Client, Error};

/// The steps of the original, from version 1. All of them can be repeated.
const ORIGINAL: [&str; 7] = [
    include_str!("original/1.sql"),
    include_str!("original/2.sql"),
    include_str!("original/3.sql"),
    include_str!("original/4.sql"),
    include_str!("original/5.sql"),
    include_str!("original/6.sql"),
    include_str!("original/7.sql"),
];
/// A step that was on the main branch is never changed, because databases are at it: a later one is added.
const OURS: [&str; 4] = [
    include_str!("ours/1.sql"),
    include_str!("ours/2.sql"),
    include_str!("ours/3.sql"),
    include_str!("ours/4.sql"),
];

/// All steps are one transaction: it is done as a whole or not at all, so that nothing is ever dirty by us. Whoever
/// migrates at the same time waits for it. The number is ours alone.
const BEGIN: &str = "
    BEGIN;
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = '5min';
    SELECT pg_advisory_xact_lock(7023465191043297)";
const ORIGINAL_COUNT: &str = "
    CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL PRIMARY KEY, dirty BOOLEAN NOT NULL)";
const OUR_COUNT: &str =
    "CREATE TABLE IF NOT EXISTS maestro_schema (version BIGINT NOT NULL PRIMARY KEY)";

/// What a migration found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// Nothing was to be done.
    UpToDate,
    /// It was migrated; the version of the original's tables before, 0 for none, and after.
    Done { from: i64, to: i64 },
}

/// Why a database cannot be migrated. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(
        "another program failed in the middle of migrating this database to version {version} (schema_migrations is \
         dirty). Its step can be repeated: look at the tables, then run the statement {repair} and `maestro migrate` again"
    )]
    Dirty { version: i64, repair: String },
    #[error(
        "this database has version {found} of {table}, and this program knows {known}: a newer program has migrated \
         it, so use one that is at least as new"
    )]
    Newer {
        table: &'static str,
        found: i64,
        known: i64,
    },
}

/// Brings the database to the schema of this program.
///
/// # Errors
/// If it cannot be reached, its state is not clear, or it is newer than this program.
pub async fn migrate(database: &Database) -> Result<Migrated, MigrateError> {
    let session = database.session().await?;
    let client = session.client();
    let said = |error: Error| MigrateError::from(database.explain(&error));
    client.batch_execute(BEGIN).await.map_err(said)?;
    let versions = read(client).await.map_err(said)?;
    let (original, ours) = check(versions)?;
    let known = (ORIGINAL.len(), OURS.len());
    if (original, ours) != known {
        write(client, original, ours).await.map_err(said)?;
    }
    let done = client.batch_execute("COMMIT").await;
    done.map_err(|error| database.explain_commit(&error))?;
    match (original, ours) == known {
        true => Ok(Migrated::UpToDate),
        false => Ok(Migrated::Done {
            from: number(original),
            to: number(known.0),
        }),
    }
}

#[derive(Default)]
struct Versions {
    original: i64,
    is_dirty: bool,
    ours: i64,
}

async fn read(client: &Client) -> Result<Versions, Error> {
    let mut versions = Versions::default();
    let tables = "
        SELECT to_regclass('schema_migrations') IS NOT NULL, to_regclass('maestro_schema') IS NOT NULL";
    let there = client.query_typed_one(tables, &[]).await?;
    if there.get(0) {
        let sql = "SELECT version, dirty FROM schema_migrations ORDER BY version DESC LIMIT 1";
        if let Some(row) = client.query_typed_opt(sql, &[]).await? {
            (versions.original, versions.is_dirty) = (row.get(0), row.get(1));
        }
    }
    if there.get(1) {
        let sql = "SELECT coalesce(max(version), 0) FROM maestro_schema";
        versions.ours = client.query_typed_one(sql, &[]).await?.get(0);
    }
    Ok(versions)
}

/// How many steps of each are done.
fn check(versions: Versions) -> Result<(usize, usize), MigrateError> {
    let Versions {
        original,
        is_dirty,
        ours,
    } = versions;
    if is_dirty && original <= number(ORIGINAL.len()) {
        let repair = match original {
            ..=1 => "DELETE FROM schema_migrations".to_owned(),
            _ => format!(
                "UPDATE schema_migrations SET version = {}, dirty = false",
                original - 1
            ),
        };
        return Err(MigrateError::Dirty {
            version: original,
            repair,
        });
    }
    let done = |table, found: i64, steps: usize| {
        let known = number(steps);
        let count = usize::try_from(found.max(0)).unwrap_or(usize::MAX);
        match count <= steps {
            true => Ok(count),
            false => Err(MigrateError::Newer {
                table,
                found,
                known,
            }),
        }
    };
    Ok((
        done("schema_migrations", original, ORIGINAL.len())?,
        done("maestro_schema", ours, OURS.len())?,
    ))
}

async fn write(client: &Client, original: usize, ours: usize) -> Result<(), Error> {
    client.batch_execute(ORIGINAL_COUNT).await?;
    for step in &ORIGINAL[original..] {
        client.batch_execute(step).await?;
    }
    client.batch_execute(OUR_COUNT).await?;
    for step in &OURS[ours..] {
        client.batch_execute(step).await?;
    }
    let counts = format!(
        "DELETE FROM schema_migrations; INSERT INTO schema_migrations VALUES ({}, FALSE);
         DELETE FROM maestro_schema; INSERT INTO maestro_schema VALUES ({})",
        ORIGINAL.len(),
        OURS.len()
    );
    client.batch_execute(&counts).await
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
