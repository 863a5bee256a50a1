//! Calls on the runtime that operations give out, and what their results mean.

use super::*;

/// What a piece of work was given out for.
#[derive(Clone, Debug)]
pub(in crate::state) enum Purpose {
    Prepare(OperationId),
    RemovePlace(OperationId),
    Ports {
        operation: OperationId,
        room: RoomId,
    },
    Create {
        operation: OperationId,
        room: RoomId,
    },
    /// An intent of an earlier owner, repeated.
    Recreate {
        room: RoomId,
    },
    Terminate {
        operation: Option<OperationId>,
        room: RoomId,
        /// The instance that was known when it was told to end.
        uid: Option<String>,
    },
    /// Its result changes nothing.
    Sweep,
}

/// What was given out and has not come back.
#[derive(Debug, Default)]
pub(in crate::state) struct WorkTable {
    purposes: BTreeMap<WorkId, Purpose>,
    /// How many pieces are about a room.
    about: HashMap<RoomId, usize>,
    last: u64,
}

impl WorkTable {
    pub fn give_out(&mut self, purpose: Purpose) -> WorkId {
        self.last += 1;
        let id = WorkId(self.last);
        if let Some(room) = purpose.room() {
            *self.about.entry(room.clone()).or_default() += 1;
        }
        self.purposes.insert(id, purpose);
        id
    }

    pub fn take_back(&mut self, id: WorkId) -> Option<Purpose> {
        let purpose = self.purposes.remove(&id)?;
        if let Some(room) = purpose.room()
            && let Some(count) = self.about.get_mut(room)
        {
            *count -= 1;
            if *count == 0 {
                self.about.remove(room);
            }
        }
        Some(purpose)
    }

    /// A call about this room has not come back yet.
    pub fn is_about(&self, room: &RoomId) -> bool {
        self.about.contains_key(room)
    }
    pub fn iter(&self) -> impl Iterator<Item = (&WorkId, &Purpose)> {
        self.purposes.iter()
    }
    pub fn len(&self) -> usize {
        self.purposes.len()
    }
}

impl Purpose {
    pub fn room(&self) -> Option<&RoomId> {
        match self {
            Self::Ports { room, .. }
            | Self::Create { room, .. }
            | Self::Recreate { room }
            | Self::Terminate { room, .. } => Some(room),
            _ => None,
        }
    }
    pub(super) fn makes_room(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Recreate { .. })
    }
    pub(super) fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Prepare(id) | Self::RemovePlace(id) => Some(*id),
            Self::Ports { operation, .. } | Self::Create { operation, .. } => Some(*operation),
            Self::Terminate { operation, .. } => *operation,
            Self::Recreate { .. } | Self::Sweep => None,
        }
    }
}

impl SchedulerState {
    pub(in crate::state) fn on_work_done(
        &mut self,
        turn: &mut Turn,
        id: WorkId,
        result: WorkResult,
    ) {
        let Some(purpose) = self.work.take_back(id) else {
            self.stale_results += 1;
            return;
        };
        let lane = purpose
            .operation()
            .and_then(|operation| self.operations.lane_of(operation));
        if let Some(running) = lane.and_then(|lane| self.operations.running_mut(lane)) {
            running.in_flight = running.in_flight.saturating_sub(1);
        }
        match purpose {
            Purpose::Prepare(_) => self.on_prepared(turn, result),
            Purpose::RemovePlace(_) => self.on_place_removed(turn, result),
            Purpose::Ports { operation, room } => self.on_ports(turn, operation, room, result),
            Purpose::Create { room, operation } => {
                self.on_created(turn, Some(operation), room, result)
            }
            Purpose::Recreate { room } => self.on_created(turn, None, room, result),
            Purpose::Terminate {
                operation,
                room,
                uid,
            } => self.on_terminated(turn, lane.zip(operation), &room, uid, result),
            Purpose::Sweep => {}
        }
        self.reconcile(turn);
        // A rollback waits for everything that was still under way when it began.
        if let Some(lane) = lane {
            self.rollback_step(turn, lane);
        }
    }

    /// Gives out work for the operation that runs in `lane`.
    pub(super) fn run_for(&mut self, turn: &mut Turn, lane: Lane, purpose: Purpose, work: Work) {
        if let Some(running) = self.operations.running_mut(lane) {
            running.in_flight += 1;
        }
        self.run(turn, purpose, work);
    }
}
