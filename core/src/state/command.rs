//! What a caller asks of the owner, and what it is answered.

use super::views::{
    LiveVersionView, NodesPage, RolloutView, RoomDetail, RoomPage, RoomQuery, RoomsSummary,
    RuntimeView,
};
use crate::domain::*;
use crate::ports::Forwarding;
use crate::rules::patch::Patch;
use std::sync::Arc;

/// Identifies a caller that waits for a [`Reply`]; the shell maps it to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller(pub u64);

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
    /// Makes the runtime of the name, whether it has a scheduler or not.
    CreateRuntime,
    /// The runtime as it is stored, and whether it is being made.
    Runtime,
    /// Gives a stored version its rooms. The first one makes the scheduler a managed one (architecture 6, Live
    /// versions).
    StartVersion {
        /// The version to start.
        version: SchedulerVersion,
        /// Images that the caller expects in the version's document; it is refused without them.
        images: Vec<String>,
        /// Replaces the configuration, if given.
        config: Option<ConfigPairs>,
    },
    /// Ends the rooms of a started version.
    StopVersion {
        /// The version to stop.
        version: SchedulerVersion,
        /// Does not wait for matches.
        force: bool,
    },
    /// Makes a started version the one whose rooms callers get.
    PublishVersion(SchedulerVersion),
    /// Gives the rooms of the published version to nobody any more.
    UnpublishVersion(SchedulerVersion),
    /// Replaces the configuration of a version.
    UpdateConfig {
        /// The version to configure.
        version: SchedulerVersion,
        /// All pairs; those that are not named are gone.
        config: ConfigPairs,
        /// What happens to its running rooms.
        restart: ConfigRestart,
    },
    /// The states of all stored versions.
    LiveVersions,
    /// The rooms of a version by how far they are, a page at a time.
    Nodes {
        /// The version.
        version: SchedulerVersion,
        /// Only rooms after this one; `None`: from the first one on.
        after: Option<RoomId>,
    },
    /// Adds rooms.
    AddRooms {
        /// How many; at least 1.
        amount: i32,
        /// The version that gets them; `None`: the active one. Only versions of a managed scheduler can be chosen.
        version: Option<SchedulerVersion>,
    },
    /// Removes idle rooms first; those with a match are drained unless `force` is set (D27).
    RemoveRooms {
        /// How many; at least 1.
        amount: i32,
        /// Also removes rooms with a match, at once.
        force: bool,
        /// As in [`Self::AddRooms`].
        version: Option<SchedulerVersion>,
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
    /// Whether the command makes the name exist, with a scheduler or with a runtime.
    pub fn makes_scheduler(&self) -> bool {
        matches!(self, Self::CreateScheduler(_) | Self::CreateRuntime)
    }

    /// Whether it is a read: reads are answered from memory, also during an outage of the store.
    pub fn only_looks(&self) -> bool {
        match self {
            Self::Rooms(_)
            | Self::Room(_)
            | Self::RoomsSummary
            | Self::Rollout
            | Self::LiveVersions
            | Self::Runtime
            | Self::Nodes { .. }
            | Self::Address(_)
            | Self::Forward(_) => true,
            Self::CreateScheduler(_)
            | Self::NewVersion(_)
            | Self::Patch(_)
            | Self::SwitchVersion(_)
            | Self::DeleteScheduler
            | Self::CreateRuntime
            | Self::StartVersion { .. }
            | Self::StopVersion { .. }
            | Self::PublishVersion(_)
            | Self::UnpublishVersion(_)
            | Self::UpdateConfig { .. }
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
            Self::CreateRuntime => "create_runtime",
            Self::Runtime => "runtime",
            Self::StartVersion { .. } => "start_version",
            Self::StopVersion { .. } => "stop_version",
            Self::PublishVersion(_) => "publish_version",
            Self::UnpublishVersion(_) => "unpublish_version",
            Self::UpdateConfig { .. } => "update_version_config",
            Self::LiveVersions => "live_versions",
            Self::Nodes { .. } => "nodes",
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
    /// For [`Command::LiveVersions`], in order.
    LiveVersions(Vec<LiveVersionView>),
    /// For [`Command::Runtime`].
    Runtime(RuntimeView),
    /// For [`Command::Nodes`].
    Nodes(NodesPage),
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
    /// The name of the new scheduler is taken, or a version runs with another document than the caller expects.
    AlreadyExists,
    /// An edit of versions is in progress (contract 2.4), or the version is in a phase that the order does not fit.
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
