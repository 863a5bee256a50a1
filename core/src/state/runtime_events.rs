//! Reports of the runtime: instances that appeared, changed or are gone (contract 4.5).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::Operations;
use crate::state::trouble;
use crate::state::turn::Turn;

/// An observation of one instance; an older one is ignored.
pub(super) fn on_instance(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    instance: Instance,
) {
    let room = fleet.rooms.get(instance.room.as_str());
    let known = room.and_then(|room| room.record.instance.as_ref());
    // That of an unknown uid may be anyone's. An observation of another instance changes nothing in any case.
    let older = known.is_some_and(|known| {
        known.known_uid().is_some() && known.resource_version > instance.resource_version
    });
    if !older {
        on_listed_instance(fleet, operations, turn, instance);
    }
}

/// An entry of a complete list, or an observation that is not older. A list is right whatever its counters say: those
/// of a runtime that was restored from a copy begin at an earlier value.
pub(super) fn on_listed_instance(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    instance: Instance,
) {
    let id = instance.room.clone();
    let Some(room) = fleet.rooms.get(id.as_str()) else {
        return on_unknown_instance(fleet, operations, turn, instance);
    };
    if fleet.is_namesake(&instance) {
        return;
    }
    let known = room.record.instance.as_ref();
    if known == Some(&instance) {
        return;
    }
    let before = known.and_then(|known| known.restarting);
    let troubled = known.and_then(|known| known.trouble);
    let was_broken = known.is_some_and(|known| known.status == InstanceStatus::Error);
    let (after, status) = (instance.restarting, instance.status);
    let trouble = instance.trouble;
    // A room that was placed before says nothing about ports that are drawn now.
    let placed = instance.address.is_some() && known.is_none_or(|known| known.address.is_none());
    let replaced = fleet.rooms.update(id.as_str(), |room| {
        let before = room.record.instance.replace(instance);
        let after = room.record.instance.as_ref();
        // Only the counter changed, which is not worth a write.
        match (before, after) {
            (Some(before), Some(after)) => {
                before.uid != after.uid
                    || before.status != after.status
                    || before.address != after.address
                    || before.description != after.description
                    || before.restarting != after.restarting
                    || before.trouble != after.trouble
            }
            _ => true,
        }
    });
    if replaced == Some(true) {
        turn.changes.put_room(&id);
        fleet.note_instance(turn.now, &id);
    }
    match (before, after) {
        (before, Some(restart)) if before != after => fleet.on_restart(turn, &id, restart),
        (Some(_), None) if status == InstanceStatus::Ready => fleet.on_restarted(turn, &id),
        _ => {}
    }
    if trouble != troubled {
        trouble::on_trouble(fleet, operations, turn, &id, trouble);
    }
    if status == InstanceStatus::Error && !was_broken && after.is_none() {
        let told = fleet.on_broken(turn, &id);
        // A trouble is told already.
        if let Some((operation, text)) = told.filter(|_| trouble.is_none()) {
            operations.note_in_ended(turn, operation, &text);
        }
    }
    if placed {
        fleet.ports_fit();
    }
    // If the transition is refused the status stays, but the instance is recorded.
    let _ = fleet.recompute_status(turn, &id);
    fleet.schedule_health(turn.now, &id);
    fleet.forward_untold(turn, &id);
    operations.validation_room_changed(fleet, turn, &id);
}

/// An instance without a row. After a loss of the store the fleet is rebuilt from these. Instances that should end get
/// a row as well, so that they are told again until they have ended.
pub(super) fn on_unknown_instance(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    instance: Instance,
) {
    if fleet.scheduler.is_none() {
        return;
    }
    let id = instance.room.clone();
    let end = if operations.is_deleting() {
        Some(RemovalReason::SchedulerDeleted)
    } else if instance.validation {
        Some(RemovalReason::NewVersionValidationFinished)
    } else if fleet.graveyard.contains(&id) {
        Some(RemovalReason::CreationFailed)
    } else {
        None
    };
    adopt(fleet, operations, turn, instance);
    if let Some(reason) = end {
        fleet.mark_removal(turn, &id, reason, false);
        fleet.order_termination(turn, &id, None);
    }
}

pub(super) fn adopt(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    instance: Instance,
) {
    let id = instance.room.clone();
    let ports = instance.address.iter().flat_map(|a| a.ports.iter());
    let intent = RoomIntent {
        validation: instance.validation,
        host_ports: ports.filter_map(|p| u16::try_from(p.port).ok()).collect(),
        ..RoomIntent::new(instance.version.clone(), turn.now.wall)
    };
    let hold = turn.now.mono.plus(fleet.settings.allocation_hold);
    fleet.insert_room(turn, RoomRecord::new(id.clone(), intent));
    fleet.rooms.update(id.as_str(), |room| {
        room.quarantined_until = Some(hold);
        room.was_ready = true;
    });
    on_instance(fleet, operations, turn, instance);
}

pub(super) fn on_gone(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    id: &RoomId,
    uid: &str,
    exit: Option<Exit>,
) {
    let Some(gone) = fleet.room_gone(turn, id, uid, exit) else {
        return;
    };
    if gone.validation {
        return operations.validation_room_ended(fleet, turn, id, gone.text);
    }
    if let Some(operation) = gone.failed {
        operations.note_in_ended(turn, operation, &gone.text);
    }
}
