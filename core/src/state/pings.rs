//! What a room says of itself (contract 3, Ping).

use crate::state::SchedulerState;
use crate::state::input::{Caller, Ping, Reply};
use crate::state::turn::Turn;

impl SchedulerState {
    /// A ping that changes no status is answered from memory and written behind; one that
    /// does is answered once the change is durable (architecture 5).
    pub(super) fn on_ping(&mut self, turn: &mut Turn, caller: Caller, ping: Ping) {
        let heard = self.fleet.forwards().then(|| self.fleet.hear(&ping));
        let room = ping.room.clone();
        let taken = self.fleet.take_ping(turn, ping);
        if matches!(taken, Ok(true)) {
            self.validation_room_changed(turn, &room);
        }
        let heard = heard.filter(|_| taken.is_ok());
        turn.reply(caller, taken.map(|_| Reply::Done));
        if let Some(heard) = heard {
            self.fleet.forward_ping(turn, heard);
        }
    }
}
