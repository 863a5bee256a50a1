//! Everything that the owner of a scheduler can be told.

use super::command::{Caller, Command};
use super::work::{WorkId, WorkResult};
use crate::domain::*;
use crate::ports::RuntimeEvent;
use std::sync::Arc;

/// Everything that the owner of a scheduler can be told.
#[derive(Debug)]
pub enum Input {
    /// A request, or an order of the node itself.
    Command {
        /// Who waits for the reply.
        caller: Caller,
        /// Id of the request behind the command (`X-Request-Id`), noted in the history of the resulting operation.
        request: Option<Arc<str>>,
        /// What is wanted.
        command: Command,
    },
    /// A ping that the ping cache did not answer.
    Ping {
        /// Who waits for the reply.
        caller: Caller,
        /// What the room reports.
        ping: Ping,
    },
    /// Pings that the shell answered from the ping cache, the last one of each room (see [`Steady`]).
    Pinged(Vec<SteadyPing>),
    /// Something that the runtime observed.
    Runtime(RuntimeEvent),
    /// A piece of [`super::Work`] has ended.
    WorkDone {
        /// The piece of work.
        id: WorkId,
        /// What the runtime answered, or that it did not.
        result: WorkResult,
    },
    /// A wake-up requested by [`super::SchedulerState::next_wake`].
    Wake,
    /// Continue with work that is too long for one turn ([`super::Decision::more`]).
    Continue,
    /// The caller of an allocation has stopped waiting: the room is given back.
    AllocationUntaken {
        /// The room that was allocated.
        room: RoomId,
    },
    /// Another program pushed an operation.
    Pushed(Box<OperationRecord>),
    /// Another program wants this operation canceled.
    CancelRequested(OperationId),
}

/// A room's report about itself (contract 3).
#[derive(Clone, Debug, PartialEq)]
pub struct Ping {
    /// The room that pings.
    pub room: RoomId,
    /// The word that it sent.
    pub status: PingStatus,
    /// Matches in progress; 0 counts as 1 when it is occupied (contract 3).
    pub running_matches: i64,
    /// JSON text of an object; empty if none was sent.
    pub metadata: Box<str>,
}

/// What a room keeps reporting. While it is in the ping cache, an identical ping changes only the time of the last ping
/// and the metadata, so the shell may answer it at once and report it later, many in one [`Input::Pinged`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steady {
    /// The status that the room keeps sending.
    pub status: PingStatus,
    /// As the room reports it, not as it is counted.
    pub running_matches: i64,
}

/// Changes of the ping cache, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PingCacheChange {
    /// Pings that repeat this can be answered from the cache; the text is the last metadata.
    Post(RoomId, Steady, Arc<str>),
    /// The room's next ping must be decided on.
    TakeOff(RoomId),
    /// All rooms are removed from the cache.
    Clear,
}

/// A ping that was answered from the ping cache.
#[derive(Clone, Debug, PartialEq)]
pub struct SteadyPing {
    /// The room that pinged.
    pub room: RoomId,
    /// When its last ping was answered.
    pub at: Now,
    /// As in [`Ping`].
    pub metadata: Arc<str>,
}
