//! Loads what incarnations of owners begin with, always from the store: recovery after a panic, a lost write or a
//! restart is the same as the first start.

use crate::parts::NodeParts;
use futures_util::FutureExt;
use maestro_core::domain::{Epoch, Mono, SchedulerName, Seq};
use maestro_core::ports::{Claim, Holder, Loaded, StoreError};
use maestro_core::state::SchedulerState;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Maximum number of schedulers per call of the store.
pub(crate) const BATCH_MAX: usize = 100;

/// The result of a factory: everything for a new incarnation.
pub(crate) struct LoadedOwner {
    pub epoch: Epoch,
    pub seq: Seq,
    /// Counted from the moment before the store was asked, so the store's own count ends no earlier.
    pub lease_until: Mono,
    /// The store had lost changes: what is loaded may lack rooms and operations.
    pub behind: bool,
    pub state: SchedulerState,
}

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the node at {} owns it", .0.address)]
    HeldBy(Holder),
    #[error("loading it panicked")]
    Panicked,
    #[error("the node goes down")]
    GoingDown,
}

/// What was made for each of the asked names, in their order.
pub(crate) type Made = Vec<(SchedulerName, Result<Box<LoadedOwner>, BuildError>)>;

/// Acquires and loads schedulers, at most [`BATCH_MAX`]. A panic in here is turned into an error, because it would go
/// unnoticed otherwise.
pub(crate) async fn make(parts: &NodeParts, names: &[SchedulerName]) -> Made {
    let made = AssertUnwindSafe(load(parts, names)).catch_unwind().await;
    made.unwrap_or_else(|_| all(names, &BuildError::Panicked))
}

/// The same error for each name.
pub(crate) fn all(names: &[SchedulerName], error: &BuildError) -> Made {
    let each = names.iter().map(|name| (name.clone(), Err(error.clone())));
    each.collect()
}

async fn load(parts: &NodeParts, names: &[SchedulerName]) -> Made {
    let before = parts.clock.now().mono;
    let claims = match parts.ownership.acquire(names).await {
        Ok(claims) => claims,
        Err(error) => return all(names, &error.into()),
    };
    let claimed: Vec<_> = names.iter().cloned().zip(claims).collect();
    let owned = claimed.iter().filter_map(|(name, claim)| match claim {
        Claim::Owned { epoch, .. } => Some((name.clone(), *epoch)),
        Claim::HeldBy(_) => None,
    });
    let owned: Vec<_> = owned.collect();
    let mut loaded = match owned.is_empty() {
        true => Vec::new(),
        false => parts.store.load(&owned).await,
    }
    .into_iter();
    let lease_until = before.plus(parts.settings.lease_ttl);
    let unanswered = || {
        let text = "the store did not answer for this scheduler";
        Err(StoreError::Unavailable(text.into()))
    };
    let each = claimed.into_iter().map(|(name, claim)| {
        let built = match claim {
            Claim::HeldBy(holder) => Err(BuildError::HeldBy(holder)),
            Claim::Owned { epoch, .. } => match loaded.next().unwrap_or_else(unanswered) {
                Ok(loaded) => build(parts, &name, epoch, loaded, lease_until),
                Err(error) => Err(error.into()),
            },
        };
        (name, built)
    });
    each.collect()
}

/// A state that cannot be built is the failure of its scheduler alone.
fn build(
    parts: &NodeParts,
    name: &SchedulerName,
    epoch: Epoch,
    loaded: Loaded,
    lease_until: Mono,
) -> Result<Box<LoadedOwner>, BuildError> {
    let (seq, behind) = (loaded.seq, loaded.behind);
    let (now, entropy) = (parts.clock.now(), parts.clock.entropy());
    let state = AssertUnwindSafe(|| {
        SchedulerState::load(name.clone(), loaded, parts.core.clone(), now, entropy)
    });
    let state = catch_unwind(state).map_err(|_| BuildError::Panicked)?;
    Ok(Box::new(LoadedOwner {
        epoch,
        seq,
        lease_until,
        behind,
        state,
    }))
}
