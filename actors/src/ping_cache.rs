//! Answers steady pings where they arrive. Almost all pings of a fleet repeat what the room said before, and a round
//! trip through the actor costs two hand-overs between threads each. The state machine decides which pings these are
//! ([`Steady`]); the ping cache answers them and reports the last one of each room to the actor, many at a time.

use dashmap::DashMap;
use maestro_core::domain::{Now, RoomId};
use maestro_core::state::{Ping, PingCacheChange, Steady, SteadyPing};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Number of shards, each with a lock, over which the rooms of a scheduler are spread.
const SHARDS: usize = 8;

/// There is one for each incarnation of an owner, so cached answers end with it.
pub(crate) struct PingCache {
    slots: DashMap<RoomId, Slot>,
    /// Rooms with a ping that the actor has not been told of, without duplicates.
    fresh: Mutex<VecDeque<RoomId>>,
    answered: AtomicU64,
}

struct Slot {
    /// `None` if the room was removed from the cache while its last ping is still to be reported.
    steady: Option<Steady>,
    metadata: Arc<str>,
    /// Time of the last ping that was not reported yet.
    fresh: Option<Now>,
}

/// The result of offering a ping to the cache.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The actor must decide.
    No,
    Yes,
    /// Answered, and it is the first ping to be reported to the actor.
    First,
}

impl PingCache {
    pub fn new() -> Self {
        Self {
            slots: DashMap::with_shard_amount(SHARDS),
            fresh: Mutex::default(),
            answered: AtomicU64::new(0),
        }
    }

    /// Answers a ping if it repeats what the room has been saying.
    pub fn take(&self, ping: &Ping, now: Now) -> Taken {
        let Some(mut slot) = self.slots.get_mut(ping.room.as_str()) else {
            return Taken::No;
        };
        let said = Steady {
            status: ping.status,
            running_matches: ping.running_matches,
        };
        if slot.steady != Some(said) {
            return Taken::No;
        }
        if *slot.metadata != *ping.metadata {
            slot.metadata = Arc::from(&*ping.metadata);
        }
        self.answered.fetch_add(1, Relaxed);
        if slot.fresh.replace(now).is_some() {
            return Taken::Yes;
        }
        let id = slot.key().clone();
        drop(slot);
        let mut fresh = self.fresh.lock();
        fresh.push_back(id);
        match fresh.len() {
            1 => Taken::First,
            _ => Taken::Yes,
        }
    }

    /// Applies a change decided by the state machine. Answered pings remain to be reported.
    pub fn change(&self, change: PingCacheChange) {
        match change {
            PingCacheChange::Post(room, steady, metadata) => {
                let mut slot = self.slots.entry(room).or_insert_with(|| Slot {
                    steady: None,
                    metadata: Arc::default(),
                    fresh: None,
                });
                slot.steady = Some(steady);
                // A ping that is still to be reported may have brought newer metadata.
                if slot.fresh.is_none() {
                    slot.metadata = metadata;
                }
            }
            PingCacheChange::TakeOff(room) => {
                if let Some(mut slot) = self.slots.get_mut(&room) {
                    slot.steady = None;
                }
                self.slots.remove_if(&room, |_, slot| slot.fresh.is_none());
            }
            PingCacheChange::Clear => self.slots.retain(|_, slot| {
                slot.steady = None;
                slot.fresh.is_some()
            }),
        }
    }

    /// Number of rooms with a ping that the actor has not been told of.
    pub fn waiting(&self) -> usize {
        self.fresh.lock().len()
    }

    /// The last pings of up to `amount` rooms; those that have waited longest come first.
    pub fn tell(&self, amount: usize) -> Vec<SteadyPing> {
        let mut fresh = self.fresh.lock();
        let few = amount.min(fresh.len());
        let ids: Vec<RoomId> = fresh.drain(..few).collect();
        drop(fresh);
        ids.into_iter().filter_map(|id| self.told(id)).collect()
    }

