//! The part of a batch that Postgres takes: schedulers, their versions, and what operators decided (contract 8.1). It
//! is one transaction, guarded by the owner's row.

use super::document;
use jiff::Timestamp;
use maestro_core::domain::{Epoch, LiveVersion, Scheduler, SchedulerName, Seq};
use maestro_core::ports::{Change, Fence, OperatorRecord};
use tokio_postgres::GenericClient;
use tokio_postgres::types::{Json, ToSql, Type};

/// The epoch and seq of an owner, and whether its row is there.
const GUARD: &str = "\
    UPDATE maestro_owner SET seq = $3 WHERE scheduler = $1 AND epoch = $2 AND seq < $3";
const OWNER: &str = "SELECT epoch, seq FROM maestro_owner WHERE scheduler = $1";
const CREATE: &str = "\
    INSERT INTO schedulers (name, game, yaml, state, state_last_changed_at, version, created_at)
    VALUES ($1, $2, $3, $4, extract(epoch FROM clock_timestamp())::integer, $5, $6)
    ON CONFLICT (name) DO NOTHING";
const UPDATE: &str = "\
    INSERT INTO schedulers (name, game, yaml, state, state_last_changed_at, version, created_at)
    VALUES ($1, $2, $3, $4, extract(epoch FROM clock_timestamp())::integer, $5, $6)
    ON CONFLICT (name) DO UPDATE SET game = excluded.game, yaml = excluded.yaml, state = excluded.state,
        version = excluded.version, updated_at = clock_timestamp(),
        state_last_changed_at = excluded.state_last_changed_at";
const ROLLBACK: &str = "\
    UPDATE scheduler_versions SET rollback_version = $3
    WHERE name = $1 AND version = $2 AND rollback_version IS DISTINCT FROM $3";
const CREATE_VERSION: &str = "\
    INSERT INTO scheduler_versions (name, version, yaml, rollback_version, created_at)
    SELECT $1, $2, $3, $4, $5 WHERE EXISTS (SELECT 1 FROM schedulers WHERE name = $1)
    ON CONFLICT (name, version) DO NOTHING";
/// A snapshot has all versions, nearly all of which are stored as they are: those cost no write.
const UPDATE_VERSION: &str = "\
    UPDATE scheduler_versions SET yaml = $3, rollback_version = $4
    WHERE name = $1 AND version = $2 AND (yaml, rollback_version) IS DISTINCT FROM ($3, $4)";
const DELETE_VERSION: &str = "\
    WITH live AS (DELETE FROM maestro_version WHERE scheduler = $1 AND version = $2)
    DELETE FROM scheduler_versions WHERE name = $1 AND version = $2";
const DELETE: &str = "\
    WITH record AS (DELETE FROM maestro_operator WHERE scheduler = $1),
         live AS (DELETE FROM maestro_version WHERE scheduler = $1),
         runtime AS (DELETE FROM maestro_runtime WHERE scheduler = $1)
    DELETE FROM schedulers WHERE name = $1";
const PUT_OPERATOR: &str = "\
    INSERT INTO maestro_operator (scheduler, record) VALUES ($1, $2)
    ON CONFLICT (scheduler) DO UPDATE SET record = excluded.record";
const PUT_RUNTIME: &str = "\
    INSERT INTO maestro_runtime (scheduler, record) VALUES ($1, $2)
    ON CONFLICT (scheduler) DO UPDATE SET record = excluded.record";
const PUT_LIVE: &str = "\
    INSERT INTO maestro_version (scheduler, version, record) VALUES ($1, $2, $3)
    ON CONFLICT (scheduler, version) DO UPDATE SET record = excluded.record";
/// Whoever replays what is left then replays what replaces it only.
const REPLACED: &str = "DELETE FROM maestro_outbox WHERE scheduler = $1 AND seq < $2";
const PUT_OUTBOX: &str = "INSERT INTO maestro_outbox (scheduler, seq, payload) VALUES ($1, $2, $3)";

