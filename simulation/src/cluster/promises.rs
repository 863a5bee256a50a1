//! What callers wait for, and what they and the players were promised.

use maestro_core::domain::*;
use std::time::Duration;

/// How long a room is held for the caller it was allocated to.
pub(super) const HOLD: Duration = Duration::from_secs(30);
/// Most seconds by which the clock of a node is wrong.
pub(super) const SKEW: i64 = 3;

/// What a caller waits for.
pub(super) enum Asked {
    Allocation(SchedulerName),
    Operation(SchedulerName),
    Occupied(SchedulerName, RoomId, String),
}

/// The program in a room.
pub(super) struct Game {
    pub uid: String,
    pub playing: bool,
}

/// A room that was allocated, and whose caller knows of it.
pub(super) struct Held {
    pub uid: String,
    pub at: Mono,
    /// The owner has acknowledged that its match runs.
    pub occupied: bool,
}
