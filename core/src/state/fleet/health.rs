//! When a room has been silent, unready or ending for too long (contract 5.7, step 3).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::fleet::room::Room;
use crate::state::report::RoomHang;
use std::time::Duration;

/// The pause before the next look at a room that is still being made.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Fleet {
    /// Sets the time of this room's next health check.
    pub fn schedule_health(&mut self, now: Now, id: &RoomId) {
        if let Some(at) = self
            .rooms
            .get(id.as_str())
            .and_then(|room| self.expires_at(now, room))
        {
            self.rooms
                .set_deadline(id, at.plus(Duration::from_millis(1)));
        }
    }

    /// When this room expires if nothing happens. Measured from the beginning of the present status where the
    /// contract's clock would hide it (contract 11.32).
    fn expires_at(&self, now: Now, room: &Room) -> Option<Mono> {
        let s = &self.settings;
        if let Some(removal) = &room.record.intent.removal {
            if removal.drain {
                let asked = now.mono_of(removal.at);
                let deadline = s.drain_deadline.map(|wait| asked.plus(wait));
                // A draining room may hang like any other.
                let own = self.falls_silent_at(room);
                return Some(deadline.map_or(own, |deadline| deadline.min(own)));
            }
            // It was told to end: its grace period, followed by the contract's time.
            let told = room.terminated_at.unwrap_or(room.clock.status_since);
            let grace = self
                .scheduler
                .as_ref()
                .map_or(Duration::ZERO, |s| s.spec.grace());
            return Some(told.plus(grace).plus(s.deletion_timeout));
        }
        Some(self.falls_silent_at(room))
    }

    fn falls_silent_at(&self, room: &Room) -> Mono {
        let s = &self.settings;
        let clock = &room.clock;
        // A match in another container is played to its end.
        if let Some(since) = room.restart_since.filter(|_| !room.is_busy()) {
            return since.plus(s.initialization_timeout);
        }
        // Its creation may have waited long for its turn.
        let made = room
            .made_at
            .map_or(clock.created, |at| at.max(clock.created));
        match room.status() {
            RoomStatus::Error if room.is_busy() => clock.last_ping.plus(s.ping_timeout),
            // It was up before and has lost its instance's readiness.
            RoomStatus::Pending | RoomStatus::Unready if room.was_ready => {
                clock.status_since.plus(s.initialization_timeout)
            }
            RoomStatus::Pending if room.trouble() == Some(Trouble::Unschedulable) => {
                made.plus(s.schedule_timeout.max(s.initialization_timeout))
            }
            RoomStatus::Pending | RoomStatus::Unready => {
                let began = room.marks.placed.map_or(made, |at| at.max(made));
                began.plus(s.initialization_timeout)
            }
            RoomStatus::Terminating => clock.status_since.plus(s.deletion_timeout),
            RoomStatus::Terminated => clock.status_since,
            // It may keep pinging, but nobody can play there.
            RoomStatus::Error => {
                let silent = clock.last_ping.min(clock.status_since);
                silent.max(made).plus(s.ping_timeout)
            }
            _ => clock.last_ping.plus(s.ping_timeout),
        }
    }

    pub fn is_expired(&self, now: Now, id: &RoomId) -> bool {
        let room = self.rooms.get(id.as_str());
        let room = room.filter(|room| !self.is_being_made(room));
        room.and_then(|room| self.expires_at(now, room))
            .is_some_and(|at| at < now.mono)
    }

    /// Its creation waits for its turn or its answer, however long that takes: nothing is there that could hang.
    fn is_being_made(&self, room: &Room) -> bool {
        let record = &room.record;
        let is_there = record.instance.is_some() || room.made_at.is_some();
        !is_there && !room.is_leaving() && self.work.is_about(&record.id)
    }

    /// Why a room has expired. `None` if it was being removed anyway.
    pub fn hang_of(&self, now: Now, id: &RoomId) -> Option<RoomHang> {
        let room = self.rooms.get(id.as_str())?;
        let ends = matches!(
            room.status(),
            RoomStatus::Terminating | RoomStatus::Terminated
        );
        if ends || room.is_leaving() || room.record.intent.validation {
            return None;
        }
        let clock = &room.clock;
        let (what, since) = match room.status() {
            RoomStatus::Pending | RoomStatus::Unready if room.was_ready => {
                ("not ready again", clock.status_since)
            }
            RoomStatus::Pending | RoomStatus::Unready => ("not ready", clock.created),
            RoomStatus::Error => match room.restart_since {
                Some(since) => ("not ready again", since),
                None => ("in error", clock.status_since),
            },
            _ => ("silent", clock.last_ping),
        };
        let seconds = now.mono.since(since).as_secs();
        let mut why = format!("{what} for {seconds} s");
        if let Some(trouble) = room.trouble() {
            let words = room.record.instance.as_ref().map(|i| &*i.description);
            let words = trouble.words(words.unwrap_or_default());
            why.push_str(&format!(": {words}"));
        }
        Some(RoomHang {
            room: id.clone(),
            version: room.record.intent.version.clone(),
            why,
            in_match: room.is_busy(),
        })
    }

    /// Moves expired rooms to `expired`, as many as one turn has time for. A room that pinged meanwhile gets a new
    /// deadline. True if any room expired.
    pub fn collect_expired(&mut self, now: Now) -> bool {
        let before = self.expired.len();
        for _ in 0..self.settings.rooms_per_turn.max(1) {
            let Some(id) = self.rooms.pop_due(now.mono) else {
                break;
            };
            let Some(room) = self.rooms.get(id.as_str()) else {
                continue;
            };
            if self.is_on_trial(&id) && !room.is_leaving() {
                continue; // its operation has a timeout of its own
            }
            match self.expires_at(now, room) {
                Some(at) if at >= now.mono => self.schedule_health(now, &id),
                Some(_) if self.is_being_made(room) => {
                    let again = now.mono.plus(LOOK_AGAIN);
                    self.rooms.set_deadline(&id, again);
                }
                Some(_) => {
                    let ending = room.record.intent.end().is_some()
                        || room.status() == RoomStatus::Terminating;
                    self.ended.since_run.timed_out += u64::from(ending);
                    self.expired.insert(id);
                }
                None => {}
            }
        }
        self.expired.len() > before
    }
}
