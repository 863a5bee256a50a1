//! To whom each room was allocated last: only that caller can leave it untaken. Somebody else may have got the room
//! since, while the store was slow.

use maestro_core::domain::RoomId;
use maestro_core::state::Caller;
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct AllocatedTo(HashMap<RoomId, Caller>);

impl AllocatedTo {
    /// Notes the caller of a room. Rooms that are gone are forgotten when there are more of them than of the others:
    /// `rooms` is how many there are, `is_there` knows them.
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

    /// Whether it was this caller who got the room. It did not take it: nobody has the room now.
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
            // No more than twice the rooms, but not at each note either.
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
