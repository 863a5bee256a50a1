//! Pings (contract 3, Ping).

use crate::state::command::{Caller, Reply};
use crate::state::fleet::Fleet;
use crate::state::input::Ping;
use crate::state::operations::Operations;
use crate::state::turn::Turn;

/// A ping that does not change the status is answered from memory and written later; one that does is answered once the
/// change is durable (architecture 5).
pub(super) fn on_ping(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    caller: Caller,
    ping: Ping,
) {
    let heard = fleet.forwards().then(|| fleet.hear(&ping));
    let room = ping.room.clone();
    let taken = fleet.take_ping(turn, ping);
    if matches!(taken, Ok(true)) {
        operations.validation_room_changed(fleet, turn, &room);
    }
    let heard = heard.filter(|_| taken.is_ok());
    turn.reply(caller, taken.map(|_| Reply::Done));
    if let Some(heard) = heard {
        fleet.forward_ping(turn, heard);
    }
}
