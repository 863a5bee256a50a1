//! Pings (contract 3, Ping).

use crate::domain::*;
use crate::state::command::{Refusal, RefusalKind};
use crate::state::fleet::Fleet;
use crate::state::input::{Ping, Steady};
use crate::state::turn::Turn;

impl Fleet {
    /// Processes a room's report about itself (contract 3, Ping). True if its status changed.
    pub fn take_ping(&mut self, turn: &mut Turn, ping: Ping) -> Result<bool, Refusal> {
        let now = turn.now;
        // Even if it is refused, the room now reports something else.
        self.rooms.take_off(ping.room.as_str());
        let Some(room) = self.rooms.touch(ping.room.as_str()) else {
            return Err(Refusal::new(
                RefusalKind::NotFound,
                format!("room {} not found in scheduler {}", ping.room, self.name),
            ));
        };
        let passed_over = room.marks.silent;
        room.clock.last_ping = now.mono;
        // For a room that is being restarted in place, a ping still tells whether a match is running.
        let counted = room.is_restarting();
        let reported = &mut room.record.reported;
        reported.last_ping_at = now.wall;
        if !counted {
            reported.ping = ping.status;
        }
        if reported.metadata.as_deref() != Some(&*ping.metadata) {
            reported.metadata = Some(ping.metadata.into());
        }
        let steady = Steady {
            status: ping.status,
            running_matches: ping.running_matches,
        };
        // An occupied room has at least one match, whatever number it sends (contract 3).
        let matches = match ping.status {
            PingStatus::Occupied if ping.running_matches == 0 => 1,
            _ => ping.running_matches,
        };
        if reported.matches != matches || counted {
            self.rooms.update(ping.room.as_str(), |room| {
                room.record.reported.matches = matches;
                room.record.reported.ping = ping.status;
            });
            turn.reconsider = true;
        }
        if passed_over {
            self.rooms.heard(ping.room.as_str());
        }
        self.touched(turn.now, &ping.room);
        let changed = self.recompute_status(turn, &ping.room)?;
        if self.is_steady(turn.now, &ping.room) {
            self.rooms.post(ping.room.as_str(), steady);
        }
        Ok(changed)
    }
}
