//! What the state machine is told and what it answers: plain values.

use super::report::Report;
use super::views::{RolloutView, RoomDetail, RoomPage, RoomQuery, RoomsSummary};
use crate::domain::*;
use crate::ports::{Change, Forwarding, RoomOrder, RuntimeError, RuntimeEvent};
use crate::rules::patch::Patch;
use std::{sync::Arc, time::Duration};

/// Names a caller who waits for a [`Reply`]; the shell knows the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller(pub u64);

/// Names one piece of [`Work`] that was given out; the result of one that is not
/// expected any more is dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(pub u64);

#[derive(Debug)]
pub enum Input {
    Command {
        caller: Caller,
        /// Id of the request that brings it (`X-Request-Id`): what it orders tells of it.
        request: Option<Arc<str>>,
        command: Command,
    },
    Ping {
        caller: Caller,
        ping: Ping,
    },
    /// Pings that the shell answered from the ping cache, the last of each room (see [`Steady`]).
    Pinged(Vec<SteadyPing>),
    Runtime(RuntimeEvent),
    WorkDone {
        id: WorkId,
        result: WorkResult,
    },
    /// A wake-up that [`super::SchedulerState::next_wake`] asked for.
    Wake,
    /// The next piece of what is too long for one turn ([`Decision::more`]).
    Continue,
    /// Nobody took the reply to an allocation: its room is given back.
    AllocationUntaken {
        room: RoomId,
    },
    /// Another program pushed an operation, or wants one canceled.
    Pushed(Box<OperationRecord>),
    CancelRequested(OperationId),
}

/// A room's report of itself (contract 3).
#[derive(Clone, Debug, PartialEq)]
pub struct Ping {
    pub room: RoomId,
    pub status: PingStatus,
    pub running_matches: i64,
    /// JSON text of an object; empty: none was sent.
    pub metadata: Box<str>,
}

/// An event that a room, or a game server on its behalf, wants forwarded (contract 3).
#[derive(Clone, Debug)]
pub struct EventRequest {
    pub room: RoomId,
    /// JSON text of an object; empty: none was sent.
    pub metadata: Arc<str>,
    pub event: RequestedEvent,
}

#[derive(Clone, Debug)]
pub enum RequestedEvent {
    /// The free text of `roomevent`.
    Room(String),
    /// The word of the v9 `status` call.
    Status(String),
    /// `playerevent`: its word, and the metadata's `playerId` if that is a string.
    Player {
        event: String,
        player: Option<String>,
    },
}

/// What a room says all the time. While it stands on the ping cache a ping that says the same
/// changes nothing but the moment of the last ping and the metadata, whenever it comes: the
/// shell may answer it at once and tell of it later, in one [`Input::Pinged`] for many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steady {
    pub status: PingStatus,
    /// As the room says it, not as it is counted.
    pub running_matches: i64,
}

/// Changes of the ping cache, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PingCacheChange {
    /// With the metadata that it sent last.
    Post(RoomId, Steady, Arc<str>),
    TakeOff(RoomId),
    /// Every room is taken off.
    Clear,
}

/// A ping that was answered from the ping cache.
#[derive(Clone, Debug, PartialEq)]
pub struct SteadyPing {
    pub room: RoomId,
    pub at: Now,
    /// As in [`Ping`].
    pub metadata: Arc<str>,
}

#[derive(Clone, Debug)]
pub enum Command {
    /// Validated by the caller with [`crate::rules::validation`].
    CreateScheduler(Box<Scheduler>),
    NewVersion(Box<Scheduler>),
    Patch(Box<Patch>),
    SwitchVersion(SchedulerVersion),
    DeleteScheduler,
    AddRooms {
        amount: i32,
    },
    /// Idle rooms first; those with a match are drained unless `force` (D27).
    RemoveRooms {
        amount: i32,
        force: bool,
    },
    /// Drained first unless `force`.
    RemoveRoom {
        room: RoomId,
        force: bool,
    },
    Cancel(OperationId),
    TestOperation {
        sleep_seconds: i64,
    },
    /// A page of the rooms.
    Rooms(RoomQuery),
    /// The rooms by status.
    RoomsSummary,
    Room(RoomId),
    Rollout,
    PauseRollout,
    ResumeRollout,
    /// Back to the version before.
    AbortRollout,
    Allocate,
    Address(RoomId),
    /// What is to be forwarded for an event of a room or a player.
    Forward(Box<EventRequest>),
    /// Holds or moves this scheduler alone, whatever the setting says.
    SetPaused(bool),
}

impl Command {
    /// Whether the scheduler exists once this has been done.
    pub fn makes_scheduler(&self) -> bool {
        matches!(self, Self::CreateScheduler(_))
    }

