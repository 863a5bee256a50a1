//! Clocks that move only when a test wants it.

use jiff::Timestamp;
use maestro_core::{
    domain::{Mono, Now},
    ports::Clock,
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Far from zero, so that ages of stored moments are not cut off.
const MONO_START: Duration = Duration::from_secs(10_000_000);

fn wall_start() -> Timestamp {
    "2026-01-02T03:04:05Z"
        .parse()
        .expect("a constant moment is well-formed")
}

/// Stands still until it is told to move.
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
    /// Sets the wall clock alone, as an operator or NTP does.
    pub fn set_wall(&self, wall: Timestamp) {
        self.now.lock().wall = wall;
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

/// Follows tokio's clock: under paused time it moves as timers fire.
#[derive(Debug)]
pub struct TokioClock {
    begun: tokio::time::Instant,
    entropy: Entropy,
}

impl TokioClock {
    /// Create it in the runtime whose time it tells.
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
struct Entropy {
    seed: u64,
    drawn: AtomicU64,
}

impl Entropy {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            drawn: AtomicU64::new(0),
        }
    }
    fn next(&self) -> u128 {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let high = mixed(self.seed ^ mixed(drawn));
        let low = mixed(high ^ drawn.rotate_left(32));
        (u128::from(high) << 64) | u128::from(low)
    }
}

/// SplitMix64.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
