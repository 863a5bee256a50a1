//! Which changes of an owner become durable in one commit (architecture 5, Order). While the store takes nothing they
//! are folded to the last change of each room and operation, so their number is bounded by the fleet's size, not by the
//! length of the outage. Both the actors' writer and the simulation's follow these rules.

use crate::domain::{OperationId, RoomId, SchedulerVersion};
use crate::ports::Change;
use crate::rules::writing::PendingTouches;
use std::collections::HashSet;

/// Maximum number of batches per commit. It takes what has arrived and never waits for more.
pub const BATCHES_MAX: u64 = 512;

/// Below this number of changes folding is not worthwhile.
const FOLD_MIN: usize = 256;

/// The changes of several decisions, in the order in which these were made.
#[derive(Debug, Default)]
pub struct GroupedChanges {
    batches: u64,
    changes: Vec<Change>,
    /// Number of changes at which they are folded again.
    fold_at: usize,
}

impl GroupedChanges {
    /// Number of decisions that were added, also of those without a change.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Adds the changes of one decision. Steady pings that they include need no write of their own any more.
    pub fn add(&mut self, changes: Vec<Change>, touches: &mut PendingTouches) {
        touches.superseded_by(&changes);
        self.batches += 1;
        self.changes.extend(changes);
    }

    /// Folds the changes if they have become many: each time when there are twice as many as were left the last time.
    pub fn fold_when_many(&mut self) {
        if self.changes.len() >= self.fold_at.max(FOLD_MIN) {
            self.fold();
            self.fold_at = 2 * self.changes.len();
        }
    }

    /// Drops every change that a later one replaces. What is left has the same outcome if all of it is one commit.
    pub fn fold(&mut self) {
        let mut later = HashSet::new();
        let mut keep: Vec<bool> = Vec::with_capacity(self.changes.len());
        for change in self.changes.iter().rev() {
            if divides(change) {
                later.clear();
            }
            keep.push(subject(change).is_none_or(|subject| later.insert(subject)));
        }
        let mut keep = keep.into_iter().rev();
        self.changes.retain(|_| keep.next().unwrap_or(true));
    }

