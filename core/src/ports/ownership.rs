//! Ownership of schedulers: each has one fenced owner in the whole cluster (architecture 5).

use super::StoreError;
use crate::domain::{Epoch, SchedulerName, Seq};
use async_trait::async_trait;
use std::time::Duration;

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
    HeldBy {
        /// Where the node that owns the scheduler takes calls.
        address: String,
    },
}

/// The answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Ours for this duration, counted from *before* the call.
    Held(Duration),
    /// Another owner has taken it over, or the lease has expired.
    Lost,
}

/// Acquires and renews schedulers in batches: a node asks once for all of its own.
#[async_trait]
pub trait Ownership: Send + Sync + 'static {
    /// Names of all schedulers that exist.
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError>;
    /// One answer per name, in order. Every take-over raises the epoch. A name without a scheduler can be acquired too:
    /// that is how a scheduler is created.
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError>;
    /// Extends the leases of schedulers that this node owns. One answer per name, in order.
    ///
    /// # Errors
    /// If the store cannot be reached: the leases then expire at the times known so far.
    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError>;
    /// Gives schedulers back, so that another node can acquire them before their leases expire. Names that are not held
    /// at the given epoch are ignored.
    async fn release(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError>;
}
