//! What those who measure are told (contract 9): plain values, counted outside.

use crate::domain::*;
use crate::ports::RoomCounts;
use std::sync::Arc;
use std::time::Duration;

/// One thing that happened in a decision and is worth a count, or a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Its execution begins, or begins again after a restart.
    Began {
        operation: Named,
        /// Who ordered it, as its own history says.
        text: String,
    },
    /// The work of an operation ended. One that did not succeed is rolled back next.
    Executed {
        operation: Named,
        /// Since it began, or was resumed.
        took: Duration,
        outcome: Outcome,
        /// Empty for a success.
        cause: String,
    },
    /// What an operation did was undone, as far as that went.
    RolledBack {
        operation: Named,
        took: Duration,
        success: bool,
    },
    /// Its rollback begins.
    RollsBack { operation: Named },
    /// It ended before it had begun.
    NotBegun { operation: Named, why: String },
    /// Nobody knows how to carry it out (D19).
    Evicted { operation: Named },
    /// A room that `remove_rooms` was to end could not be ended.
    RoomNotRemoved,
    /// A scheduler was to be created under a name that is taken (contract 15.27).
    DuplicateCreate,
    /// A room ended, or a container of it that is started again in place.
    RoomEnded(Box<RoomEnd>),
    /// A room hangs, so that it is ended: nobody had planned that.
    RoomHangs(Box<RoomHang>),
    /// The rooms of its version fail again and again: the scheduler is `on-error` (D23, D30).
    OnError {
        /// In a row.
        failures: u32,
        /// Of the last one.
        cause: String,
    },
    /// That is over.
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

/// How a room ended, for whoever tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomEnd {
    pub room: RoomId,
    pub version: SchedulerVersion,
    /// Why it was told to end, a word of [`RemovalReason`]; or else `completed`, `failed`,
    /// `killed`, `unknown`, or `restarted` in place.
    pub reason: &'static str,
    /// `None`: unknown.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// A match was running, or somebody was about to come.
    pub in_match: bool,
    /// On an order, or with exit code 0 after a match or a good-bye.
    pub planned: bool,
    /// The room goes on in its place.
    pub restarts: bool,
    /// What the runtime has to say of it.
    pub words: String,
    /// The last line that it printed.
    pub last_line: Option<String>,
}

/// A room that is ended because it was silent, or not ready, for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomHang {
    pub room: RoomId,
    pub version: SchedulerVersion,
    /// `silent for 240 s`.
    pub why: String,
    /// A match was running, or somebody was about to come.
    pub in_match: bool,
}

/// An operation, for whoever tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub id: OperationId,
    /// Of its definition.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    Canceled,
}

/// Rooms whose end was due, between two health runs (contract 5.7, step 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomEnds {
    /// They did not end in the time that the contract gives them; each time counts.
    pub timed_out: u64,
    /// They were told to end, and have.
    pub properly: u64,
}

/// The numbers of a fleet at one moment. Cheap to make: every count is kept anyway.
#[derive(Clone, Debug)]
pub struct Figures {
    pub scheduler: Option<Arc<Scheduler>>,
    /// By status, validation rooms left out.
    pub rooms: RoomCounts,
    /// By `InstanceStatus as usize`, validation rooms among them.
    pub instances: [u64; 5],
    pub running_matches: i64,
    /// Rooms that count toward the desired number.
    pub available: u64,
    /// Rooms there should be after the last plan; `None`: there was none since the load.
    pub desired: Option<i64>,
    /// Between the last two health runs.
    pub ends: RoomEnds,
    /// Held by an operator or by the settings.
    pub paused: bool,
}
