//! A scheduler and its rooms as people see them: plain values.

use crate::domain::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// Maximum number of rooms per page.
pub const ROOMS_PAGE_MAX: usize = 500;

/// The filter and the page of a listing of rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomQuery {
    /// Only rooms in this status.
    pub status: Option<RoomStatus>,
    /// Lists rooms that have ended instead, newest first, as far as they are remembered.
    pub ended: bool,
    /// Only rooms of this version.
    pub version: Option<SchedulerVersion>,
    /// How many rooms to skip.
    pub offset: usize,
    /// Maximum number of rooms to return, at most [`ROOMS_PAGE_MAX`].
    pub limit: usize,
}

/// A runtime as the owner of its name knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeView {
    /// The operation that makes it, while it runs or waits.
    pub creating: Option<OperationId>,
    /// How the last attempt to make it ended; `None` before the first one has.
    pub record: Option<RuntimeRecord>,
}

/// A stored version as its owner knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveVersionView {
    /// The version.
    pub version: SchedulerVersion,
    /// How far it is. The active version of a scheduler that is not managed is published, and all others are stopped.
    pub phase: VersionPhase,
    /// How many rooms it is to have.
    pub rooms_wanted: i32,
    /// All of its rooms, also those that are ending.
    pub rooms: u64,
    /// Rooms that count and are up.
    pub rooms_up: u64,
    /// Rooms that are to be replaced, because its configuration was.
    pub rooms_outdated: u64,
    /// Why it is in error, or why its rooms end too soon at present; empty otherwise.
    pub failure: String,
    /// The variables of its rooms.
    pub config: ConfigPairs,
}

/// How many rooms a page of [`NodesPage`] looks at.
pub const NODES_PAGE_MAX: usize = 500;

/// How far a room is, in the words of the K8s manager's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePhase {
    /// Its instance is being started, or has not reported that it is ready.
    Starting,
    /// Players may be in it.
    Started,
    /// It is ending.
    Stopped,
    /// Its instance failed, or cannot be started.
    Error,
}

impl NodePhase {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Started => "STARTED",
            Self::Stopped => "STOPPED",
            Self::Error => "ERROR",
        }
    }
}

/// A room as a node of its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The room.
    pub room: RoomId,
    /// How far it is.
    pub phase: NodePhase,
    /// Why it is no further; empty if there is nothing to say.
    pub reason: String,
}

/// Some rooms of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodesPage {
    /// In the order of their ids.
    pub nodes: Vec<NodeView>,
    /// Where the next page begins; `None` if this is the last one.
    pub next: Option<RoomId>,
}

/// A page of a listing of rooms.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomPage {
    /// Number of matching rooms on all pages.
    pub total: usize,
    /// The rooms of this page: by id, or those that ended last first.
    pub rooms: Vec<RoomRow>,
}

/// A room in a listing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomRow {
    /// What is shown of every room.
    #[serde(flatten)]
    pub room: RoomView,
    /// How it ended, with the last line of its output; `None` while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndView>,
}

/// Rooms counted by status, and an overview of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomsSummary {
    /// Name of the scheduler.
    pub name: SchedulerName,
    /// Word of the scheduler's state.
    pub state: String,
    /// The active version, which new rooms get.
    pub version: SchedulerVersion,
    /// Whether its queues are paused, by an operator or by the settings.
    pub paused: bool,
    /// Rooms in status `pending`; the next eight fields likewise, validation rooms left out.
    pub rooms_pending: u64,
    /// Rooms in status `unready`.
    pub rooms_unready: u64,
    /// Rooms in status `ready`.
    pub rooms_ready: u64,
    /// Rooms in status `allocated`.
    pub rooms_allocated: u64,
    /// Rooms in status `active`.
    pub rooms_active: u64,
    /// Rooms in status `occupied`.
    pub rooms_occupied: u64,
    /// Rooms in status `terminating`.
    pub rooms_terminating: u64,
    /// Rooms in status `terminated`.
    pub rooms_terminated: u64,
    /// Rooms in status `error`.
    pub rooms_error: u64,
    /// The sum of these.
    pub rooms_total: u64,
    /// How many of the rooms in error will be restarted in place (D31).
    pub rooms_restarting: u64,
    /// Rooms that will be removed when their match ends.
    pub rooms_draining: u64,
    /// Rooms that count towards the desired number.
    pub rooms_available: u64,
    /// Desired number of rooms; `None` if nothing was planned since the load.
    pub rooms_desired: Option<i64>,
    /// Matches in rooms that are to stay.
    pub running_matches: i64,
}

