//! One owner of a scheduler on a node: the state machine, and its ordered writer, which waits for answers of the store.

use super::store::Request;
use crate::batch::{Batch, Group};
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::rules::grouping::BATCHES_MAX;
use maestro_core::rules::lease::Pulse;
use maestro_core::rules::writing::*;
use maestro_core::state::*;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

pub(super) struct Owner {
    /// Distinguishes it from earlier and later owners of the same scheduler.
    pub life: u64,
    pub state: SchedulerState,
    pub epoch: Epoch,
    seq: Seq,
    pub lease_until: Mono,
    /// Turns until now.
    pub turns: u64,
    pub pulse: Pulse,
    /// Its thread is blocked until then.
    pub blocked_until: Mono,
    /// The last moment at which an event of its watch arrives.
    pub watch_at: Mono,
    /// When it is to be woken.
    pub wake: Option<Mono>,
    pub abandoned: BTreeSet<WorkId>,
    batches: VecDeque<Batch>,
    folded: Group,
    touches: PendingTouches,
    written: Option<Written>,
}

/// A batch whose outcome is not known yet.
struct Written {
    fence: Fence,
    changes: Arc<[Change]>,
    group: Group,
}

/// What follows from an answer of the store.
pub(super) enum Next {
    /// The batch is durable: these happen.
    Effects(Vec<Effect>),
    /// Ask the store after a pause.
    Pause,
    /// Ask it for the stored seq now.
    LookUp,
    /// The owner ends.
    Over,
}

impl Owner {
    pub fn new(
        life: u64,
        state: SchedulerState,
        epoch: Epoch,
        seq: Seq,
        lease_until: Mono,
    ) -> Self {
        Self {
            life,
            state,
            epoch,
            seq,
            lease_until,
            turns: 0,
            pulse: Pulse::default(),
            blocked_until: Mono::default(),
            watch_at: Mono::default(),
            wake: None,
            abandoned: BTreeSet::new(),
            batches: VecDeque::new(),
            folded: Group::default(),
            touches: PendingTouches::default(),
            written: None,
        }
    }

    /// Takes one input, and continues until the decision is complete.
    pub fn decide(&mut self, input: Input, now: Now, mut entropy: impl FnMut() -> u128) {
        self.turns += 1;
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let decision = self.state.decide(input, now, entropy());
            next = decision.more.then_some(Input::Continue);
            self.batches.push_back(Batch {
                changes: decision.changes,
                touches: decision.touches,
                effects: decision.effects,
            });
        }
    }

    /// Begins the next write. `Some`: it has none, and these effects happen at once.
    pub fn write(&mut self) -> Option<Vec<Effect>> {
        if self.written.is_some() {
            return None;
        }
        let mut group = std::mem::take(&mut self.folded);
        while group.changes.batches() < BATCHES_MAX
            && let Some(batch) = self.batches.pop_front()
        {
            group.add(batch, &mut self.touches);
        }
        let mut changes = group.changes.take();
        if changes.is_empty() && !group.effects.is_empty() {
            return Some(group.effects);
        }
        if changes.is_empty() {
            let touches = self.touches.take(TOUCH_CHUNK);
            changes.extend((!touches.is_empty()).then_some(Change::TouchRooms(touches)));
        }
        if !changes.is_empty() {
            let fence = Fence {
                scheduler: self.state.name().clone(),
                epoch: self.epoch,
                previous: self.seq,
                seq: self.seq.next(),
            };
            let changes = changes.into();
            self.written = Some(Written {
                fence,
                changes,
                group,
            });
        }
        None
    }

    pub fn is_writing(&self) -> bool {
        self.written.is_some()
    }

    /// The request for the batch that is being written.
    pub fn request(&self) -> Option<Request> {
        let written = self.written.as_ref()?;
        Some(Request::Commit(
            written.fence.clone(),
            written.changes.clone(),
        ))
    }

    pub fn committed(&mut self, outcome: &Result<(), CommitError>, leased: bool) -> Next {
        let Some(written) = &self.written else {
            return Next::Effects(Vec::new());
        };
        let after = after_commit(&written.fence, outcome);
        self.follow(after, leased)
    }

    pub fn looked_up(&mut self, seq: Result<Seq, CommitError>, leased: bool) -> Next {
        let Some(written) = &self.written else {
            return Next::Effects(Vec::new());
        };
        match seq {
            Ok(seq) => self.follow(after_lookup(&written.fence, seq), leased),
            Err(_) => Next::Over,
        }
    }

    fn follow(&mut self, after: AfterCommit, leased: bool) -> Next {
        match after {
            AfterCommit::Durable => {
                let effects = self.written.take().map(|written| {
                    self.seq = written.fence.seq;
                    written.group.effects
                });
                Next::Effects(effects.unwrap_or_default())
            }
            AfterCommit::Again => {
                self.fold();
                self.folded.changes.fold();
                Next::Pause
            }
            // Without a lease it must not write to a store that may have lost its fence: it asks again.
            AfterCommit::Republish(_) if !leased => Next::Pause,
            AfterCommit::Republish(stored) => {
                self.repair(stored);
                Next::Pause
            }
            AfterCommit::LookUp => Next::LookUp,
            AfterCommit::Over => Next::Over,
        }
    }

    fn fold(&mut self) {
        for batch in self.batches.drain(..) {
            self.folded.add(batch, &mut self.touches);
        }
    }

    fn repair(&mut self, stored: Seq) {
        self.fold();
        let Some(written) = &mut self.written else {
            return;
        };
        let mut waiting = written.changes.to_vec();
        waiting.append(&mut written.group.join(std::mem::take(&mut self.folded)));
        let changes = republication(&waiting, self.state.snapshot());
        self.touches.superseded_by(&changes);
        written.fence = repairing(&written.fence, stored);
        written.changes = changes.into();
    }
}
