//! How a room's row is created and deleted, and how its instance is distinguished from namesakes.

use crate::domain::*;
use crate::rules::names::room_id;
use crate::state::command::{Refusal, RefusalKind};
use crate::state::fleet::Fleet;
use crate::state::fleet::room::{Marks, Room};
use crate::state::turn::Turn;

impl Fleet {
    pub fn insert_room(&mut self, turn: &mut Turn, record: RoomRecord) {
        let now = turn.now.mono;
        let id = record.id.clone();
        let mut events = RoomEvents::default();
        let made = record.intent.made_by.is_some();
        let event = if made {
            RoomHappening::Created
        } else {
            RoomHappening::Adopted
        };
        events.push(turn.now.wall, event);
        self.rooms.insert(Room {
            record,
            clock: RoomClock {
                created: now,
                last_ping: now,
                allocated: None,
                first_ready: None,
                status_since: now,
            },
            was_ready: false,
            quarantined_until: None,
            terminated_at: None,
            untold: None,
            made_at: None,
            restart_since: None,
            events,
            marks: Marks::default(),
        });
        turn.changes.put_room(&id);
        self.schedule_health(turn.now, &id);
    }

    pub fn restore_room(&mut self, now: Now, mut record: RoomRecord) {
        let id = record.id.clone();
        let placed = record.address().is_some();
        let (intent, reported) = (&record.intent, &mut record.reported);
        let allocated = intent.allocated_at.map(|at| now.mono_of(at));
        let first_ready = reported.first_ready_at.map(|at| now.mono_of(at));
        // A room that has pinged was up: its end after the restart is no crash at startup.
        let was_ready = first_ready.is_some() || reported.ping != PingStatus::Unknown;
        reported.played |= matches!(reported.status, RoomStatus::Occupied | RoomStatus::Active);
        let restarting = record.instance.as_ref().and_then(|i| i.restarting);
        // An earlier owner found it in the runtime: it is still unknown whether someone holds it.
        let found = intent.made_by.is_none().then(|| {
            let found = now.mono_of(intent.created_at);
            found.plus(self.settings.allocation_hold)
        });
        let silence = now.wall.duration_since(reported.last_ping_at);
        let fresh = self.settings.allocation_fresh;
        let silent =
            fresh.is_some_and(|fresh| silence.unsigned_abs() > fresh && !silence.is_negative());
        // It pinged before its address was known, and no forwarder was told (D34).
        let lives = matches!(reported.ping, PingStatus::Ready | PingStatus::Occupied);
        let untold = (lives && !placed).then_some(reported.ping);
        let mut events = RoomEvents::default();
        events.push(now.wall, RoomHappening::Adopted);
        self.rooms.insert(Room {
            record,
            clock: RoomClock {
                created: now.mono,
                last_ping: now.mono,
                allocated,
                first_ready,
                status_since: now.mono,
            },
            was_ready,
            restart_since: restarting.map(|_| now.mono),
            quarantined_until: found.filter(|until| *until > now.mono),
            terminated_at: None,
            untold,
            made_at: None,
            events,
            marks: Marks::default(),
        });
        // Its silence before the take-over is no reason to end it, but others are preferred (D33).
        if silent {
            self.rooms.pass_over(id.as_str());
        }
        self.schedule_health(now, &id);
    }

    /// The store lost changes: a room may be allocated that it has as ready, or in its next match. So none is allocated
    /// before the allocation hold time has passed, or a match has ended that this owner heard of; in a room of many
    /// matches the end of one says nothing of the others.
    pub fn doubt_rooms(&mut self, now: Now) {
        let hold = now.mono.plus(self.settings.allocation_hold);
        let ids: Vec<RoomId> = self.rooms.iter().map(|r| r.record.id.clone()).collect();
        for id in ids {
            self.rooms.update(id.as_str(), |room| {
                room.quarantined_until = Some(hold);
                room.marks.unheard = room.is_busy();
            });
        }
        self.listing.doubtful = true;
    }

