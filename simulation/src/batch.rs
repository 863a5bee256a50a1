//! The output of decisions for the writer.

use maestro_core::domain::RoomTouch;
use maestro_core::ports::Change;
use maestro_core::rules::grouping::GroupedChanges;
use maestro_core::rules::writing::PendingTouches;
use maestro_core::state::Effect;

/// A pending write, and the effects that wait for it.
pub(crate) struct Batch {
    pub changes: Vec<Change>,
    pub touches: Vec<RoomTouch>,
    pub effects: Vec<Effect>,
}

/// Decisions that become durable together, and the effects that wait for them.
#[derive(Default)]
pub(crate) struct Group {
    pub changes: GroupedChanges,
    pub effects: Vec<Effect>,
}

impl Group {
    /// Adds a decision; its steady pings are kept for later.
    pub fn add(&mut self, batch: Batch, touches: &mut PendingTouches) {
        self.changes.add(batch.changes, touches);
        touches.add(batch.touches);
        self.effects.extend(batch.effects);
    }

    /// Takes what follows from later decisions, and returns their changes.
    pub fn join(&mut self, mut later: Group) -> Vec<Change> {
        self.effects.append(&mut later.effects);
        later.changes.take()
    }
}
