//! What people may see of a scheduler and its rooms: plain values.

use crate::domain::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// Rooms of one page at the most.
pub const ROOMS_PAGE_MAX: usize = 500;

/// Which rooms a listing shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomQuery {
    pub status: Option<RoomStatus>,
    /// Rooms that have ended instead, the newest first, as far as they are remembered.
    pub ended: bool,
    pub version: Option<SchedulerVersion>,
    pub offset: usize,
    /// At most [`ROOMS_PAGE_MAX`].
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomPage {
    /// Rooms that match, on all pages.
    pub total: usize,
    pub rooms: Vec<RoomRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomRow {
    #[serde(flatten)]
    pub room: RoomView,
    /// How it ended, with the last line that it printed; `None` while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndView>,
}

/// Rooms by status and what else is to be known of a fleet at one glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomsSummary {
    pub name: SchedulerName,
    pub state: String,
    pub version: SchedulerVersion,
    pub paused: bool,
    pub rooms_pending: u64,
    pub rooms_unready: u64,
    pub rooms_ready: u64,
    pub rooms_allocated: u64,
    pub rooms_active: u64,
    pub rooms_occupied: u64,
    pub rooms_terminating: u64,
    pub rooms_terminated: u64,
    pub rooms_error: u64,
    /// All of these.
    pub rooms_total: u64,
    /// Of those in error, to be started again in place (D31).
    pub rooms_restarting: u64,
    /// Rooms that go when their match ends.
    pub rooms_draining: u64,
    /// Rooms that count toward the desired ones.
    pub rooms_available: u64,
    /// `None`: nothing has been planned since the load.
    pub rooms_desired: Option<i64>,
    pub running_matches: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomView {
    pub id: RoomId,
    pub status: RoomStatus,
    pub version: SchedulerVersion,
    /// Where players reach it; `None` until it is placed.
    pub host: Option<String>,
    pub ports: Vec<Port>,
    pub created_at: jiff::Timestamp,
    pub last_ping_at: jiff::Timestamp,
    pub running_matches: i64,
    /// Is to be removed when its match ends.
    pub draining: bool,
    /// A container of it waits to be started again in place (D31).
    pub restarting: bool,
    pub validation: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomDetail {
    #[serde(flatten)]
    pub room: RoomView,
    pub instance: InstanceStatus,
    /// What the runtime has to say of it.
    pub description: String,
    pub allocated_at: Option<jiff::Timestamp>,
    /// Why it is to go.
    pub removal: Option<RemovalReason>,
    /// How it ended; `None` while it runs.
    pub ended: Option<EndView>,
    pub events: Vec<RoomEvent>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndView {
    pub at: jiff::Timestamp,
    /// `None`: unknown.
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub reason: String,
    pub last_log_lines: Vec<String>,
}

/// The rollout under way.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutView {
    /// Rooms of versions that have to be replaced are left.
    pub in_progress: bool,
    pub paused: bool,
    pub active_version: SchedulerVersion,
    /// Where an abort goes back to; empty: nowhere.
    pub previous_version: String,
    /// Available rooms that have to be replaced.
    pub old: u64,
    /// Available rooms that need not be.
    pub new: u64,
    /// Of the new ones, not up yet.
    pub starting: u64,
    /// Rooms that go when their match ends.
    pub draining: u64,
    /// Rooms that may be there beyond the wanted number.
    pub surge: i64,
    /// Available rooms by version.
    pub versions: BTreeMap<String, u64>,
    /// What has to happen before it goes on; `None`: nothing, or it is over.
    pub waiting_for: Option<String>,
}

/// A snapshot; cheap to make, and a plain value from then on.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct StateView {
    /// Word of the scheduler's state; `absent` when there is none.
    pub state: String,
    pub version: String,
    pub paused: bool,
    /// The runtime's first complete list has come.
    pub listed: bool,
    pub rooms: BTreeMap<&'static str, u64>,
    pub running: Vec<OperationView>,
    pub queued: usize,
    pub work_in_flight: usize,
    pub stale_results: u64,
    /// Failures in a row of the active version, and the last cause (D23).
    pub crash_failures: u32,
    pub crash_cause: Option<String>,
}

#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct OperationView {
    pub id: OperationId,
    pub kind: String,
    pub lane: Lane,
    pub step: String,
    pub attempt: u32,
    pub started_at: jiff::Timestamp,
    pub lease_until: Option<jiff::Timestamp>,
    pub rolling_back: bool,
    pub in_flight: usize,
}

/// Milliseconds until each timer fires; `None`: it is not set, or stands still while paused.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
pub struct TimersView {
    /// The next health look at the fleet.
    pub health: Option<u64>,
    /// The next clean-up of ended operations.
    pub cleanup: Option<u64>,
    /// The next write of steady pings.
    pub touches: Option<u64>,
    /// The next renewal of the leases of operations that run.
    pub leases: Option<u64>,
    /// The end of a cooldown or a back-off that scaling waits for.
    pub consider: Option<u64>,
    /// While rooms of the active version fail: the next look for a success (D30).
    pub proof: Option<u64>,
    /// The next moment at which a room's health has to be looked at.
    pub rooms: Option<u64>,
    /// The next moment that an operation waits for.
    pub operations: Option<u64>,
}
