//! What comes to a scheduler from outside: commands, pings, and what other programs do to its operations.

use crate::world::World;
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::state::*;
use std::sync::Arc;

impl World {
    /// A new caller.
    pub fn caller(&mut self) -> Caller {
        self.callers += 1;
        Caller(self.callers)
    }

    pub fn command(&mut self, command: Command) -> Caller {
        self.command_of(None, command)
    }

    /// A command that the request of this id brings.
    pub fn command_of(&mut self, request: Option<Arc<str>>, command: Command) -> Caller {
        let caller = self.caller();
        self.decide(Input::Command {
            caller,
            request,
            command,
        });
        caller
    }

    /// A room pings. Every second steady ping is answered from the board, and reported later.
    pub fn ping(&mut self, room: &RoomId, status: PingStatus, running_matches: i64) {
        let said = Steady {
            status,
            running_matches,
        };
        if self.board.get(room) == Some(&said) && self.callers.is_multiple_of(2) {
            self.caller();
            self.takes_up(room, status);
            return self.pinged.push(SteadyPing {
                room: room.clone(),
                at: self.clock,
                metadata: "".into(),
            });
        }
        self.ping_owner(room, status, running_matches);
    }

    /// The same, past the board.
    pub fn ping_owner(
        &mut self,
        room: &RoomId,
        status: PingStatus,
        running_matches: i64,
    ) -> Caller {
        self.takes_up(room, status);
        let said = Steady {
            status,
            running_matches,
        };
        let posted = self.board.get(room) == Some(&said);
        let ping = Ping {
            room: room.clone(),
            status,
            running_matches,
            metadata: "".into(),
        };
        let caller = self.caller();
        let before = self.status(room);
        self.decide(Input::Ping { caller, ping });
        if posted {
            // What may be answered from the board changes nothing when it is looked at.
            assert_eq!(self.status(room), before, "{room} was posted with {said:?}");
            assert_eq!(self.board.get(room), Some(&said), "{room}");
            let changes = self.batches.back().map(|b| b.changes.as_slice());
            let written = |c: &Change| matches!(c, Change::PutRoom(r) if r.id == *room);
            assert!(!changes.unwrap_or_default().iter().any(written), "{room}");
        }
        caller
    }

    /// A room that says that it plays, or ends, has taken up its allocation; one that is
    /// ready again gives it back when the hold time is over.
    fn takes_up(&mut self, room: &RoomId, status: PingStatus) {
        if status != PingStatus::Ready || self.hold_is_over(room) {
            self.held.remove(room);
        }
    }

    /// The shell reports the pings that it answered.
    pub fn tell_pings(&mut self) {
        if !self.pinged.is_empty() {
            let pinged = std::mem::take(&mut self.pinged);
            self.decide(Input::Pinged(pinged));
        }
    }

    pub(crate) fn hold_is_over(&self, room: &RoomId) -> bool {
        let held = self.held.get(room);
        held.is_some_and(|h| self.clock.mono.since(h.at) > self.settings.allocation_hold)
    }

    /// Another program puts an operation into the queue, and says so.
    pub fn pushed(&mut self, record: OperationRecord) {
        self.stored.put(&record);
        self.written.put(&record);
        self.decide(Input::Pushed(Box::new(record)));
    }

    pub fn cancel_requested(&mut self, id: OperationId) {
        self.decide(Input::CancelRequested(id));
    }

    /// An allocation whose reply was not taken is released.
    pub fn untaken(&mut self) -> bool {
        let known = self.held.iter().find(|(_, held)| held.acknowledged);
        let known = known.map(|(room, held)| (room.clone(), held.caller));
        if let Some((room, caller)) = &known {
            self.untaken_by(room, *caller);
        }
        known.is_some()
    }

    /// The caller that this room was allocated to has left. As in the shell, the room is released
    /// only if it was not allocated to another caller since.
    pub fn untaken_by(&mut self, room: &RoomId, caller: Caller) {
        if self
            .held
            .get(room)
            .is_some_and(|held| held.caller == caller)
        {
            self.held.remove(room);
            self.decide(Input::AllocationUntaken { room: room.clone() });
        }
    }
}
