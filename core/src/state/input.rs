//! Inputs of the state machine and its outputs: plain values.

use super::report::Report;
use super::views::{RolloutView, RoomDetail, RoomPage, RoomQuery, RoomsSummary};
use crate::domain::*;
use crate::ports::{Change, Forwarding, RoomOrder, RuntimeError, RuntimeEvent};
use crate::rules::patch::Patch;
use std::{sync::Arc, time::Duration};

/// Identifies a caller that waits for a [`Reply`]; the shell maps it to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller(pub u64);

/// Identifies a piece of [`Work`]. Results of work that is not expected any more are dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(pub u64);

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
    /// A piece of [`Work`] has ended.
    WorkDone {
        /// The piece of work.
        id: WorkId,
        /// What the runtime answered, or that it did not.
        result: WorkResult,
    },
    /// A wake-up requested by [`super::SchedulerState::next_wake`].
    Wake,
    /// Continue with work that is too long for one turn ([`Decision::more`]).
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

/// An event that a room, or a game server on its behalf, wants to be forwarded (contract 3).
#[derive(Clone, Debug)]
pub struct EventRequest {
    /// The room that the event is about.
    pub room: RoomId,
    /// JSON text of an object; empty if none was sent.
    pub metadata: Arc<str>,
    /// What happened.
    pub event: RequestedEvent,
}

/// The events that can be requested, by their endpoint.
#[derive(Clone, Debug)]
pub enum RequestedEvent {
    /// The text of `roomevent`.
    Room(String),
    /// The word of the status call of version 9.
    Status(String),
    /// `playerevent`, with the metadata's `playerId` if that is a string.
    Player {
        /// `playerJoin` or `playerLeft`; other words are refused.
        event: String,
        /// The player's id; an event without one is refused.
        player: Option<String>,
    },
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

/// What a caller can ask of a scheduler's owner.
#[derive(Clone, Debug)]
pub enum Command {
    /// Validated by the caller with [`crate::rules::validation`].
    CreateScheduler(Box<Scheduler>),
    /// Replaces the whole scheduler; validated by the caller like [`Self::CreateScheduler`].
    NewVersion(Box<Scheduler>),
    /// Edits some fields; validated here, because the result depends on the active version.
    Patch(Box<Patch>),
    /// Makes a stored version the active one.
    SwitchVersion(SchedulerVersion),
    /// Deletes the scheduler and its rooms.
    DeleteScheduler,
    /// Adds rooms of the active version.
    AddRooms {
        /// How many; at least 1.
        amount: i32,
    },
    /// Removes idle rooms first; those with a match are drained unless `force` is set (D27).
    RemoveRooms {
        /// How many; at least 1.
        amount: i32,
        /// Also removes rooms with a match, at once.
        force: bool,
    },
    /// Removes one room; drained first unless `force` is set.
    RemoveRoom {
        /// The room to remove.
        room: RoomId,
        /// Does not wait for the room's match.
        force: bool,
    },
    /// Requests the cancelation of an operation.
    Cancel(OperationId),
    /// Enqueues an operation that only takes time.
    TestOperation {
        /// How many seconds it takes.
        sleep_seconds: i64,
    },
    /// A page of rooms.
    Rooms(RoomQuery),
    /// The rooms counted by status.
    RoomsSummary,
    /// One room with its history.
    Room(RoomId),
    /// The progress of the rollout.
    Rollout,
    /// Replaces no more rooms until the rollout is resumed.
    PauseRollout,
    /// Continues the rollout.
    ResumeRollout,
    /// Switches back to the previous version.
    AbortRollout,
    /// Gives a ready room to the caller (contract 7).
    Allocate,
    /// The address of a room.
    Address(RoomId),
    /// What is to be forwarded for an event of a room or a player.
    Forward(Box<EventRequest>),
    /// Pauses or resumes this scheduler only, whatever the setting says.
    SetPaused(bool),
}

impl Command {
    /// Whether the command creates the scheduler.
    pub fn makes_scheduler(&self) -> bool {
        matches!(self, Self::CreateScheduler(_))
    }

    /// Whether it is a read: reads are answered from memory, also during an outage of the store.
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

