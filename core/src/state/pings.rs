//! What a room says of itself (contract 3, Ping).

use super::*;
use crate::rules::status;

impl SchedulerState {
    /// A ping that changes no status is answered from memory and written behind; one that
    /// does is answered once the change is durable (architecture 5).
    pub(super) fn on_ping(&mut self, turn: &mut Turn, caller: Caller, ping: Ping) {
        let heard = self.forwards().then(|| self.hear(&ping));
        let answer = match self.take_ping(turn, ping) {
            Ok(()) => Ok(Reply::Done),
            Err(why) => Err(why),
        };
        let taken = heard.filter(|_| answer.is_ok());
        turn.reply(caller, answer);
        if let Some(heard) = taken {
            self.forward_ping(turn, heard);
        }
    }

    fn take_ping(&mut self, turn: &mut Turn, ping: Ping) -> Result<(), Refusal> {
        let now = turn.now;
        // Refused or not: what it says now is something else.
        self.rooms.take_off(ping.room.as_str());
        let Some(room) = self.rooms.touch(ping.room.as_str()) else {
            return Err(Refusal::new(
                RefusalKind::NotFound,
                format!("room {} not found in scheduler {}", ping.room, self.name),
            ));
        };
        let passed_over = room.marks.silent;
        room.clock.last_ping = now.mono;
        room.record.last_ping_at = now.wall;
        // Of a room that is started again in place it says whether a match runs in it.
        let counted = room.is_restarting();
        if !counted {
            room.record.ping_status = ping.status;
        }
        if room.record.metadata.as_deref() != Some(&*ping.metadata) {
            room.record.metadata = Some(ping.metadata.into());
        }
        let steady = Steady {
            status: ping.status,
            running_matches: ping.running_matches,
        };
        // An occupied room has at least one match, whatever it says (contract 3).
        let matches = match ping.status {
            PingStatus::Occupied if ping.running_matches == 0 => 1,
            _ => ping.running_matches,
        };
        if room.record.running_matches != matches || counted {
            self.rooms.update(ping.room.as_str(), |room| {
                room.record.running_matches = matches;
                room.record.ping_status = ping.status;
            });
            turn.reconsider = true;
        }
        if passed_over {
            self.rooms.heard(ping.room.as_str());
        }
        self.touched(turn.now, &ping.room);
        if self.recompute_status(turn, &ping.room)? {
            self.validation_room_changed(turn, &ping.room);
        }
        if self.is_steady(turn.now, &ping.room) {
            self.rooms.post(ping.room.as_str(), steady);
        }
        Ok(())
    }

    /// Its last ping is to be written, with those of others.
    fn touched(&mut self, now: Now, id: &RoomId) {
        let Some(room) = self.rooms.touch(id.as_str()) else {
            return;
        };
        if !std::mem::replace(&mut room.marks.touched, true) {
            self.touched.push_back(id.clone());
        }
        if self.fleet_timers.touches.is_none() {
            let at = now.mono.plus(self.settings.touch_interval);
            self.fleet_timers.touches = Some(at);
        }
    }

    /// The same ping would change nothing whenever it came: no moment that lies ahead, and
    /// nobody who is told of each.
    fn is_steady(&self, now: Now, id: &RoomId) -> bool {
        if self.forwards() {
            return false;
        }
        let Some(room) = self.rooms.get(id.as_str()) else {
            return false;
        };
        let held = room
            .clock
            .allocated
            .is_some_and(|at| now.mono.since(at) <= self.settings.allocation_hold);
        !held && room.quarantined_until.is_none()
    }

    /// Pings that were answered from the board. One that is older than what the room said
    /// here since then is passed over.
    pub(super) fn on_pinged(&mut self, touches: &mut Vec<RoomTouch>, pings: Vec<SteadyPing>) {
        for ping in pings {
            let Some(room) = self.rooms.touch(ping.room.as_str()) else {
                continue;
            };
            if ping.at.mono <= room.clock.last_ping {
                continue;
            }
            room.clock.last_ping = ping.at.mono;
            room.record.last_ping_at = ping.at.wall;
            if room.record.metadata.as_deref() != Some(&*ping.metadata) {
                room.record.metadata = Some(ping.metadata);
            }
            let passed_over = room.marks.silent;
            touches.push(touch_of(room));
            if passed_over {
                self.rooms.heard(ping.room.as_str());
            }
        }
    }

