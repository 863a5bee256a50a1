//! A room's status, derived from its ping and its instance (contract 4.4).

use crate::domain::*;
use crate::rules::status;
use crate::state::command::{Refusal, RefusalKind};
use crate::state::fleet::Fleet;
use crate::state::turn::Turn;

impl Fleet {
    /// Updates a room's status from its ping and its instance (contract 4.4). True if it changed.
    pub fn recompute_status(&mut self, turn: &mut Turn, id: &RoomId) -> Result<bool, Refusal> {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return Ok(false);
        };
        let hold = self.settings.allocation_hold;
        let now = turn.now.mono;
        let max_matches = self.scheduler.as_ref().map_or(1, |s| s.max_matches());
        let stored = room.status();
        let status = status::effective(status::StatusInput {
            ping: room.record.reported.ping,
            instance: room.record.instance_status(),
            running_matches: room.record.reported.matches,
            max_matches,
            stored,
            allocation_fresh: room.clock.allocated.is_some_and(|at| now.since(at) < hold),
        });
        let told = room.terminated_at.is_some() && stored == RoomStatus::Terminating;
        // In a room of many matches another one may have ended than that of a caller who is still to come.
        let match_over = max_matches <= 1
            && room.is_busy()
            && status == RoomStatus::Ready
            && !room.marks.unheard;
        let quarantine_over = room
            .quarantined_until
            .is_some_and(|until| until <= now || match_over);
        if quarantine_over {
            self.rooms
                .update(id.as_str(), |room| room.quarantined_until = None);
        }
        if status == stored {
            return Ok(false);
        }
        // Reports after an order to end do not bring it back.
        if told && !matches!(status, RoomStatus::Error | RoomStatus::Terminated) {
            return Ok(false);
        }
        if !status::transition_allowed(stored, status) {
            return Err(Refusal::new(
                RefusalKind::Invalid,
                format!(
                    "room {id} cannot go from {} to {}",
                    stored.as_str(),
                    status.as_str()
                ),
            ));
        }
        self.set_status(turn, id, status);
        Ok(true)
    }

    /// Sets a status, which is stored with this decision.
    pub fn set_status(&mut self, turn: &mut Turn, id: &RoomId, status: RoomStatus) {
        let now = turn.now;
        let first_ready = self.rooms.update(id.as_str(), |room| {
            room.record.reported.status = status;
            room.marks.unheard = false;
            room.clock.status_since = now.mono;
            room.events.push(now.wall, RoomHappening::Status(status));
            if status == RoomStatus::Allocated {
                room.record.intent.allocated_at = Some(now.wall);
                room.clock.allocated = Some(now.mono);
            }
            let match_runs = matches!(status, RoomStatus::Occupied | RoomStatus::Active);
            room.record.reported.played |= match_runs;
            if !match_runs && status != RoomStatus::Ready {
                return None;
            }
            room.restart_since = None;
            if std::mem::replace(&mut room.was_ready, true) {
                return None;
            }
            room.record.reported.first_ready_at = Some(now.wall);
            room.clock.first_ready = Some(now.mono);
            (!room.record.intent.validation).then(|| room.record.intent.version.clone())
        });
        turn.changes.put_room(id);
        turn.reconsider = true;
        if let Some(Some(version)) = first_ready {
            self.first_up(turn, &version);
        }
        self.schedule_health(turn.now, id);
    }
}
