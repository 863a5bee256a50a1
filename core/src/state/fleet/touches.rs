//! Steady pings: which pings need no decision, and when they are written.

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::input::SteadyPing;
use crate::state::turn::Turn;

impl Fleet {
    /// Marks the room's last ping for the next write.
    pub fn touched(&mut self, now: Now, id: &RoomId) {
        let Some(room) = self.rooms.touch(id.as_str()) else {
            return;
        };
        if !std::mem::replace(&mut room.marks.touched, true) {
            self.touched.push_back(id.clone());
        }
        if self.timers.touches.is_none() {
            let at = now.mono.plus(self.settings.touch_interval);
            self.timers.touches = Some(at);
        }
    }

    /// Whether an identical ping would change nothing whenever it came: no deadline is ahead, and nobody receives each
    /// ping.
    pub fn is_steady(&self, now: Now, id: &RoomId) -> bool {
        if self.forwards() {
            return false;
        }
        let Some(room) = self.rooms.get(id.as_str()) else {
            return false;
        };
        let held = room
            .clock
            .allocated
            .is_some_and(|at| now.mono.since(at) < self.settings.allocation_hold);
        !held && room.quarantined_until.is_none()
    }

    /// Applies pings that were answered from the ping cache. One older than the room's last ping here is ignored.
    pub fn on_pinged(&mut self, touches: &mut Vec<RoomTouch>, pings: Vec<SteadyPing>) {
        for ping in pings {
            let Some(room) = self.rooms.touch(ping.room.as_str()) else {
                continue;
            };
            if ping.at.mono <= room.clock.last_ping {
                continue;
            }
            room.clock.last_ping = ping.at.mono;
            let reported = &mut room.record.reported;
            reported.last_ping_at = ping.at.wall;
            if reported.metadata.as_deref() != Some(&*ping.metadata) {
                reported.metadata = Some(ping.metadata);
            }
            let passed_over = room.marks.silent;
            touches.push(RoomTouch::of(&room.record));
            if passed_over {
                self.rooms.heard(ping.room.as_str());
            }
        }
    }

    /// Writes due steady pings, at most one chunk.
    pub fn flush_due_touches(&mut self, turn: &mut Turn) {
        let now = turn.now.mono;
        if self.timers.touches.is_none_or(|at| at > now) {
            return;
        }
        for _ in 0..self.settings.rooms_per_turn {
            let Some(id) = self.touched.pop_front() else {
                break;
            };
            turn.touches.extend(self.take_touch(&id));
        }
        // The rest is written in the next turns.
        self.timers.touches = (!self.touched.is_empty()).then_some(now);
    }

    fn take_touch(&mut self, id: &RoomId) -> Option<RoomTouch> {
        let room = self.rooms.touch(id.as_str())?;
        room.marks.touched = false;
        Some(RoomTouch::of(&room.record))
    }

    /// Steady pings that are not written yet, including the last ones of the ping cache: for the final write of an
    /// ending actor.
    pub fn flush(&mut self, last: Vec<SteadyPing>) -> Vec<RoomTouch> {
        let mut touches = Vec::new();
        self.on_pinged(&mut touches, last);
        self.timers.touches = None;
        for id in std::mem::take(&mut self.touched) {
            touches.extend(self.take_touch(&id));
        }
        touches
    }
}
