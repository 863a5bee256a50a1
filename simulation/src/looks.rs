//! The parts of a world that a story may inspect.

use crate::world::World;
use maestro_core::domain::*;
use maestro_core::state::*;
use std::collections::BTreeSet;

impl World {
    /// The ping of this room that the shell may answer by itself.
    pub fn posted(&self, room: &RoomId) -> Option<Steady> {
        self.board.get(room).copied()
    }

    /// `None`: the owner does not know the room.
    pub fn status(&self, room: &RoomId) -> Option<RoomStatus> {
        self.state.rooms().get(room.as_str()).map(Room::status)
    }
    /// Rooms that the owner knows or that are running, by id.
    pub fn room_ids(&self) -> Vec<RoomId> {
        let mut ids: BTreeSet<RoomId> = self.machine.running.keys().cloned().collect();
        ids.extend(self.state.rooms().iter().map(|r| r.record.id.clone()));
        ids.into_iter().collect()
    }
    pub fn operation_ids(&self) -> Vec<OperationId> {
        self.written.operations.keys().copied().collect()
    }
    /// An operation as its stored record has it.
    pub fn operation(&self, id: OperationId) -> &OperationRecord {
        &self.stored.operations[&id]
    }
    /// Stored operations of one kind.
    pub fn operations_of(&self, name: &str) -> Vec<&OperationRecord> {
        let all = self.stored.operations.values();
        all.filter(|o| o.definition.name() == name).collect()
    }
    pub fn count(&self, status: RoomStatus) -> u64 {
        self.state.room_counts().of(status)
    }
    pub fn scheduler_state(&self) -> String {
        self.state.view().state
    }
}