    /// The next write of pings that came here, at most one chunk.
    pub(super) fn flush_due_touches(&mut self, turn: &mut Turn) {
        let now = turn.now.mono;
        if self.fleet_timers.touches.is_none_or(|at| at > now) {
            return;
        }
        for _ in 0..self.settings.rooms_per_turn {
            let Some(id) = self.touched.pop_front() else {
                break;
            };
            turn.touches.extend(self.take_touch(&id));
        }
        // What is left goes in the next turns.
        self.fleet_timers.touches = (!self.touched.is_empty()).then_some(now);
    }

    fn take_touch(&mut self, id: &RoomId) -> Option<RoomTouch> {
        let room = self.rooms.touch(id.as_str())?;
        room.marks.touched = false;
        Some(touch_of(room))
    }

    /// Pings that are not written yet, the last of the board's with them: for the last write
    /// before the actor ends.
    pub fn flush(&mut self, last: Vec<SteadyPing>) -> Vec<RoomTouch> {
        let mut touches = Vec::new();
        self.on_pinged(&mut touches, last);
        self.fleet_timers.touches = None;
        for id in std::mem::take(&mut self.touched) {
            touches.extend(self.take_touch(&id));
        }
        touches
    }

    /// Brings a room's status up to date with its ping and its instance (contract 4.4). True when it changed.
    pub(super) fn recompute_status(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
    ) -> Result<bool, Refusal> {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return Ok(false);
        };
        let hold = self.settings.allocation_hold;
        let now = turn.now.mono;
        let stored = room.status();
        let status = status::effective(status::StatusInput {
            ping: room.record.ping_status,
            instance: room
                .record
                .instance
                .as_ref()
                .map_or(InstanceStatus::Unknown, |i| i.status),
            running_matches: room.record.running_matches,
            max_matches: self.scheduler.as_ref().map_or(1, |s| s.max_matches()),
            stored,
            allocation_fresh: room.clock.allocated.is_some_and(|at| now.since(at) <= hold),
        });
        let told = room.terminated_at.is_some() && stored == RoomStatus::Terminating;
        let quarantine_over = room
            .quarantined_until
            .is_some_and(|until| until <= now || (room.is_busy() && status == RoomStatus::Ready));
        if quarantine_over {
            self.rooms
                .update(id.as_str(), |room| room.quarantined_until = None);
        }
        if status == stored {
            return Ok(false);
        }
        // What it says until its end does not bring it back.
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

    /// Sets a status; durable with this decision.
    pub(super) fn set_status(&mut self, turn: &mut Turn, id: &RoomId, status: RoomStatus) {
        let now = turn.now;
        let first_ready = self.rooms.update(id.as_str(), |room| {
            room.record.status = status;
            room.clock.status_since = now.mono;
            room.events.push(now.wall, RoomHappening::Status(status));
            if status == RoomStatus::Allocated {
                room.record.allocated_at = Some(now.wall);
                room.clock.allocated = Some(now.mono);
            }
            let match_runs = matches!(status, RoomStatus::Occupied | RoomStatus::Active);
            room.record.played |= match_runs;
            if !match_runs && status != RoomStatus::Ready {
                return None;
            }
            room.restart_since = None;
            if std::mem::replace(&mut room.was_ready, true) {
                return None;
            }
            room.record.first_ready_at = Some(now.wall);
            room.clock.first_ready = Some(now.mono);
            (!room.record.validation).then(|| room.record.version.clone())
        });
        turn.changes.put_room(id);
        turn.reconsider = true;
        if let Some(Some(version)) = first_ready {
            self.first_up(turn, &version);
        }
        self.schedule_health(turn.now, id);
    }
}

fn touch_of(room: &Room) -> RoomTouch {
    RoomTouch {
        room: room.record.id.clone(),
        last_ping_at: room.record.last_ping_at,
        running_matches: room.record.running_matches,
        ping_status: room.record.ping_status,
        metadata: room.record.metadata.clone(),
    }
}
