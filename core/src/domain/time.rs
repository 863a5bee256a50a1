//! Time as a value: it is passed to `decide`, which has no clock.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A point in time on two clocks: `wall` for people and stores, `mono` for timeouts (it never jumps, but has no meaning
/// outside of this process).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Now {
    /// Time of day, which the machine's administrator may change at any moment.
    pub wall: Timestamp,
    /// Monotonic time, which only counts forward.
    pub mono: Mono,
}

/// A point in time on the monotonic clock: the time since the process began to count.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Mono(pub Duration);

impl Mono {
    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
    /// The moment `wait` later; saturates at the end of the clock.
    pub fn plus(self, wait: Duration) -> Mono {
        Mono(self.0.saturating_add(wait))
    }
}

impl Now {
    /// Converts a stored wall-clock time to the monotonic clock. A stored time in the future counts as now.
    pub fn mono_of(&self, stored: Timestamp) -> Mono {
        let age = self.wall.duration_since(stored);
        let age = Duration::try_from(age).unwrap_or(Duration::ZERO);
        Mono(self.mono.0.saturating_sub(age))
    }
}
