//! A room and the instance (pod, process group) behind it (contract 4.4–4.7).

use super::ids::RoomId;
use super::reason::RemovalReason;
use super::time::Mono;
use super::version::SchedulerVersion;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The status of a room as Maestro sees it. The numbers are the stored scores (contract 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum RoomStatus {
    /// Its instance is being started.
    Pending = 0,
    /// Its instance runs, and the room has not reported that it is ready.
    Unready = 1,
    /// It can be allocated.
    Ready = 2,
    /// It has as many matches as it can take.
    Occupied = 3,
    /// It is ending, by its own report or its runtime's.
    Terminating = 4,
    /// Its instance failed, or a container of it waits for its restart in place (D31).
    Error = 5,
    /// It has reported its end. Final: the room takes no other status any more.
    Terminated = 6,
    /// It has matches and can take more; only rooms of several matches have this status.
    Active = 7,
    /// It was given to a caller whose match has not begun.
    Allocated = 8,
}

impl RoomStatus {
    /// All statuses in the order of their numbers.
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

    /// The word in the API and in metrics.
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

/// What a room reports about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum PingStatus {
    /// It has not pinged yet.
    #[default]
    Unknown = 0,
    /// It waits for a match.
    Ready = 1,
    /// A match is running.
    Occupied = 2,
    /// It is about to end.
    Terminating = 3,
    /// It has ended.
    Terminated = 4,
}

impl PingStatus {
    /// Parses the word of a ping, case-sensitively (contract 3, Ping).
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

/// What the runtime reports about an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum InstanceStatus {
    /// No instance is known yet, or the runtime cannot tell its state.
    #[default]
    Unknown = 0,
    /// It is being started.
    Pending = 1,
    /// All its containers run.
    Ready = 2,
    /// It was told to end.
    Terminating = 3,
    /// A container failed or cannot be started.
    Error = 4,
}

/// A port as players see it: the host port, and the protocol in upper case (contract 4.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name in the spec.
    pub name: String,
    /// The port on the host.
    pub port: i32,
    /// `TCP` or `UDP`.
    pub protocol: String,
}

/// Where players reach a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// The host ports in the order of the spec.
    pub ports: Vec<Port>,
}

/// The runtime's view of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The room that it runs.
    pub room: RoomId,
    /// Distinguishes the instance from a namesake: the pod's uid, or the start time of the process. Empty if it is
    /// unknown, as in the rows of the original (contract 8.2): any instance of the room may be this one.
    pub uid: String,
    /// The version that it was created from, as the runtime remembers it.
    pub version: SchedulerVersion,
    /// Whether it is a validation room; marked before its creation (architecture 7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub validation: bool,
    /// Its state as last observed.
    pub status: InstanceStatus,
    /// The runtime's reason and message; empty if there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Set while a container waits for its restart in place: the room is in status `error` meanwhile and keeps its
    /// place (D31).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarting: Option<Restart>,
    /// Why it does not come up, as far as a decision depends on it; the description says it to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// `None` until the instance is assigned to a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Arc<Address>>,
    /// Incremented with each observation of this instance; older observations are ignored. Compared within one uid
    /// only, and never with a complete list, which is always right.
    pub resource_version: u64,
}

impl Instance {
    /// Its uid, if that is known.
    pub fn known_uid(&self) -> Option<&str> {
        (!self.uid.is_empty()).then_some(self.uid.as_str())
    }

    /// Whether this uid is certainly that of another instance.
    pub fn differs_from(&self, uid: &str) -> bool {
        self.known_uid()
            .is_some_and(|known| !uid.is_empty() && known != uid)
    }
}

/// Why an instance does not come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Its host ports are in use wherever it could run: it is replaced by a room with other ports.
    PortsTaken,
    /// No node has a place for it. It waits for one as long as `services.roomManager.roomScheduleTimeoutMillis` says: a
    /// cluster that grows needs minutes.
    Unschedulable,
    /// Its image cannot be found or fetched.
    Image,
}

impl Trouble {
    /// A line for people; `description` is the runtime's, and may be empty.
    pub fn words(self, description: &str) -> String {
        let what = match self {
            Self::PortsTaken => "its host ports are taken",
            Self::Unschedulable => "no node has a place for it",
            Self::Image => "its image cannot be fetched",
        };
        match description.is_empty() {
            true => what.to_owned(),
            false => format!("{what} ({description})"),
        }
    }
}

/// A container has ended and will be restarted by its restart policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Number of restarts of this instance, including this one; distinguishes one end from the next.
    pub count: u32,
    /// Exit code of the container that ended; `None` if unknown.
    pub code: Option<i32>,
    /// The signal that ended the container; `None` if it exited, or if that is unknown.
    pub signal: Option<i32>,
}

/// How an instance ended, as far as the runtime knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; `None` if unknown (an adopted process, a deleted pod).
    pub code: Option<i32>,
    /// The signal that ended it; `None` if it exited, or if that is unknown.
    pub signal: Option<i32>,
    /// A text for people: container and reason.
    pub reason: String,
    /// The last lines of its log, oldest first; empty if the runtime has none.
    pub log_tail: Vec<String>,
    /// Others ended it, and nothing in it did: an eviction, a deletion by hand, the death of its machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_others: bool,
}

/// An event in a room's history, for people (`GET …/rooms/{room}`); kept in memory only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RoomEvent {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: RoomHappening,
}

/// The kinds of events in a room's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RoomHappening {
    /// Its creation was ordered.
    Created,
    /// Known again after a take-over, or found in the runtime.
    Adopted,
    /// Its status became this.
    Status(RoomStatus),
    /// Its instance's status became this.
    Instance(InstanceStatus),
    /// It will be removed when its match has ended.
    Draining(RemovalReason),
    /// It is being removed.
    Removing(RemovalReason),
    /// It no longer exists in the runtime.
    Ended,
}

/// The last events of a room, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomEvents(std::collections::VecDeque<RoomEvent>);

/// Maximum number of events kept per room.
const ROOM_EVENTS_MAX: usize = 16;

impl RoomEvents {
    /// Appends an event; the oldest one is dropped if there are too many.
    pub fn push(&mut self, at: Timestamp, event: RoomHappening) {
        if self.0.len() >= ROOM_EVENTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(RoomEvent { at, event });
    }
    /// The events, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &RoomEvent> {
        self.0.iter()
    }
}

/// Times of a room on the monotonic clock, computed again at each load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomClock {
    /// When its creation was ordered.
    pub created: Mono,
    /// When it last pinged; until its first ping, when it was created. Never before the take-over by this owner.
    pub last_ping: Mono,
    /// When it was allocated; `None` while nobody holds it.
    pub allocated: Option<Mono>,
    /// When it was up for the first time since its start, or since its last restart in place.
    pub first_ready: Option<Mono>,
    /// When it came to its present status.
    pub status_since: Mono,
}
