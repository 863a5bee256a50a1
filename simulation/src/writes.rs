//! The ordered writer of the simulated world: batches become durable in the order in which they
//! were decided, and only then are their effects carried out. It follows
//! [`maestro_core::rules::writing`] and [`maestro_core::rules::grouping`].

use crate::batch::Group;
use crate::documents::NAME;
use crate::stored::StoreFault;
use crate::world::World;
use maestro_core::ports::*;
use maestro_core::rules::grouping::BATCHES_MAX;
use maestro_core::rules::writing::{AfterCommit, after_commit, after_lookup, repairing};
use maestro_core::state::*;

/// Most commits that a fail-over loses.
const LOST_MOST: usize = 4;

impl World {
    /// Commits the first pending write and carries out its effects.
    pub fn commit(&mut self) -> bool {
        self.commit_group(1, None)
    }

    pub fn commit_all(&mut self) {
        while self.commit() {}
    }

    /// The number of decisions that wait to be written.
    pub fn waiting_writes(&self) -> usize {
        let tried = self.tried.as_ref().map_or(0, |(_, group)| decisions(group));
        let refused = self.refused.as_ref();
        let refused = refused.map_or(0, |(_, group, _)| decisions(group));
        refused + tried + decisions(&self.folded) + self.batches.len()
    }

    /// Writes up to `most` waiting decisions in one commit, which may fail. A failed commit is retried unchanged, and
    /// decisions that were folded meanwhile are written together. A store that lost changes is repaired by the next
    /// commit. False: none waits.
    pub fn commit_group(&mut self, most: usize, fault: Option<StoreFault>) -> bool {
        let (changes, group) = if let Some((refused, group, fence)) = self.refused.take() {
            self.repair_of(&refused, group, fence)
        } else {
            let again = self.tried.take();
            again.unwrap_or_else(|| self.next_group(most))
        };
        if decisions(&group) == 0 {
            return false;
        }
        if !changes.is_empty() {
            let fence = self.repair.clone().unwrap_or_else(|| self.next_fence());
            match self.write(&fence, &changes, fault) {
                AfterCommit::Durable => self.repaired(),
                AfterCommit::Again => {
                    self.tried = Some((changes, group));
                    self.fold();
                    return true;
                }
                AfterCommit::Republish(stored) => {
                    self.refused = Some((changes, group, repairing(&fence, stored)));
                    return true;
                }
                AfterCommit::LookUp | AfterCommit::Over => {
                    self.restart();
                    return true;
                }
            }
        }
        self.go_on();
        self.committed = changes;
        for effect in group.effects {
            self.carry_out(effect);
        }
        // Waiting pings may have come after what was folded.
        if decisions(&self.folded) == 0 {
            self.write_touches();
        }
        if self.ended && self.revives {
            self.ended = false;
            self.restart();
        }
        true
    }

    /// Takes the decisions that were folded during a failed commit, then those that arrived later.
    fn next_group(&mut self, most: usize) -> (Vec<Change>, Group) {
        let mut group = std::mem::take(&mut self.folded);
        let most = usize::try_from(BATCHES_MAX).map_or(most, |max| most.min(max));
        let more = most.max(1).saturating_sub(decisions(&group));
        let more = more.min(self.batches.len());
        for batch in self.batches.drain(..more) {
            group.add(batch, &mut self.touches);
        }
        (group.changes.take(), group)
    }

    /// Folds the decisions that wait behind a failed commit. The actors' writer does so from 256 changes on, which a
    /// small fleet never reaches.
    pub(crate) fn fold(&mut self) {
        for batch in self.batches.drain(..) {
            self.folded.add(batch, &mut self.touches);
        }
        self.folded.changes.fold();
    }

    fn next_fence(&self) -> Fence {
        Fence {
            scheduler: NAME.into(),
            epoch: self.epoch,
            previous: self.seq,
            seq: self.seq.next(),
        }
    }

    /// One attempt to commit, and what follows from its outcome.
    fn write(
        &mut self,
        fence: &Fence,
        changes: &[Change],
        fault: Option<StoreFault>,
    ) -> AfterCommit {
        if let Some(fault) = fault {
            self.lose(fault);
        }
        let before = self.lossy.then(|| self.stored.clone());
        let outcome = self.stored.commit(fence, changes, fault);
        let after = match after_commit(fence, &outcome) {
            AfterCommit::LookUp => after_lookup(fence, self.stored.seq),
            known => known,
        };
        if after == AfterCommit::Durable {
            self.past.extend(before);
            if self.past.len() > LOST_MOST {
                self.past.pop_front();
            }
            self.seq = fence.seq;
            self.keep_promises(changes);
        }
        after
    }

    fn write_touches(&mut self) {
        let touches = self.touches.take(TOUCH_CHUNK);
        if !touches.is_empty() {
            self.stored.apply(&Change::TouchRooms(touches));
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { caller, answer, .. } => self.reply(caller, answer),
            Effect::Run { id, work, .. } => self.given(id, work),
            Effect::Abandon(ids) => self.abandon(&ids),
            Effect::Forward(event) => self.forwarded.push(event),
            Effect::Ended => self.ended = true,
        }
    }

    fn reply(&mut self, caller: Caller, answer: CommandResult) {
        match &answer {
            Ok(Reply::Allocated { room, .. }) => {
                let held = self.held.get_mut(room);
                if let Some(held) = held.filter(|held| held.caller == caller) {
                    held.acknowledged = true;
                }
            }
            Ok(Reply::Operation(id)) => {
                let there = self.stored.operations.contains_key(id);
                if there {
                    self.promised.insert(*id);
                }
            }
            _ => {}
        }
        self.answers.insert(caller, answer);
    }

    /// An operation that the owner deletes by a durable change was not lost.
    fn keep_promises(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::DeleteOperations(ids) => self.promised.retain(|id| !ids.contains(id)),
                Change::DeleteScheduler { keep } => self.promised.retain(|id| id == keep),
                _ => {}
            }
        }
    }
}

/// The number of decisions in a group.
pub(crate) fn decisions(group: &Group) -> usize {
    usize::try_from(group.changes.batches()).unwrap_or(usize::MAX)
}
