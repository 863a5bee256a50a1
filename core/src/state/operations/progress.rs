//! The progress of running operations.

use crate::domain::*;
use crate::state::report::{Named, Outcome, Report};
use std::collections::VecDeque;
use std::time::Duration;

/// Maximum number of concurrent calls on the runtime per operation, apart from its own batch size.
pub(in crate::state) const TERMINATIONS_AT_ONCE: usize = 64;

/// The progress of a running operation.
#[derive(Debug)]
pub(in crate::state) enum Progress {
    Starting,
    Create(Tries),
    Runtime(Tries),
    Add(AddRun),
    Remove(RemoveRun),
    Delete(DeleteRun),
    Version(VersionRun),
    Test {
        until: Mono,
    },
    /// It waits for the rooms of its version, until then.
    Observe {
        until: Option<Mono>,
        patience: Option<Duration>,
    },
    RollBack(RollbackRun),
}

impl Progress {
    /// The tries to make or to remove the place of the rooms, or a runtime, if it does that now.
    pub fn place(&self) -> Option<&Tries> {
        match self {
            Self::Create(tries) | Self::Runtime(tries) => Some(tries),
            Self::Delete(run) => run.place.as_ref(),
            Self::RollBack(run) => run.place.as_ref(),
            _ => None,
        }
    }

    pub fn place_mut(&mut self) -> Option<&mut Tries> {
        match self {
            Self::Create(tries) | Self::Runtime(tries) => Some(tries),
            Self::Delete(run) => run.place.as_mut(),
            Self::RollBack(run) => run.place.as_mut(),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(in crate::state) struct Running {
    pub record: OperationRecord,
    pub progress: Progress,
    /// When its work, or its rollback, began.
    pub began: Mono,
}

impl Running {
    /// The report that its work has ended; a rollback may follow.
    pub fn executed(&self, now: Mono, outcome: Outcome, cause: &str) -> Report {
        Report::Executed {
            operation: Named::of(&self.record),
            took: now.since(self.began),
            outcome,
            cause: cause.to_owned(),
        }
    }
}

#[derive(Debug, Default)]
pub(in crate::state) struct AddRun {
    pub amount: u32,
    /// The version that rooms are created from; `None`: the one that is active at that moment.
    pub version: Option<SchedulerVersion>,
    /// Index of the next room to create.
    pub next: u32,
    pub created: u32,
    pub failed: u32,
    /// Why the first room failed.
    pub cause: Option<String>,
    /// Why no more rooms are created: the operation is to end.
    pub stopped: Option<String>,
}

impl AddRun {
    pub fn stop(&mut self, cause: &str) {
        self.stopped.get_or_insert_with(|| cause.into());
    }
}

#[derive(Debug, Default)]
pub(in crate::state) struct RemoveRun {
    pub left: VecDeque<RoomId>,
    pub removed: Vec<RoomId>,
    /// Rooms with a match that will be removed after it.
    pub drained: Vec<RoomId>,
    pub failed: usize,
    pub cause: Option<String>,
}

#[derive(Debug, Default)]
pub(in crate::state) struct DeleteRun {
    pub left: VecDeque<RoomId>,
    /// Set once the place of the rooms is being removed.
    pub place: Option<Tries>,
}

#[derive(Debug, Default)]
pub(in crate::state) struct RollbackRun {
    pub canceled: bool,
    pub left: VecDeque<RoomId>,
    /// Set for an operation that may have made the place of the rooms.
    pub place: Option<Tries>,
}

/// A call that is repeated until it has an answer, with growing pauses.
#[derive(Debug, Default)]
pub(in crate::state) struct Tries {
    pub failed: u32,
    /// Since when none had an answer.
    pub unanswered_since: Option<Mono>,
    /// When it is repeated; `None` while it is under way.
    pub again: Option<Mono>,
    /// What the history says it waits for, and since when.
    pub told: Option<(String, Mono)>,
}

#[derive(Debug)]
pub(in crate::state) struct VersionRun {
    pub attempt: u32,
    /// How many attempts failed because the runtime was away.
    pub away: u32,
    pub phase: Phase,
}

#[derive(Debug, PartialEq)]
pub(in crate::state) enum Phase {
    /// The validation room must become ready before then.
    Trying { since: Mono, until: Mono },
    /// The attempt's room is being ended; `error` is why the attempt failed.
    Ending { room: RoomId, error: Option<Fault> },
    /// The next attempt begins then.
    Waiting { until: Mono },
}

/// Why an attempt failed (D39).
#[derive(Debug, PartialEq)]
pub(in crate::state) struct Fault {
    /// For people.
    pub cause: String,
    pub kind: FaultKind,
}

/// What an attempt that failed says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) enum FaultKind {
    /// The next one may succeed.
    Passing,
    /// Any other one would end the same.
    Lasting,
    /// The runtime is away, which says nothing: it is no attempt of the version.
    Away,
}

impl From<String> for Fault {
    fn from(cause: String) -> Self {
        Self {
            cause,
            kind: FaultKind::Passing,
        }
    }
}

impl VersionRun {
    pub fn wake(&self) -> Option<Mono> {
        match &self.phase {
            Phase::Trying { until, .. } | Phase::Waiting { until } => Some(*until),
            Phase::Ending { .. } => None,
        }
    }
}
