//! The rooms of one scheduler, with the counts and indexes that decisions need. They are updated on every change, so
//! that no decision has to iterate over all rooms.

mod places;

use super::counts::{Class, LiveCount, VersionCount, count_live, step};
use super::hashed::Hashed;
use super::moved::Moved;
use super::room::Room;
use crate::domain::*;
use crate::ports::RoomCounts;
use crate::state::input::{PingCacheChange, Steady};
use std::collections::{BTreeMap, BTreeSet};

/// Whose rooms callers of allocations get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Giving {
    /// Those of any version, the active one's first.
    #[default]
    Any,
    /// Those of the active version, which is published.
    Published,
    /// Nobody's: no version is published.
    Nothing,
}

impl Giving {
    /// Whether callers get rooms of the active version, or of another.
    fn gives(self, is_other: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Published => !is_other,
            Self::Nothing => false,
        }
    }
}

/// All rooms of one scheduler. Every change goes through it, so that its counts and indexes are always current.
#[derive(Default)]
pub struct RoomTable {
    /// Boxed, because a growing table moves its entries within one turn of the actor. A ping only looks rooms up.
    rooms: Hashed<RoomId, Box<Room>>,
    /// For listings, whose pages need a stable order.
    names: BTreeSet<RoomId>,
    active: SchedulerVersion,
    counts: RoomCounts,
    kept: RoomCounts,
    instances: [u64; 5],
    drained: BTreeSet<RoomId>,
    available: u64,
    by_version: BTreeMap<SchedulerVersion, VersionCount>,
    /// `None` if the scheduler is not managed: these counts cost time at each change of a room.
    live: Option<BTreeMap<SchedulerVersion, LiveCount>>,
    giving: Giving,
    running_matches: i64,
    /// Rooms of the active version first, then by id (contract 7).
    allocatable: BTreeSet<(bool, RoomId)>,
    /// Allocatable rooms that are known to be silent: allocated only if there is no other (D33).
    silent: BTreeSet<(bool, RoomId)>,
    /// One entry per room: when its health has to be checked next.
    deadlines: BTreeSet<(Mono, RoomId)>,
    ping_cache: PingCacheChanges,
    /// `None` if nobody asks.
    moved: Option<Moved>,
}

