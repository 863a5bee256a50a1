//! Which schedulers this process has proven to own, since the connection to Redis was made.
//!
//! A Redis that fails over to a replica that lagged, or is restored, is at earlier fences: a former owner that was
//! stopped meanwhile could write again. Whoever gets to such a Redis gets there by a new connection, so after each one a
//! process asks Postgres once which schedulers are its own, and writes their fences again. Nothing else is written.

use super::ClusterStore;
use crate::postgres::{current_epoch, owned_by};
use crate::redis::{RedisStore, Writer};
use maestro_core::domain::{Epoch, SchedulerName};
use maestro_core::ports::{Cause, Claim, CommitError, Fence, StoreError};
use parking_lot::Mutex;
use std::collections::HashMap;
use tracing::info;

/// Fences that are written by one call.
const TOGETHER: usize = 500;

/// Looked at before each write, so it must not wait.
#[derive(Default)]
pub struct Proof {
    proven: Mutex<Proven>,
    /// One question is enough for all owners.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Proven {
    /// The connection, by its number.
    connection: u64,
    owned: HashMap<SchedulerName, Epoch>,
}

impl Proof {
    fn has(&self, connection: u64, fence: &Fence) -> bool {
        let proven = self.proven.lock();
        proven.connection == connection && proven.owned.get(&fence.scheduler) == Some(&fence.epoch)
    }

    /// Of claims that Postgres granted, and whose fences were raised over this connection. All others are proven anew.
    pub fn granted(&self, connection: u64, names: &[SchedulerName], claims: &[Claim]) {
        let mut proven = self.proven.lock();
        if proven.connection != connection {
            *proven = Proven {
                connection,
                owned: HashMap::new(),
            };
        }
        for (name, claim) in names.iter().zip(claims) {
            if let Claim::Owned { epoch, .. } = claim {
                proven.owned.insert(name.clone(), *epoch);
            }
        }
    }

    /// The schedulers were given back.
    pub fn forget(&self, names: &[SchedulerName]) {
        let mut proven = self.proven.lock();
        for name in names {
            proven.owned.remove(name);
        }
    }

    fn replace(&self, connection: u64, owned: Vec<(SchedulerName, Epoch)>) {
        *self.proven.lock() = Proven {
            connection,
            owned: owned.into_iter().collect(),
        };
    }
}

impl ClusterStore {
    /// Refuses whoever is not the owner any more, and makes sure that Redis does so too.
    pub(super) async fn prove(&self, writer: &Writer, fence: &Fence) -> Result<(), CommitError> {
        if self.proof.has(writer.number, fence) {
            return Ok(());
        }
        let _alone = self.proof.asking.lock().await;
        if self.proof.has(writer.number, fence) {
            return Ok(());
        }
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
        match self.proof.has(writer.number, fence) {
            true => Ok(()),
            false => self.refuse_former_owner(fence).await,
        }
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
