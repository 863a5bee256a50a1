//! The comparison with the runtime's complete list: which rooms it speaks of, and how old it is.

use crate::domain::*;
use std::collections::HashSet;

/// A comparison that is under way. What the runtime reports meanwhile is newer than the list.
pub(in crate::state) struct Reconciliation {
    /// Tells the rooms that this list has from others.
    pub number: u64,
    pub step: Step,
    /// Not looked at yet.
    pub instances: Vec<Instance>,
    /// Reported anew since the list was made: what it says of them is old.
    pub overtaken: HashSet<RoomId>,
    /// Same id, another start.
    pub namesakes: Vec<Instance>,
}

pub(in crate::state) enum Step {
    /// Takes in what is on the list.
    Listed,
    /// Looks for rooms that are not on it, in the order of their ids.
    Absent(Option<RoomId>),
    /// What had the names of these is gone: they are instances that no row knows.
    Namesakes,
    /// Orders what is written down and not done.
    Intents(Option<RoomId>),
}

/// Calls on the runtime that may be open when an intent is repeated.
pub(in crate::state) const INTENTS_AT_ONCE: usize = 64;

/// What is known of the runtime's complete lists.
#[derive(Default)]
pub(in crate::state) struct Listing {
    /// The first one has been compared: from now on absence means something.
    pub complete: bool,
    /// How many have come.
    pub taken: u64,
    /// The comparison that is under way.
    pub current: Option<Reconciliation>,
    /// One that came to absent rooms while the scheduler was paused.
    pub parked: Option<Reconciliation>,
}

impl Reconciliation {
    pub fn new(number: u64, step: Step, instances: Vec<Instance>) -> Self {
        Self {
            number,
            step,
            instances,
            overtaken: HashSet::new(),
            namesakes: Vec::new(),
        }
    }
}

impl Listing {
    /// The runtime has reported this room anew: what a list says of it is old.
    pub fn overtake(&mut self, room: &RoomId) {
        for comparison in self.current.iter_mut().chain(&mut self.parked) {
            comparison.overtaken.insert(room.clone());
        }
    }

    /// There is something to compare that waits for nothing but a turn. `calls`: those on the
    /// runtime that are under way.
    pub fn can_go_on(&self, calls: usize) -> bool {
        match self.current.as_ref().map(|r| &r.step) {
            Some(Step::Intents(_)) => calls < INTENTS_AT_ONCE,
            Some(_) => true,
            None => false,
        }
    }
}
