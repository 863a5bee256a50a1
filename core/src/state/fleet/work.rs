//! Calls on the runtime, and the meaning of their results.

use super::hashed::Hashed;
use crate::domain::*;
use crate::state::work::WorkId;
use std::collections::BTreeMap;
use std::hash::Hash;

/// The purpose of a piece of work.
#[derive(Clone, Debug)]
pub(in crate::state) enum Purpose {
    Prepare(OperationId),
    RemovePlace(OperationId),
    EnsureRuntime(OperationId),
    Ports {
        operation: OperationId,
        room: RoomId,
    },
    Create {
        operation: OperationId,
        room: RoomId,
    },
    /// A repeated intent of an earlier owner.
    Recreate {
        room: RoomId,
    },
    Terminate {
        operation: Option<OperationId>,
        room: RoomId,
        /// The instance that was known when it was told to end.
        uid: Option<String>,
    },
    /// The disruption budget.
    Protect,
    /// What the platform shows.
    Show,
    /// The result changes nothing.
    Sweep,
}

/// Work in flight.
#[derive(Debug, Default)]
pub(in crate::state) struct WorkTable {
    purposes: BTreeMap<WorkId, Purpose>,
    /// Number of pieces in flight per room.
    about: Hashed<RoomId, usize>,
    /// Number of pieces that each operation waits for.
    of: Hashed<OperationId, usize>,
    last: u64,
    /// Number of results that were not expected any more.
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

    /// The id of the next piece.
    pub fn next(&self) -> WorkId {
        WorkId(self.last + 1)
    }

    /// Number of pieces in flight for this operation.
    pub fn in_flight(&self, operation: OperationId) -> usize {
        self.of.get(&operation).copied().unwrap_or_default()
    }
    /// Whether a call about this room is in flight.
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

fn one_less<K: Eq + Hash>(counts: &mut Hashed<K, usize>, key: &K) {
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
    /// Whether it may put something into the place of the rooms.
    pub fn fills_place(&self) -> bool {
        matches!(
            self,
            Self::Create { .. } | Self::Recreate { .. } | Self::Show
        )
    }
    pub fn operation(&self) -> Option<OperationId> {
        match self {
            Self::Prepare(id) | Self::RemovePlace(id) | Self::EnsureRuntime(id) => Some(*id),
            Self::Ports { operation, .. } | Self::Create { operation, .. } => Some(*operation),
            Self::Terminate { operation, .. } => *operation,
            Self::Recreate { .. } | Self::Protect | Self::Show | Self::Sweep => None,
        }
    }
}
