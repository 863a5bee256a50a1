//! Calls on the runtime that operations give out, and what their results mean.

use crate::domain::*;
use crate::state::input::WorkId;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// What a piece of work was given out for.
#[derive(Clone, Debug)]
pub(in crate::state) enum Purpose {
    Prepare(OperationId),
    RemoveNamespace(OperationId),
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
    /// How many pieces each operation waits for.
    of: HashMap<OperationId, usize>,
    last: u64,
    /// Results of work that nobody expected any more.
    pub stale: u64,
}

impl WorkTable {
    pub fn give_out(&mut self, purpose: Purpose) -> WorkId {
        self.last += 1;
        let id = WorkId(self.last);
        if let Some(room) = purpose.room() {
            *self.about.entry(room.clone()).or_default() += 1;
        }
        if let Some(operation) = purpose.operation() {
            *self.of.entry(operation).or_default() += 1;
        }
        self.purposes.insert(id, purpose);
        id
    }

    pub fn take_back(&mut self, id: WorkId) -> Option<Purpose> {
        let purpose = self.purposes.remove(&id)?;
        if let Some(room) = purpose.room() {
            one_less(&mut self.about, room);
        }
        if let Some(operation) = purpose.operation() {
            one_less(&mut self.of, &operation);
        }
        Some(purpose)
    }

    /// Pieces of this operation's work that have not come back.
    pub fn in_flight(&self, operation: OperationId) -> usize {
        self.of.get(&operation).copied().unwrap_or_default()
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

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
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
    pub fn makes_room(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Recreate { .. })
    }
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Prepare(id) | Self::RemoveNamespace(id) => Some(*id),
            Self::Ports { operation, .. } | Self::Create { operation, .. } => Some(*operation),
            Self::Terminate { operation, .. } => *operation,
            Self::Recreate { .. } | Self::Sweep => None,
        }
    }
}
