//! What is read of schedulers and versions: by owners, and by anyone (contract 8.1).

use super::document::{DocumentError, Documents, Row};
use super::rows::count;
use super::{Database, DatabaseError, Param};
use crate::names::is_name;
use maestro_core::domain::{LiveVersion, RuntimeRecord, Scheduler, SchedulerVersion, Seq};
use maestro_core::ports::{OperatorRecord, SchedulerFilter, VersionRow};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use tokio_postgres::Row as Fetched;
use tokio_postgres::types::{FromSql, Json, Type};
use tracing::{error, warn};

/// Rows of `schedulers`, each with the row of its active version, or else of its newest one: rows of the original may
/// lack the former.
const ACTIVE: &str = "\
    SELECT s.name, s.game, s.state, coalesce(s.version, ''), s.yaml, s.created_at,
           coalesce(v.created_at, '0001-01-01T00:00:00Z'), coalesce(v.rollback_version, '')
    FROM schedulers s LEFT JOIN LATERAL (
        SELECT created_at, rollback_version FROM scheduler_versions v WHERE v.name = s.name
        ORDER BY (v.version = s.version) DESC, created_at DESC LIMIT 1
    ) v ON true";
const VERSIONS: &str = "\
    SELECT s.name, s.game, s.state, v.version, v.yaml, coalesce(v.created_at, '0001-01-01T00:00:00Z'),
           coalesce(v.created_at, '0001-01-01T00:00:00Z'), coalesce(v.rollback_version, '')
    FROM scheduler_versions v JOIN schedulers s ON s.name = v.name";
const LISTED: &str = "\
    SELECT name, version, coalesce(created_at, '0001-01-01T00:00:00Z') FROM scheduler_versions WHERE name = $1
    ORDER BY 3 DESC, version DESC";
const OPERATOR: &str = "SELECT scheduler, record FROM maestro_operator WHERE scheduler = ANY($1)";
const RUNTIME: &str = "SELECT scheduler, record FROM maestro_runtime WHERE scheduler = ANY($1)";
const LIVE: &str =
    "SELECT scheduler, record FROM maestro_version WHERE scheduler = ANY($1) ORDER BY version";
const SEQS: &str = "SELECT scheduler, seq FROM maestro_owner WHERE scheduler = ANY($1)";

/// Why a document was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The document cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// What Postgres knows about one scheduler.
#[derive(Debug, Default)]
pub struct StoredRows {
    /// The active version.
    pub scheduler: Option<Arc<Scheduler>>,
    /// All versions.
    pub versions: Vec<Arc<Scheduler>>,
    /// The states of versions.
    pub live: Vec<LiveVersion>,
    /// The runtime that was created by itself.
    pub runtime: Option<RuntimeRecord>,
    /// What operators decided.
    pub operator: OperatorRecord,
    /// The seq of the last batch that had rows.
    pub seq: Seq,
}

