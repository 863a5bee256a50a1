//! Keeps the order of a room's events: those that need no commit must not overtake earlier ones that wait for theirs.

use super::Outbox;
use maestro_core::domain::RoomId;
use maestro_core::ports::Forwarding;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Number of events that may wait behind a slow store before those of steady pings are dropped.
const WAITING_MAX: u64 = 1024;

/// Events of one scheduler that wait in its writer, to be forwarded once the changes before them are durable.
#[derive(Default)]
pub(crate) struct Held {
    /// Their total. While the store keeps up it is 0, and the lock need not be taken.
    all: AtomicU64,
    rooms: Mutex<HashMap<RoomId, u32>>,
}

impl Held {
    /// Only the actor adds events, so its check and the following action are not interleaved with others.
    pub fn add(&self, room: &RoomId) {
        *self.rooms.lock().entry(room.clone()).or_default() += 1;
        self.all.fetch_add(1, Relaxed);
    }

    /// An event has been forwarded or dropped.
    pub fn done(&self, room: &RoomId) {
        let mut rooms = self.rooms.lock();
        if let Some(left) = rooms.get_mut(room.as_str()) {
            *left -= 1;
            if *left == 0 {
                rooms.remove(room.as_str());
            }
        }
        drop(rooms);
        self.all.fetch_sub(1, Release);
    }

    fn all(&self) -> u64 {
        self.all.load(Acquire)
    }

    fn holds(&self, room: &RoomId) -> bool {
        self.all() > 0 && self.rooms.lock().contains_key(room.as_str())
    }
}

impl Outbox {
    /// Queues an event at once, or returns it to be passed to the writer, behind earlier events of its room.
    pub fn push_in_order(&self, event: Arc<Forwarding>, held: &Held) -> Option<Arc<Forwarding>> {
        if !held.holds(&event.room) {
            self.push(&event);
            return None;
        }
        if held.all() >= WAITING_MAX {
            // The store is unavailable: the next ping repeats it.
            self.drop_event(&event);
            return None;
        }
        held.add(&event.room);
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_held_for_as_long_as_one_of_its_events_waits() {
        let held = Held::default();
        let (one, other) = (RoomId::from("one"), RoomId::from("other"));
        held.add(&one);
        held.add(&one);
        held.done(&one);
        assert!(held.holds(&one) && !held.holds(&other));
        held.done(&one);
        assert!(!held.holds(&one) && held.rooms.lock().is_empty());
    }
}
