//! Clocks under a test's control.

use jiff::Timestamp;
use maestro_core::{
    domain::{Mono, Now},
    ports::Clock,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// Far from zero, so that ages of stored moments are not cut off.
const MONO_START: Duration = Duration::from_secs(10_000_000);

fn wall_start() -> Timestamp {
    "2026-01-02T03:04:05Z"
        .parse()
        .expect("a constant moment is well-formed")
}

/// Does not advance by itself: a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Now>,
    entropy: Entropy,
}

impl ManualClock {
    pub fn new() -> Arc<Self> {
        Self::seeded(1)
    }
    /// The same seed gives the same bits, and so the same ids.
    pub fn seeded(seed: u64) -> Arc<Self> {
        let now = Now {
            wall: wall_start(),
            mono: Mono(MONO_START),
        };
        Arc::new(Self {
            now: Mutex::new(now),
            entropy: Entropy::new(seed),
        })
    }
    /// Moves both clocks.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        now.mono = now.mono.plus(by);
        now.wall = now.wall.saturating_add(by).unwrap_or(Timestamp::MAX);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        *self.now.lock()
    }
    fn entropy(&self) -> u128 {
        self.entropy.next()
    }
}

/// Follows tokio's clock: under paused time it advances as timers fire.
#[derive(Debug)]
pub struct TokioClock {
    begun: tokio::time::Instant,
    entropy: Entropy,
}

impl TokioClock {
    /// Must be created within the runtime whose time it follows.
    pub fn new() -> Arc<Self> {
        Self::seeded(1)
    }
    pub fn seeded(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            begun: tokio::time::Instant::now(),
            entropy: Entropy::new(seed),
        })
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Now {
        let passed = self.begun.elapsed();
        Now {
            wall: wall_start()
                .saturating_add(passed)
                .unwrap_or(Timestamp::MAX),
            mono: Mono(MONO_START).plus(passed),
        }
    }
    fn entropy(&self) -> u128 {
        self.entropy.next()
    }
}

/// Pseudo-random bits that are the same in each run.
#[derive(Debug)]
struct Entropy(Mutex<fastrand::Rng>);

impl Entropy {
    fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
    fn next(&self) -> u128 {
        self.0.lock().u128(..)
    }
}
