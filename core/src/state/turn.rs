//! What a decision collects, in addition to its changes in memory. Each rule adds to the turn, which finally becomes
//! the [`super::Decision`].

use super::command::{Caller, CommandResult};
use super::decision::Effect;
use super::report::Report;
use crate::domain::*;
use crate::ports::Change;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The current decision: its time and entropy, and its results so far.
pub(super) struct Turn {
    pub now: Now,
    entropy: u128,
    /// Id of the request whose command is being decided.
    pub request: Option<Arc<str>>,
    pub changes: Changes,
    pub effects: Vec<Effect>,
    pub reports: Vec<Report>,
    /// Steady pings to be written.
    pub touches: Vec<RoomTouch>,
    /// Something happened that can affect the desired number of rooms.
    pub reconsider: bool,
}

impl Turn {
    pub fn new(now: Now, entropy: u128) -> Self {
        Self {
            now,
            entropy,
            request: None,
            changes: Changes::default(),
            effects: Vec::new(),
            reports: Vec::new(),
            touches: Vec::new(),
            reconsider: false,
        }
    }

    pub fn reply(&mut self, caller: Caller, answer: CommandResult) {
        self.effects.push(Effect::Reply {
            caller,
            answer,
            protected_by: None,
        });
    }

    /// The next bits of this decision's entropy.
    pub fn fresh_bits(&mut self) -> u128 {
        // SplitMix-like steps over both halves, good enough to keep the ids of one decision distinct.
        self.entropy = self
            .entropy
            .wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let mut z = self.entropy;
        z = (z ^ (z >> 64)).wrapping_mul(0xda94_2042_e4dd_58b5_bf58_476d_1ce4_e5b9);
        z ^ (z >> 59)
    }

    /// A random number from 0 to 1, 1 excluded.
    pub fn fraction(&mut self) -> f64 {
        (self.fresh_bits() >> 75) as f64 / (1u64 << 53) as f64
    }

    pub fn fresh_operation_id(&mut self) -> OperationId {
        let bytes = self.fresh_bits().to_be_bytes();
        OperationId(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

/// The stored documents that the decision changed; each is written once, in its final form.
#[derive(Default)]
pub(super) struct Changes {
    /// Written first, in this order.
    ordered: Vec<Change>,
    scheduler: bool,
    rooms: BTreeSet<RoomId>,
    operations: BTreeMap<OperationId, Box<OperationRecord>>,
    forgotten: Vec<OperationId>,
}

impl Changes {
    pub fn push(&mut self, change: Change) {
        self.ordered.push(change);
    }

    /// Marks the active document as changed.
    pub fn put_scheduler(&mut self) {
        self.scheduler = true;
    }

    /// Marks the room as changed: its row is written, or deleted if the room is gone at the end of the decision.
    pub fn put_room(&mut self, id: &RoomId) {
        self.rooms.insert(id.clone());
    }

    pub fn put_operation(&mut self, record: OperationRecord) {
        self.operations.insert(record.id, Box::new(record));
    }

    pub fn puts_operation(&self, id: OperationId) -> bool {
        self.operations.contains_key(&id)
    }

    pub fn forget_operation(&mut self, id: OperationId) {
        self.operations.remove(&id);
        self.forgotten.push(id);
    }

    /// Deletes the scheduler and everything that belongs to it, except the operation `keep`.
    pub fn delete_scheduler(&mut self, keep: OperationId) {
        self.ordered.push(Change::DeleteScheduler { keep });
        self.scheduler = false;
        self.rooms.clear();
        self.forgotten.clear();
        self.operations.retain(|id, _| *id == keep);
    }

    fn is_empty(&self) -> bool {
        self.ordered.is_empty()
            && !self.scheduler
            && self.rooms.is_empty()
            && self.operations.is_empty()
            && self.forgotten.is_empty()
    }

    /// The batch that makes the decision durable. `room` returns a room's record at the end of the decision, `None` if
    /// it is gone.
    pub fn into_batch(
        self,
        active: Option<&Arc<Scheduler>>,
        room: impl Fn(&RoomId) -> Option<RoomRecord>,
    ) -> Vec<Change> {
        if self.is_empty() {
            // The common case: nearly all pings change nothing.
            return Vec::new();
        }
        let mut batch = self.ordered;
        if self.scheduler
            && let Some(active) = active
        {
            batch.push(Change::UpdateScheduler(active.clone()));
        }
        batch.extend(self.rooms.into_iter().map(|id| match room(&id) {
            Some(record) => Change::PutRoom(Box::new(record)),
            None => Change::DeleteRoom(id),
        }));
        batch.extend(self.operations.into_values().map(Change::PutOperation));
        if !self.forgotten.is_empty() {
            batch.push(Change::DeleteOperations(self.forgotten));
        }
        batch
    }
}
