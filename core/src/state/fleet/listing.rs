//! The state of the comparison with the runtime's complete list.

use crate::domain::*;
use std::collections::HashSet;

/// A comparison in progress. What the runtime reports meanwhile is newer than the list.
pub(in crate::state) struct Reconciliation {
    /// Marks the rooms on this list.
    pub number: u64,
    pub step: Step,
    /// Not processed yet.
    pub instances: Vec<Instance>,
    /// Rooms reported again since the list was made: their entries are outdated.
    pub overtaken: HashSet<RoomId>,
    /// Entries with a known id but another start.
    pub namesakes: Vec<Instance>,
}

pub(in crate::state) enum Step {
    /// Processes the entries of the list.
    Listed,
    /// Looks for rooms that are not on the list, in the order of their ids.
    Absent(Option<RoomId>),
    /// The rooms that these shared their names with are gone: they are instances without a row.
    Namesakes,
    /// Repeats orders whose intent is stored but not executed.
    Intents(Option<RoomId>),
}

/// Maximum number of calls in flight on the runtime when an intent is repeated.
pub(in crate::state) const INTENTS_AT_ONCE: usize = 64;

/// The runtime's complete lists, as far as they have been compared.
#[derive(Default)]
pub(in crate::state) struct Listing {
    /// The first list has been compared: from now on absence is meaningful.
    pub complete: bool,
    /// The stored rows are those of a store that lost changes, and no list has been compared since.
    pub doubtful: bool,
    /// Number of lists received.
    pub taken: u64,
    /// The comparison in progress.
    pub current: Option<Reconciliation>,
    /// A comparison that reached absent rooms while the scheduler was paused.
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
    /// The runtime has reported this room again: its entry in a list is outdated.
    pub fn overtake(&mut self, room: &RoomId) {
        for comparison in self.current.iter_mut().chain(&mut self.parked) {
            comparison.overtaken.insert(room.clone());
        }
    }

    /// Whether a comparison can continue in the next turn. `calls` is the number of calls in flight on the runtime.
    pub fn can_go_on(&self, calls: usize) -> bool {
        match self.current.as_ref().map(|r| &r.step) {
            Some(Step::Intents(_)) => calls < INTENTS_AT_ONCE,
            Some(_) => true,
            None => false,
        }
    }
}
