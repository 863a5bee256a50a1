//! Telling matchmakers: room and player events to their forwarders (contract 6).

use crate::domain::{Address, Forwarder, PingStatus, RoomId, SchedulerName};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What happened (contract 6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardedEvent {
    /// A ping that was taken.
    Resync(PingStatus),
    /// The v9 status call; `word` as the room wrote it.
    Status {
        status: PingStatus,
        word: String,
    },
    /// The room has ended.
    Terminated,
    /// Free text.
    RoomEvent(String),
    Player {
        joined: bool,
        player: String,
    },
}

impl ForwardedEvent {
    /// One word for traces.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Resync(_) => "resync",
            Self::Status { .. } => "status",
            Self::Terminated => "terminated",
            Self::RoomEvent(_) => "room_event",
            Self::Player { .. } => "player_event",
        }
    }

    /// Of these a room may be gone already, so nobody needs its address: `roomEvent` or `pingType` says that it ends,
    /// by the event's own word or by its metadata (contract 6.2, 6.3).
    pub fn needs_no_address(&self, metadata: &str) -> bool {
        match self {
            Self::Terminated | Self::Player { .. } => true,
            Self::Resync(status) => {
                let ends = matches!(status, PingStatus::Terminating | PingStatus::Terminated);
                ends || said(metadata).room_event.is_some_and(is_end)
            }
            Self::Status { word, .. } => {
                ends(word) || said(metadata).room_event.is_some_and(is_end)
            }
            Self::RoomEvent(word) => ends(word) || said(metadata).ping_type.is_some_and(is_end),
        }
    }
}

/// Case-sensitive, as the original compares them.
fn ends(word: &str) -> bool {
    matches!(word, "terminating" | "terminated")
}

fn is_end(value: &RawValue) -> bool {
    serde_json::from_str::<String>(value.get()).is_ok_and(|word| ends(&word))
}

/// The two words in a room's metadata that an event may lack itself. Left raw: however deep the rest is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said<'a> {
    #[serde(borrow, rename = "roomEvent")]
    room_event: Option<&'a RawValue>,
    #[serde(borrow, rename = "pingType")]
    ping_type: Option<&'a RawValue>,
}

fn said(metadata: &str) -> Said<'_> {
    serde_json::from_str(metadata).unwrap_or_default()
}

/// Everything that a forwarder is told of one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Forwarding {
    pub scheduler: SchedulerName,
    pub game: Arc<str>,
    /// The enabled forwarders of the active version, in their order.
    pub to: Arc<[Forwarder]>,
    pub room: RoomId,
    /// `None`: not known (any more); only for events that need none, or no forwarder is called.
    pub address: Option<Arc<Address>>,
    pub event: ForwardedEvent,
    /// JSON text of an object: what the room sent with the event. Empty: nothing.
    pub metadata: Arc<str>,
}

/// Why an event did not reach a forwarder; the text is what the room is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// D3: the gRPC code's name, and the transport's own cause or the forwarder's words.
    #[error(
        "failed to forward event room at \"{forwarder}\" with code {code}{}",
        after_colon(cause)
    )]
    Failed {
        forwarder: String,
        code: String,
        cause: String,
    },
    /// D2: the forwarder answered with another code than 200.
    #[error("failed to forward event room at \"{forwarder}\"")]
    Refused { forwarder: String, code: i32 },
    /// The room has no address yet: no forwarder was called.
    #[error(
        "no room port found to forward roomEvent. Forwarder name: \"{forwarder}\", Scheduler: \"{scheduler}\""
    )]
    NoPort {
        forwarder: String,
        scheduler: SchedulerName,
    },
    /// The metadata cannot be put into an event.
    #[error("the metadata of this event cannot be forwarded: {0}")]
    Metadata(String),
}

impl ForwardError {
    /// The name of the code that the call ended with; none: there was no call (contract 6.5).
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Failed { code, .. } => Some(code),
            Self::Refused { code, .. } => Some(code_of_reply(*code)),
            Self::NoPort { .. } | Self::Metadata(_) => None,
        }
    }
}

/// The name that stands in the metrics for the HTTP-like code of a reply (contract 6.4).
pub fn code_of_reply(code: i32) -> &'static str {
    match code {
        200 => "OK",
        404 => "NotFound",
        406 => "FailedPrecondition",
        500 => "Internal",
        _ => "Unknown",
    }
}

fn after_colon(cause: &str) -> String {
    match cause {
        "" => String::new(),
        cause => format!(": {cause}"),
    }
}

#[async_trait]
pub trait Forwarders: Send + Sync + 'static {
    /// Calls one forwarder once, within its own timeout.
    async fn forward(&self, forwarder: &Forwarder, event: &Forwarding) -> Result<(), ForwardError>;
}
