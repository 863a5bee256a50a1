//! The ordered writer of the simulated world: batches become durable in the order in which they
//! were decided, and only then are their effects carried out. It follows
//! [`maestro_core::rules::writing`].

use crate::documents::NAME;
use crate::stored::StoreFault;
use crate::world::World;
use maestro_core::ports::*;
use maestro_core::rules::writing::{AfterCommit, after_commit, after_lookup};
use maestro_core::state::*;

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
        self.batches.len()
    }

    /// Writes up to `most` waiting decisions in one commit, which may fail. False: none waits.
    pub fn commit_group(&mut self, most: usize, fault: Option<StoreFault>) -> bool {
        let most = most.max(1).min(self.batches.len());
        if most == 0 {
            return false;
        }
        let group = self.batches.iter().take(most);
        let changes: Vec<Change> = group.flat_map(|b| b.changes.clone()).collect();
        if !changes.is_empty() && !self.write(&changes, fault) {
            return true;
        }
        self.go_on();
        let mut effects = Vec::new();
        for batch in self.batches.drain(..most) {
            self.touches.superseded_by(&batch.changes);
            self.touches.add(batch.touches);
            effects.extend(batch.effects);
        }
        self.committed = changes;
        for effect in effects {
            self.carry_out(effect);
        }
        self.write_touches();
        if self.ended && self.revives {
            self.ended = false;
            self.restart();
        }
        true
    }

    /// True: the commit is durable. False: it is to be retried, or the owner has ended.
    fn write(&mut self, changes: &[Change], fault: Option<StoreFault>) -> bool {
        let fence = Fence {
            scheduler: NAME.into(),
            epoch: self.epoch,
            previous: self.seq,
            seq: self.seq.next(),
        };
        if fault == Some(StoreFault::Behind)
            && let Some(before) = self.before.take()
        {
            self.stored = *before;
        }
        let before = self.forgetful.then(|| Box::new(self.stored.clone()));
        let outcome = self.stored.commit(&fence, changes, fault);
        let after = match after_commit(&fence, &outcome) {
            AfterCommit::LookUp => after_lookup(&fence, self.stored.seq),
            known => known,
        };
        match after {
            AfterCommit::Durable => {
                self.before = before;
                self.seq = fence.seq;
                self.keep_promises(changes);
            }
            AfterCommit::Again => {}
            AfterCommit::LookUp | AfterCommit::Over => self.restart(),
        }
        after == AfterCommit::Durable
    }

    fn write_touches(&mut self) {
        let touches = self.touches.take(TOUCH_CHUNK);
        if !touches.is_empty() {
            self.stored.apply(&Change::TouchRooms(touches));
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { caller, answer } => self.reply(caller, answer),
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
