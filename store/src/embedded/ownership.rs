//! Ownership of schedulers: who holds the lock of the folder owns them all.

use super::{EmbeddedStore, closed, queue::Job};
use async_trait::async_trait;
use maestro_core::{
    domain::{Epoch, SchedulerName},
    ports::{Claim, Ownership, Renewal, StoreError},
};
use std::time::Duration;
use tokio::sync::oneshot;

/// What a renewal is good for. The lock does not run out, so this only bounds for how long
/// we go on after it has been taken from under us (its file removed).
const LEASE: Duration = Duration::from_secs(10);

#[async_trait]
impl Ownership for EmbeddedStore {
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError> {
        Ok(self.shared.model.names())
    }

    /// At the epoch of this opening. The seqs are those behind everything that was sent.
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        let (answer, seqs) = oneshot::channel();
        let names = names.to_vec();
        self.send(Job::Acquire { names, answer }).await?;
        let seqs = seqs.await.map_err(|_| closed())??;
        let epoch = self.shared.epoch;
        let owned = |seq| Claim::Owned { epoch, seq };
        Ok(seqs.into_iter().map(owned).collect())
    }

    /// Fails while the store is down: the lock is ours all the same.
    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError> {
        let shared = self.shared.clone();
        let ours = tokio::task::spawn_blocking(move || shared.is_ours());
        let ours = ours.await.map_err(|_| closed())?;
        if ours {
            self.shared.database()?;
        }
        let renewal = |epoch: Epoch| {
            if ours && epoch == self.shared.epoch {
                Renewal::Held(LEASE)
            } else {
                Renewal::Lost
            }
        };
        Ok(held.iter().map(|(_, epoch)| renewal(*epoch)).collect())
    }

    /// The lock is given up as a whole, when the store is closed.
    async fn release(&self, _held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError> {
        Ok(())
    }
}
