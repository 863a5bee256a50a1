//! The caller to whom each room was allocated last. Only that caller can give it back untaken: while the store was
//! slow, someone else may have got the room.

use maestro_core::domain::RoomId;
use maestro_core::state::Caller;
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct AllocatedTo(HashMap<RoomId, Caller>);

impl AllocatedTo {
    /// Records the caller of a room. Once there are more entries than twice the rooms, entries of rooms that are gone
    /// are removed: `rooms` is the number of rooms, `is_there` tells which exist.
    pub fn note(
        &mut self,
        room: RoomId,
        caller: Caller,
        rooms: usize,
        is_there: impl Fn(&RoomId) -> bool,
    ) {
        if self.0.len() >= rooms.saturating_mul(2) {
            self.0.retain(|id, _| is_there(id));
        }
        self.0.insert(room, caller);
    }

    /// Whether the room's last allocation was for this caller. If so the entry is removed: the room is not taken.
    pub fn take_back(&mut self, room: &RoomId, caller: Caller) -> bool {
        let is_theirs = self.0.get(room) == Some(&caller);
        if is_theirs {
            self.0.remove(room);
        }
        is_theirs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> RoomId {
        RoomId::from(format!("room-{n}").as_str())
    }

    #[test]
    fn only_the_last_caller_leaves_a_room_untaken_and_once() {
        let mut allocated = AllocatedTo::default();
        allocated.note(id(1), Caller(1), 9, |_| true);
        allocated.note(id(1), Caller(2), 9, |_| true);
        assert!(!allocated.take_back(&id(1), Caller(1)));
        assert!(allocated.take_back(&id(1), Caller(2)));
        assert!(!allocated.take_back(&id(1), Caller(2)));
        assert!(!allocated.take_back(&id(7), Caller(2)));
    }

    #[test]
    fn rooms_that_are_gone_are_forgotten() {
        let mut allocated = AllocatedTo::default();
        let lives = |room: &RoomId| *room == id(0) || *room == id(1);
        allocated.note(id(0), Caller(0), 2, lives);
        allocated.note(id(1), Caller(1), 2, lives);
        for n in 2..1000 {
            allocated.note(id(n), Caller(n), 2, lives);
            // At most twice the number of rooms, without cleaning up at each note.
            assert!(allocated.0.len() <= 4, "{}", allocated.0.len());
        }
        assert!(allocated.take_back(&id(0), Caller(0)), "a living room");
    }

    #[test]
    fn as_long_as_there_is_room_nothing_is_looked_at() {
        let mut allocated = AllocatedTo::default();
        for n in 0..8 {
            allocated.note(id(n), Caller(n), 4, |_| panic!("all rooms are looked at"));
        }
        assert_eq!(allocated.0.len(), 8);
    }
}
