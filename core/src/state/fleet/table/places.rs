//! The order in which rooms are allocated, and which rooms changed, for those who follow both without looking at all
//! rooms.

use super::RoomTable;
use crate::domain::*;
use crate::state::fleet::moved::{Moved, Place};
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

impl RoomTable {
    /// Number of rooms that can be allocated now, or could be if their version were published.
    pub(in crate::state::fleet) fn allocatable(&self) -> usize {
        self.allocatable.len() + self.silent.len()
    }
    /// `None` if the room cannot be allocated now.
    pub(in crate::state::fleet) fn place_of(&self, id: &RoomId) -> Option<Place> {
        let room = self.get(id.as_str()).filter(|r| r.is_allocatable())?;
        let of_other = room.record.intent.version != self.active;
        if !self.giving.gives(of_other) {
            return None;
        }
        Some((room.marks.silent, of_other, id.clone()))
    }
    /// The place that is allocated after this one, or the first of all.
    pub(in crate::state::fleet) fn place_after(&self, place: Option<&Place>) -> Option<Place> {
        let from = |silent| match place {
            Some((of, other, id)) if *of == silent => Excluded((*other, id.clone())),
            _ => Unbounded,
        };
        let of = |silent, index: &BTreeSet<(bool, RoomId)>| {
            let (other, id) = index.range((from(silent), Unbounded)).next()?.clone();
            self.giving.gives(other).then_some((silent, other, id))
        };
        let heard = match place {
            Some((true, ..)) => None,
            _ => of(false, &self.allocatable),
        };
        heard.or_else(|| of(true, &self.silent))
    }
    /// From now on it is noted what changes, for [`Self::take_moved`].
    pub(in crate::state::fleet) fn note_moves(&mut self) {
        self.moved = Some(Moved::default());
    }
    /// What changed since the last call.
    pub(in crate::state::fleet) fn take_moved(&mut self) -> Moved {
        self.moved.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
