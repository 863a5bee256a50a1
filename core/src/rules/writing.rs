//! What an owner's writer does after a commit, and which steady pings it still has to write (architecture 5, Order).
//! Both the actors' writer and the simulation's follow these rules.

use crate::domain::{RoomId, RoomTouch, Seq};
use crate::ports::{Change, CommitError, Fence};
use std::collections::BTreeMap;

/// What follows after an attempt to commit a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCommit {
    /// The batch is durable: its effects may happen.
    Durable,
    /// It was certainly not applied: the same batch is committed again.
    Again,
    /// The outcome is unknown: the stored seq decides ([`after_lookup`]).
    LookUp,
    /// The store lost changes and is at this seq: the owner writes everything again ([`republication`]).
    Republish(Seq),
    /// Another owner wrote: the state in memory is invalid.
    Over,
}

/// Interprets the outcome of committing the batch that `fence` guards.
pub fn after_commit(fence: &Fence, outcome: &Result<(), CommitError>) -> AfterCommit {
    match outcome {
        Ok(()) => AfterCommit::Durable,
        Err(CommitError::NotApplied(_)) => AfterCommit::Again,
        Err(CommitError::Unknown(_)) => AfterCommit::LookUp,
        Err(CommitError::Behind { stored }) => after_lookup(fence, *stored),
        Err(CommitError::Fenced { .. } | CommitError::AlreadyExists) => AfterCommit::Over,
    }
}

/// The same, once the stored seq is known.
pub fn after_lookup(fence: &Fence, stored: Seq) -> AfterCommit {
    match stored {
        seq if seq == fence.seq => AfterCommit::Durable,
        seq if seq == fence.previous => AfterCommit::Again,
        seq if seq < fence.previous => AfterCommit::Republish(seq),
        _ => AfterCommit::Over,
    }
}

/// The fence of the batch that repairs a store which is at `stored`. `tried` guards the batch that it refused. The new
/// seq was never tried before: an earlier attempt that takes effect late cannot be taken for this batch.
pub fn repairing(tried: &Fence, stored: Seq) -> Fence {
    Fence {
        previous: stored,
        seq: tried.seq.next(),
        ..tried.clone()
    }
}

/// The batch that repairs a store which lost changes: a snapshot of the owner's state
/// ([`SchedulerState::snapshot`](crate::state::SchedulerState::snapshot)), made after the decisions whose changes are
/// `waiting`. Of these only what no snapshot contains is kept: what was deleted, and operations that ended. A part of
/// what was refused may be stored, so all that is kept can be repeated. A creation cannot, and the snapshot does as
/// much.
pub fn republication(waiting: &[Change], snapshot: Vec<Change>) -> Vec<Change> {
    let kept = waiting.iter().filter(|change| match change {
        Change::PutOperation(operation) => operation.status.is_final(),
        Change::DeleteScheduler { .. } | Change::DeleteVersion(_) | Change::DeleteOperations(_) => {
            true
        }
        _ => false,
    });
    kept.cloned().chain(snapshot).collect()
}

/// Steady pings that will be written after everything else, the last one of each room.
#[derive(Debug, Default)]
pub struct PendingTouches(BTreeMap<RoomId, RoomTouch>);

impl PendingTouches {
    /// Whether no steady ping waits to be written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds pings; a newer ping replaces an older one of the same room.
    pub fn add(&mut self, touches: impl IntoIterator<Item = RoomTouch>) {
        self.0
            .extend(touches.into_iter().map(|t| (t.room.clone(), t)));
    }

