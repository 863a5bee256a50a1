//! Ownership of schedulers: the holder of the folder's lock owns them all.

use super::{EmbeddedStore, closed, queue::Job};
use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use maestro_core::{
    domain::{Epoch, SchedulerName},
    ports::{
        Claim, Holder, Member, Outbox, Overview, Owner, OwnerChange, Ownership, Renewal, Standing,
        StoreError,
    },
};
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// The validity of a renewal. The lock does not expire, so this only bounds for how long we
/// continue after losing it (its file was removed).
const LEASE: Duration = Duration::from_secs(10);

impl EmbeddedStore {
    /// Whether the lock is still ours, and not a file that somebody else put there.
    async fn is_locked(&self) -> Result<bool, StoreError> {
        let shared = self.shared.clone();
        let ours = tokio::task::spawn_blocking(move || shared.is_ours());
        ours.await.map_err(|_| closed())
    }
}

#[async_trait]
impl Ownership for EmbeddedStore {
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError> {
        Ok(self.shared.model.wanted())
    }

    fn myself(&self) -> Member {
        Member {
            session: self.shared.session,
            name: "this machine".into(),
            address: String::new(),
            hosts: true,
            draining: false,
            runtime_domain: self.shared.installation.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    async fn members(&self) -> Result<Vec<Member>, StoreError> {
        Ok(vec![self.myself()])
    }

    /// Nobody else has to find an owner.
    async fn owners(&self) -> Result<Vec<(SchedulerName, Holder)>, StoreError> {
        Ok(Vec::new())
    }

    async fn owner(&self, name: &SchedulerName) -> Result<Owner, StoreError> {
        match self.shared.model.is_wanted(name) {
            true => Ok(Owner::Nobody),
            false => Ok(Owner::Unknown),
        }
    }

    fn changes(&self) -> BoxStream<'static, OwnerChange> {
        stream::pending().boxed()
    }

    /// Claims at the epoch of this opening, with the seqs after everything that was sent.
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        if !self.is_locked().await? {
            let text = "the file LOCK of the data folder is not ours any more; restart maestro";
            return Err(StoreError::Unavailable(text.into()));
        }
        let (answer, seqs) = oneshot::channel();
        let names = names.to_vec();
        self.send(Job::Acquire { names, answer }).await?;
        let seqs = seqs.await.map_err(|_| closed())??;
        let epoch = self.shared.epoch;
        let owned = |seq| Claim::Owned { epoch, seq };
        Ok(seqs.into_iter().map(owned).collect())
    }

    /// Fails while the store is down, although the lock is still ours.
    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError> {
        let ours = self.is_locked().await?;
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

    /// The lock is released as a whole, when the store is closed.
    async fn release(&self, _held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn overview(&self) -> Result<Overview, StoreError> {
        let me = Standing {
            member: self.myself(),
            left: None,
            owned: self.shared.model.wanted().len() as u64,
        };
        Ok(Overview {
            store: "embedded",
            nodes: vec![me],
            unowned: 0,
        })
    }

    async fn outbox(&self) -> Result<Outbox, StoreError> {
        Ok(Outbox::default())
    }

    /// There is no other node that could take over.
    async fn drain(&self, _session: Uuid, _draining: bool) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Names are kept in memory, and only while they are needed.
    async fn forget_unneeded(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn leave(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