/// Why the rows of a batch were not written.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The database refused a statement, or was lost.
    #[error(transparent)]
    Database(#[from] tokio_postgres::Error),
    /// A document cannot be written.
    #[error("a document cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// The scheduler has another owner.
    #[error("the scheduler has another owner (epoch {stored:?})")]
    Fenced {
        /// The epoch of its row.
        stored: Epoch,
    },
    /// A later batch is stored already.
    #[error("a later batch is stored already ({stored:?})")]
    Ahead {
        /// The seq of its row.
        stored: Seq,
    },
    /// A scheduler of this name exists.
    #[error("name already exists")]
    AlreadyExists,
}

/// Whether a batch had to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is written by this transaction.
    Now,
    /// It was written by an earlier attempt, whose outcome was unknown.
    Before,
}

/// Whether Postgres takes this change; the others are in Redis alone. A deletion is in both.
pub fn has_rows(change: &Change) -> bool {
    matches!(
        change,
        Change::CreateScheduler(_)
            | Change::UpdateScheduler(_)
            | Change::CreateVersion { .. }
            | Change::UpdateVersion(_)
            | Change::DeleteVersion(_)
            | Change::DeleteScheduler { .. }
            | Change::PutLiveVersion(_)
            | Change::PutRuntime(_)
            | Change::PutOperator(_)
    )
}

