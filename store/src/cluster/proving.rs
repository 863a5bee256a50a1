//! Asks Postgres who owns what after a new connection to Redis.

use super::ClusterStore;
use super::proof::Failure;
use crate::postgres::{current_epoch, owned_by};
use crate::redis::{RedisStore, Writer};
use maestro_core::domain::{Epoch, SchedulerName};
use maestro_core::ports::{Cause, CommitError, Fence, StoreError};
use tracing::info;

/// Fences that are written by one call.
const TOGETHER: usize = 500;

impl ClusterStore {
    /// Refuses whoever is not the owner any more, and makes sure that Redis does so too.
    pub(super) async fn prove(&self, writer: &Writer, fence: &Fence) -> Result<(), CommitError> {
        if self.proof.has(writer.number, fence) {
            return Ok(());
        }
        let mut failed = self.proof.asking.lock().await;
        if self.proof.has(writer.number, fence) {
            return Ok(());
        }
        if let Some(error) = failed.as_ref().and_then(|f| f.holds(writer.number)) {
            return Err(error);
        }
        let proven = self.prove_all(writer).await;
        *failed = proven
            .as_ref()
            .err()
            .map(|error| Failure::new(writer.number, error.clone()));
        drop(failed);
        proven?;
        match self.proof.has(writer.number, fence) {
            true => Ok(()),
            false => self.refuse_former_owner(fence).await,
        }
    }

    async fn prove_all(&self, writer: &Writer) -> Result<(), CommitError> {
        let session = self.ownership.myself().session;
        let owned = owned_by(&self.database, &session).await?;
        let schedulers = owned.len();
        for part in owned.chunks(TOGETHER) {
            raise(&self.redis, writer, part).await?;
        }
        self.proof.replace(writer.number, owned);
        info!(
            schedulers,
            "Redis was connected again: the fences are written again"
        );
        Ok(())
    }

    /// By the epoch in Postgres, which loses nothing when Redis does.
    pub(super) async fn refuse_former_owner(&self, fence: &Fence) -> Result<(), CommitError> {
        let stored = current_epoch(&self.database, &fence.scheduler).await?;
        match stored == fence.epoch {
            true => Ok(()),
            false => Err(CommitError::Fenced { stored }),
        }
    }
}

/// Fences that are later than these stay as they are.
pub(super) async fn raise(
    redis: &RedisStore,
    writer: &Writer,
    owned: &[(SchedulerName, Epoch)],
) -> Result<(), CommitError> {
    let raised = redis.raise_over(writer, owned).await;
    let unraised = |error: StoreError| CommitError::NotApplied(Cause::of(error));
    raised.map(|_| ()).map_err(unraised)
}
