//! Rooms that have ended, remembered for people and for histories; in memory only.

use crate::state::report::RoomEnds;
use crate::state::views::RoomDetail;
use std::collections::VecDeque;

/// Maximum number of ended rooms that are remembered.
const ENDED_MAX: usize = 50;

/// The last rooms that ended, each in its final state, and their counts.
#[derive(Default)]
pub(in crate::state) struct EndedRooms {
    /// Newest last.
    last: VecDeque<RoomDetail>,
    /// Ends that were due since the last health run.
    pub since_run: RoomEnds,
    /// Ends that were due between the last two health runs.
    pub last_run: RoomEnds,
}

impl EndedRooms {
    pub fn remember(&mut self, room: RoomDetail) {
        if self.last.len() >= ENDED_MAX {
            self.last.pop_front();
        }
        self.last.push_back(room);
    }

    pub fn newest_first(&self) -> impl Iterator<Item = &RoomDetail> {
        self.last.iter().rev()
    }

    /// The figures of a run are those of the time before it.
    pub fn health_run(&mut self) {
        self.last_run = std::mem::take(&mut self.since_run);
    }
}

/// Unordered ends since rooms were last added, for the history of the operation that creates their replacements.
#[derive(Debug, Default)]
pub(in crate::state) struct Replaced {
    named: Vec<String>,
    more: usize,
}

/// Maximum number of rooms named in one line of a history.
const NAMED_MAX: usize = 5;

impl Replaced {
    pub fn push(&mut self, text: String) {
        match self.named.len() < NAMED_MAX {
            true => self.named.push(text),
            false => self.more += 1,
        }
    }

    pub fn clear(&mut self) {
        self.named.clear();
        self.more = 0;
    }

    /// A line for a history; `None` if nothing is replaced.
    pub fn line(&self) -> Option<String> {
        let named = self.named.join(", ");
        match (self.named.len(), self.more) {
            (0, _) => None,
            (1, 0) => Some(format!("replaces room {named}")),
            (_, 0) => Some(format!("replaces rooms {named}")),
            (_, more) => Some(format!("replaces rooms {named} and {more} others")),
        }
    }
}
