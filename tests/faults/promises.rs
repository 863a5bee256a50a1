//! What callers were promised, and what contradicts it.

use crate::nodes::HOLD;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

/// The moment of an allocation is stored in whole seconds in places.
const HOLD_MARGIN: Duration = Duration::from_secs(2);

/// A room that was allocated to a caller who knows of it.
pub struct Hold {
    /// The owner decided between these moments.
    pub asked_at: Instant,
    pub told_at: Instant,
    /// The epoch, and the losses of Redis, when the answer was there.
    pub epoch: i64,
    pub losses: u32,
    /// When its match begins and ends; `None`: its caller never comes.
    pub game: Option<(Instant, Instant)>,
    pub has_begun: bool,
}

pub type Room = (String, String);

/// An operation that was acknowledged and is not known to have ended.
#[derive(Clone)]
pub struct Open {
    pub scheduler: String,
    pub id: String,
    pub edit: Option<u64>,
    /// The losses of Redis when it was acknowledged.
    pub losses: u32,
}

#[derive(Default)]
pub struct Promises {
    pub holds: HashMap<Room, Hold>,
    /// Rooms of which a ping has an unknown outcome: it may free them at any time.
    doubtful: HashSet<Room>,
    pub open: Vec<Open>,
    /// Edits that finished, by scheduler.
    pub edits: BTreeMap<String, BTreeSet<u64>>,
    /// Names of schedulers that must be there.
    pub created: BTreeSet<String>,
    /// Names of schedulers that may be there: a creation or a deletion of them has an unknown outcome.
    pub maybe: BTreeSet<String>,
    /// Names of schedulers that were seen to be gone after their deletion.
    pub deleted: BTreeSet<String>,
    /// How many changes were acknowledged.
    pub acknowledged: u64,
    /// Of operations, by scheduler.
    pub orders: BTreeMap<String, u64>,
    /// How many requests were answered, by what they were and the status; 0: by nothing.
    pub answers: BTreeMap<(&'static str, u16), u64>,
    /// How long the slowest of each kind took.
    pub slowest: BTreeMap<&'static str, Duration>,
    pub ended: BTreeMap<String, u64>,
    pub forgotten: u64,
    pub wrong: Vec<String>,
}

impl Promises {
    pub fn wrong(&mut self, what: String) {
        eprintln!("WRONG: {what}");
        self.wrong.push(what);
    }

    /// A caller got a room.
    pub fn allocated(&mut self, room: Room, hold: Hold, node: usize) {
        self.acknowledged += 1;
        let now = Instant::now();
        let doubtful = self.doubtful.contains(&room);
        let before = self.holds.get(&room).filter(|_| !doubtful);
        let twice = before
            .is_some_and(|before| before.has_begun || now - before.asked_at < HOLD - HOLD_MARGIN);
        if twice {
            let ago = before.map(|before| now - before.asked_at);
            self.wrong(format!(
                "{room:?} is allocated again after {ago:?}, by node {node}"
            ));
        }
        self.holds.insert(room, hold);
    }

    /// A room is seen as ready although somebody holds it.
    pub fn seen_ready(&mut self, room: &Room, asked_at: Instant, epoch: i64, losses: u32) {
        let Some(hold) = self.holds.get(room) else {
            return;
        };
        let is_later = asked_at > hold.told_at;
        let is_same = (hold.epoch, hold.losses) == (epoch, losses);
        let is_held = Instant::now() - hold.asked_at < HOLD - HOLD_MARGIN;
        if is_later && is_same && is_held && !self.doubtful.contains(room) {
            self.wrong(format!(
                "{room:?} is allocated, and seen as ready at epoch {epoch}"
            ));
        }
    }

    /// The outcome of a ping is unknown.
    pub fn doubt(&mut self, room: Room) {
        self.doubtful.insert(room);
    }

    pub fn operation(&mut self, open: Open) {
        self.acknowledged += 1;
        *self.orders.entry(open.scheduler.clone()).or_default() += 1;
        self.open.push(open);
    }

    /// An operation was looked at: true if it need not be looked at again.
    pub fn looked(&mut self, open: &Open, answer: &(u16, Value), losses: u32) -> bool {
        let (status, body) = answer;
        let word = body["operation"]["status"].as_str().unwrap_or_default();
        match (status, word) {
            (200, "pending" | "in_progress") => return false,
            (200, word) => {
                *self.ended.entry(word.to_owned()).or_default() += 1;
                match open.edit {
                    Some(mark) if word == "finished" => {
                        let edits = self.edits.entry(open.scheduler.clone()).or_default();
                        edits.insert(mark);
                    }
                    Some(mark) => self.wrong(format!("edit {mark} ended: {body}")),
                    None => {}
                }
            }
            (404, _) if losses == open.losses => {
                self.wrong(format!(
                    "operation {} of {} is lost",
                    open.id, open.scheduler
                ));
            }
            _ => return false,
        }
        true
    }
}