    /// Stores the doubt about a room that was found, as for one without a row, so that the next owner has it too. Not
    /// while its operation runs, which must still find it.
    pub fn doubt_durably(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
        being_made: impl Fn(OperationId) -> bool,
    ) {
        let known = self.rooms.get(id.as_str());
        if known.is_none_or(|room| room.record.intent.made_by.is_some_and(being_made)) {
            return;
        }
        let found = turn.now.wall;
        self.rooms.update(id.as_str(), |room| {
            room.record.intent.made_by = None;
            room.record.intent.created_at = found;
        });
        turn.changes.put_room(id);
    }

    /// Deletes a room's row, because the runtime has no instance of it any more.
    pub fn forget_room(&mut self, turn: &mut Turn, id: &RoomId) {
        self.expired.remove(id);
        self.forward_end(turn, id);
        if self.rooms.remove(id.as_str()).is_some() {
            turn.changes.put_room(id);
            turn.reconsider = true;
        }
    }

    /// The id for an operation's room, or `None` if that room exists already. A name used by another room is skipped,
    /// because names are short hashes.
    pub fn free_room_id(&self, operation: OperationId, index: u32) -> Option<RoomId> {
        let mut attempt = 0;
        loop {
            let id = room_id(&self.name, operation, index, attempt);
            match self.rooms.get(id.as_str()) {
                Some(room) if room.record.intent.made_by == Some(operation) => return None,
                Some(_) => attempt += 1,
                None => return Some(id),
            }
        }
    }

    /// Rooms that this operation created.
    pub fn rooms_made_by(&self, operation: OperationId) -> Vec<RoomId> {
        let made = self
            .rooms
            .iter()
            .filter(|r| r.record.intent.made_by == Some(operation));
        made.map(|r| r.record.id.clone()).collect()
    }

    /// Checks the limit of one scheduler (`limits.rooms.perScheduler`).
    pub fn room_for(&self, amount: i32) -> Result<(), Refusal> {
        let limit = self.settings.rooms_limit;
        let there = self.rooms.len();
        if there.saturating_add(amount.max(0) as usize) <= limit {
            return Ok(());
        }
        let text = format!(
            "scheduler {} has {there} rooms and may have {limit}; remove some, or raise limits.rooms.perScheduler",
            self.name
        );
        Err(Refusal::new(RefusalKind::Exhausted, text))
    }

    /// Whether it was just created: a list may be older than the answer to its creation, so a missing room means
    /// nothing.
    pub fn is_just_made(&self, now: Now, id: &RoomId) -> bool {
        let room = self.rooms.get(id.as_str());
        let made = room.and_then(|room| room.made_at);
        made.is_some_and(|at| now.mono.since(at) < self.settings.runtime_timeout)
    }

    /// The same id with another start belongs to another instance (architecture 3).
    pub fn is_namesake(&self, instance: &Instance) -> bool {
        let known = self.rooms.get(instance.room.as_str());
        known
            .and_then(|room| room.record.instance.as_ref())
            .is_some_and(|known| known.differs_from(&instance.uid))
    }

    /// A list shows another instance of this id, so the known one has ended. If its row is still there, a call about it
    /// is in flight, whose result must then find the other instance.
    pub fn replace_instance(&mut self, turn: &mut Turn, instance: &Instance) {
        if self.is_namesake(instance) {
            self.rooms.update(instance.room.as_str(), |room| {
                room.record.instance = Some(instance.clone());
            });
            self.protection_lost(&instance.room);
            turn.changes.put_room(&instance.room);
        }
    }

    /// Whether the room's known instance is a different one than that with this uid; `None` if no uid was known.
    pub fn is_another_instance(&self, id: &RoomId, uid: Option<&str>) -> bool {
        let room = self.rooms.get(id.as_str());
        let known = room.and_then(|room| room.record.instance.as_ref());
        let known = known.and_then(Instance::known_uid);
        known.is_some_and(|known| uid != Some(known))
    }
}
