//! What the room table tells those who follow it.

use crate::domain::*;
use std::collections::BTreeSet;

/// A room's place among those that are allocated next: silent ones last, those of the active version first.
pub type Place = (bool, bool, RoomId);

/// What changed since it was asked last.
#[derive(Default)]
pub struct Moved {
    /// Rooms that came, went, or count otherwise than before.
    pub rooms: BTreeSet<RoomId>,
    /// The places of all rooms changed.
    pub reordered: bool,
}
