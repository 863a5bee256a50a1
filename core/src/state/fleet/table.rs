//! The rooms of one scheduler with the counts and indexes that decisions need, kept
//! current on every change so that no decision has to walk over all rooms.

use super::room::Room;
use crate::domain::*;
use crate::ports::RoomCounts;
use crate::state::input::{PingCacheChange, Steady};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What of a room the counts depend on.
#[derive(Clone, PartialEq)]
struct Class {
    status: RoomStatus,
    counted: bool,
    kept: bool,
    /// Was to be drained, and is idle now.
    drained: bool,
    available: bool,
    busy: bool,
    draining: bool,
    starting: bool,
    allocatable: bool,
    silent: bool,
    matches: i64,
    instance: Option<InstanceStatus>,
    version: SchedulerVersion,
}

impl Class {
    pub fn of(room: &Room) -> Self {
        Self {
            status: room.record.reported.status,
            counted: !room.record.intent.validation,
            kept: !room.record.intent.validation && (!room.is_leaving() || room.is_draining()),
            drained: room.record.intent.removal.is_some_and(|r| r.drain) && !room.is_busy(),
            available: room.is_available(),
            busy: room.is_busy(),
            draining: room.is_draining(),
            starting: room.is_restarting()
                || matches!(
                    room.record.reported.status,
                    RoomStatus::Pending | RoomStatus::Unready
                ),
            allocatable: room.is_allocatable(),
            silent: room.marks.silent,
            matches: room.record.reported.matches.max(0),
            instance: room.record.instance.as_ref().map(|i| i.status),
            version: room.record.intent.version.clone(),
        }
    }
}

/// Available rooms of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionCount {
    pub available: u64,
    /// Of these, not up yet.
    pub starting: u64,
    /// Of these, with a match or about to have one.
    pub busy: u64,
    /// Of the busy ones, waiting for their match to end.
    pub draining: u64,
}

#[derive(Default)]
pub struct RoomTable {
    /// Boxed: a table that grows moves its entries, in one turn of the actor.
    rooms: HashMap<RoomId, Box<Room>>,
    /// For listings: pages have an order that stays.
    names: BTreeSet<RoomId>,
    active: SchedulerVersion,
    counts: RoomCounts,
    kept: RoomCounts,
    instances: [u64; 5],
    drained: BTreeSet<RoomId>,
    available: u64,
    by_version: BTreeMap<SchedulerVersion, VersionCount>,
    running_matches: i64,
    /// Rooms of the active version first, then by id (contract 7).
    allocatable: BTreeSet<(bool, RoomId)>,
    /// Those of them that are known to be silent: given out when no other is there (D33).
    silent: BTreeSet<(bool, RoomId)>,
    /// One entry per room: the earliest moment at which its health has to be looked at.
    deadlines: BTreeSet<(Mono, RoomId)>,
    ping_cache: PingCacheChanges,
}

/// Which rooms the shell may answer without asking: see [`Steady`].
struct PingCacheChanges {
    /// Grows when everything is taken off at once.
    generation: u64,
    changes: Vec<PingCacheChange>,
}

impl Default for PingCacheChanges {
    fn default() -> Self {
        Self {
            generation: 1,
            changes: Vec::new(),
        }
    }
}

impl PingCacheChanges {
    pub fn take_off(&mut self, room: &mut Room) {
        let posted = std::mem::take(&mut room.marks.posted);
        if posted == self.generation {
            let id = room.record.id.clone();
            self.changes.push(PingCacheChange::TakeOff(id));
        }
    }
}

