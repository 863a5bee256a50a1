//! The real clock: where the state machine, the actors and the API get the time and randomness from. Adapters measure
//! their own waits, and stamp what they write themselves.

use maestro_core::domain::{Mono, Now};
use maestro_core::ports::Clock;
use std::time::{Duration, Instant};

/// Far from zero, so that stored ages can be subtracted in a young process.
const MONO_BASE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub struct SystemClock {
    began: Instant,
}

impl SystemClock {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            wall: jiff::Timestamp::now(),
            mono: Mono(MONO_BASE + self.began.elapsed()),
        }
    }

    fn entropy(&self) -> u128 {
        uuid::Uuid::new_v4().as_u128() ^ (self.began.elapsed().as_nanos() << 64)
    }
}
