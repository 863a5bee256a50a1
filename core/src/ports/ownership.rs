//! Ownership of schedulers: each has one fenced owner in the whole cluster (architecture 5).

use super::StoreError;
use crate::domain::{Epoch, SchedulerName, Seq};
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use std::time::Duration;
use uuid::Uuid;

/// A process of the cluster that is alive: its session has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// A new one for every start of a process.
    pub session: Uuid,
    /// Its name for people, such as `host-1`; not unique.
    pub name: String,
    /// Where it takes the calls of other nodes; empty if it takes none.
    pub address: String,
    /// Whether it hosts owners: the modules `worker` and `all` do.
    pub hosts: bool,
    /// An operator drains it: it hands its schedulers over and takes no new ones.
    pub draining: bool,
    /// Where its runtime starts rooms. Nodes of different domains cannot see each other's rooms.
    pub runtime_domain: String,
    /// The version of its program.
    pub version: String,
}

/// The node that owns a scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The session of the process.
    pub session: Uuid,
    /// Where it takes calls.
    pub address: String,
    /// The epoch at which it owns the scheduler.
    pub epoch: Epoch,
}

/// The answer to a request for a scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ours from now on.
    Owned {
        /// Higher than that of every earlier owner; every write carries it.
        epoch: Epoch,
        /// The last batch that was stored, by whichever owner.
        seq: Seq,
    },
    /// Owned by another node.
    HeldBy(Holder),
}

/// The answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Ours for this duration, counted from *before* the call.
    Held(Duration),
    /// Another owner has taken it over, or the lease has expired.
    Lost,
}

/// Who owns a scheduler at the moment of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A node that is alive.
    Held(Holder),
    /// Nobody: its last owner released it, or its session has ended.
    Nobody,
    /// There is no such scheduler, and neither a runtime nor an operation for one.
    Unknown,
}

/// A change of the owner of a scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerChange {
    /// The scheduler.
    pub scheduler: SchedulerName,
    /// Its owner from now on.
    pub owner: Owner,
}

/// A living node and what it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The node.
    pub member: Member,
    /// How long its session lasts if it is not renewed; `None` if it does not end.
    pub left: Option<Duration>,
    /// How many schedulers it owns.
    pub owned: u64,
}

/// The nodes of a store, as the store knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// The store, as the setting `store.type` names it.
    pub store: &'static str,
    /// All nodes that are alive, ordered by session.
    pub nodes: Vec<Standing>,
    /// How many schedulers no living node owns.
    pub unowned: u64,
}

/// Batches that one half of the store has, and the other still lacks. There are none in a store of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// How many.
    pub rows: u64,
    /// The age of the oldest, if there is one.
    pub oldest: Option<Duration>,
}

/// Acquires and renews schedulers in batches: a node asks once for all of its own.
#[async_trait]
pub trait Ownership: Send + Sync + 'static {
    /// Names of all schedulers that exist, and of those that only have a runtime, or operations that have not ended.
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError>;
    /// This node.
    fn myself(&self) -> Member;
    /// All nodes that are alive, ordered by session; this one is among them once it has renewed.
    async fn members(&self) -> Result<Vec<Member>, StoreError>;
    /// The owner of each scheduler that a living node owns.
    async fn owners(&self) -> Result<Vec<(SchedulerName, Holder)>, StoreError>;
    /// The owner of one scheduler.
    async fn owner(&self, name: &SchedulerName) -> Result<Owner, StoreError>;
    /// Changes of owners from now on, those that this node makes among them. A change may be missing, after a lost
    /// connection for example, so [`Self::owners`] is asked from time to time too. Never ends.
    fn changes(&self) -> BoxStream<'static, OwnerChange>;
    /// One answer per name, in order. Every take-over raises the epoch. A name without a scheduler can be acquired too:
    /// that is how a scheduler is created.
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError>;
    /// Keeps this node's session alive, and extends the leases of the schedulers that it owns. One answer per name, in
    /// order.
    ///
    /// # Errors
    /// If the store cannot be reached: the leases then expire at the times known so far.
    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError>;
    /// Gives schedulers back, so that another node can acquire them before their leases expire. Names that are not held
    /// at the given epoch are ignored.
    async fn release(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError>;
    /// What each node owns: counts only, for thousands of schedulers.
    async fn overview(&self) -> Result<Overview, StoreError>;
    /// What one half of the store still lacks.
    async fn outbox(&self) -> Result<Outbox, StoreError>;
    /// Marks a living node as draining, or no longer so. False if there is no such session.
    async fn drain(&self, session: Uuid, draining: bool) -> Result<bool, StoreError>;
    /// Forgets names that neither a scheduler nor a runtime has, that have no operation that has not ended, and that
    /// nobody owns. Whoever acquires such a name at this moment keeps it, and no epoch of it returns.
    async fn forget_unneeded(&self) -> Result<(), StoreError>;
    /// Ends this node's session: what it still owns is free at once. It is not used afterwards.
    async fn leave(&self) -> Result<(), StoreError>;
}
