//! The content of one commit of an owner. While the store takes nothing it is reduced to the last change of each room
//! and operation, so its size is bounded by the fleet's size, not by the length of the outage.

use crate::turn_trace::TurnTrace;
use crate::waiter::Waiter;
use maestro_core::domain::{OperationId, RoomId};
use maestro_core::ports::{Change, ForwardedEvent, Forwarding};
use maestro_core::state::{Caller, CommandResult, Reply, Work, WorkId};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tracing::Span;

/// Below this number of items a sweep is not worthwhile.
const SWEEP_MIN: usize = 256;

/// What happens once a batch is durable.
pub(crate) enum Outgoing {
    Reply {
        caller: Caller,
        to: Waiter,
        answer: CommandResult,
    },
    Run {
        trace: TurnTrace,
        id: WorkId,
        work: Work,
        timeout: Duration,
    },
    Abandon(Vec<WorkId>),
    Forward(Arc<Forwarding>),
    Ended,
}

impl Outgoing {
    /// A reply whose caller has stopped waiting. Not an allocation: its room has to be given back.
    fn is_idle(&self) -> bool {
        match self {
            Self::Reply { to, answer, .. } => {
                to.is_gone() && !matches!(answer, Ok(Reply::Allocated { .. }))
            }
            _ => false,
        }
    }
}

/// Decisions that become durable together.
#[derive(Default)]
pub(crate) struct Group {
    /// Number of decisions.
    pub orders: u64,
    pub changes: Vec<Change>,
    pub outgoing: Vec<Outgoing>,
    /// One span for each traced batch, open for the duration of the commit.
    pub spans: Vec<Span>,
    /// Numbers of changes and of outgoing items at which it is swept again.
    sweep_at: (usize, usize),
}

/// The subject of a change; a later change of the same subject replaces it.
#[derive(PartialEq, Eq, Hash)]
enum About<'a> {
    Room(&'a RoomId),
    Operation(OperationId),
    OperationLease(OperationId),
    Operator,
    Scheduler,
}

fn about(change: &Change) -> Option<About<'_>> {
    match change {
        Change::PutRoom(room) => Some(About::Room(&room.id)),
        Change::DeleteRoom(id) => Some(About::Room(id)),
        Change::PutOperation(operation) => Some(About::Operation(operation.id)),
        Change::RenewOperationLease { operation, .. } => Some(About::OperationLease(*operation)),
        Change::PutOperator(_) => Some(About::Operator),
        Change::UpdateScheduler(_) => Some(About::Scheduler),
        _ => None,
    }
}

/// Whether changes before this one must not be merged with changes after it.
fn divides(change: &Change) -> bool {
    matches!(
        change,
        Change::CreateScheduler(_) | Change::DeleteScheduler { .. } | Change::DeleteOperations(_)
    )
}

impl Group {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.outgoing.is_empty()
    }

    /// Drops items that are obsolete after a long wait. Returns the events that were dropped.
    pub fn sweep(&mut self) -> Vec<Arc<Forwarding>> {
        if self.changes.len() >= self.sweep_at.0.max(SWEEP_MIN) {
            self.sweep_changes();
            self.sweep_at.0 = 2 * self.changes.len();
        }
        if self.outgoing.len() < self.sweep_at.1.max(SWEEP_MIN) {
            return Vec::new();
        }
        self.outgoing.retain(|item| !item.is_idle());
        let dropped = self.sweep_resyncs();
        self.sweep_at.1 = 2 * self.outgoing.len();
        dropped
    }

    fn sweep_changes(&mut self) {
        let mut later = HashSet::new();
        let mut keep: Vec<bool> = Vec::with_capacity(self.changes.len());
        for change in self.changes.iter().rev() {
            if divides(change) {
                later.clear();
            }
            keep.push(about(change).is_none_or(|about| later.insert(about)));
        }
        let mut keep = keep.into_iter().rev();
        self.changes.retain(|_| keep.next().unwrap_or(true));
    }

    /// A resync is repeated by the next ping, so only the last one of each room is kept.
    fn sweep_resyncs(&mut self) -> Vec<Arc<Forwarding>> {
        let mut last: HashMap<RoomId, usize> = HashMap::new();
        for (at, item) in self.outgoing.iter().enumerate() {
            if let Some(event) = resync(item) {
                last.insert(event.room.clone(), at);
            }
        }
        let mut dropped = Vec::new();
        let mut at = 0;
        self.outgoing.retain(|item| {
            let older = resync(item).filter(|event| last.get(&event.room) != Some(&at));
            at += 1;
            dropped.extend(older.cloned());
            older.is_none()
        });
        dropped
    }

    /// Tells callers that wait for commands about the outage now.
    pub fn not_stored(&mut self, cause: &str) {
        for item in &mut self.outgoing {
            if let Outgoing::Reply { to, .. } = item {
                to.not_stored(cause);
            }
        }
    }
}