    fn told(&self, room: RoomId) -> Option<SteadyPing> {
        let mut slot = self.slots.get_mut(&room)?;
        let at = slot.fresh.take()?;
        let metadata = slot.metadata.clone();
        let gone = slot.steady.is_none();
        drop(slot);
        if gone {
            let over = |_: &RoomId, slot: &Slot| slot.steady.is_none() && slot.fresh.is_none();
            self.slots.remove_if(&room, over);
        }
        Some(SteadyPing { room, at, metadata })
    }

    /// Number of pings answered here in this incarnation.
    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::domain::{Mono, PingStatus};
    use std::time::Duration;

    fn at(seconds: u64) -> Now {
        Now {
            wall: jiff::Timestamp::UNIX_EPOCH,
            mono: Mono(Duration::from_secs(seconds)),
        }
    }
    fn ping(running_matches: i64, metadata: &str) -> Ping {
        Ping {
            room: "r".into(),
            status: PingStatus::Occupied,
            running_matches,
            metadata: metadata.into(),
        }
    }
    fn posted() -> PingCache {
        let cache = PingCache::new();
        let steady = Steady {
            status: PingStatus::Occupied,
            running_matches: 2,
        };
        cache.change(PingCacheChange::Post("r".into(), steady, "{}".into()));
        cache
    }
    fn told(cache: &PingCache) -> Vec<(u64, String)> {
        let pings = cache.tell(10).into_iter();
        pings
            .map(|p| (p.at.mono.0.as_secs(), p.metadata.to_string()))
            .collect()
    }

    #[test]
    fn takes_what_says_the_same_and_tells_the_last_of_it() {
        let cache = posted();
        assert_eq!(cache.take(&ping(2, "{}"), at(1)), Taken::First);
        assert_eq!(cache.take(&ping(2, r#"{"a":1}"#), at(2)), Taken::Yes);
        assert_eq!(cache.waiting(), 1);
        assert_eq!(told(&cache), [(2, r#"{"a":1}"#.to_owned())]);
        assert_eq!(told(&cache), []);
        assert_eq!(cache.take(&ping(2, "{}"), at(3)), Taken::First);
        assert_eq!(cache.answered(), 3);
    }

    #[test]
    fn leaves_what_says_something_else_to_the_actor() {
        let cache = posted();
        assert_eq!(cache.take(&ping(3, "{}"), at(1)), Taken::No);
        let mut ready = ping(2, "{}");
        ready.status = PingStatus::Ready;
        assert_eq!(cache.take(&ready, at(1)), Taken::No);
        ready.room = "other".into();
        assert_eq!(cache.take(&ready, at(1)), Taken::No);
        assert_eq!((cache.waiting(), cache.answered()), (0, 0));
    }

    #[test]
    fn a_room_that_is_taken_off_is_not_answered_and_its_last_ping_is_told() {
        for change in [PingCacheChange::TakeOff("r".into()), PingCacheChange::Clear] {
            let cache = posted();
            cache.take(&ping(2, "{}"), at(1));
            cache.change(change.clone());
            assert_eq!(cache.take(&ping(2, "{}"), at(2)), Taken::No);
            assert_eq!(told(&cache), [(1, "{}".to_owned())]);
            assert!(cache.slots.is_empty(), "nothing is left of it");

            let cache = posted();
            cache.change(change);
            assert!(cache.slots.is_empty(), "nothing was to be told");
        }
    }

    #[test]
    fn one_that_is_posted_again_keeps_the_newer_metadata() {
        let cache = posted();
        cache.take(&ping(2, r#"{"new":1}"#), at(5));
        let steady = Steady {
            status: PingStatus::Occupied,
            running_matches: 2,
        };
        cache.change(PingCacheChange::TakeOff("r".into()));
        cache.change(PingCacheChange::Post("r".into(), steady, "{}".into()));
        assert_eq!(told(&cache), [(5, r#"{"new":1}"#.to_owned())]);
    }
}