/// Writes the rows of a batch, and with them `outbox`: what is to be written to Redis after this is committed.
/// `transaction` must be committed if it succeeds, and rolled back otherwise.
///
/// # Errors
/// See [`RowsError`].
pub async fn write(
    transaction: &impl GenericClient,
    fence: &Fence,
    changes: &[Change],
    outbox: Option<&[u8]>,
) -> Result<Written, RowsError> {
    if !guard(transaction, fence).await? {
        return Ok(Written::Before);
    }
    let rows = Rows {
        transaction,
        name: &fence.scheduler,
    };
    for change in changes {
        rows.apply(change).await?;
    }
    let seq = number(fence.seq.0);
    // What came before is in the snapshot that follows it.
    if changes.contains(&Change::Clear) {
        rows.run(REPLACED, &[(&seq, Type::INT8)]).await?;
    }
    if let Some(payload) = outbox {
        let row: [(Param<'_>, Type); 2] = [(&seq, Type::INT8), (&payload, Type::BYTEA)];
        rows.run(PUT_OUTBOX, &row).await?;
    }
    Ok(Written::Now)
}

/// Whether the batch is still to be written.
async fn guard(transaction: &impl GenericClient, fence: &Fence) -> Result<bool, RowsError> {
    let (name, epoch, seq) = (
        fence.scheduler.as_str(),
        number(fence.epoch.0),
        number(fence.seq.0),
    );
    let asked = [
        (&name as Param, Type::TEXT),
        (&epoch, Type::INT8),
        (&seq, Type::INT8),
    ];
    if transaction.execute_typed(GUARD, &asked).await? == 1 {
        return Ok(true);
    }
    let row = transaction.query_typed_opt(OWNER, &asked[..1]).await?;
    let Some(row) = row else {
        let stored = Epoch(0);
        return Err(RowsError::Fenced { stored });
    };
    let (epoch, seq) = (Epoch(count(row.get(0))), Seq(count(row.get(1))));
    match () {
        () if epoch != fence.epoch => Err(RowsError::Fenced { stored: epoch }),
        () if seq == fence.seq => Ok(false),
        () => Err(RowsError::Ahead { stored: seq }),
    }
}

type Param<'a> = &'a (dyn ToSql + Sync);

struct Rows<'a, C> {
    transaction: &'a C,
    name: &'a SchedulerName,
}

impl<C: GenericClient> Rows<'_, C> {
    /// Runs a statement whose first parameter is the scheduler's name.
    async fn run(
        &self,
        statement: &str,
        others: &[(Param<'_>, Type)],
    ) -> Result<u64, tokio_postgres::Error> {
        let name = self.name.as_str();
        let mut all: Vec<(Param<'_>, Type)> = vec![(&name, Type::TEXT)];
        all.extend(others.iter().cloned());
        self.transaction.execute_typed(statement, &all).await
    }

    async fn apply(&self, change: &Change) -> Result<(), RowsError> {
        match change {
            Change::CreateScheduler(scheduler) => {
                if self.put(CREATE, scheduler).await? == 0 {
                    return Err(RowsError::AlreadyExists);
                }
                let created_at = scheduler.created_at;
                self.put_version(CREATE_VERSION, scheduler, Some(created_at))
                    .await
            }
            Change::UpdateScheduler(scheduler) => self.update(scheduler).await,
            Change::CreateVersion {
                scheduler,
                created_at,
            } => {
                self.put_version(CREATE_VERSION, scheduler, Some(*created_at))
                    .await
            }
            Change::UpdateVersion(scheduler) => {
                self.put_version(UPDATE_VERSION, scheduler, None).await
            }
            Change::DeleteVersion(version) => {
                let version = version.as_str();
                self.run(DELETE_VERSION, &[(&version, Type::TEXT)]).await?;
                Ok(())
            }
            Change::DeleteScheduler { .. } => {
                self.run(DELETE, &[]).await?;
                Ok(())
            }
            Change::PutOperator(record) => self.put_operator(record).await,
            Change::PutLiveVersion(live) => self.put_live(live).await,
            Change::PutRuntime(record) => {
                self.run(PUT_RUNTIME, &[(&Json(record), Type::JSONB)])
                    .await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// [`CREATE`] or [`UPDATE`]; how many rows were written.
    async fn put(&self, statement: &str, scheduler: &Scheduler) -> Result<u64, RowsError> {
        let yaml = document::write(scheduler)?;
        let (state, version) = (scheduler.state.as_str(), scheduler.version().as_str());
        let row: [(Param<'_>, Type); 5] = [
            (&scheduler.game, Type::TEXT),
            (&yaml, Type::TEXT),
            (&state, Type::TEXT),
            (&version, Type::TEXT),
            (&scheduler.created_at, Type::TIMESTAMPTZ),
        ];
        Ok(self.run(statement, &row).await?)
    }

    /// The rollback version has its column in the version's row.
    async fn update(&self, scheduler: &Scheduler) -> Result<(), RowsError> {
        self.put(UPDATE, scheduler).await?;
        let version = scheduler.version().as_str();
        let before = scheduler.rollback_version.as_str();
        let row: [(Param<'_>, Type); 2] = [(&version, Type::TEXT), (&before, Type::TEXT)];
        self.run(ROLLBACK, &row).await?;
        Ok(())
    }

    /// [`CREATE_VERSION`], which alone takes a time, or [`UPDATE_VERSION`].
    async fn put_version(
        &self,
        statement: &str,
        scheduler: &Scheduler,
        created_at: Option<Timestamp>,
    ) -> Result<(), RowsError> {
        let yaml = document::write(scheduler)?;
        let version = scheduler.version().as_str();
        let before = scheduler.rollback_version.as_str();
        let mut row: Vec<(Param<'_>, Type)> = vec![
            (&version, Type::TEXT),
            (&yaml, Type::TEXT),
            (&before, Type::TEXT),
        ];
        if let Some(at) = &created_at {
            row.push((at, Type::TIMESTAMPTZ));
        }
        self.run(statement, &row).await?;
        Ok(())
    }

    async fn put_live(&self, live: &LiveVersion) -> Result<(), RowsError> {
        let version = live.version.as_str();
        let row: [(Param<'_>, Type); 2] = [(&version, Type::TEXT), (&Json(live), Type::JSONB)];
        self.run(PUT_LIVE, &row).await?;
        Ok(())
    }

    async fn put_operator(&self, record: &OperatorRecord) -> Result<(), RowsError> {
        self.run(PUT_OPERATOR, &[(&Json(record), Type::JSONB)])
            .await?;
        Ok(())
    }
}

/// As the database counts.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// As we count.
pub(crate) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
