//! Comparing what is known with the runtime's complete list, a piece a turn: a fleet of ten
//! thousand rooms must not keep its actor from answering (architecture 4).

use crate::domain::*;
use crate::state::SchedulerState;
use crate::state::fleet::{INTENTS_AT_ONCE, Reconciliation, Step};
use crate::state::turn::Turn;
use std::collections::HashSet;

impl SchedulerState {
    /// A complete list: what is not on it is gone, what was ordered is ordered again. A newer
    /// one takes the place of one that is still being compared.
    pub(super) fn on_listed(&mut self, turn: &mut Turn, instances: Vec<Instance>) {
        self.fleet.listing.taken += 1;
        self.fleet.listing.parked = None;
        self.fleet.listing.current = Some(Reconciliation::new(
            self.fleet.listing.taken,
            Step::Listed,
            instances,
        ));
        self.reconcile(turn);
    }

    /// After a pause: what the last list lacks is gone after all, and what an owner before, or
    /// the pause, may have left undone is ordered: the runtime takes every order twice.
    pub(super) fn reconcile_again(&mut self, turn: &mut Turn) {
        // A comparison that is under way ends with just this.
        if self.fleet.listing.current.is_none() {
            let listing = &mut self.fleet.listing;
            let intents = || Reconciliation::new(listing.taken, Step::Intents(None), Vec::new());
            listing.current = Some(listing.parked.take().unwrap_or_else(intents));
        }
        self.reconcile(turn);
    }
}

impl SchedulerState {
    /// Goes on with it, for one turn's worth of rooms.
    pub(super) fn reconcile(&mut self, turn: &mut Turn) {
        let mut left = self.fleet.settings.rooms_per_turn.max(1);
        while left > 0
            && let Some(mut reconciliation) = self.fleet.listing.current.take()
        {
            let (used, more) = self.reconcile_step(turn, &mut reconciliation, left);
            left -= used.min(left);
            match reconciliation.step {
                _ if more => self.fleet.listing.current = Some(reconciliation),
                // To be gone on with after the pause.
                Step::Absent(_) if self.fleet.scheduler.is_some() => {
                    self.fleet.listing.parked = Some(reconciliation)
                }
                _ => {}
            }
            if used == 0 {
                return;
            }
        }
    }

    /// One step, or a part of it: the rooms that it looked at (at least 1, 0 when it has to
    /// wait), and whether anything is left.
    fn reconcile_step(
        &mut self,
        turn: &mut Turn,
        r: &mut Reconciliation,
        left: usize,
    ) -> (usize, bool) {
        match &mut r.step {
            Step::Listed => {
                for used in 0..left {
                    let Some(instance) = r.instances.pop() else {
                        r.step = Step::Absent(None);
                        return (used.max(1), true);
                    };
                    self.take_listed(turn, r.number, instance, &r.overtaken, &mut r.namesakes);
                }
                (left, true)
            }
            // A paused scheduler takes absence for an unfinished report (architecture 6).
            Step::Absent(_) if self.fleet.is_paused() || self.fleet.scheduler.is_none() => {
                self.list_is_complete(turn);
                (1, false)
            }
            Step::Absent(after) => {
                let ids = self.fleet.rooms.ids_after(after.as_ref(), left);
                for id in &ids {
                    self.look_for(turn, id, r.number, &r.overtaken, &r.namesakes);
                }
                match ids.last() {
                    Some(last) => *after = Some(last.clone()),
                    None => r.step = Step::Namesakes,
                }
                (ids.len().max(1), true)
            }
            Step::Namesakes => {
                let namesake = r.namesakes.pop();
                match namesake {
                    Some(instance) => self.on_instance(turn, instance),
                    None => {
                        self.list_is_complete(turn);
                        r.step = Step::Intents(None);
                    }
                }
                (1, true)
            }
            // What is to be ended is told so by the deletion.
            Step::Intents(_) if self.fleet.is_paused() || self.is_deleting() => (1, false),
            Step::Intents(_) if self.fleet.work.len() >= INTENTS_AT_ONCE => (0, true),
            Step::Intents(after) => {
                let ids = self.fleet.rooms.ids_after(after.as_ref(), left);
                for (used, id) in ids.iter().enumerate() {
                    if self.fleet.work.len() >= INTENTS_AT_ONCE {
                        return (used.max(1), true);
                    }
                    self.fleet.repeat_intent(turn, id);
                    *after = Some(id.clone());
                }
                (ids.len().max(1), !ids.is_empty())
            }
        }
    }
}

impl SchedulerState {
    /// From now on absence means something.
    fn list_is_complete(&mut self, turn: &mut Turn) {
        self.fleet.listing.complete = true;
        turn.reconsider = true;
    }

    fn take_listed(
        &mut self,
        turn: &mut Turn,
        number: u64,
        instance: Instance,
        overtaken: &HashSet<RoomId>,
        namesakes: &mut Vec<Instance>,
    ) {
        let id = instance.room.clone();
        if overtaken.contains(&id) {
            return;
        }
        if self.fleet.is_namesake(&instance) {
            namesakes.push(instance);
            return;
        }
        self.on_instance(turn, instance);
        if let Some(room) = self.fleet.rooms.touch(id.as_str()) {
            room.marks.met = number;
        }
    }

    /// A room that is not on the list is gone, unless the list may be older than it.
    fn look_for(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
        number: u64,
        overtaken: &HashSet<RoomId>,
        namesakes: &[Instance],
    ) {
        let met = self.fleet.rooms.get(id.as_str()).map(|room| room.marks.met);
        if met.is_none_or(|met| met == number) || overtaken.contains(id) {
            return;
        }
        let replaced = namesakes.iter().any(|i| i.room == *id);
        if replaced || !self.fleet.is_just_made(turn.now, id) {
            self.on_absent(turn, id);
        }
    }

    /// A row without an instance: it was never made (the intent is repeated), or it has ended.
    fn on_absent(&mut self, turn: &mut Turn, id: &RoomId) {
        if self.fleet.work.is_about(id) {
            return;
        }
        let Some(room) = self.fleet.rooms.get(id.as_str()) else {
            return;
        };
        let validation = room.record.validation;
        let unmade = room.record.instance.is_none() && !room.is_leaving();
        // Its intent stands: it is ordered again.
        if unmade && self.fleet.order_of(id).is_some() {
            return;
        }
        if room.is_leaving() {
            // A creation of an owner before may still come to life.
            self.fleet.graveyard.bury(turn.now, id.clone());
        }
        self.fleet.ended_unwatched(turn, id);
        self.fleet.forget_room(turn, id);
        if validation {
            let text = format!("room {id} is not in the runtime any more");
            self.validation_room_ended(turn, id, text);
        }
    }
}
