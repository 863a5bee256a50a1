//! Which rooms are to be protected from evictions (D11, D38), and what was ordered of that. It follows the rooms that
//! changed, so that no decision looks at all of them.

use super::hashed::Hashed;
use super::moved::{Moved, Place};
use super::table::RoomTable;
use crate::domain::*;
use crate::ports::Protection;
use crate::rules::protection::{Exposed, protected};
use crate::settings::ProtectionSettings;
use std::collections::{BTreeMap, BTreeSet};

/// Rooms of the share that one order protects, and rooms that it releases, at most: the rooms in use that come next
/// wait until it has ended. What it does not name is in a later one.
const AT_ONCE: usize = 16;

/// Rooms that wait for an order, the longest first: while rooms keep changing, each has its turn.
#[derive(Debug, Default)]
struct Waiting {
    by_age: BTreeMap<u64, RoomId>,
    ages: Hashed<RoomId, u64>,
    next: u64,
}

impl Waiting {
    /// A room that waits already keeps its place.
    fn set(&mut self, id: &RoomId, waits: bool) {
        match (waits, self.ages.get(id)) {
            (true, None) => {
                self.next += 1;
                self.ages.insert(id.clone(), self.next);
                self.by_age.insert(self.next, id.clone());
            }
            (false, Some(age)) => {
                self.by_age.remove(age);
                self.ages.remove(id);
            }
            _ => {}
        }
    }

    fn take(&mut self, most: usize) -> Vec<RoomId> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((_, id)) = self.by_age.pop_first()
        {
            self.ages.remove(&id);
            taken.push(id);
        }
        taken
    }
}

/// The rooms that are to be protected, and those that the orders so far protect.
#[derive(Debug, Default)]
pub struct Exposure {
    /// Rooms with a match, or about to have one.
    busy: BTreeSet<RoomId>,
    /// The rooms that are allocated next: no other room has a place before the last of them.
    share: BTreeSet<Place>,
    places: Hashed<RoomId, Place>,
    /// Whether rooms with a match are protected.
    counts: bool,
    ordered: BTreeSet<RoomId>,
    /// Those of `ordered` that no order which succeeded contains.
    unsure: BTreeSet<RoomId>,
    /// In use, to be protected, and not ordered.
    on: BTreeSet<RoomId>,
    /// The same of rooms of the share.
    on_share: Waiting,
    /// Ordered, and not to be protected any more.
    off: Waiting,
    /// The number of the last order.
    told: usize,
}

/// How the protection of a room stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not to be protected.
    Free,
    /// An order that succeeded contains it.
    Protected,
    /// An order contains it of which nothing is known.
    Ordered,
    /// The next order will contain it.
    Waiting,
}

impl Exposure {
    /// Takes notice of rooms that changed.
    pub fn follow(&mut self, rooms: &RoomTable, moved: Moved, settings: ProtectionSettings) {
        if moved.rooms.is_empty() && !moved.reordered {
            return;
        }
        let mut touched = moved.rooms;
        for id in &touched {
            let room = rooms.get(id.as_str());
            if room.is_none() {
                self.is_gone(id);
            }
            match room.is_some_and(|room| !room.record.intent.validation && room.may_be_busy()) {
                true => drop(self.busy.insert(id.clone())),
                false => drop(self.busy.remove(id)),
            }
            self.place(id, rooms.place_of(id));
        }
        if moved.reordered {
            touched.extend(std::mem::take(&mut self.places).into_keys());
            self.share.clear();
        }
        let fleet = Exposed {
            busy: self.busy.len(),
            ready: rooms.allocatable(),
            rooms: usize::try_from(rooms.counts().total()).unwrap_or(usize::MAX),
        };
        let wanted = protected(fleet, settings.safety, settings.single);
        if std::mem::replace(&mut self.counts, wanted.busy) != wanted.busy {
            // There are none, or they are all rooms, of which there was or is one.
            touched.extend(self.busy.iter().cloned());
        }
        self.resize(rooms, wanted.share, &mut touched);
        for id in touched {
            self.compare(id);
        }
    }

    /// A room of the share has another place now, or a room has come before the last of it.
    fn place(&mut self, id: &RoomId, place: Option<Place>) {
        if let Some(old) = self.places.remove(id) {
            self.share.remove(&old);
        }
        if let Some(place) = place
            && self.share.last().is_some_and(|last| place < *last)
        {
            self.places.insert(id.clone(), place.clone());
            self.share.insert(place);
        }
    }

    fn resize(&mut self, rooms: &RoomTable, size: usize, touched: &mut BTreeSet<RoomId>) {
        while self.share.len() > size
            && let Some((_, _, id)) = self.share.pop_last()
        {
            self.places.remove(&id);
            touched.insert(id);
        }
        while self.share.len() < size
            && let Some(next) = rooms.place_after(self.share.last())
        {
            touched.insert(next.2.clone());
            self.places.insert(next.2.clone(), next.clone());
            self.share.insert(next);
        }
    }

    fn is_wanted(&self, id: &RoomId) -> bool {
        self.places.contains_key(id) || (self.counts && self.busy.contains(id))
    }

    fn compare(&mut self, id: RoomId) {
        let is_ordered = self.ordered.contains(&id);
        let is_wanted = self.is_wanted(&id);
        let is_new = is_wanted && !is_ordered;
        let is_busy = self.busy.contains(&id);
        self.off.set(&id, is_ordered && !is_wanted);
        self.on_share.set(&id, is_new && !is_busy);
        match is_new && is_busy {
            true => drop(self.on.insert(id)),
            false => drop(self.on.remove(&id)),
        }
    }

    /// The instance of a room has ended, and its protection with it.
    fn is_gone(&mut self, id: &RoomId) {
        self.ordered.remove(id);
        self.unsure.remove(id);
    }

    /// The room has another instance, which nothing was ordered for.
    pub fn is_another(&mut self, id: &RoomId) {
        self.is_gone(id);
        self.compare(id.clone());
    }

    /// Whether there is anything to order.
    pub fn has_news(&self) -> bool {
        let waits = |rooms: &Waiting| !rooms.by_age.is_empty();
        !self.on.is_empty()
            || waits(&self.on_share)
            || waits(&self.off)
            || self.told != self.ordered.len()
    }

    /// The next order, for what changed, or for `all` rooms. All rooms in use are in it.
    pub fn order(&mut self, all: bool) -> Protection {
        let most = if all { usize::MAX } else { AT_ONCE };
        let off = self.off.take(most);
        let mut on: Vec<RoomId> = std::mem::take(&mut self.on).into_iter().collect();
        on.extend(self.on_share.take(most));
        for id in &off {
            self.ordered.remove(id);
            self.unsure.remove(id);
        }
        self.ordered.extend(on.iter().cloned());
        self.unsure.extend(on.iter().cloned());
        self.told = self.ordered.len();
        let on = match all {
            true => self.ordered.iter().cloned().collect(),
            false => on,
        };
        Protection {
            on,
            off,
            number: self.told,
            all,
        }
    }

    /// The last order has succeeded. After one that failed, the next one is for all rooms.
    pub fn succeeded(&mut self) {
        self.unsure.clear();
    }

    pub fn standing(&self, id: &RoomId) -> Standing {
        match (self.ordered.contains(id), self.unsure.contains(id)) {
            _ if !self.is_wanted(id) => Standing::Free,
            (true, false) => Standing::Protected,
            (true, true) => Standing::Ordered,
            (false, _) => Standing::Waiting,
        }
    }
}

#[cfg(test)]
mod tests;