impl RoomTable {
    pub fn get(&self, id: &str) -> Option<&Room> {
        self.rooms.get(id).map(|room| &**room)
    }
    pub fn iter(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values().map(|room| &**room)
    }
    /// By id.
    pub fn in_order(&self) -> impl Iterator<Item = &Room> {
        self.names.iter().filter_map(|id| self.get(id.as_str()))
    }
    pub fn len(&self) -> usize {
        self.rooms.len()
    }
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
    /// Rooms by status, validation rooms left out.
    pub fn counts(&self) -> &RoomCounts {
        &self.counts
    }
    /// Instances by `InstanceStatus as usize`, those of validation rooms among them.
    pub fn instances(&self) -> &[u64; 5] {
        &self.instances
    }
    /// Rooms by status that are to stay: what a scaling policy looks at.
    pub fn kept(&self) -> &RoomCounts {
        &self.kept
    }
    /// Rooms that were to be drained and hold no match any more.
    pub fn drained(&self) -> &BTreeSet<RoomId> {
        &self.drained
    }
    pub fn available(&self) -> u64 {
        self.available
    }
    pub fn by_version(&self) -> &BTreeMap<SchedulerVersion, VersionCount> {
        &self.by_version
    }
    /// Matches in rooms that are to stay.
    pub fn running_matches(&self) -> i64 {
        self.running_matches
    }
    /// The room that the next caller gets: one that is not silent, while there is one. Which
    /// are silent is found out here, by asking those whose turn it is; so a steady ping moves no
    /// index, and a room is passed over once per silence. When a whole fleet has fallen silent,
    /// at most `moves` rooms change their index in one turn; the others are only looked at.
    ///
    /// `is_silent` is also told whether the room is on the ping cache: then pings may have been
    /// answered that are not known here yet.
    pub fn next_to_give(
        &mut self,
        moves: usize,
        is_silent: impl Fn(&Room, bool) -> bool,
    ) -> Option<RoomId> {
        let silent = |id: &&(bool, RoomId)| {
            self.get(id.1.as_str()).is_some_and(|room| {
                let posted = room.marks.posted == self.ping_cache.generation;
                is_silent(room, posted)
            })
        };
        let heard = self.allocatable.iter().find(|id| !silent(id));
        let heard = heard.map(|(_, id)| id.clone());
        let passed = self.allocatable.iter().take_while(silent).take(moves);
        let passed: Vec<RoomId> = passed.map(|(_, id)| id.clone()).collect();
        for id in &passed {
            self.pass_over(id.as_str());
        }
        let first = || {
            self.silent
                .first()
                .into_iter()
                .chain(self.allocatable.first())
        };
        heard.or_else(|| first().min().map(|(_, id)| id.clone()))
    }
    /// As [`Self::next_to_give`], as far as is known without asking who has fallen silent.
    pub fn next_allocatable(&self) -> Option<&RoomId> {
        let first = self.allocatable.first().or_else(|| self.silent.first());
        first.map(|(_, id)| id)
    }
    /// It is given out after all others until it pings. That ping is looked at: it is off the ping cache.
    pub fn pass_over(&mut self, id: &str) {
        self.update(id, |room| room.marks.silent = true);
    }
    /// A room that was passed over pinged.
    pub fn heard(&mut self, id: &str) {
        self.update(id, |room| room.marks.silent = false);
    }

    pub fn insert(&mut self, room: Room) {
        let id = room.record.id.clone();
        self.remove(id.as_str());
        self.count(&Class::of(&room), &id, true);
        self.names.insert(id.clone());
        self.rooms.insert(id, Box::new(room));
    }

    pub fn remove(&mut self, id: &str) -> Option<Room> {
        let mut room = self.rooms.remove(id)?;
        self.names.remove(id);
        self.count(&Class::of(&room), &room.record.id, false);
        if let Some(at) = room.marks.deadline.take() {
            self.deadlines.remove(&(at, room.record.id.clone()));
        }
        self.ping_cache.take_off(&mut room);
        Some(*room)
    }

    /// The only way to change a room: counts and indexes follow.
    pub fn update<R>(&mut self, id: &str, change: impl FnOnce(&mut Room) -> R) -> Option<R> {
        let room = self.rooms.get_mut(id)?;
        let before = Class::of(room);
        let result = change(room);
        let after = Class::of(room);
        // Whatever changed, the next ping may have to be looked at.
        self.ping_cache.take_off(room);
        if before != after {
            let id = room.record.id.clone();
            self.count(&before, &id, false);
            self.count(&after, &id, true);
        }
        Some(result)
    }

    /// For what no count depends on: the moments and the metadata of a steady ping.
    pub fn touch(&mut self, id: &str) -> Option<&mut Room> {
        self.rooms.get_mut(id).map(|room| &mut **room)
    }

