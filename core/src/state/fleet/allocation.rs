//! Allocates ready rooms, each to one caller (contract 7, invariant 12; D33).

use crate::domain::*;
use crate::state::command::{CommandResult, Refusal, RefusalKind, Reply};
use crate::state::fleet::Fleet;
use crate::state::refusals::{absent_for_allocation, unpublished};
use crate::state::turn::Turn;
use std::sync::Arc;

impl Fleet {
    pub fn allocate(&mut self, turn: &mut Turn) -> CommandResult {
        if self.is_terminating() {
            let text = format!("scheduler {} is being deleted", self.name);
            return Err(Refusal::new(RefusalKind::Absent, text));
        }
        // The creation may still wait for its store, and fail.
        if self.scheduler.is_none() {
            return Err(absent_for_allocation(&self.name));
        }
        if self.is_managed() && self.published().is_none() {
            return Err(unpublished(&self.name));
        }
        let Some(id) = self.next_room(turn.now) else {
            return Err(Refusal::new(
                RefusalKind::Unavailable,
                self.why_no_ready_room(),
            ));
        };
        self.set_status(turn, &id, RoomStatus::Allocated);
        let address = self.address_of(&id);
        // The index contains only rooms with an address.
        let Some(address) = address else {
            return Err(Refusal::new(
                RefusalKind::Unavailable,
                self.why_no_ready_room(),
            ));
        };
        Ok(Reply::Allocated { room: id, address })
    }

    /// The smallest id among rooms that pinged lately; silent ones only if there is no other.
    fn next_room(&mut self, now: Now) -> Option<RoomId> {
        let now = now.mono;
        let Some(fresh) = self.settings.allocation_fresh else {
            return self.rooms.next_to_give(0, |_, _| false);
        };
        let moves = self.settings.rooms_per_turn.max(1);
        // Pings answered by the cache are reported later, so a room in it gets that much more time.
        let at_most = fresh.saturating_add(self.settings.touch_interval);
        self.rooms.next_to_give(moves, |room, posted| {
            let silence = now.since(room.clock.last_ping);
            silence > if posted { at_most } else { fresh }
        })
    }

    /// Takes back an allocation whose caller did not receive it.
    pub fn release_allocation(&mut self, turn: &mut Turn, id: &RoomId) {
        let held = self
            .rooms
            .get(id.as_str())
            .is_some_and(|r| r.status() == RoomStatus::Allocated);
        if !held {
            return;
        }
        self.rooms.update(id.as_str(), |room| {
            room.record.intent.allocated_at = None;
            room.clock.allocated = None;
        });
        // Back to the status that the room reports, usually `ready`.
        if self.recompute_status(turn, id).is_err() {
            turn.changes.put_room(id);
        }
    }

    pub fn room_address(&self, id: &RoomId) -> CommandResult {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return Err(Refusal::new(
                RefusalKind::NotFound,
                format!("room {id} not found in scheduler {}", self.name),
            ));
        };
        match room.record.address() {
            Some(address) => Ok(Reply::Address(address.clone())),
            // Rows that another program left (D7).
            None if room.is_left_over() => Err(Refusal::new(
                RefusalKind::NotFound,
                format!("room {id} of scheduler {} has no instance", self.name),
            )),
            None => Err(Refusal::new(
                RefusalKind::Unavailable,
                format!("room {id} has no address yet; ask again once it is placed"),
            )),
        }
    }

    fn address_of(&self, id: &RoomId) -> Option<Arc<Address>> {
        self.rooms.get(id.as_str())?.record.address().cloned()
    }

    fn why_no_ready_room(&self) -> String {
        if let Some(version) = self.published() {
            return self.why_no_ready_room_of(&version);
        }
        let counts = self.rooms.counts();
        let mut parts: Vec<String> = RoomStatus::ALL
            .into_iter()
            .filter(|s| counts.of(*s) > 0)
            .map(|s| format!("{} {}", counts.of(s), s.as_str()))
            .collect();
        if parts.is_empty() {
            parts.push("it has no rooms".into());
        }
        format!(
            "no ready rooms available for scheduler {}: {}",
            self.name,
            parts.join(", ")
        )
    }

    /// Rooms of other versions are nobody's business here.
    fn why_no_ready_room_of(&self, version: &SchedulerVersion) -> String {
        let rooms = self.rooms.live(version).map_or(0, |live| live.rooms);
        let counts = self
            .rooms
            .by_version()
            .get(version)
            .copied()
            .unwrap_or_default();
        format!(
            "no ready rooms available for scheduler {}: its published version {version} has {rooms} rooms, {} in use and \
             {} not up yet",
            self.name, counts.busy, counts.starting
        )
    }
}