fn resync(item: &Outgoing) -> Option<&Arc<Forwarding>> {
    match item {
        Outgoing::Forward(event) if matches!(event.event, ForwardedEvent::Resync(_)) => Some(event),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::domain::{Address, Definition, PingStatus};
    use maestro_testkit::build;

    fn put(id: &str) -> Change {
        Change::PutRoom(Box::new(build::room(id).build()))
    }

    fn names(group: &Group) -> Vec<String> {
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
        let mut group = Group::default();
        for n in 0..10_000 {
            group.changes.push(put(&format!("r{}", n % 3)));
            group.sweep();
        }
        assert!(group.changes.len() < 2 * SWEEP_MIN);
        group.changes.push(Change::DeleteRoom("r1".into()));
        group.sweep_changes();
        let mut kept = names(&group);
        assert_eq!(kept.pop().as_deref(), Some("delete r1"));
        kept.sort();
        assert_eq!(kept, ["put r0", "put r2"]);
    }

    #[test]
    fn what_comes_before_the_end_of_a_scheduler_is_not_mixed_with_what_comes_behind() {
        let mut group = Group::default();
        let keep = OperationId(uuid::Uuid::nil());
        group.changes = vec![put("a"), Change::DeleteScheduler { keep }, put("a")];
        group.sweep_changes();
        assert_eq!(names(&group), ["put a", "gone", "put a"]);
    }

    #[test]
    fn resyncs_give_way_to_newer_ones_and_ends_stay() {
        let event = |room: &str, event, text: &str| {
            Outgoing::Forward(Arc::new(Forwarding {
                scheduler: "s".into(),
                game: "g".into(),
                to: Arc::new([]),
                room: room.into(),
                address: None,
                event,
                metadata: text.into(),
            }))
        };
        let resync = |room, text| event(room, ForwardedEvent::Resync(PingStatus::Ready), text);
        let mut group = Group::default();
        group
            .outgoing
            .push(event("a", ForwardedEvent::Terminated, ""));
        let mut dropped = 0;
        for n in 0..2_000 {
            group.outgoing.push(resync(["a", "b"][n % 2], "old"));
            dropped += group.sweep().len();
        }
        assert!(group.outgoing.len() < 2 * SWEEP_MIN);
        assert_eq!(group.outgoing.len() + dropped, 2_001);
        assert_eq!(told(&group)[0], "a: terminated");
        // The last ones are kept.
        group.sweep_at.1 = 0;
        for _ in 0..SWEEP_MIN {
            group.outgoing.push(resync("a", "old"));
        }
        let goal = ForwardedEvent::RoomEvent("goal".into());
        for last in [resync("a", "new"), resync("b", "new"), event("b", goal, "")] {
            group.outgoing.push(last);
        }
        let dropped = group.sweep();
        assert!(dropped.iter().all(|event| &*event.metadata == "old"));
        assert_eq!(
            told(&group),
            ["a: terminated", "a: resync", "b: resync", "b: goal"]
        );
    }

    #[test]
    fn a_reply_that_nobody_waits_for_goes_but_for_a_room_that_is_to_be_given_back() {
        let reply = |answer, waits: &mut Vec<_>, leaves: bool| {
            let (to, answered) = tokio::sync::oneshot::channel();
            if !leaves {
                waits.push(answered);
            }
            Outgoing::Reply {
                caller: Caller(1),
                to: Waiter::of_ping(to, Default::default()),
                answer,
            }
        };
        let allocated = || {
            let address = Arc::new(Address {
                host: "h".into(),
                ports: Vec::new(),
            });
            let room = "a".into();
            Ok(Reply::Allocated { room, address })
        };
        let mut waits = Vec::new();
        let mut group = Group::default();
        for n in 0..SWEEP_MIN {
            let leaves = n % 2 == 0;
            group
                .outgoing
                .push(reply(Ok(Reply::Done), &mut waits, leaves));
        }
        group.outgoing.push(reply(allocated(), &mut waits, true));
        group.outgoing.push(Outgoing::Ended);
        assert_eq!(group.sweep().len(), 0);
        // Those who wait, the room, and the end.
        assert_eq!(group.outgoing.len(), SWEEP_MIN / 2 + 2);
    }

    #[test]
    fn the_last_word_about_each_operation_and_the_scheduler_itself_is_kept() {
        let operation = |n| OperationId(uuid::Uuid::from_u128(n));
        let lease = |n| Change::RenewOperationLease {
            operation: operation(n),
            until: build::moment(1),
        };
        let put = |n| {
            let definition = Definition::TestOperation { sleep_seconds: 1 };
            Change::PutOperation(Box::new(build::operation("s", n, definition)))
        };
        let update = || Change::UpdateScheduler(build::scheduler("s").arc());
        let all = || {
            [
                lease(1),
                put(1),
                put(2),
                update(),
                Change::PutOperator(Default::default()),
            ]
        };
        let mut group = Group {
            changes: all().into_iter().chain(all()).collect(),
            ..Group::default()
        };
        let last = names(&group)[5..].to_vec();
        group.sweep_changes();
        assert_eq!(names(&group), last);
    }

    #[test]
    fn a_group_is_empty_without_changes_and_without_anything_that_follows() {
        let mut group = Group::default();
        assert!(group.is_empty());
        group.outgoing.push(Outgoing::Ended);
        assert!(!group.is_empty());
        group.changes.push(put("a"));
        group.outgoing.clear();
        assert!(!group.is_empty(), "a change alone is to be written too");
    }

    #[test]
    fn a_sweep_pays_for_itself() {
        let mut group = Group::default();
        for n in 1..SWEEP_MIN {
            group.changes.push(put("same"));
            group.sweep();
            assert_eq!(group.changes.len(), n, "few are not worth it");
        }
        group.changes.push(put("same"));
        group.sweep();
        assert_eq!(group.changes.len(), 1);
        for n in 1..SWEEP_MIN {
            group.changes.push(put(&format!("r{n}")));
            group.sweep();
        }
        // The next sweep happens only when there are twice as many.
        for n in SWEEP_MIN + 1..2 * SWEEP_MIN {
            group.changes.push(put("same"));
            group.sweep();
            assert_eq!(group.changes.len(), n);
        }
        group.changes.push(put("same"));
        group.sweep();
        assert_eq!(group.changes.len(), SWEEP_MIN);

        let mut group = Group::default();
        for n in 1..SWEEP_MIN {
            group.outgoing.push(gone());
            group.sweep();
            assert_eq!(group.outgoing.len(), n, "few are not worth it");
        }
        group.outgoing.push(Outgoing::Ended);
        group.sweep();
        assert_eq!(group.outgoing.len(), 1);
        for _ in 1..SWEEP_MIN {
            group.outgoing.push(Outgoing::Ended);
        }
        group.sweep();
        for n in SWEEP_MIN + 1..2 * SWEEP_MIN {
            group.outgoing.push(gone());
            group.sweep();
            assert_eq!(group.outgoing.len(), n);
        }
        group.outgoing.push(gone());
        group.sweep();
        assert_eq!(group.outgoing.len(), SWEEP_MIN);
    }

    /// A reply whose caller has stopped waiting.
    fn gone() -> Outgoing {
        let to = Waiter::of_ping(tokio::sync::oneshot::channel().0, Default::default());
        Outgoing::Reply {
            caller: Caller(1),
            to,
            answer: Ok(Reply::Done),
        }
    }

    fn told(group: &Group) -> Vec<String> {
        let word = |item: &Outgoing| match item {
            Outgoing::Forward(event) => match &event.event {
                ForwardedEvent::Terminated => format!("{}: terminated", event.room),
                ForwardedEvent::RoomEvent(word) => format!("{}: {word}", event.room),
                _ => format!("{}: resync", event.room),
            },
            _ => "?".to_owned(),
        };
        group.outgoing.iter().map(word).collect()
    }
}
