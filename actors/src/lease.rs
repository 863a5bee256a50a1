//! One owner's right to act, which expires at a point in time unless it is renewed.

use maestro_core::domain::{Epoch, Mono};
use maestro_core::ports::Clock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Notify;

/// Calls on a runtime cannot be fenced, so none begins with less than this left (architecture 5).
const LEFT_MIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Lease {
    pub epoch: Epoch,
    /// Expiry in microseconds on the monotonic clock.
    until: AtomicU64,
    /// Given up for good: another incarnation owns the scheduler.
    over: AtomicBool,
    extended: Notify,
}

impl Lease {
    pub fn new(epoch: Epoch, until: Mono) -> Self {
        let lease = Self {
            epoch,
            until: AtomicU64::new(0),
            over: AtomicBool::new(false),
            extended: Notify::new(),
        };
        lease.extend(until);
        lease
    }
    pub fn extend(&self, until: Mono) {
        self.until.store(until.0.as_micros() as u64, SeqCst);
        self.extended.notify_waiters();
    }
    pub fn lose(&self) {
        self.until.store(0, SeqCst);
    }
    /// Gives up the lease of an owner whose thread is blocked: if it continues, it no longer acts as the owner.
    pub fn give_up(&self) {
        self.over.store(true, SeqCst);
        self.lose();
    }
    pub fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }
    pub fn left(&self, now: Mono) -> Duration {
        match self.is_over() {
            true => Duration::ZERO,
            false => Duration::from_micros(self.until.load(SeqCst)).saturating_sub(now.0),
        }
    }

    /// Returns once enough time is left to act. If the lease expires because the store is unavailable, work is delayed
    /// but does not fail.
    pub async fn usable(&self, clock: &dyn Clock) {
        loop {
            let extended = self.extended.notified();
            if self.is_usable(clock) {
                return;
            }
            extended.await;
        }
    }

    pub fn is_usable(&self, clock: &dyn Clock) -> bool {
        self.left(clock.now().mono) >= LEFT_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_was_given_up_is_not_renewed() {
        let at = |seconds| Mono::default().plus(Duration::from_secs(seconds));
        let lease = Lease::new(Epoch(1), at(3));
        assert_eq!(lease.left(at(1)), Duration::from_secs(2));
        lease.give_up();
        // A renewal was under way.
        lease.extend(at(6));
        assert_eq!(lease.left(at(1)), Duration::ZERO);
    }
}
