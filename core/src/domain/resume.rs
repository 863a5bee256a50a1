//! What an owner leaves to the next one about an operation that has begun.

use super::ids::RoomId;
use serde::{Deserialize, Serialize};

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a resumed attempt needs to know; not part of the contract's documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResumeState {
    /// Incremented at each start and restart, so that late results of an earlier attempt are dropped.
    pub attempt: u32,
    /// Its cancelation was requested and has not been carried out yet.
    pub cancel_requested: bool,
    /// Ordered by a user rather than decided by us (D16).
    pub by_user: bool,
    /// Queued by another program, and executed as the original would (D27).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pushed: bool,
    /// The original left it in progress: what it has done is unknown, so it is never run afresh.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// Rooms that this operation created or will remove.
    pub rooms: Vec<RoomId>,
    /// Whether it made the place of the rooms rather than found it, so that its rollback removes it (D17). `None` while
    /// that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_place: Option<bool>,
    /// The current step in words, for people and `/debug/actors`.
    pub step: String,
    /// Number of failed validation attempts.
    pub validation_attempts: u32,
    /// Number of validation attempts that say nothing of the version, because the runtime was away.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts_away: u32,
    /// The cause of its failure; set when the rollback begins.
    pub failure: Option<String>,
    /// Id of the request that ordered it (X-Request-Id).
    pub request_id: Option<String>,
}
