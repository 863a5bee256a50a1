//! One owner's right to act, as a moment that passes unless it is renewed.

use maestro_core::domain::{Epoch, Mono};
use maestro_core::ports::Clock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Notify;

/// Calls on a runtime cannot be fenced, so they begin only with this much left (architecture 5).
const LEFT_MIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Lease {
    pub epoch: Epoch,
    /// Microseconds on the monotonic clock.
    until: AtomicU64,
    /// Given up for good: another life has the scheduler.
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
    /// Of an owner whose thread stands still: whatever it does when it goes on is not done by the owner any more.
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

    /// Returns once enough of it is left to act. While the store is away, and a lease so
    /// runs out, nothing is begun, and nothing fails for it either.
    pub async fn usable(&self, clock: &dyn Clock) {
        loop {
            let extended = self.extended.notified();
            if self.left(clock.now().mono) >= LEFT_MIN {
                return;
            }
            extended.await;
        }
    }
}