/// The rows of several schedulers, in one round trip.
///
/// # Errors
/// Of the whole call if the database fails; of a single scheduler if its active version cannot be read. Others that
/// cannot are left out and logged: a fleet does not stand still for what it had long ago.
pub async fn load(
    database: &Database,
    documents: &Documents,
    names: &[&str],
) -> Result<HashMap<String, Result<StoredRows, DocumentError>>, DatabaseError> {
    let asked: [Param<'_>; 1] = [(&names, Type::TEXT_ARRAY)];
    let active = format!("{ACTIVE} WHERE s.name = ANY($1)");
    let versions = format!("{VERSIONS} WHERE v.name = ANY($1)");
    let (active, versions, operators, runtimes, live, seqs) = futures_util::try_join!(
        database.query(&active, &asked),
        database.query(&versions, &asked),
        database.query(OPERATOR, &asked),
        database.query(RUNTIME, &asked),
        database.query(LIVE, &asked),
        database.query(SEQS, &asked),
    )?;
    let mut all: HashMap<String, Result<StoredRows, DocumentError>> = HashMap::new();
    for name in names {
        all.insert((*name).to_owned(), Ok(StoredRows::default()));
    }
    let mut add =
        |name: &str, put: &mut dyn FnMut(&mut StoredRows) -> Result<(), DocumentError>| {
            if let Some(entry) = all.get_mut(name)
                && let Ok(rows) = entry
                && let Err(error) = put(rows)
            {
                *entry = Err(error);
            }
        };
    for fetched in &active {
        add(fetched.get(0), &mut |rows| {
            rows.scheduler = Some(documents.read(&row(fetched)?, true)?);
            Ok(())
        });
    }
    for fetched in &versions {
        add(fetched.get(0), &mut |rows| {
            let active = rows.scheduler.as_deref().map(Scheduler::version);
            let read = row(fetched).and_then(|row| documents.read(&row, false));
            match read {
                Ok(version) => rows.versions.push(version),
                Err(why)
                    if active
                        .is_some_and(|active| active.as_str() != fetched.get::<_, &str>(3)) =>
                {
                    warn!(%why, "this version is left out: nobody can switch to it");
                }
                Err(why) => return Err(why),
            }
            Ok(())
        });
    }
    add_records(&mut add, [&operators, &runtimes, &live, &seqs]);
    Ok(all)
}

/// Puts something into the rows of a scheduler.
type Add<'a> = dyn FnMut(&str, &mut dyn FnMut(&mut StoredRows) -> Result<(), DocumentError>) + 'a;

/// What is stored beside the documents: of operators, runtimes, states of versions, and seqs.
fn add_records(add: &mut Add<'_>, [operators, runtimes, live, seqs]: [&[Fetched]; 4]) {
    for fetched in operators {
        add(fetched.get(0), &mut |rows| {
            rows.operator = json(fetched, "maestro_operator")?;
            Ok(())
        });
    }
    for fetched in runtimes {
        add(fetched.get(0), &mut |rows| {
            rows.runtime = Some(json(fetched, "maestro_runtime")?);
            Ok(())
        });
    }
    for fetched in live {
        add(fetched.get(0), &mut |rows| {
            rows.live.push(json(fetched, "maestro_version")?);
            Ok(())
        });
    }
    for fetched in seqs {
        let seq = Seq(count(fetched.get(1)));
        add(fetched.get(0), &mut |rows| {
            rows.seq = seq;
            Ok(())
        });
    }
}

/// Active schedulers that match the filter, ordered by name. Each has the creation time of its row (contract 2.4). One
/// whose document cannot be read is left out and logged, so that the others are shown.
///
/// # Errors
/// If the database fails.
pub async fn schedulers(
    database: &Database,
    documents: &Documents,
    filter: &SchedulerFilter,
) -> Result<Vec<Arc<Scheduler>>, DatabaseError> {
    let asked = [&filter.name, &filter.game, &filter.version];
    if asked.iter().any(|text| text.contains('\0')) {
        return Ok(Vec::new());
    }
    // The order of the bytes, whatever the collation of the database is.
    let query = format!(
        "{ACTIVE} WHERE ($1 = '' OR s.name = $1) AND ($2 = '' OR s.game = $2) AND ($3 = '' OR s.version = $3)
         ORDER BY s.name COLLATE \"C\""
    );
    let asked: [Param<'_>; 3] = [
        (&filter.name, Type::TEXT),
        (&filter.game, Type::TEXT),
        (&filter.version, Type::TEXT),
    ];
    let rows = database.query(&query, &asked).await?;
    let listed = rows.iter().filter_map(|fetched| {
        let read = row(fetched).and_then(|row| Ok((documents.read(&row, true)?, row.listed_at)));
        let (scheduler, created_at) = read
            .inspect_err(|why| error!(%why, "left out of the list"))
            .ok()?;
        if scheduler.created_at == created_at {
            return Some(scheduler);
        }
        Some(Arc::new(Scheduler {
            created_at,
            ..Scheduler::clone(&scheduler)
        }))
    });
    Ok(listed.collect())
}

/// The active version of a scheduler.
///
/// # Errors
/// If the database fails, or the document cannot be read.
pub async fn scheduler(
    database: &Database,
    documents: &Documents,
    name: &str,
) -> Result<Option<Arc<Scheduler>>, ReadError> {
    if !is_name(name) {
        return Ok(None);
    }
    let query = format!("{ACTIVE} WHERE s.name = $1");
    let found = database.query(&query, &[(&name, Type::TEXT)]).await?;
    let read = found
        .first()
        .map(|fetched| documents.read(&row(fetched)?, true));
    Ok(read.transpose()?)
}

/// One version of a scheduler.
///
/// # Errors
/// If the database fails, or the document cannot be read.
pub async fn version(
    database: &Database,
    documents: &Documents,
    name: &str,
    version: &str,
) -> Result<Option<Arc<Scheduler>>, ReadError> {
    if !is_name(name) || !is_name(version) {
        return Ok(None);
    }
    let query = format!("{VERSIONS} WHERE v.name = $1 AND v.version = $2");
    let asked: [Param<'_>; 2] = [(&name, Type::TEXT), (&version, Type::TEXT)];
    let found = database.query(&query, &asked).await?;
    let read = found
        .first()
        .map(|fetched| documents.read(&row(fetched)?, false));
    Ok(read.transpose()?)
}

/// The versions of a scheduler, newest first.
///
/// # Errors
/// If the database fails.
pub async fn versions(database: &Database, name: &str) -> Result<Vec<VersionRow>, DatabaseError> {
    if !is_name(name) {
        return Ok(Vec::new());
    }
    let rows = database.query(LISTED, &[(&name, Type::TEXT)]).await?;
    let rows = rows.iter().filter_map(|row| {
        let read = column(row, 2, "created_at", "scheduler_versions");
        let created_at = read
            .inspect_err(|why| error!(%why, "a version is left out of the list"))
            .ok()?;
        Some(VersionRow {
            version: SchedulerVersion::from(row.get::<_, &str>(1)),
            created_at,
        })
    });
    Ok(rows.collect())
}

/// A row of [`ACTIVE`] or [`VERSIONS`].
fn row(fetched: &Fetched) -> Result<Row, DocumentError> {
    let name: String = fetched.get(0);
    Ok(Row {
        game: fetched.get(1),
        state: fetched.get(2),
        version: fetched.get(3),
        yaml: fetched.get(4),
        listed_at: column(fetched, 5, "created_at", "schedulers")?,
        created_at: column(fetched, 6, "created_at", "scheduler_versions")?,
        rollback_version: fetched.get(7),
        name,
    })
}

/// The record of [`OPERATOR`], [`RUNTIME`] or [`LIVE`].
fn json<T: DeserializeOwned>(fetched: &Fetched, table: &'static str) -> Result<T, DocumentError> {
    column::<Json<T>>(fetched, 1, "record", table).map(|Json(record)| record)
}

/// A value that the database can hold, and we perhaps cannot: a time that no calendar has, such as infinity, or a
/// document of another shape. The name of the scheduler comes first in each of these rows.
fn column<'a, T: FromSql<'a>>(
    fetched: &'a Fetched,
    at: usize,
    column: &'static str,
    table: &'static str,
) -> Result<T, DocumentError> {
    fetched.try_get(at).map_err(|error| {
        let why = error
            .source()
            .map_or_else(|| error.to_string(), ToString::to_string);
        let name = fetched.get(0);
        DocumentError::Column {
            name,
            column,
            table,
            why,
        }
    })
}