    /// Takes all changes, for one commit.
    pub fn take(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

/// The subject of a change; a later change of the same subject replaces it.
#[derive(PartialEq, Eq, Hash)]
enum Subject<'a> {
    Room(&'a RoomId),
    Operation(OperationId),
    OperationLease(OperationId),
    Operator,
    Runtime,
    LiveVersion(&'a SchedulerVersion),
    Scheduler,
}

fn subject(change: &Change) -> Option<Subject<'_>> {
    match change {
        Change::PutRoom(room) => Some(Subject::Room(&room.id)),
        Change::DeleteRoom(id) => Some(Subject::Room(id)),
        Change::PutOperation(operation) => Some(Subject::Operation(operation.id)),
        Change::RenewOperationLease { operation, .. } => Some(Subject::OperationLease(*operation)),
        Change::PutOperator(_) => Some(Subject::Operator),
        Change::PutRuntime(_) => Some(Subject::Runtime),
        Change::PutLiveVersion(live) => Some(Subject::LiveVersion(&live.version)),
        Change::UpdateScheduler(_) => Some(Subject::Scheduler),
        _ => None,
    }
}

/// Whether changes before this one must not be merged with changes after it.
fn divides(change: &Change) -> bool {
    matches!(
        change,
        Change::CreateScheduler(_)
            | Change::DeleteScheduler { .. }
            | Change::Clear
            | Change::DeleteOperations(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::*;
    use crate::ports::OperatorRecord;
    use jiff::Timestamp;
    use std::sync::Arc;

    fn moment() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn put(id: &str) -> Change {
        let intent = RoomIntent::new(SchedulerVersion::initial(), moment());
        Change::PutRoom(Box::new(RoomRecord::new(id.into(), intent)))
    }

    fn of(changes: impl IntoIterator<Item = Change>) -> GroupedChanges {
        GroupedChanges {
            changes: changes.into_iter().collect(),
            ..GroupedChanges::default()
        }
    }

    fn names(group: &GroupedChanges) -> Vec<String> {
        let name = |change: &Change| match change {
            Change::PutRoom(room) => format!("put {}", room.id),
            Change::DeleteRoom(id) => format!("delete {id}"),
            Change::DeleteScheduler { .. } => "gone".to_owned(),
            other => format!("{other:?}"),
        };
        group.changes.iter().map(name).collect()
    }

    #[test]
    fn of_what_waits_for_long_the_last_word_about_each_room_is_kept() {
        let mut group = GroupedChanges::default();
        for n in 0..10_000 {
            group.changes.push(put(&format!("r{}", n % 3)));
            group.fold_when_many();
        }
        assert!(group.changes.len() < 2 * FOLD_MIN);
        group.changes.push(Change::DeleteRoom("r1".into()));
        group.fold();
        let mut kept = names(&group);
        assert_eq!(kept.pop().as_deref(), Some("delete r1"));
        kept.sort();
        assert_eq!(kept, ["put r0", "put r2"]);
    }

    #[test]
    fn what_comes_before_the_end_of_a_scheduler_is_not_mixed_with_what_comes_behind() {
        let keep = OperationId(uuid::Uuid::nil());
        let mut group = of([put("a"), Change::DeleteScheduler { keep }, put("a")]);
        group.fold();
        assert_eq!(names(&group), ["put a", "gone", "put a"]);
    }

    #[test]
    fn the_last_word_about_each_operation_and_the_scheduler_itself_is_kept() {
        let operation = |n| OperationId(uuid::Uuid::from_u128(n));
        let lease = |n| Change::RenewOperationLease {
            operation: operation(n),
            until: moment(),
        };
        let put = |n| {
            Change::PutOperation(Box::new(OperationRecord {
                id: operation(n),
                scheduler: "s".into(),
                definition: Definition::TestOperation { sleep_seconds: 1 },
                status: OperationStatus::Pending,
                created_at: moment(),
                status_at: moment(),
                history: Vec::new(),
                priority: false,
                lease_until: None,
                resume: ResumeState::default(),
            }))
        };
        let all = || {
            [
                lease(1),
                put(1),
                put(2),
                Change::UpdateScheduler(Arc::new(Scheduler::default())),
                Change::PutOperator(OperatorRecord::default()),
            ]
        };
        let mut group = of(all().into_iter().chain(all()));
        let last = names(&group)[5..].to_vec();
        group.fold();
        assert_eq!(names(&group), last);
    }

    #[test]
    fn folding_pays_for_itself() {
        let mut group = GroupedChanges::default();
        for n in 1..FOLD_MIN {
            group.changes.push(put("same"));
            group.fold_when_many();
            assert_eq!(group.changes.len(), n, "few are not worth it");
        }
        group.changes.push(put("same"));
        group.fold_when_many();
        assert_eq!(group.changes.len(), 1);
        for n in 1..FOLD_MIN {
            group.changes.push(put(&format!("r{n}")));
            group.fold_when_many();
        }
        // They are folded next only when there are twice as many.
        for n in FOLD_MIN + 1..2 * FOLD_MIN {
            group.changes.push(put("same"));
            group.fold_when_many();
            assert_eq!(group.changes.len(), n);
        }
        group.changes.push(put("same"));
        group.fold_when_many();
        assert_eq!(group.changes.len(), FOLD_MIN);
    }

    #[test]
    fn a_row_that_is_written_anyway_includes_its_room_s_ping() {
        let mut touches = PendingTouches::default();
        touches.add(["a", "b"].map(|room| RoomTouch {
            room: room.into(),
            last_ping_at: moment(),
            matches: 0,
            ping: PingStatus::Ready,
            metadata: None,
        }));
        let mut group = GroupedChanges::default();
        assert!(group.is_empty());
        group.add(Vec::new(), &mut touches);
        assert!(group.is_empty());
        group.add(vec![put("a"), put("c")], &mut touches);
        assert_eq!((group.batches(), group.is_empty()), (2, false));
        let left = touches.take(9);
        assert_eq!(
            left.iter().map(|t| t.room.as_str()).collect::<Vec<_>>(),
            ["b"]
        );
        assert_eq!(group.take(), [put("a"), put("c")]);
        assert!(group.is_empty());
    }
}