    /// Rooms of the active version are given out first.
    pub fn set_active(&mut self, version: &SchedulerVersion) {
        if self.active == *version {
            return;
        }
        self.active = version.clone();
        let all = self.rooms.values().filter(|r| r.is_allocatable());
        let keyed = all.map(|r| {
            let key = (r.record.intent.version != self.active, r.record.id.clone());
            (key, r.marks.silent)
        });
        let (silent, heard): (Vec<_>, Vec<_>) = keyed.partition(|(_, silent)| *silent);
        let keys = |of: Vec<(_, bool)>| of.into_iter().map(|(key, _)| key).collect();
        (self.allocatable, self.silent) = (keys(heard), keys(silent));
    }

    /// The shell may answer pings of this room that say just this.
    pub fn post(&mut self, id: &str, steady: Steady) {
        if let Some(room) = self.rooms.get_mut(id) {
            room.marks.posted = self.ping_cache.generation;
            let metadata = room.record.reported.metadata.clone().unwrap_or_default();
            let post = PingCacheChange::Post(room.record.id.clone(), steady, metadata);
            self.ping_cache.changes.push(post);
        }
    }
    /// The next ping of this room is to be looked at.
    pub fn take_off(&mut self, id: &str) {
        if let Some(room) = self.rooms.get_mut(id) {
            self.ping_cache.take_off(room);
        }
    }
    /// The next ping of every room is to be looked at.
    pub fn clear_ping_cache(&mut self) {
        self.ping_cache.generation += 1;
        self.ping_cache.changes.clear();
        self.ping_cache.changes.push(PingCacheChange::Clear);
    }
    pub fn take_ping_cache_changes(&mut self) -> Vec<PingCacheChange> {
        std::mem::take(&mut self.ping_cache.changes)
    }

    /// At most `amount` ids behind `after`, in their order.
    pub fn ids_after(&self, after: Option<&RoomId>, amount: usize) -> Vec<RoomId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |id| Excluded(id.clone()));
        let ids = self.names.range((from, Unbounded));
        ids.take(amount).cloned().collect()
    }

    /// Looks at this room's health again at `at`; a room has one such moment at a time.
    pub fn set_deadline(&mut self, id: &RoomId, at: Mono) {
        let Some(room) = self.rooms.get_mut(id.as_str()) else {
            return;
        };
        if let Some(old) = room.marks.deadline.replace(at) {
            if old == at {
                return;
            }
            self.deadlines.remove(&(old, id.clone()));
        }
        self.deadlines.insert((at, id.clone()));
    }
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadlines.first().map(|(at, _)| *at)
    }
    /// Takes one room whose moment has come.
    pub fn pop_due(&mut self, now: Mono) -> Option<RoomId> {
        let (at, _) = self.deadlines.first()?;
        if *at > now {
            return None;
        }
        let (_, id) = self.deadlines.pop_first()?;
        if let Some(room) = self.rooms.get_mut(id.as_str()) {
            room.marks.deadline = None;
        }
        Some(id)
    }

    fn count(&mut self, class: &Class, id: &RoomId, add: bool) {
        let step = |n: &mut u64| {
            if add {
                *n += 1
            } else {
                *n = n.saturating_sub(1)
            }
        };
        if class.counted {
            step(&mut self.counts.0[class.status as usize]);
        }
        if let Some(status) = class.instance {
            step(&mut self.instances[status as usize]);
        }
        if class.kept {
            step(&mut self.kept.0[class.status as usize]);
            self.running_matches += if add { class.matches } else { -class.matches };
        }
        if class.drained {
            if add {
                self.drained.insert(id.clone());
            } else {
                self.drained.remove(id);
            }
        }
        if class.available {
            step(&mut self.available);
            let of_version = self.by_version.entry(class.version.clone()).or_default();
            step(&mut of_version.available);
            if class.starting {
                step(&mut of_version.starting);
            }
            if class.busy {
                step(&mut of_version.busy);
            }
            if class.draining {
                step(&mut of_version.draining);
            }
            if of_version.available == 0 {
                self.by_version.remove(&class.version);
            }
        }
        if class.allocatable {
            let key = (class.version != self.active, id.clone());
            let index = match class.silent {
                true => &mut self.silent,
                false => &mut self.allocatable,
            };
            if add {
                index.insert(key);
            } else {
                index.remove(&key);
            }
        }
    }
}
