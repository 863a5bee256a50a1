//! Why an instance does not come up, as far as something follows from it.

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::Operations;
use crate::state::turn::Turn;

/// The trouble of an instance began, changed, or ended.
pub(super) fn on_trouble(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    id: &RoomId,
    trouble: Option<Trouble>,
) {
    let Some(room) = fleet.rooms.get(id.as_str()) else {
        return;
    };
    let now = turn.now.mono;
    let Some(trouble) = trouble else {
        // Its time to become ready begins now: it could not start before.
        if let Some(room) = fleet.rooms.touch(id.as_str()) {
            room.marks.placed = Some(now);
        }
        return;
    };
    let intent = &room.record.intent;
    let (validation, made_by) = (intent.validation, intent.made_by);
    let words = room.record.instance.as_ref().map(|i| &*i.description);
    let text = format!("room {id}: {}", trouble.words(words.unwrap_or_default()));
    let goes = trouble == Trouble::PortsTaken && !room.was_ready && !room.is_leaving();
    if let Some(operation) = made_by {
        operations.note_in_ended(turn, operation, &text);
    }
    if !goes {
        return;
    }
    if validation {
        return operations.validation_room_ended(fleet, turn, id, text);
    }
    // Another id gets other ports. It is no failure of the version.
    fleet.replaced.push(text);
    fleet.ports_clashed(turn);
    fleet.mark_removal(turn, id, RemovalReason::CreationFailed, false);
    if !fleet.work.is_about(id) {
        fleet.order_termination(turn, id, None);
    }
}
