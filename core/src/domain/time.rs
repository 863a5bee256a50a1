//! Time as a value: `decide` is told the time, it never asks for it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A moment on two clocks: `wall` for what people and stores read, `mono` for
/// timeouts (it never jumps, but means nothing outside this process).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Now {
    pub wall: Timestamp,
    pub mono: Mono,
}

/// A moment on the monotonic clock: time since the process began to count.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Mono(pub Duration);

impl Mono {
    /// Time from `earlier` to `self`; zero when the order is the other way round.
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
    pub fn plus(self, wait: Duration) -> Mono {
        Mono(self.0.saturating_add(wait))
    }
}

impl Now {
    /// Maps a stored wall-clock moment onto the monotonic clock. Ages are clamped
    /// at zero, so a stored moment from the future counts as now.
    pub fn mono_of(&self, stored: Timestamp) -> Mono {
        let age = self.wall.duration_since(stored);
        let age = Duration::try_from(age).unwrap_or(Duration::ZERO);
        Mono(self.mono.0.saturating_sub(age))
    }
}
