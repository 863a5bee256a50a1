//! Ownership as one of several nodes asks for it.

use super::{FakeStore, Inner, StoreCall};
use async_trait::async_trait;
use maestro_core::{domain::*, ports::*};
use std::{sync::Arc, time::Duration};

/// The node's address if the [`FakeStore`] itself is used as [`Ownership`].
const ONLY_NODE: &str = "127.0.0.1:8081";
const LEASE: Duration = Duration::from_secs(3);

/// One node's view of the owners in a [`FakeStore`].
pub struct FakeNode {
    store: Arc<FakeStore>,
    address: String,
}

impl FakeNode {
    pub(super) fn new(store: Arc<FakeStore>, address: &str) -> Self {
        Self {
            store,
            address: address.into(),
        }
    }
}

impl Inner {
    fn claim(&mut self, name: &SchedulerName, address: &str) -> Claim {
        let row = self.schedulers.entry(name.clone()).or_default();
        match &row.owner {
            Some(owner) if owner != address => Claim::HeldBy {
                address: owner.clone(),
            },
            // The same node may claim again: its previous writer is fenced off.
            _ => {
                row.owner = Some(address.into());
                row.epoch.0 += 1;
                Claim::Owned {
                    epoch: row.epoch,
                    seq: row.seq,
                }
            }
        }
    }

    fn renewal(&self, name: &SchedulerName, epoch: Epoch, address: &str) -> Renewal {
        let held = self
            .schedulers
            .get(name)
            .is_some_and(|row| row.epoch == epoch && row.owner.as_deref() == Some(address));
        match held {
            true => Renewal::Held(self.lease.unwrap_or(LEASE)),
            false => Renewal::Lost,
        }
    }
}

impl FakeStore {
    async fn discovered(&self) -> Result<Vec<SchedulerName>, StoreError> {
        self.ask(StoreCall::Discover).await?;
        let inner = self.inner.lock();
        let rows = inner.schedulers.iter();
        let rows = rows.filter(|(_, row)| row.tables.scheduler.is_some());
        Ok(rows.map(|(name, _)| name.clone()).collect())
    }

    async fn acquired(
        &self,
        names: &[SchedulerName],
        address: &str,
    ) -> Result<Vec<Claim>, StoreError> {
        self.ask(StoreCall::Acquire).await?;
        let mut inner = self.inner.lock();
        Ok(names.iter().map(|n| inner.claim(n, address)).collect())
    }

    async fn renewed(
        &self,
        held: &[(SchedulerName, Epoch)],
        address: &str,
    ) -> Result<Vec<Renewal>, StoreError> {
        self.ask(StoreCall::Renew).await?;
        let inner = self.inner.lock();
        let renewals = held.iter().map(|(n, e)| inner.renewal(n, *e, address));
        Ok(renewals.collect())
    }

    async fn released(
        &self,
        held: &[(SchedulerName, Epoch)],
        address: &str,
    ) -> Result<(), StoreError> {
        self.ask(StoreCall::Release).await?;
        let mut inner = self.inner.lock();
        for (name, epoch) in held {
            if inner.renewal(name, *epoch, address) == Renewal::Lost {
                continue;
            }
            if let Some(row) = inner.schedulers.get_mut(name) {
                row.owner = None;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Ownership for FakeStore {
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError> {
        self.discovered().await
    }
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        self.acquired(names, ONLY_NODE).await
    }
    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError> {
        self.renewed(held, ONLY_NODE).await
    }
    async fn release(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError> {
        self.released(held, ONLY_NODE).await
    }
}

#[async_trait]
impl Ownership for FakeNode {
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError> {
        self.store.discovered().await
    }
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        self.store.acquired(names, &self.address).await
    }
    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError> {
        self.store.renewed(held, &self.address).await
    }
    async fn release(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError> {
        self.store.released(held, &self.address).await
    }
}
