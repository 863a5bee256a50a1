//! The bound on the rooms of a node (`limits.rooms.perNode`). Each runtime holds its own book of rooms to it.

use maestro_core::ports::RuntimeError;

/// The answer to one room more.
pub fn no_place(rooms: usize) -> RuntimeError {
    let text = format!(
        "this node has {rooms} rooms, as many as limits.rooms.perNode allows; remove rooms, or raise the limit"
    );
    RuntimeError::Exhausted(text.into())
}