    /// Whether it only looks: it is answered from memory, also while the store takes no changes.
    pub fn only_looks(&self) -> bool {
        match self {
            Self::Rooms(_)
            | Self::Room(_)
            | Self::RoomsSummary
            | Self::Rollout
            | Self::Address(_)
            | Self::Forward(_) => true,
            Self::CreateScheduler(_)
            | Self::NewVersion(_)
            | Self::Patch(_)
            | Self::SwitchVersion(_)
            | Self::DeleteScheduler
            | Self::AddRooms { .. }
            | Self::RemoveRooms { .. }
            | Self::RemoveRoom { .. }
            | Self::Cancel(_)
            | Self::TestOperation { .. }
            | Self::PauseRollout
            | Self::ResumeRollout
            | Self::AbortRollout
            | Self::Allocate
            | Self::SetPaused(_) => false,
        }
    }

    /// For logs, metrics and `/debug/actors`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CreateScheduler(_) => "create_scheduler",
            Self::NewVersion(_) => "new_version",
            Self::Patch(_) => "patch",
            Self::SwitchVersion(_) => "switch_version",
            Self::DeleteScheduler => "delete_scheduler",
            Self::AddRooms { .. } => "add_rooms",
            Self::RemoveRooms { .. } => "remove_rooms",
            Self::RemoveRoom { .. } => "remove_room",
            Self::Cancel(_) => "cancel",
            Self::TestOperation { .. } => "test_operation",
            Self::Rooms(_) => "rooms",
            Self::RoomsSummary => "rooms_summary",
            Self::Room(_) => "room",
            Self::Rollout => "rollout",
            Self::PauseRollout => "pause_rollout",
            Self::ResumeRollout => "resume_rollout",
            Self::AbortRollout => "abort_rollout",
            Self::Allocate => "allocate",
            Self::Address(_) => "address",
            Self::Forward(_) => "forward",
            Self::SetPaused(_) => "set_paused",
        }
    }
}

/// What a caller gets.
pub type Answer = Result<Reply, Refusal>;

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Done,
    Scheduler(Arc<Scheduler>),
    /// The operation that was enqueued.
    Operation(OperationId),
    Allocated {
        room: RoomId,
        address: Arc<Address>,
    },
    Address(Arc<Address>),
    /// `None`: nobody is to be told.
    Forward(Option<Arc<Forwarding>>),
    Rooms(RoomPage),
    Summary(Box<RoomsSummary>),
    Room(Box<RoomDetail>),
    Rollout(Box<RolloutView>),
}

/// Why a command was refused, by the kind of answer that a caller gets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    Invalid,
    NotFound,
    AlreadyExists,
    /// A version operation is under way (contract 2.4).
    Conflict,
    /// It has ended already (contract 2.4, cancel).
    Ended,
    /// Not now: no ready room, no address yet (D7, D10).
    Unavailable,
    /// Told as [`Self::Unavailable`], and another try brings the same: what it needs is not there,
    /// or going.
    Absent,
    /// A bound was reached.
    Exhausted,
}

impl Refusal {
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// A call on the runtime, done outside the actor.
#[derive(Clone, Debug)]
pub enum Work {
    Prepare(Arc<Scheduler>),
    RemoveNamespace,
    ReservePorts {
        room: RoomId,
        scheduler: Arc<Scheduler>,
    },
    ReleasePorts {
        room: RoomId,
    },
    CreateRoom(RoomOrder),
    TerminateRoom {
        room: RoomId,
        uid: Option<String>,
        grace: Duration,
        reason: RemovalReason,
    },
}

impl Work {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Prepare(_) => "prepare",
            Self::RemoveNamespace => "remove_place",
            Self::ReservePorts { .. } => "reserve_ports",
            Self::ReleasePorts { .. } => "release_ports",
            Self::CreateRoom(_) => "create_room",
            Self::TerminateRoom { .. } => "terminate_room",
        }
    }
}

#[derive(Clone, Debug)]
pub enum WorkResult {
    Done,
    Ports(Arc<[u16]>),
    Created(Instance),
    Failed(RuntimeError),
    /// Its deadline passed, or it was canceled: whether it happened is unknown.
    Unknown(String),
}

/// What is to be done once the changes of the same decision are durable.
#[derive(Clone, Debug)]
pub enum Effect {
    Reply {
        caller: Caller,
        answer: Answer,
    },
    Run {
        id: WorkId,
        work: Work,
        timeout: Duration,
    },
    /// Give up on pieces of work; their results are not expected any more.
    Abandon(Vec<WorkId>),
    /// Tell the forwarders; nobody waits for the outcome.
    Forward(Arc<Forwarding>),
    /// The scheduler is gone: the actor ends.
    Ended,
}

/// The outcome of one input.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// One batch: all or nothing, before any of `effects`.
    pub changes: Vec<Change>,
    pub effects: Vec<Effect>,
    /// Steady pings, to be written behind everything else (architecture 5).
    pub touches: Vec<RoomTouch>,
    /// For those who measure; nothing else depends on it.
    pub reports: Vec<Report>,
    pub ping_cache: Vec<PingCacheChange>,
    /// Not all was done: [`Input::Continue`] is wanted soon, after whoever waits has had a turn.
    pub more: bool,
}
