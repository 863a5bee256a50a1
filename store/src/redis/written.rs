//! What this store has written of a scheduler's rooms, so that a change writes only what differs.
//!
//! It is a memory of values that were acknowledged, valid for the next batch of the same owner only: whoever commits
//! after somebody else, after a failure or a load begins without it, and writes rooms as a whole.

use super::room::RoomValues;
use maestro_core::domain::{Epoch, PingStatus, RoomId, RoomRecord, RoomTouch, SchedulerName, Seq};
use maestro_core::ports::Fence;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The values of one room in short.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenRoom {
    status: Option<i64>,
    ping_at: Option<i64>,
    matches: i64,
    ping: PingStatus,
    metadata: Option<Arc<str>>,
    allocated_at: Option<i64>,
    /// Of what never changes while a room lives.
    birth: u64,
    instance: u64,
}

/// What of a room differs from what is stored.
#[derive(Debug, Default, PartialEq)]
pub struct Delta {
    /// Nothing is known of it, so that it is written as a whole.
    pub is_new: bool,
    /// Fields of its hash.
    pub fields: Vec<&'static str>,
    /// Its field `allocated_at` goes.
    pub is_released: bool,
    pub status: bool,
    pub ping: bool,
    pub occupancy: bool,
    pub instance: bool,
}

/// The rooms of one scheduler.
#[derive(Clone, Debug, Default)]
pub struct WrittenRooms {
    rooms: HashMap<RoomId, WrittenRoom>,
    /// Written as a whole in this batch: a room whose hash does not exist yet cannot be updated.
    fresh: HashSet<RoomId>,
}

impl WrittenRooms {
    /// All rooms are deleted.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// One room is deleted.
    pub fn delete(&mut self, room: &RoomId) {
        self.rooms.remove(room);
        self.fresh.remove(room);
    }

    /// The running matches that are stored.
    pub fn matches(&self, room: &RoomId) -> Option<i64> {
        self.rooms.get(room).map(|room| room.matches)
    }

    /// Remembers a room, and says what of it has to be written.
    pub fn put(&mut self, room: &RoomRecord, values: &RoomValues) -> Delta {
        let now = WrittenRoom::of(room, values);
        let old = self.rooms.insert(room.id.clone(), now.clone());
        let old = old.filter(|old| old.birth == now.birth && !self.fresh.contains(&room.id));
        let Some(old) = old else {
            self.fresh.insert(room.id.clone());
            return now.whole();
        };
        let mut fields = Vec::new();
        if old.metadata != now.metadata {
            fields.push("metadata");
        }
        if old.ping != now.ping {
            fields.push("ping_status");
        }
        if old.allocated_at != now.allocated_at && now.allocated_at.is_some() {
            fields.push("allocated_at");
        }
        Delta {
            is_new: false,
            fields,
            is_released: old.allocated_at.is_some() && now.allocated_at.is_none(),
            status: old.status != now.status,
            ping: old.ping_at != now.ping_at,
            occupancy: old.matches != now.matches,
            instance: old.instance != now.instance,
        }
    }

    /// Remembers a steady ping, and says whether the room's hash has to be written.
    pub fn touch(&mut self, touch: &RoomTouch) -> bool {
        let Some(room) = self.rooms.get_mut(&touch.room) else {
            return true;
        };
        let differs = room.ping != touch.ping || room.metadata != touch.metadata;
        room.ping_at = Some(touch.last_ping_at.as_second());
        room.matches = touch.matches;
        room.ping = touch.ping;
        room.metadata.clone_from(&touch.metadata);
        differs
    }
}

impl WrittenRoom {
    fn of(room: &RoomRecord, values: &RoomValues) -> Self {
        let intent = &room.intent;
        Self {
            status: values.status,
            ping_at: values.ping,
            matches: room.reported.matches,
            ping: room.reported.ping,
            metadata: room.reported.metadata.clone(),
            allocated_at: intent.allocated_at.map(|at| at.as_second()),
            birth: digest(&(
                &intent.version,
                intent.validation,
                intent.created_at.as_second(),
            )),
            instance: digest(&values.instance),
        }
    }

    fn whole(&self) -> Delta {
        let mut fields = vec![
            "version",
            "metadata",
            "ping_status",
            "is_validation_room",
            "created_at",
        ];
        if self.allocated_at.is_some() {
            fields.push("allocated_at");
        }
        Delta {
            is_new: true,
            fields,
            is_released: self.allocated_at.is_none(),
            status: true,
            ping: true,
            occupancy: true,
            instance: true,
        }
    }
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What was written last, by scheduler.
#[derive(Default)]
pub struct Memory {
    schedulers: Mutex<HashMap<SchedulerName, (Epoch, Seq, WrittenRooms)>>,
    /// What the last load found of rooms that are none.
    remains: Mutex<HashMap<SchedulerName, Vec<RoomId>>>,
}

impl Memory {
    /// Takes what is known before this batch. Unless it is put back, nothing is known any more.
    pub fn take(&self, fence: &Fence) -> WrittenRooms {
        let taken = self.schedulers.lock().remove(&fence.scheduler);
        let known = taken.filter(|(epoch, seq, _)| (*epoch, *seq) == (fence.epoch, fence.previous));
        known.map(|(_, _, rooms)| rooms).unwrap_or_default()
    }

    /// What is stored after this batch.
    pub fn put(&self, fence: &Fence, mut rooms: WrittenRooms) {
        rooms.fresh.clear();
        let known = (fence.epoch, fence.seq, rooms);
        self.schedulers
            .lock()
            .insert(fence.scheduler.clone(), known);
    }

    /// The next batch deletes these as well.
    pub fn remember_remains(&self, scheduler: &SchedulerName, rooms: Vec<RoomId>) {
        let mut remains = self.remains.lock();
        if rooms.is_empty() {
            remains.remove(scheduler);
        } else {
            remains.insert(scheduler.clone(), rooms);
        }
    }

    /// What the next batch deletes as well; it is remembered until that is applied.
    pub fn remains(&self, scheduler: &SchedulerName) -> Vec<RoomId> {
        let remains = self.remains.lock();
        remains.get(scheduler).cloned().unwrap_or_default()
    }

    /// Nothing is known of these schedulers any more.
    pub fn forget<'a>(&self, names: impl IntoIterator<Item = &'a SchedulerName>) {
        let (mut schedulers, mut remains) = (self.schedulers.lock(), self.remains.lock());
        for name in names {
            schedulers.remove(name);
            remains.remove(name);
        }
    }
}
