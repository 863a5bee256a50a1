//! Reports for logs and metrics (contract 9): plain values, counted outside.

use crate::domain::*;
use crate::ports::RoomCounts;
use std::sync::Arc;
use std::time::Duration;

/// Something in a decision that is counted or logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// An operation begins, or begins again after a restart.
    Began {
        /// The operation, by id and kind.
        operation: Named,
        /// Who ordered it, in the words of its history.
        text: String,
    },
    /// The work of an operation ended. Unless it succeeded, it is rolled back next.
    Executed {
        /// The operation, by id and kind.
        operation: Named,
        /// Since it began or was resumed.
        took: Duration,
        /// How it ended.
        outcome: Outcome,
        /// Empty for a success.
        cause: String,
    },
    /// The effects of an operation were undone as far as possible.
    RolledBack {
        /// The operation, by id and kind.
        operation: Named,
        /// How long the rollback took.
        took: Duration,
        /// Whether everything was undone.
        success: bool,
    },
    /// The rollback of an operation begins.
    RollsBack {
        /// The operation, by id and kind.
        operation: Named,
    },
    /// An operation ended before it had begun.
    NotBegun {
        /// The operation, by id and kind.
        operation: Named,
        /// The reason, as its history says.
        why: String,
    },
    /// An operation of unknown kind was dropped (D19).
    Evicted {
        /// The operation, by id and kind.
        operation: Named,
    },
    /// A room that `remove_rooms` should have ended could not be ended.
    RoomNotRemoved,
    /// A creation was refused because the name is taken (contract 15.27).
    DuplicateCreate,
    /// A room ended, or a container of it that is restarted in place.
    RoomEnded(Box<RoomEnd>),
    /// A room hangs and is therefore ended, without any order.
    RoomHangs(Box<RoomHang>),
    /// The rooms of the active version fail repeatedly: the scheduler is `on-error` (D23, D30).
    OnError {
        /// Number of failures in a row.
        failures: u32,
        /// The cause of the last failure.
        cause: String,
    },
    /// The platform does not show what it should. Reported again only with another cause.
    NotShown {
        /// What happened, and what to do.
        why: String,
    },
    /// The scheduler is not `on-error` any more.
    InSyncAgain,
}

impl Report {
    pub(super) fn not_begun(record: &OperationRecord, why: &str) -> Self {
        Self::NotBegun {
            operation: Named::of(record),
            why: why.to_owned(),
        }
    }
}

/// How a room ended, for logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomEnd {
    /// Id of the room, which is gone from the table by now unless it is restarted.
    pub room: RoomId,
    /// The version it was created from, to which a failure is attributed.
    pub version: SchedulerVersion,
    /// The reason why it was told to end (see [`RemovalReason`]); otherwise `completed`, `failed`, `killed`, `unknown`,
    /// or `restarted` in place.
    pub reason: &'static str,
    /// The exit code; `None` if unknown.
    pub code: Option<i32>,
    /// The signal that ended it; `None` if it exited, or if that is unknown.
    pub signal: Option<i32>,
    /// A match was running or about to begin.
    pub in_match: bool,
    /// It was ordered, or the room exited with code 0 after a match or after it had announced its end.
    pub planned: bool,
    /// The room is restarted in its place.
    pub restarts: bool,
    /// The runtime's description.
    pub words: String,
    /// The last line of its output.
    pub last_line: Option<String>,
}

/// A room that is ended because it was silent or not ready for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomHang {
    /// Id of the room, which exists until it has been removed.
    pub room: RoomId,
    /// The version it was created from.
    pub version: SchedulerVersion,
    /// For example `silent for 240 s`.
    pub why: String,
    /// A match was running or about to begin.
    pub in_match: bool,
}

/// An operation, as logs and metrics name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The operation's id.
    pub id: OperationId,
    /// The name of its kind.
    pub name: String,
}

impl Named {
    pub(super) fn of(record: &OperationRecord) -> Self {
        Self {
            id: record.id,
            name: record.definition.name().to_owned(),
        }
    }
}

/// How the execution of an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was ordered to do.
    Success,
    /// It failed.
    Failure,
    /// It was canceled while it ran.
    Canceled,
}

/// Rooms that should have ended, between two health runs (contract 5.7, step 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomEnds {
    /// They did not end in the contract's time; each time counts.
    pub timed_out: u64,
    /// They were told to end and did.
    pub properly: u64,
}

/// Figures of a fleet at one moment. Cheap to compute, because all counts are kept anyway.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The active version; `None` if there is no scheduler.
    pub scheduler: Option<Arc<Scheduler>>,
    /// By status, without validation rooms.
    pub rooms: RoomCounts,
    /// By `InstanceStatus as usize`, including validation rooms.
    pub instances: [u64; 5],
    /// Matches in rooms that are to stay.
    pub running_matches: i64,
    /// Rooms that count towards the desired number.
    pub available: u64,
    /// Desired number of rooms after the last plan; `None` if there was none since the load.
    pub desired: Option<i64>,
    /// Between the last two health runs.
    pub ends: RoomEnds,
    /// Paused by an operator or by the settings.
    pub paused: bool,
}