/// Which pings the shell may answer from its cache: see [`Steady`].
struct PingCacheChanges {
    /// Incremented when the whole cache is cleared.
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
    /// The room with this id.
    pub fn get(&self, id: &str) -> Option<&Room> {
        self.rooms.get(id).map(|room| &**room)
    }
    /// All rooms in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values().map(|room| &**room)
    }
    /// All rooms, ordered by id.
    pub fn in_order(&self) -> impl Iterator<Item = &Room> {
        self.names.iter().filter_map(|id| self.get(id.as_str()))
    }
    /// Number of rooms, validation rooms among them.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }
    /// Whether there is no room, not even a validation room.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
    /// Rooms by status, without validation rooms.
    pub fn counts(&self) -> &RoomCounts {
        &self.counts
    }
    /// Instances by `InstanceStatus as usize`, including those of validation rooms.
    pub fn instances(&self) -> &[u64; 5] {
        &self.instances
    }
    /// Rooms that are not to be removed, by status: the input of scaling policies.
    pub fn kept(&self) -> &RoomCounts {
        &self.kept
    }
    /// Rooms that were being drained and have no match any more.
    pub fn drained(&self) -> &BTreeSet<RoomId> {
        &self.drained
    }
    /// Rooms that count towards the desired number.
    pub fn available(&self) -> u64 {
        self.available
    }
    /// Available rooms by version; versions without any are absent.
    pub fn by_version(&self) -> &BTreeMap<SchedulerVersion, VersionCount> {
        &self.by_version
    }
    /// Matches in rooms that are not to be removed.
    pub fn running_matches(&self) -> i64 {
        self.running_matches
    }
    /// The room for the next caller: one that is not silent, if there is any. Silent rooms are detected here, when it
    /// is their turn; so a steady ping moves no index, and a room is skipped once per silence. If a whole fleet has
    /// fallen silent, at most `moves` rooms change their index in one turn; the others are only inspected.
    ///
    /// `is_silent` also gets whether the room is in the ping cache: then pings may have been answered that are not
    /// known here yet.
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
        let heard = self.given(&self.allocatable).find(|id| !silent(id));
        let heard = heard.map(|(_, id)| id.clone());
        let passed = self.given(&self.allocatable);
        let passed = passed.take_while(silent).take(moves);
        let passed: Vec<RoomId> = passed.map(|(_, id)| id.clone()).collect();
        for id in &passed {
            self.pass_over(id.as_str());
        }
        let first = || {
            let heard = self.given(&self.allocatable).next();
            let silent = self.given(&self.silent).next();
            silent.into_iter().chain(heard)
        };
        heard.or_else(|| first().min().map(|(_, id)| id.clone()))
    }
    /// The part of an index that callers may get: rooms of the active version come first in it.
    fn given<'a>(
        &self,
        index: &'a BTreeSet<(bool, RoomId)>,
    ) -> impl Iterator<Item = &'a (bool, RoomId)> + use<'a> {
        let giving = self.giving;
        index
            .iter()
            .take_while(move |(is_other, _)| giving.gives(*is_other))
    }
    /// Like [`Self::next_to_give`], but without detecting silent rooms.
    pub fn next_allocatable(&self) -> Option<&RoomId> {
        let all = self
            .given(&self.allocatable)
            .chain(self.given(&self.silent));
        let first = { all }.next();
        first.map(|(_, id)| id)
    }
    /// It is allocated after all others until it pings. It also leaves the ping cache, so that its ping is noticed.
    pub fn pass_over(&mut self, id: &str) {
        self.update(id, |room| room.marks.silent = true);
    }
    /// A room that was skipped has pinged.
    pub fn heard(&mut self, id: &str) {
        self.update(id, |room| room.marks.silent = false);
    }

    /// Adds a room, or replaces the one with its id.
    pub fn insert(&mut self, room: Room) {
        let id = room.record.id.clone();
        self.remove(id.as_str());
        self.count(&Class::of(&room), &id, true);
        self.names.insert(id.clone());
        self.rooms.insert(id, Box::new(room));
    }

    /// Removes a room with its indexes; `None` if it is unknown.
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

    /// The only way to change a room: counts and indexes are updated.
    pub fn update<R>(&mut self, id: &str, change: impl FnOnce(&mut Room) -> R) -> Option<R> {
        let room = self.rooms.get_mut(id)?;
        let before = Class::of(room);
        let result = change(room);
        let after = Class::of(room);
        // Any change may affect how the next ping has to be handled.
        self.ping_cache.take_off(room);
        if before != after {
            let id = room.record.id.clone();
            self.count(&before, &id, false);
            self.count(&after, &id, true);
        }
        Some(result)
    }

    /// For changes that no count depends on: times and metadata of a steady ping.
    pub fn touch(&mut self, id: &str) -> Option<&mut Room> {
        self.rooms.get_mut(id).map(|room| &mut **room)
    }

    /// The scheduler is managed: callers get rooms of the active version only, and none unless it is published.
    pub fn set_managed(&mut self, is_published: bool) {
        let giving = match is_published {
            true => Giving::Published,
            false => Giving::Nothing,
        };
        if std::mem::replace(&mut self.giving, giving) != giving
            && let Some(moved) = &mut self.moved
        {
            moved.reordered = true;
        }
        if self.live.is_none() {
            let mut live = BTreeMap::new();
            for room in self.rooms.values() {
                count_live(&mut live, &Class::of(room), true);
            }
            self.live = Some(live);
        }
    }
    /// Rooms of this version of a managed scheduler; `None` if there are none.
    pub fn live(&self, version: &SchedulerVersion) -> Option<&LiveCount> {
        self.live.as_ref()?.get(version)
    }
    /// Versions of a managed scheduler that have rooms.
    pub fn live_versions(&self) -> impl Iterator<Item = &SchedulerVersion> {
        self.live.iter().flat_map(BTreeMap::keys)
    }

    /// Rooms of the active version are allocated first.
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
        if let Some(moved) = &mut self.moved {
            moved.reordered = true;
        }
    }

    /// The shell may answer pings of this room that repeat this.
    pub fn post(&mut self, id: &str, steady: Steady) {
        if let Some(room) = self.rooms.get_mut(id) {
            room.marks.posted = self.ping_cache.generation;
            let metadata = room.record.reported.metadata.clone().unwrap_or_default();
            let post = PingCacheChange::Post(room.record.id.clone(), steady, metadata);
            self.ping_cache.changes.push(post);
        }
    }
    /// The next ping of this room must be decided on.
    pub fn take_off(&mut self, id: &str) {
        if let Some(room) = self.rooms.get_mut(id) {
            self.ping_cache.take_off(room);
        }
    }
    /// The next ping of every room must be decided on.
    pub fn clear_ping_cache(&mut self) {
        self.ping_cache.generation += 1;
        self.ping_cache.changes.clear();
        self.ping_cache.changes.push(PingCacheChange::Clear);
    }
    /// The changes of the ping cache since the last call, for the decision.
    pub fn take_ping_cache_changes(&mut self) -> Vec<PingCacheChange> {
        std::mem::take(&mut self.ping_cache.changes)
    }

    /// At most `amount` ids after `after`, in order.
    pub fn ids_after(&self, after: Option<&RoomId>, amount: usize) -> Vec<RoomId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |id| Excluded(id.clone()));
        let ids = self.names.range((from, Unbounded));
        ids.take(amount).cloned().collect()
    }

    /// Sets the time of this room's next health check; a room has only one.
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
    /// When the next health check of a room is due; `None` if no room has one.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadlines.first().map(|(at, _)| *at)
    }
    /// Takes one room whose health check is due.
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
        if let Some(moved) = &mut self.moved {
            moved.rooms.insert(id.clone());
        }
        let step = |n: &mut u64| step(n, add);
        if let Some(live) = &mut self.live {
            count_live(live, class, add);
        }
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
            of_version.count(class, add);
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
