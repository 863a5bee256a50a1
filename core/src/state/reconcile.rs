//! Compares the known rooms with the runtime's complete list, a piece per turn: a fleet of ten thousand rooms must not
//! block its actor (architecture 4).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::fleet::{INTENTS_AT_ONCE, Reconciliation, Step};
use crate::state::operations::Operations;
use crate::state::runtime_events;
use crate::state::turn::Turn;
use std::collections::HashSet;

/// A complete list: rooms that are not on it are gone, and intents are ordered again. A newer list replaces one that is
/// still being compared.
pub(super) fn on_listed(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    instances: Vec<Instance>,
) {
    fleet.listing.taken += 1;
    fleet.listing.parked = None;
    fleet.listing.current = Some(Reconciliation::new(
        fleet.listing.taken,
        Step::Listed,
        instances,
    ));
    reconcile(fleet, operations, turn);
}

/// After a pause: rooms that the last list lacked are gone after all, and intents that an earlier owner or the pause
/// left undone are ordered. The runtime accepts repeated orders.
pub(super) fn reconcile_again(fleet: &mut Fleet, operations: &mut Operations, turn: &mut Turn) {
    // A comparison in progress ends with this anyway.
    if fleet.listing.current.is_none() {
        let listing = &mut fleet.listing;
        let intents = || Reconciliation::new(listing.taken, Step::Intents(None), Vec::new());
        listing.current = Some(listing.parked.take().unwrap_or_else(intents));
    }
    reconcile(fleet, operations, turn);
}

/// Continues the comparison, for as many rooms as one turn allows.
pub(super) fn reconcile(fleet: &mut Fleet, operations: &mut Operations, turn: &mut Turn) {
    let mut left = fleet.settings.rooms_per_turn.max(1);
    while left > 0
        && let Some(mut reconciliation) = fleet.listing.current.take()
    {
        let (used, more) = reconcile_step(fleet, operations, turn, &mut reconciliation, left);
        left -= used.min(left);
        match reconciliation.step {
            _ if more => fleet.listing.current = Some(reconciliation),
            // Continued after the pause.
            Step::Absent(_) if fleet.scheduler.is_some() => {
                fleet.listing.parked = Some(reconciliation)
            }
            _ => {}
        }
        if used == 0 {
            return;
        }
    }
}

/// Executes one step, or a part of it. Returns the number of rooms processed (at least 1, or 0 if it has to wait), and
/// whether anything is left.
pub(super) fn reconcile_step(
    fleet: &mut Fleet,
    operations: &mut Operations,
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
                take_listed(
                    fleet,
                    operations,
                    turn,
                    r.number,
                    instance,
                    &r.overtaken,
                    &mut r.namesakes,
                );
            }
            (left, true)
        }
        // While paused, a missing room is not taken for gone (architecture 6).
        Step::Absent(_) if fleet.is_paused() || fleet.scheduler.is_none() => {
            list_is_complete(fleet, turn);
            (1, false)
        }
        Step::Absent(after) => {
            let ids = fleet.rooms.ids_after(after.as_ref(), left);
            for id in &ids {
                look_for(
                    fleet,
                    operations,
                    turn,
                    id,
                    r.number,
                    &r.overtaken,
                    &r.namesakes,
                );
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
                Some(instance) => {
                    fleet.replace_instance(turn, &instance);
                    runtime_events::on_listed_instance(fleet, operations, turn, instance);
                }
                None => {
                    list_is_complete(fleet, turn);
                    r.step = Step::Intents(None);
                }
            }
            (1, true)
        }
        // During a deletion rooms are told to end by the deletion itself.
        Step::Intents(_) if fleet.is_paused() || operations.is_deleting() => (1, false),
        Step::Intents(_) if fleet.work.len() >= INTENTS_AT_ONCE => (0, true),
        Step::Intents(after) => {
            let ids = fleet.rooms.ids_after(after.as_ref(), left);
            for (used, id) in ids.iter().enumerate() {
                if fleet.work.len() >= INTENTS_AT_ONCE {
                    return (used.max(1), true);
                }
                fleet.repeat_intent(turn, id);
                *after = Some(id.clone());
            }
            (ids.len().max(1), !ids.is_empty())
        }
    }
}

/// From now on absence is meaningful.
pub(super) fn list_is_complete(fleet: &mut Fleet, turn: &mut Turn) {
    fleet.listing.complete = true;
    fleet.listing.doubtful = false;
    turn.reconsider = true;
}

pub(super) fn take_listed(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    number: u64,
    instance: Instance,
    overtaken: &HashSet<RoomId>,
    namesakes: &mut Vec<Instance>,
) {
    let id = instance.room.clone();
    if fleet.listing.doubtful {
        let being_made = |by| operations.any_open(|operation| operation.id == by);
        fleet.doubt_durably(turn, &id, being_made);
    }
    if overtaken.contains(&id) {
        return;
    }
    if fleet.is_namesake(&instance) {
        namesakes.push(instance);
        return;
    }
    runtime_events::on_listed_instance(fleet, operations, turn, instance);
    if let Some(room) = fleet.rooms.touch(id.as_str()) {
        room.marks.met = number;
    }
}

/// A room that is not on the list is gone, unless the list may be older than the room.
pub(super) fn look_for(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    id: &RoomId,
    number: u64,
    overtaken: &HashSet<RoomId>,
    namesakes: &[Instance],
) {
    let met = fleet.rooms.get(id.as_str()).map(|room| room.marks.met);
    if met.is_none_or(|met| met == number) || overtaken.contains(id) {
        return;
    }
    let replaced = namesakes.iter().any(|i| i.room == *id);
    if replaced || !fleet.is_just_made(turn.now, id) {
        on_absent(fleet, operations, turn, id);
    }
}

/// A row without an instance: it was never created (the intent is repeated), or it has ended.
pub(super) fn on_absent(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    id: &RoomId,
) {
    if fleet.work.is_about(id) {
        return;
    }
    let Some(room) = fleet.rooms.get(id.as_str()) else {
        return;
    };
    let validation = room.record.intent.validation;
    let unmade = room.record.instance.is_none() && !room.is_leaving();
    // Its intent stands, so it is ordered again.
    if unmade && fleet.order_of(id).is_some() {
        return;
    }
    if room.is_leaving() {
        // A creation of an earlier owner may still take effect.
        fleet.graveyard.bury(turn.now, id.clone());
    }
    fleet.ended_unwatched(turn, id);
    fleet.forget_room(turn, id);
    if validation {
        let text = format!("room {id} is not in the runtime any more");
        operations.validation_room_ended(fleet, turn, id, text);
    }
}