    /// Drops pings of rooms that are written anyway: the row includes the last ping, and an older one must not follow
    /// it.
    pub fn superseded_by(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::PutRoom(room) => drop(self.0.remove(&room.id)),
                Change::DeleteRoom(id) => drop(self.0.remove(id)),
                _ => {}
            }
        }
    }

    /// Takes at most `most` pings, for one write.
    pub fn take(&mut self, most: usize) -> Vec<RoomTouch> {
        let next = std::iter::from_fn(|| self.0.pop_first().map(|(_, touch)| touch));
        next.take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::*;
    use std::sync::Arc;

    fn fence() -> Fence {
        Fence {
            scheduler: "arena".into(),
            epoch: Epoch(1),
            previous: Seq(4),
            seq: Seq(5),
        }
    }

    fn touch(room: &str, matches: i64) -> RoomTouch {
        RoomTouch {
            room: room.into(),
            last_ping_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            matches,
            ping: PingStatus::Ready,
            metadata: None,
        }
    }

    #[test]
    fn a_write_whose_outcome_is_unknown_is_never_taken_for_done() {
        let fence = fence();
        let after = |error| after_commit(&fence, &Err(error));
        assert_eq!(after_commit(&fence, &Ok(())), AfterCommit::Durable);
        assert_eq!(
            after(CommitError::NotApplied("away".into())),
            AfterCommit::Again
        );
        assert_eq!(
            after(CommitError::Unknown("away".into())),
            AfterCommit::LookUp
        );
        assert_eq!(
            after(CommitError::Fenced { stored: Epoch(2) }),
            AfterCommit::Over
        );
        assert_eq!(after(CommitError::AlreadyExists), AfterCommit::Over);
        for (stored, expected) in [
            (0, AfterCommit::Republish(Seq(0))),
            (3, AfterCommit::Republish(Seq(3))),
            (4, AfterCommit::Again),
            (5, AfterCommit::Durable),
            (6, AfterCommit::Over),
        ] {
            assert_eq!(after_lookup(&fence, Seq(stored)), expected, "{stored}");
            let behind = CommitError::Behind {
                stored: Seq(stored),
            };
            assert_eq!(after(behind), expected, "{stored}");
        }
    }

    #[test]
    fn a_repair_follows_what_is_stored_by_a_seq_that_was_never_tried() {
        let first = repairing(&fence(), Seq(2));
        assert_eq!((first.previous, first.seq), (Seq(2), Seq(6)));
        let second = repairing(&first, Seq(0));
        assert_eq!((second.previous, second.seq), (Seq(0), Seq(7)));
        assert_eq!(after_lookup(&second, Seq(5)), AfterCommit::Over);
        assert_eq!((second.scheduler, second.epoch), ("arena".into(), Epoch(1)));
    }

    #[test]
    fn a_repair_keeps_what_a_snapshot_cannot_contain() {
        let operation = |n, status| {
            Change::PutOperation(Box::new(OperationRecord {
                id: OperationId(uuid::Uuid::from_u128(n)),
                scheduler: "arena".into(),
                definition: Definition::StorageCleanUp,
                status,
                created_at: Default::default(),
                status_at: Default::default(),
                history: Vec::new(),
                priority: false,
                lease_until: None,
                resume: ResumeState::default(),
            }))
        };
        let document = Arc::new(Scheduler::default());
        let ended = operation(1, OperationStatus::Finished);
        let waiting = [
            Change::CreateScheduler(document.clone()),
            Change::UpdateScheduler(document),
            Change::TouchRooms(vec![touch("a", 1)]),
            Change::DeleteRoom("a".into()),
            ended.clone(),
            operation(2, OperationStatus::Pending),
            Change::DeleteVersion("v1.0.0".into()),
        ];
        let batch = republication(&waiting, vec![Change::Clear]);
        assert_eq!(batch, [ended, waiting[6].clone(), Change::Clear]);
    }

    #[test]
    fn a_ping_is_written_once_and_never_behind_a_newer_row() {
        let mut pending = PendingTouches::default();
        assert!(pending.is_empty());
        pending.add([touch("a", 1), touch("b", 1), touch("c", 1)]);
        pending.add([touch("a", 2)]);
        pending.superseded_by(&[Change::DeleteRoom("b".into())]);
        assert!(!pending.is_empty());
        assert_eq!(pending.take(1), [touch("a", 2)]);
        assert_eq!(pending.take(9), [touch("c", 1)]);
        assert!(pending.is_empty());
    }
}