/// What clients see of a room.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomView {
    /// Id, which is also the name of its pod or folder.
    pub id: RoomId,
    /// Its status, as stored.
    pub status: RoomStatus,
    /// The version that it was created from.
    pub version: SchedulerVersion,
    /// Host for players; `None` until the room is placed.
    pub host: Option<String>,
    /// Its host ports; empty until it has an address.
    pub ports: Vec<Port>,
    /// When its creation was ordered.
    pub created_at: jiff::Timestamp,
    /// When it last pinged; the time of its creation if it never did.
    pub last_ping_at: jiff::Timestamp,
    /// Matches in progress, as it reports them.
    pub running_matches: i64,
    /// Whether it will be removed when its match ends.
    pub draining: bool,
    /// Whether a container waits for its restart in place (D31).
    pub restarting: bool,
    /// It only tests a version and is never allocated.
    pub validation: bool,
}

/// A room with its history.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomDetail {
    /// What is shown of every room.
    #[serde(flatten)]
    pub room: RoomView,
    /// State of its instance, as the runtime reports it.
    pub instance: InstanceStatus,
    /// The runtime's description of the instance; may be empty.
    pub description: String,
    /// When it was allocated; `None` if it is not.
    pub allocated_at: Option<jiff::Timestamp>,
    /// Why it is to be removed; `None` if it is not.
    pub removal: Option<RemovalReason>,
    /// How it ended; `None` while it runs.
    pub ended: Option<EndView>,
    /// Its last events, oldest first.
    pub events: Vec<RoomEvent>,
}

/// How a room ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndView {
    /// When its end was observed.
    pub at: jiff::Timestamp,
    /// The exit code; `None` if unknown.
    pub exit_code: Option<i32>,
    /// The signal that ended it; `None` if it exited, or if that is unknown.
    pub signal: Option<i32>,
    /// In words; may be empty.
    pub reason: String,
    /// The last lines of its output, as far as the runtime kept them.
    pub last_log_lines: Vec<String>,
}

/// The progress of the current rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutView {
    /// Whether there are rooms left that have to be replaced.
    pub in_progress: bool,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// The version that new rooms get.
    pub active_version: SchedulerVersion,
    /// The version that an abort switches to; empty if there is none.
    pub previous_version: String,
    /// Available rooms that still have to be replaced.
    pub old: u64,
    /// Available rooms that need no replacement.
    pub new: u64,
    /// How many of the new rooms are not up yet.
    pub starting: u64,
    /// Rooms that will be removed when their match ends.
    pub draining: u64,
    /// Rooms allowed beyond the desired number.
    pub surge: i64,
    /// Available rooms by version.
    pub versions: BTreeMap<String, u64>,
    /// What it waits for; `None` if it waits for nothing or is complete.
    pub waiting_for: Option<String>,
}

/// A snapshot for `/debug/actors`; cheap to make.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct StateView {
    /// The word of the scheduler's state; `absent` if there is no scheduler.
    pub state: String,
    /// The active version; empty if there is no scheduler.
    pub version: String,
    /// Whether its queues are paused, by an operator or by the settings.
    pub paused: bool,
    /// Whether the runtime's first complete list has been processed.
    pub listed: bool,
    /// Number of rooms by the word of their status, validation rooms left out.
    pub rooms: BTreeMap<&'static str, u64>,
    /// The operations that run now, at most one per lane.
    pub running: Vec<OperationView>,
    /// Operations that wait, in both lanes.
    pub queued: usize,
    /// Pieces of [`Work`](super::Work) whose results are expected.
    pub work_in_flight: usize,
    /// Results that came after nobody expected them any more.
    pub stale_results: u64,
    /// Failures of the active version in a row, with the last cause (D23).
    pub crash_failures: u32,
    /// `None` if there was no failure.
    pub crash_cause: Option<String>,
}

/// A running operation.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct OperationView {
    /// The id, as the API shows it.
    pub id: OperationId,
    /// Its name, such as `add_rooms`.
    pub kind: String,
    /// The lane that it occupies.
    pub lane: Lane,
    /// Where it stands, in words.
    pub step: String,
    /// How often it was started, resumptions included.
    pub attempt: u32,
    /// When it came to run, resumptions not included.
    pub started_at: jiff::Timestamp,
    /// When its lease ends unless it is renewed.
    pub lease_until: Option<jiff::Timestamp>,
    /// Whether it failed or was canceled and is being undone.
    pub rolling_back: bool,
    /// Pieces of work that it waits for.
    pub in_flight: usize,
}

/// Milliseconds until each timer fires; `None` if it is not set, or suspended by a pause.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
pub struct TimersView {
    /// The next health check.
    pub health: Option<u64>,
    /// The next clean-up of ended operations.
    pub cleanup: Option<u64>,
    /// The next write of steady pings.
    pub touches: Option<u64>,
    /// The next renewal of the leases of running operations.
    pub leases: Option<u64>,
    /// The end of a cooldown or a back-off that scaling waits for.
    pub consider: Option<u64>,
    /// While rooms of the active version fail: the next check for a success (D30).
    pub proof: Option<u64>,
    /// The next time that a room's health has to be checked.
    pub rooms: Option<u64>,
    /// The next time that an operation waits for.
    pub operations: Option<u64>,
}
