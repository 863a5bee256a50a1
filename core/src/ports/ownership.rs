//! Who owns which scheduler: one fenced owner in the whole cluster (architecture 5).

use super::StoreError;
use crate::domain::{Epoch, SchedulerName, Seq};
use async_trait::async_trait;
use std::time::Duration;

/// Answer to a request for a scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ours from now on, at this epoch; `seq` is the last batch that was stored.
    Owned { epoch: Epoch, seq: Seq },
    /// Somebody else's, who can be reached at `address`.
    HeldBy { address: String },
}

/// Answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Ours for `Duration` from the moment *before* the call.
    Held(Duration),
    Lost,
}

/// Owning schedulers, in batches: a node asks once for all of its own.
#[async_trait]
pub trait Ownership: Send + Sync + 'static {
    /// Names of all schedulers that exist.
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError>;
    /// One answer per name, in order. Every take-over raises the epoch. A name that no
    /// scheduler has can be owned too: that is how one is created.
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError>;
    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError>;
    async fn release(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError>;
}
