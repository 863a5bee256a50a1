//! What must be true at any moment, whatever fails.

use super::owner::NAME;
use super::world::{Game, World};
use maestro_core::domain::*;
use maestro_core::ports::{Change, Clock};
use maestro_core::state::Decision;

impl World {
    fn is_held(&self, room: &RoomId) -> bool {
        let now = self.clock.now().mono;
        let hold = self.settings.allocation_hold;
        self.held
            .get(room)
            .is_some_and(|since| now.since(*since) <= hold)
    }
    fn is_played_in(&self, room: &RoomId) -> bool {
        let known = |g: &Game| g.playing && g.acknowledged == PingStatus::Occupied;
        self.games.get(room).is_some_and(known)
    }

    /// No room is given to two callers, or to one while a match runs.
    pub fn given_to_one(&self, room: &RoomId) {
        if self.forgetful {
            return;
        }
        assert!(!self.is_held(room), "{room} is given to two callers");
        assert!(
            !self.is_played_in(room),
            "{room} is given out during a match"
        );
    }

    /// A room that is in use is not ended by scale-down or rollout.
    pub fn removals_are_fair(&self, decision: &Decision) {
        for change in &decision.changes {
            let Change::PutRoom(room) = change else {
                continue;
            };
            let ours = room.removal.is_some_and(|r| {
                let ours = [
                    RemovalReason::ScaleDown,
                    RemovalReason::RollingUpdateReplace,
                ];
                !r.drain && ours.contains(&r.reason) && r.at == self.clock.now().wall
            });
            if ours && !self.forgetful {
                assert!(
                    !self.is_played_in(&room.id),
                    "{} is ended in a match",
                    room.id
                );
                assert!(
                    !self.is_held(&room.id),
                    "{} is ended while it is held",
                    room.id
                );
            }
        }
    }

    /// What was acknowledged is there after a take-over.
    pub fn promises_hold(&self) {
        if self.forgetful {
            return;
        }
        for id in &self.ordered {
            let stored = self.store.stored_operation(NAME, *id);
            assert!(
                stored.is_some(),
                "operation {id} was acknowledged and is lost"
            );
        }
        for (room, game) in &self.games {
            if let Some(stored) = self.store.stored_room(NAME, room.as_str())
                && self.is_played_in(room)
            {
                let known = [RoomStatus::Occupied, RoomStatus::Terminating];
                assert!(
                    known.contains(&stored.status),
                    "{room}: {game:?}, {:?}",
                    stored.status
                );
            }
        }
    }

    /// At any moment: no port in two rooms, no rule of a port broken.
    pub fn check(&mut self) {
        let rooms = self.runtime.rooms(NAME);
        self.games.retain(|id, _| rooms.contains(id));
        self.held.retain(|id, _| rooms.contains(id));
        self.store.assert_clean();
        self.runtime.assert_clean();
    }
}
