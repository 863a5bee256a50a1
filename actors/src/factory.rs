//! Loads what an incarnation of an owner begins with, always from the store: recovery after a panic, a lost write or a
//! restart is the same as the first start.

use crate::parts::NodeParts;
use futures_util::FutureExt;
use maestro_core::domain::{Epoch, Mono, SchedulerName, Seq};
use maestro_core::ports::{Claim, StoreError};
use maestro_core::state::SchedulerState;
use std::panic::AssertUnwindSafe;

/// The result of a factory: everything for a new incarnation.
pub(crate) struct LoadedOwner {
    pub epoch: Epoch,
    pub seq: Seq,
    /// Counted from the moment before the store was asked, so the store's own count ends no earlier.
    pub lease_until: Mono,
    pub state: SchedulerState,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("another node owns it: {0}")]
    HeldBy(String),
    #[error("loading it panicked")]
    Panicked,
    #[error("the node goes down")]
    GoingDown,
}

/// Acquires and loads a scheduler. A panic in here is turned into an error, because it would go unnoticed otherwise.
pub(crate) async fn make(
    parts: &NodeParts,
    name: &SchedulerName,
) -> Result<LoadedOwner, BuildError> {
    let made = AssertUnwindSafe(load(parts, name)).catch_unwind().await;
    made.unwrap_or(Err(BuildError::Panicked))
}

async fn load(parts: &NodeParts, name: &SchedulerName) -> Result<LoadedOwner, BuildError> {
    let before = parts.clock.now().mono;
    let claims = parts.ownership.acquire(std::slice::from_ref(name)).await?;
    let epoch = match claims.into_iter().next() {
        Some(Claim::Owned { epoch, .. }) => epoch,
        Some(Claim::HeldBy(holder)) => return Err(BuildError::HeldBy(holder.address)),
        None => return Err(BuildError::HeldBy(String::new())),
    };
    let loaded = parts.store.load(&[(name.clone(), epoch)]).await;
    let loaded = loaded.into_iter().next().unwrap_or_else(|| {
        let nothing = "the store did not answer for this scheduler";
        Err(StoreError::Unavailable(nothing.into()))
    })?;
    let (seq, now, entropy) = (loaded.seq, parts.clock.now(), parts.clock.entropy());
    let state = SchedulerState::load(name.clone(), loaded, parts.core.clone(), now, entropy);
    Ok(LoadedOwner {
        epoch,
        seq,
        lease_until: before.plus(parts.settings.lease_ttl),
        state,
    })
}
