//! The ports: what is read by anyone, and what is passed on to the two halves.

use super::{ClusterStore, check};
use crate::postgres::DatabaseError;
use crate::postgres::reads::{self, ReadError};
use crate::postgres::{forget, unknown, unneeded};
use crate::redis::FleetFigures;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::domain::{
    Address, Epoch, OperationId, OperationRecord, Scheduler, SchedulerName, Seq,
};
use maestro_core::ports::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

#[async_trait]
impl Store for ClusterStore {
    async fn commit(&self, fence: Fence, changes: Arc<[Change]>) -> Result<(), CommitError> {
        self.commit_both(&fence, &changes).await
    }
    async fn stored_seq(
        &self,
        scheduler: &SchedulerName,
        epoch: Epoch,
    ) -> Result<Seq, CommitError> {
        self.stored_seq_of(scheduler, epoch).await
    }
    async fn load(&self, owned: &[(SchedulerName, Epoch)]) -> Vec<Result<Loaded, StoreError>> {
        self.load_both(owned).await
    }
    fn outage(&self) -> Option<Arc<Outage>> {
        self.health.outage()
    }
}

impl ClusterStore {
    /// What the metrics reporter tells of each of these schedulers, in order; see [`RedisStore::figures`].
    ///
    /// [`RedisStore::figures`]: crate::redis::RedisStore::figures
    ///
    /// # Errors
    /// If Redis cannot be read.
    pub async fn figures(
        &self,
        schedulers: &[&str],
        page: usize,
    ) -> Result<Vec<Option<FleetFigures>>, StoreError> {
        self.redis.figures(schedulers, page).await
    }
}

fn unread(error: ReadError) -> StoreError {
    match error {
        ReadError::Database(error) => error.into(),
        ReadError::Document(error) => StoreError::Corrupt(Cause::of(error)),
    }
}

#[async_trait]
impl Reads for ClusterStore {
    async fn schedulers(
        &self,
        filter: &SchedulerFilter,
    ) -> Result<Vec<Arc<Scheduler>>, StoreError> {
        let found = reads::schedulers(&self.database, &self.documents, filter).await;
        found.map_err(DatabaseError::into)
    }
    async fn scheduler(&self, name: &str) -> Result<Option<Arc<Scheduler>>, StoreError> {
        let found = reads::scheduler(&self.database, &self.documents, name).await;
        found.map_err(unread)
    }
    async fn scheduler_version(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<Arc<Scheduler>>, StoreError> {
        let found = reads::version(&self.database, &self.documents, name, version).await;
        found.map_err(unread)
    }
    async fn versions(&self, name: &str) -> Result<Vec<VersionRow>, StoreError> {
        let found = reads::versions(&self.database, name).await;
        found.map_err(DatabaseError::into)
    }
    async fn operations(&self, scheduler: &str, stage: Stage) -> Result<OperationPage, StoreError> {
        self.redis.operations(scheduler, stage).await
    }
    async fn operation(
        &self,
        scheduler: &str,
        id: OperationId,
    ) -> Result<Option<Arc<OperationRecord>>, StoreError> {
        self.redis.operation(scheduler, id).await
    }
    async fn room_counts(&self, schedulers: &[&str]) -> Result<Vec<RoomCounts>, StoreError> {
        self.redis.room_counts(schedulers).await
    }
    async fn room_address(
        &self,
        scheduler: &str,
        room: &str,
    ) -> Result<Option<Option<Address>>, StoreError> {
        self.redis.room_address(scheduler, room).await
    }
    async fn check(&self) -> Result<(), StoreError> {
        check(&self.database, &self.redis).await
    }
}

/// Owners are rows of Postgres. Only Redis knows of schedulers that have nothing but operations.
#[async_trait]
impl Ownership for ClusterStore {
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError> {
        let rows = self.ownership.discover();
        let (rows, operations) = tokio::try_join!(rows, self.redis.with_open_operations())?;
        let all: BTreeSet<_> = rows.into_iter().chain(operations).collect();
        Ok(all.into_iter().collect())
    }
    fn myself(&self) -> Member {
        self.ownership.myself()
    }
    async fn members(&self) -> Result<Vec<Member>, StoreError> {
        self.ownership.members().await
    }
    async fn owners(&self) -> Result<Vec<(SchedulerName, Holder)>, StoreError> {
        self.ownership.owners().await
    }
    async fn owner(&self, name: &SchedulerName) -> Result<Owner, StoreError> {
        self.ownership.owner(name).await
    }
    fn changes(&self) -> BoxStream<'static, OwnerChange> {
        self.ownership.changes()
    }
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        let claims = self.ownership.acquire(names).await?;
        self.refuse_earlier_owners(names, claims).await
    }
    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError> {
        self.ownership.renew(held).await
    }
    async fn release(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError> {
        let names: Vec<_> = held.iter().map(|(name, _)| name.clone()).collect();
        self.redis.forget(&names);
        self.proof.forget(&names);
        self.ownership.release(held).await
    }
    async fn overview(&self) -> Result<Overview, StoreError> {
        self.ownership.overview().await
    }
    async fn outbox(&self) -> Result<Outbox, StoreError> {
        self.ownership.outbox().await
    }
    async fn drain(&self, session: Uuid, draining: bool) -> Result<bool, StoreError> {
        self.ownership.drain(session, draining).await
    }
    /// In Postgres first: the next owner of a name goes on with an entry of Redis that is left over. A node that ended
    /// between the two left such entries, and nothing in Postgres tells of them.
    async fn forget_unneeded(&self) -> Result<(), StoreError> {
        let fenced = self.redis.fenced().await?;
        let names: Vec<&str> = fenced.iter().map(|(name, _)| name.as_str()).collect();
        let (mut names, left) =
            tokio::try_join!(unneeded(&self.database), unknown(&self.database, &names))?;
        if names.is_empty() && left.is_empty() {
            return Ok(());
        }
        let left: BTreeSet<_> = left.into_iter().collect();
        names.extend(left.iter().cloned());
        let idle = self.redis.without_open_operations(names).await?;
        let mut forgotten = forget(&self.database, &idle).await?;
        let idle: BTreeSet<_> = idle.into_iter().collect();
        // Whoever acquires such a name meanwhile does so at a later epoch, and keeps its entry.
        let is_left =
            |(name, _): &(SchedulerName, Epoch)| left.contains(name) && idle.contains(name);
        forgotten.extend(fenced.into_iter().filter(is_left));
        self.redis.forget_fences(&forgotten).await
    }
    async fn leave(&self) -> Result<(), StoreError> {
        self.ownership.leave().await
    }
}

/// What other programs order goes through Redis.
impl Feed for ClusterStore {
    fn subscribe(&self) -> BoxStream<'static, FeedEvent> {
        self.feed.subscribe()
    }
}
