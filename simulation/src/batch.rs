//! The output of one decision for the writer.

use maestro_core::domain::RoomTouch;
use maestro_core::ports::Change;
use maestro_core::state::Effect;

/// A pending write, and the effects that wait for it.
pub(crate) struct Batch {
    pub changes: Vec<Change>,
    pub touches: Vec<RoomTouch>,
    pub effects: Vec<Effect>,
}
