//! A room and the instance (pod, process group) behind it (contract 4.4–4.7).

use super::ids::RoomId;
use super::reason::RemovalReason;
use super::time::Mono;
use super::version::SchedulerVersion;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What Maestro says of a room. The numbers are the stored scores (contract 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum RoomStatus {
    Pending = 0,
    Unready = 1,
    Ready = 2,
    Occupied = 3,
    Terminating = 4,
    Error = 5,
    Terminated = 6,
    Active = 7,
    Allocated = 8,
}

impl RoomStatus {
    pub const ALL: [RoomStatus; 9] = [
        Self::Pending,
        Self::Unready,
        Self::Ready,
        Self::Occupied,
        Self::Terminating,
        Self::Error,
        Self::Terminated,
        Self::Active,
        Self::Allocated,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Unready => "unready",
            Self::Ready => "ready",
            Self::Occupied => "occupied",
            Self::Terminating => "terminating",
            Self::Error => "error",
            Self::Terminated => "terminated",
            Self::Active => "active",
            Self::Allocated => "allocated",
        }
    }
}

/// What the room says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum PingStatus {
    #[default]
    Unknown = 0,
    Ready = 1,
    Occupied = 2,
    Terminating = 3,
    Terminated = 4,
}

impl PingStatus {
    /// The words a ping may carry, case-sensitive (contract 3, Ping).
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "ready" => Self::Ready,
            "occupied" => Self::Occupied,
            "terminating" => Self::Terminating,
            "terminated" => Self::Terminated,
            _ => return None,
        })
    }
}

/// What the runtime says of the instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum InstanceStatus {
    #[default]
    Unknown = 0,
    Pending = 1,
    Ready = 2,
    Terminating = 3,
    Error = 4,
}

/// A port as players see it: the host port, upper-case protocol (contract 4.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub name: String,
    pub port: i32,
    pub protocol: String,
}

/// Where players reach a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub host: String,
    pub ports: Vec<Port>,
}

/// The runtime's view of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub room: RoomId,
    /// Tells a namesake from the instance that was created: pod uid, or start time of the process.
    pub uid: String,
    /// Version that it was created from, as the runtime remembers it.
    pub version: SchedulerVersion,
    /// Validation rooms are flagged before creation (architecture 7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub validation: bool,
    pub status: InstanceStatus,
    /// Why, when there is something to say (reason and message of the runtime).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// A container waits to be started again in place: the room is in error and keeps its
    /// place meanwhile (D31).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarting: Option<Restart>,
    /// `None` until a node is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Arc<Address>>,
    /// Grows with each observation of this instance; an older one is ignored.
    pub resource_version: u64,
}

/// A container ended and is to be started again by its restart policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Restarts of this instance so far, this one among them: tells one end from the next.
    pub count: u32,
    /// Of the container that ended; `None`: unknown.
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

/// How an instance ended, as far as the runtime knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// `None`: unknown (an adopted process, a pod that is gone).
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// Words for people: container, reason.
    pub reason: String,
    /// The last lines of its log, newest last; empty when the runtime has none.
    pub log_tail: Vec<String>,
}

/// Something that happened to a room, for people (`GET …/rooms/{room}`); in memory only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RoomEvent {
    pub at: Timestamp,
    pub event: RoomHappening,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RoomHappening {
    Created,
    /// Known again after a take-over, or found in the runtime.
    Adopted,
    Status(RoomStatus),
    Instance(InstanceStatus),
    /// To be removed once its match is over.
    Draining(RemovalReason),
    /// To be removed now.
    Removing(RemovalReason),
    Ended,
}

/// The last happenings of a room, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomEvents(std::collections::VecDeque<RoomEvent>);

/// Happenings that are kept per room.
const ROOM_EVENTS_MAX: usize = 16;

impl RoomEvents {
    pub fn push(&mut self, at: Timestamp, event: RoomHappening) {
        if self.0.len() >= ROOM_EVENTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(RoomEvent { at, event });
    }
    pub fn iter(&self) -> impl Iterator<Item = &RoomEvent> {
        self.0.iter()
    }
}

/// Moments of a room on the monotonic clock, rebuilt at each load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomClock {
    pub created: Mono,
    pub last_ping: Mono,
    pub allocated: Option<Mono>,
    /// When it was up for the first time since its start, or since its last restart in place.
    pub first_ready: Option<Mono>,
    pub status_since: Mono,
}
