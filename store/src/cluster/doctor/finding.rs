//! What a report says: findings, and who can mend them.

use maestro_core::domain::{OperationId, RoomId};
use serde::Serialize;
use std::fmt;

/// The kinds of drift, as scripts see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Rooms or open operations in Redis whose scheduler has no row in Postgres.
    NoScheduler,
    /// The active version has no row of its own.
    NoActiveVersion,
    /// A document, or a key of Redis, cannot be read.
    Unreadable,
    /// Members of an index, or values, with nothing behind them.
    Remains,
    /// An id that is none, left by another program.
    ForeignId,
    /// An id in a queue or a list without its operation.
    NoOperation,
    /// An operation that has not ended and is in no queue.
    NoQueue,
    /// Redis has less than Postgres: it lost changes.
    Behind,
    /// Redis has a later owner than Postgres, which was restored.
    Ahead,
    /// The fence cannot be read.
    BadFence,
    /// A batch whose rows are stored, and which Redis lacks.
    Outbox,
    /// The row names a session that has ended.
    DeadOwner,
    /// The state of a scheduler is no word of the contract.
    ForeignState,
    /// Its name is none that a scheduler can be created with.
    OddName,
    /// A version is no version number.
    OddVersion,
    /// A room is stored as made, and the runtime does not have it.
    NotRunning,
    /// The runtime has a room that is not stored.
    NotStored,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Who can mend it, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Remedy {
    /// `--repair` does this, unless a node owns the scheduler.
    Repair(String),
    /// The next owner does it by itself: a node has to run.
    Owner(String),
    /// Somebody has to decide.
    ByHand(String),
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub scheduler: String,
    pub kind: Kind,
    pub text: String,
    pub remedy: Remedy,
    /// What `--repair` deletes or ends; empty for the other remedies.
    #[serde(skip)]
    pub rooms: Vec<RoomId>,
    #[serde(skip)]
    pub operations: Vec<OperationId>,
}

/// Those of one report.
#[derive(Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    pub fn add(
        &mut self,
        scheduler: &str,
        kind: Kind,
        text: String,
        remedy: Remedy,
    ) -> &mut Finding {
        self.0.push(Finding {
            scheduler: scheduler.to_owned(),
            kind,
            text,
            remedy,
            rooms: Vec::new(),
            operations: Vec::new(),
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}