    /// The command's name in logs, metrics and `/debug/actors`.
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

/// The answer to a command.
pub type CommandResult = Result<Reply, Refusal>;

/// What a command brings, by its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Done, and there is nothing to say.
    Done,
    /// The scheduler as it was stored.
    Scheduler(Arc<Scheduler>),
    /// The operation that was enqueued.
    Operation(OperationId),
    /// A room that nobody else gets until the allocation expires.
    Allocated {
        /// The room, now in status `allocated`.
        room: RoomId,
        /// Where players reach it.
        address: Arc<Address>,
    },
    /// Where players reach the room.
    Address(Arc<Address>),
    /// `None` if there are no forwarders.
    Forward(Option<Arc<Forwarding>>),
    /// For [`Command::Rooms`].
    Rooms(RoomPage),
    /// For [`Command::RoomsSummary`].
    Summary(Box<RoomsSummary>),
    /// For [`Command::Room`].
    Room(Box<RoomDetail>),
    /// For the commands about rollouts: the progress after them.
    Rollout(Box<RolloutView>),
}

/// Why a command was refused. The kind decides the code of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Decides the code of the answer.
    pub kind: RefusalKind,
    /// The text of the answer; for the contract's calls it is part of the contract.
    pub message: String,
}

/// The kinds of refusals, each with one code over HTTP and gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request itself is wrong.
    Invalid,
    /// The scheduler, version, room or operation does not exist.
    NotFound,
    /// The name of the new scheduler is taken.
    AlreadyExists,
    /// An edit of versions is in progress (contract 2.4).
    Conflict,
    /// The operation has ended already (contract 2.4, cancel).
    Ended,
    /// Not possible now: no ready room, no address yet (D7, D10).
    Unavailable,
    /// Answered like [`Self::Unavailable`], but a retry would fail the same way: something needed does not exist or is
    /// being removed.
    Absent,
    /// A limit was reached.
    Exhausted,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// A call on the runtime, executed outside of the actor.
#[derive(Clone, Debug)]
pub enum Work {
    /// Creates the place for the scheduler's rooms.
    Prepare(Arc<Scheduler>),
    /// Removes that place.
    RemoveNamespace,
    /// Draws host ports for a room that is to be created.
    ReservePorts {
        /// The room, which has no row yet.
        room: RoomId,
        /// The version that it will be created from.
        scheduler: Arc<Scheduler>,
    },
    /// Gives back the ports of a room that will not be created.
    ReleasePorts {
        /// The room that they were reserved for.
        room: RoomId,
    },
    /// Creates a room whose row is durable.
    CreateRoom(RoomOrder),
    /// Ends a room whose removal is durable.
    TerminateRoom {
        /// The room to end.
        room: RoomId,
        /// The instance to end, so that a namesake is spared; `None` if none was observed yet.
        uid: Option<String>,
        /// Time between TERM and KILL.
        grace: Duration,
        /// Why, for logs and metrics.
        reason: RemovalReason,
    },
}

impl Work {
    /// The name in `/debug/actors` and traces.
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

/// The outcome of a piece of [`Work`].
#[derive(Clone, Debug)]
pub enum WorkResult {
    /// It succeeded.
    Done,
    /// The host ports that were drawn, in the order of the spec.
    Ports(Arc<[u16]>),
    /// The new instance, or the one that existed already.
    Created(Instance),
    /// The runtime did not do it.
    Failed(RuntimeError),
    /// It timed out or was canceled: whether it took effect is unknown.
    Unknown(String),
}

/// What the shell must do once the changes of the same decision are durable.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answers a caller.
    Reply {
        /// Who waits.
        caller: Caller,
        /// The reply or the refusal.
        answer: CommandResult,
    },
    /// Starts a piece of work outside of the actor.
    Run {
        /// Its id; the result carries it.
        id: WorkId,
        /// What is to be done.
        work: Work,
        /// After this time its outcome counts as [`WorkResult::Unknown`].
        timeout: Duration,
    },
    /// Give up pieces of work; their results are not expected any more.
    Abandon(Vec<WorkId>),
    /// Queue an event for the forwarders; its outcome is not awaited.
    Forward(Arc<Forwarding>),
    /// The scheduler is gone: the actor ends.
    Ended,
}

/// The outcome of one input.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// One batch: durable as a whole before any of `effects`.
    pub changes: Vec<Change>,
    /// To be carried out in order once `changes` are durable.
    pub effects: Vec<Effect>,
    /// Steady pings, to be written after everything else (architecture 5).
    pub touches: Vec<RoomTouch>,
    /// For logs and metrics only.
    pub reports: Vec<Report>,
    /// To be applied before any reply is sent.
    pub ping_cache: Vec<PingCacheChange>,
    /// There is more to do: [`Input::Continue`] must follow soon, after other waiting inputs.
    pub more: bool,
}
