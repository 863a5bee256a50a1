//! An owner as the actor, its writer and its executor make one, without their threads: what
//! it has decided, what waits for the store, and the work that is out.

use futures_util::stream::BoxStream;
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::state::*;
use std::collections::{BTreeMap, HashMap, VecDeque};

pub const NAME: &str = "fleet";

/// Who waits for an answer, and what for.
#[derive(Clone, Debug)]
pub enum Waiting {
    Allocation { since: Mono, turn: u64 },
    Ping { room: RoomId, status: PingStatus },
    Order,
}

pub struct Batch {
    pub changes: Vec<Change>,
    pub effects: Vec<Effect>,
}

pub struct Owner {
    pub state: SchedulerState,
    pub epoch: Epoch,
    pub seq: Seq,
    pub orders: VecDeque<Batch>,
    pub touches: BTreeMap<RoomId, RoomTouch>,
    pub work: Vec<(WorkId, Work)>,
    pub results: Vec<(WorkId, WorkResult)>,
    pub callers: HashMap<Caller, Waiting>,
    pub given: HashMap<RoomId, Caller>,
    pub last_caller: u64,
    pub watch: BoxStream<'static, RuntimeEvent>,
}

impl Owner {
    pub fn caller(&mut self, waiting: Waiting) -> Caller {
        self.last_caller += 1;
        let caller = Caller(self.last_caller);
        self.callers.insert(caller, waiting);
        caller
    }

    /// Puts a decision into the queue of the writer.
    pub fn enqueue(&mut self, decision: Decision) {
        for effect in &decision.effects {
            if let Effect::Reply {
                caller,
                answer: Ok(Reply::Allocated { room, .. }),
            } = effect
            {
                self.given.insert(room.clone(), *caller);
            }
        }
        for change in &decision.changes {
            match change {
                Change::PutRoom(room) => drop(self.touches.remove(&room.id)),
                Change::DeleteRoom(id) => drop(self.touches.remove(id)),
                _ => {}
            }
        }
        let touches = decision.touches.into_iter().map(|t| (t.room.clone(), t));
        self.touches.extend(touches);
        if !decision.changes.is_empty() || !decision.effects.is_empty() {
            self.orders.push_back(Batch {
                changes: decision.changes,
                effects: decision.effects,
            });
        }
    }

    pub fn fence(&self) -> Fence {
        Fence {
            scheduler: NAME.into(),
            epoch: self.epoch,
            previous: self.seq,
            seq: self.seq.next(),
        }
    }

    pub fn is_idle(&self) -> bool {
        self.orders.is_empty() && self.work.is_empty() && self.results.is_empty()
    }
}
