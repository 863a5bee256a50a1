//! The harness of the store's checks.

use async_trait::async_trait;
use maestro_core::{
    domain::{Epoch, SchedulerName, Seq},
    ports::{Change, Claim, CommitError, Fence, Loaded, Ownership, Reads, Store, StoreError},
};
use std::sync::Arc;

/// Opens one store again and again.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens the store: empty the first time, later with what was stored. An opening ends when the
    /// last of its ports is dropped; there is one at a time.
    async fn open(&self) -> Ports;
}

/// The ports of one opening.
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub reads: Arc<dyn Reads>,
    pub ownership: Arc<dyn Ownership>,
}

/// The owner of one scheduler, who keeps its writes in order.
pub struct Owner {
    store: Arc<dyn Store>,
    ownership: Arc<dyn Ownership>,
    pub name: SchedulerName,
    pub epoch: Epoch,
    pub seq: Seq,
}

impl Owner {
    pub async fn of(ports: &Ports, name: &str) -> Self {
        let name = SchedulerName::from(name);
        let names = std::slice::from_ref(&name);
        let claims = ports.ownership.acquire(names).await.unwrap();
        let [Claim::Owned { epoch, seq }] = claims[..] else {
            panic!("{name} is not ours: {claims:?}");
        };
        Self {
            store: ports.store.clone(),
            ownership: ports.ownership.clone(),
            name,
            epoch,
            seq,
        }
    }

    /// The fence of the next batch.
    pub fn fence(&self) -> Fence {
        Fence {
            scheduler: self.name.clone(),
            epoch: self.epoch,
            previous: self.seq,
            seq: self.seq.next(),
        }
    }

    /// Commits the next batch.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit(&mut self, changes: impl Into<Arc<[Change]>>) -> Result<(), CommitError> {
        let fence = self.fence();
        let seq = fence.seq;
        self.store.commit(fence, changes.into()).await?;
        self.seq = seq;
        Ok(())
    }

    /// A commit that must succeed.
    pub async fn put(&mut self, changes: Vec<Change>) {
        self.commit(changes).await.unwrap();
    }

    pub async fn stored_seq(&self) -> Seq {
        let seq = self.store.stored_seq(&self.name, self.epoch).await;
        seq.unwrap()
    }

    pub async fn load(&self) -> Loaded {
        self.try_load().await.unwrap()
    }

    /// # Errors
    /// As [`Store::load`].
    pub async fn try_load(&self) -> Result<Loaded, StoreError> {
        let owned = [(self.name.clone(), self.epoch)];
        let loaded = self.store.load(&owned).await;
        loaded.into_iter().next().unwrap()
    }

    /// Releases the scheduler, as a planned stop does.
    pub async fn release(self) {
        let held = [(self.name.clone(), self.epoch)];
        self.ownership.release(&held).await.unwrap();
    }
}
