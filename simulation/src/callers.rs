//! External inputs of a scheduler: commands, pings, and changes that other programs make to its operations.

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

    /// Sends a command with the id of its request.
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

    /// Sends the ping to the owner, bypassing the board.
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
            // A ping that may be answered from the board must change nothing when the owner handles it.
            assert_eq!(self.status(room), before, "{room} was posted with {said:?}");
            assert_eq!(self.board.get(room), Some(&said), "{room}");
            let changes = self.batches.back().map(|b| b.changes.as_slice());
            let written = |c: &Change| matches!(c, Change::PutRoom(r) if r.id == *room);
            assert!(!changes.unwrap_or_default().iter().any(written), "{room}");
        }
        caller
    }

    /// A room that reports a match or its end has used its allocation; one that is ready again after the hold time
    /// returns it.
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
        held.is_some_and(|h| self.clock.mono.since(h.at) >= self.settings.allocation_hold)
    }

    /// Another program puts an operation into the queue and notifies the owner.
    pub fn pushed(&mut self, record: OperationRecord) {
        self.stored.put(&record);
        self.written.put(&record);
        self.decide(Input::Pushed(Box::new(record)));
    }

    pub fn cancel_requested(&mut self, id: OperationId) {
        self.decide(Input::CancelRequested(id));
    }

    /// Releases an allocation whose caller left before it took the reply.
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
