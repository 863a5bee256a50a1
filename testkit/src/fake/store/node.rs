//! Ownership as one of several nodes asks for it. Sessions end by tokio's clock, so tests may pause it.

use super::{
    FakeStore, Inner, StoreCall,
    tables::{Row, Session},
};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::{domain::*, ports::*};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;
use uuid::Uuid;

/// The node's address if the [`FakeStore`] itself is used as [`Ownership`].
const ONLY_NODE: &str = "127.0.0.1:8081";
const LEASE: Duration = Duration::from_secs(3);

/// One node's view of the owners in a [`FakeStore`].
pub struct FakeNode {
    store: FakeStore,
    member: Member,
    cut_off: AtomicBool,
}

/// A node that hosts owners.
pub fn member(address: &str) -> Member {
    Member {
        session: Uuid::new_v5(&Uuid::NAMESPACE_URL, address.as_bytes()),
        name: address.into(),
        address: address.into(),
        hosts: true,
        draining: false,
        runtime_domain: String::new(),
        version: "0".into(),
    }
}

impl Inner {
    pub(super) fn holder(&self, name: &SchedulerName) -> Option<Holder> {
        let row = self.schedulers.get(name)?;
        let session = self.sessions.get(&row.owner?)?;
        (session.until > Instant::now()).then(|| Holder {
            session: session.member.session,
            address: session.member.address.clone(),
            epoch: row.epoch,
        })
    }

    fn owner(&self, name: &SchedulerName) -> Owner {
        match self.holder(name) {
            Some(holder) => Owner::Held(holder),
            None => match self.schedulers.get(name) {
                Some(row) if row.tables.is_wanted() => Owner::Nobody,
                _ => Owner::Unknown,
            },
        }
    }

    /// Begins the session of a node, or extends it.
    fn extend(&mut self, member: &Member) {
        let until = Instant::now() + self.lease.unwrap_or(LEASE);
        let session = || Session {
            member: member.clone(),
            until,
        };
        let known = self.sessions.entry(member.session);
        known.or_insert_with(session).until = until;
    }

    pub(super) fn give(&mut self, name: &SchedulerName, to: &Member) -> (Epoch, Seq) {
        self.extend(to);
        let row = self.schedulers.entry(name.clone()).or_default();
        row.owner = Some(to.session);
        row.epoch.0 += 1;
        let given = (row.epoch, row.seq);
        self.owner_changed(name);
        given
    }

    pub(super) fn take_away(&mut self, name: &SchedulerName) {
        if let Some(row) = self.schedulers.get_mut(name) {
            row.owner = None;
            self.owner_changed(name);
        }
    }

    fn owner_changed(&mut self, name: &SchedulerName) {
        let change = OwnerChange {
            scheduler: name.clone(),
            owner: self.owner(name),
        };
        self.watchers
            .retain(|watcher| watcher.send(change.clone()).is_ok());
    }

    fn claim(&mut self, name: &SchedulerName, by: &Member) -> Claim {
        match self.holder(name) {
            Some(holder) if holder.session != by.session => Claim::HeldBy(holder),
            // The same node may claim again: its previous writer is fenced off.
            _ => {
                let (epoch, seq) = self.give(name, by);
                Claim::Owned { epoch, seq }
            }
        }
    }

    fn renewal(&self, name: &SchedulerName, epoch: Epoch, session: Uuid) -> Renewal {
        let held = |row: &Row| row.epoch == epoch && row.owner == Some(session);
        match self.schedulers.get(name).is_some_and(held) {
            true => Renewal::Held(self.lease.unwrap_or(LEASE)),
            false => Renewal::Lost,
        }
    }
}

impl FakeNode {
    /// Cuts the node off: all its calls fail. Its session ends unless that ends before.
    pub fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, SeqCst);
    }
    async fn ask(&self, call: StoreCall) -> Result<(), StoreError> {
        if self.cut_off.load(SeqCst) {
            return Err(StoreError::Unavailable("cut off".into()));
        }
        self.store.ask(call).await
    }
}

impl FakeStore {
    /// A node with this address, which other nodes see in `Claim::HeldBy`.
    pub fn node(&self, address: &str) -> Arc<FakeNode> {
        self.node_of(member(address))
    }
    pub fn node_of(&self, member: Member) -> Arc<FakeNode> {
        Arc::new(FakeNode {
            store: self.clone(),
            member,
            cut_off: AtomicBool::new(false),
        })
    }
    fn only(&self) -> Arc<FakeNode> {
        self.node(ONLY_NODE)
    }
    /// Another node takes the scheduler: its owner so far is fenced off.
    pub fn steal(&self, name: &str, address: &str) -> Epoch {
        let (epoch, _) = self.inner.lock().give(&name.into(), &member(address));
        epoch
    }
    /// The owner's lease expires: any node may take the scheduler.
    pub fn expire(&self, name: &str) {
        self.inner.lock().take_away(&name.into());
    }
    /// Address of the owning node, if that is alive.
    pub fn owner_of(&self, name: &str) -> Option<String> {
        let holder = self.inner.lock().holder(&name.into());
        holder.map(|holder| holder.address)
    }
}

#[async_trait]
impl Ownership for FakeNode {
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError> {
        self.ask(StoreCall::Discover).await?;
        let inner = self.store.inner.lock();
        let rows = inner.schedulers.iter();
        let rows = rows.filter(|(_, row)| row.tables.is_wanted());
        Ok(rows.map(|(name, _)| name.clone()).collect())
    }

