//! One owner's right to act, as a moment that passes unless it is renewed.

use maestro_core::domain::{Epoch, Mono};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Calls on a runtime cannot be fenced, so they begin only with this much left (architecture 5).
pub(crate) const LEFT_MIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Lease {
    pub epoch: Epoch,
    /// Microseconds on the monotonic clock.
    until: AtomicU64,
}

impl Lease {
    pub fn new(epoch: Epoch, until: Mono) -> Self {
        let lease = Self {
            epoch,
            until: AtomicU64::new(0),
        };
        lease.extend(until);
        lease
    }
    pub fn extend(&self, until: Mono) {
        self.until.store(until.0.as_micros() as u64, Relaxed);
    }
    pub fn lose(&self) {
        self.until.store(0, Relaxed);
    }
    pub fn left(&self, now: Mono) -> Duration {
        Duration::from_micros(self.until.load(Relaxed)).saturating_sub(now.0)
    }
}
