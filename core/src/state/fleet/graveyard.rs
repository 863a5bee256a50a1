//! Rooms that were removed while the outcome of their creation was unknown. If one of them starts after all, it is
//! ended.

use super::hashed::Hashed;
use crate::domain::*;
use std::time::Duration;

/// How long an id is kept: far longer than any call on a runtime takes.
const KEPT: Duration = Duration::from_secs(600);
const MAX: usize = 4096;

#[derive(Default)]
pub(in crate::state) struct Graveyard(Hashed<RoomId, Mono>);

impl Graveyard {
    pub fn bury(&mut self, now: Now, room: RoomId) {
        if self.0.len() >= MAX {
            let oldest = self.0.iter().min_by_key(|(_, at)| **at);
            let oldest = oldest.map(|(id, _)| id.clone());
            oldest.map(|id| self.0.remove(&id));
        }
        self.0.insert(room, now.mono);
    }

    pub fn contains(&self, room: &RoomId) -> bool {
        self.0.contains_key(room)
    }

    pub fn clear_old(&mut self, now: Now) {
        self.0.retain(|_, at| now.mono.since(*at) < KEPT);
    }
}
