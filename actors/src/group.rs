//! What one commit of an owner makes durable, and what waits for it: the changes, grouped by the rules of
//! [`maestro_core::rules::grouping`], and here replies, calls and events. While the store takes nothing both are
//! reduced, so their size is bounded by the fleet's size, not by the length of the outage.

use crate::turn_trace::TurnTrace;
use crate::waiter::Waiter;
use maestro_core::domain::RoomId;
use maestro_core::ports::{ForwardedEvent, Forwarding};
use maestro_core::rules::grouping::GroupedChanges;
use maestro_core::state::{Caller, CommandResult, Reply, Work, WorkId};
use std::collections::HashMap;
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
        /// See [`maestro_core::state::Effect::Reply`].
        protected_by: Option<WorkId>,
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
    pub changes: GroupedChanges,
    pub outgoing: Vec<Outgoing>,
    /// One span for each traced batch, open for the duration of the commit.
    pub spans: Vec<Span>,
    /// Number of outgoing items at which they are swept again.
    sweep_at: usize,
}

impl Group {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.outgoing.is_empty()
    }

    /// Drops items that are obsolete after a long wait. Returns the events that were dropped.
    pub fn sweep(&mut self) -> Vec<Arc<Forwarding>> {
        self.changes.fold_when_many();
        if self.outgoing.len() < self.sweep_at.max(SWEEP_MIN) {
            return Vec::new();
        }
        self.outgoing.retain(|item| !item.is_idle());
        let dropped = self.sweep_resyncs();
        self.sweep_at = 2 * self.outgoing.len();
        dropped
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
    use maestro_core::domain::{Address, PingStatus};
    use maestro_core::ports::Change;
    use maestro_core::rules::writing::PendingTouches;

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
        group.sweep_at = 0;
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
                protected_by: None,
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
    fn a_group_is_empty_without_changes_and_without_anything_that_follows() {
        let mut group = Group::default();
        assert!(group.is_empty());
        group.outgoing.push(Outgoing::Ended);
        assert!(!group.is_empty());
        let change = Change::DeleteRoom("a".into());
        group
            .changes
            .add(vec![change], &mut PendingTouches::default());
        group.outgoing.clear();
        assert!(!group.is_empty(), "a change alone is to be written too");
    }

    #[test]
    fn a_sweep_pays_for_itself() {
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
        // The next sweep happens only when there are twice as many.
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
            protected_by: None,
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
