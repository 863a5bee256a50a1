//! Which room may be given to players (contract 7, 11.2 item 34).

use crate::domain::{RoomRecord, RoomStatus};

/// Whether the room may be handed out: it is ready, can be reached, is no validation
/// room and nobody wants it gone.
pub fn may_allocate(room: &RoomRecord) -> bool {
    let reachable = room
        .instance
        .as_ref()
        .is_some_and(|instance| instance.address.is_some());
    room.status == RoomStatus::Ready && reachable && !room.validation && room.removal.is_none()
}