    fn myself(&self) -> Member {
        self.member.clone()
    }

    async fn members(&self) -> Result<Vec<Member>, StoreError> {
        self.ask(StoreCall::Members).await?;
        let (inner, now) = (self.store.inner.lock(), Instant::now());
        let alive = inner.sessions.values().filter(|s| s.until > now);
        Ok(alive.map(|session| session.member.clone()).collect())
    }

    async fn owners(&self) -> Result<Vec<(SchedulerName, Holder)>, StoreError> {
        self.ask(StoreCall::Owners).await?;
        let inner = self.store.inner.lock();
        let names = inner.schedulers.keys();
        let held = names.filter_map(|name| Some((name.clone(), inner.holder(name)?)));
        Ok(held.collect())
    }

    async fn owner(&self, name: &SchedulerName) -> Result<Owner, StoreError> {
        self.ask(StoreCall::Owners).await?;
        Ok(self.store.inner.lock().owner(name))
    }

    fn changes(&self) -> BoxStream<'static, OwnerChange> {
        let (watcher, changes) = mpsc::unbounded_channel();
        self.store.inner.lock().watchers.push(watcher);
        Box::pin(UnboundedReceiverStream::new(changes))
    }

    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        self.ask(StoreCall::Acquire).await?;
        let mut inner = self.store.inner.lock();
        let claims = names.iter().map(|name| inner.claim(name, &self.member));
        Ok(claims.collect())
    }

    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError> {
        self.ask(StoreCall::Renew).await?;
        let mut inner = self.store.inner.lock();
        inner.extend(&self.member);
        let session = self.member.session;
        let renewals = held.iter().map(|(n, e)| inner.renewal(n, *e, session));
        Ok(renewals.collect())
    }

    async fn release(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError> {
        self.ask(StoreCall::Release).await?;
        let mut inner = self.store.inner.lock();
        for (name, epoch) in held {
            if inner.renewal(name, *epoch, self.member.session) != Renewal::Lost {
                inner.take_away(name);
            }
        }
        Ok(())
    }

    async fn overview(&self) -> Result<Overview, StoreError> {
        self.ask(StoreCall::Members).await?;
        let (inner, now) = (self.store.inner.lock(), Instant::now());
        let names = inner.schedulers.keys();
        let holders: Vec<_> = names.map(|name| (name, inner.holder(name))).collect();
        let alive = inner.sessions.values().filter(|s| s.until > now);
        let standing = |session: &Session| {
            let by = |holder: &Holder| holder.session == session.member.session;
            let owned = holders.iter().filter(|(_, h)| h.as_ref().is_some_and(by));
            Standing {
                member: session.member.clone(),
                left: Some(session.until - now),
                owned: owned.count() as u64,
            }
        };
        let is_wanted = |name: &SchedulerName| inner.schedulers[name].tables.is_wanted();
        let unowned = holders.iter().filter(|(n, h)| h.is_none() && is_wanted(n));
        Ok(Overview {
            store: "fake",
            nodes: alive.map(standing).collect(),
            unowned: unowned.count() as u64,
        })
    }

    async fn outbox(&self) -> Result<Outbox, StoreError> {
        Ok(Outbox::default())
    }

    async fn drain(&self, session: Uuid, draining: bool) -> Result<bool, StoreError> {
        self.ask(StoreCall::Members).await?;
        let mut inner = self.store.inner.lock();
        let known = inner.sessions.get_mut(&session);
        let known = known.filter(|session| session.until > Instant::now());
        Ok(known.map(|s| s.member.draining = draining).is_some())
    }

    /// A test is over before there are many.
    async fn forget_unneeded(&self) -> Result<(), StoreError> {
        self.ask(StoreCall::Forget).await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.ask(StoreCall::Release).await?;
        let mut inner = self.store.inner.lock();
        inner.sessions.remove(&self.member.session);
        let names: Vec<_> = inner.schedulers.keys().cloned().collect();
        for name in names {
            let owner = inner.schedulers.get(&name).and_then(|row| row.owner);
            if owner == Some(self.member.session) {
                inner.take_away(&name);
            }
        }
        Ok(())
    }
}

/// The only node of a cluster.
#[async_trait]
impl Ownership for FakeStore {
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError> {
        self.only().discover().await
    }
    fn myself(&self) -> Member {
        member(ONLY_NODE)
    }
    async fn members(&self) -> Result<Vec<Member>, StoreError> {
        self.only().members().await
    }
    async fn owners(&self) -> Result<Vec<(SchedulerName, Holder)>, StoreError> {
        self.only().owners().await
    }
    async fn owner(&self, name: &SchedulerName) -> Result<Owner, StoreError> {
        self.only().owner(name).await
    }
    fn changes(&self) -> BoxStream<'static, OwnerChange> {
        self.only().changes()
    }
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        self.only().acquire(names).await
    }
    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError> {
        self.only().renew(held).await
    }
    async fn release(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError> {
        self.only().release(held).await
    }
    async fn overview(&self) -> Result<Overview, StoreError> {
        self.only().overview().await
    }
    async fn outbox(&self) -> Result<Outbox, StoreError> {
        self.only().outbox().await
    }
    async fn drain(&self, session: Uuid, draining: bool) -> Result<bool, StoreError> {
        self.only().drain(session, draining).await
    }
    async fn forget_unneeded(&self) -> Result<(), StoreError> {
        self.only().forget_unneeded().await
    }
    async fn leave(&self) -> Result<(), StoreError> {
        self.only().leave().await
    }
}
