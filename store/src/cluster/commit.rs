//! A commit over two stores: rows and outbox in one transaction of Postgres, then one script of Redis.

use super::ClusterStore;
use super::outbox::Pending;
use super::proving::raise;
use crate::postgres::rows::{self, RowsError, has_rows};
use crate::postgres::{DatabaseError, outbox};
use crate::redis::is_of_one_scheduler;
use maestro_core::domain::{Epoch, SchedulerName, Seq};
use maestro_core::ports::{Cause, Change, CommitError, Fence};
use std::sync::Arc;
use tracing::warn;

impl ClusterStore {
    pub(super) async fn commit_both(
        &self,
        fence: &Fence,
        changes: &Arc<[Change]>,
    ) -> Result<(), CommitError> {
        let outcome = self.write(fence, changes).await;
        match &outcome {
            Ok(()) => self.health.works(),
            // All others can be written as before.
            Err(CommitError::NotApplied(cause)) if concerns_one(cause) => {}
            Err(CommitError::NotApplied(cause) | CommitError::Unknown(cause)) => {
                self.health.failed(cause.text());
            }
            Err(_) => {}
        }
        outcome
    }

    /// If this ends between the two stores, the outcome is that of Redis, whose seq decides
    /// ([`Self::stored_seq_of`]): a repetition finds the rows written, and goes on with Redis.
    async fn write(&self, fence: &Fence, changes: &Arc<[Change]>) -> Result<(), CommitError> {
        let has_rows = changes.iter().any(has_rows);
        if has_rows {
            self.write_rows(fence, changes).await?;
        }
        self.write_to_redis(fence, changes).await?;
        if has_rows {
            // It is durable, so a failure here is only noted: the next owner finds that Redis has it.
            self.clear_outbox(&fence.scheduler, fence.seq).await;
        }
        Ok(())
    }

    /// Redis alone cannot tell an owner from a former one after it has lost changes: its fences went with them.
    async fn write_to_redis(&self, fence: &Fence, changes: &[Change]) -> Result<(), CommitError> {
        // Without a connection Postgres would be asked for nothing.
        let writer = self.redis.writer();
        self.redis.expect_connection(&writer)?;
        self.prove(&writer, fence).await?;
        match self.redis.commit_over(&writer, fence, changes).await {
            Err(CommitError::Behind { stored }) => {
                self.refuse_former_owner(fence).await?;
                if stored != fence.previous {
                    return Err(CommitError::Behind { stored });
                }
                // There was no fence at all.
                raise(
                    &self.redis,
                    &writer,
                    &[(fence.scheduler.clone(), fence.epoch)],
                )
                .await?;
                self.redis.commit_over(&writer, fence, changes).await
            }
            other => other,
        }
    }

    async fn write_rows(&self, fence: &Fence, changes: &Arc<[Change]>) -> Result<(), CommitError> {
        let payload = Pending::of(fence.previous, changes).write();
        let payload = payload.map_err(|error| CommitError::NotApplied(Cause::of(error)))?;
        let transaction = self.database.transaction().await?;
        let written = rows::write(transaction.client(), fence, changes, Some(&payload)).await;
        match written {
            Ok(_) => Ok(transaction.commit().await?),
            Err(error) => {
                transaction.rollback().await;
                Err(self.refusal(error))
            }
        }
    }

    fn refusal(&self, error: RowsError) -> CommitError {
        match error {
            RowsError::Database(error) => self.database.explain(&error).into(),
            RowsError::Unwritable(error) => CommitError::NotApplied(Cause::of(error)),
            RowsError::Fenced { stored } => CommitError::Fenced { stored },
            RowsError::Ahead { stored } => CommitError::Behind { stored },
            RowsError::AlreadyExists => CommitError::AlreadyExists,
        }
    }

    pub(super) async fn clear_outbox(&self, scheduler: &SchedulerName, until: Seq) {
        if let Err(error) = outbox::clear(&self.database, scheduler, until).await {
            warn!(scheduler_name = %scheduler, %error, "a batch stays in the outbox for now");
        }
    }

    /// The seq of Redis: the last of the two stores that a batch reaches.
    pub(super) async fn stored_seq_of(
        &self,
        scheduler: &SchedulerName,
        epoch: Epoch,
    ) -> Result<Seq, CommitError> {
        self.redis.stored_seq(scheduler, epoch).await
    }
}

/// Whether what was refused lies in the scheduler and not in a store.
fn concerns_one(cause: &Cause) -> bool {
    let refused = std::error::Error::source(cause)
        .and_then(|source| source.downcast_ref::<DatabaseError>())
        .is_some_and(DatabaseError::is_about_data);
    refused || is_of_one_scheduler(cause)
}
