//! Forwarders: they tell matchmakers about events of rooms and players (contract 6).

use crate::domain::{Address, Forwarder, PingStatus, RoomId, SchedulerName};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What happened (contract 6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardedEvent {
    /// A ping that was accepted.
    Resync(PingStatus),
    /// The status call of version 9.
    Status {
        /// The status that `word` stands for.
        status: PingStatus,
        /// The word as the room wrote it.
        word: String,
    },
    /// The room has ended.
    Terminated,
    /// An event of the game, in its own words.
    RoomEvent(String),
    /// A player joined or left the room.
    Player {
        /// False if the player left.
        joined: bool,
        /// The `playerId` from the event's metadata.
        player: String,
    },
}

impl ForwardedEvent {
    /// The kind of event in one word, for traces.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Resync(_) => "resync",
            Self::Status { .. } => "status",
            Self::Terminated => "terminated",
            Self::RoomEvent(_) => "room_event",
            Self::Player { .. } => "player_event",
        }
    }

    /// Whether the event can be forwarded without the room's address, because the room may be gone: events of players,
    /// and events whose own word, or whose metadata's `roomEvent` or `pingType`, says that the room ends (contract 6.2,
    /// 6.3).
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

/// Case-sensitive, like the original's comparison.
fn ends(word: &str) -> bool {
    matches!(word, "terminating" | "terminated")
}

fn is_end(value: &RawValue) -> bool {
    serde_json::from_str::<String>(value.get()).is_ok_and(|word| ends(&word))
}

/// Two members of a room's metadata. Kept raw, so that neither they nor the others can exceed the parser's depth.
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

/// An event with everything that forwarders receive.
#[derive(Clone, Debug, PartialEq)]
pub struct Forwarding {
    /// The scheduler that the room belongs to.
    pub scheduler: SchedulerName,
    /// The scheduler's game, which some messages carry.
    pub game: Arc<str>,
    /// The enabled forwarders of the active version, in their order.
    pub to: Arc<[Forwarder]>,
    /// The room that the event is about.
    pub room: RoomId,
    /// `None` if it is unknown, or no longer known; then only events that need none are forwarded.
    pub address: Option<Arc<Address>>,
    /// What happened.
    pub event: ForwardedEvent,
    /// JSON text of an object: the room's metadata for this event. Empty if it sent none.
    pub metadata: Arc<str>,
}

/// Why an event was not forwarded. The text is sent to the room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// The call failed (D3): the gRPC code's name with the transport's error or the forwarder's message.
    #[error(
        "failed to forward event room at \"{forwarder}\" with code {code}{}",
        after_colon(cause)
    )]
    Failed {
        /// The forwarder's name.
        forwarder: String,
        /// The gRPC code's name as Go spells it.
        code: String,
        /// The transport's error or the forwarder's message; may be empty.
        cause: String,
    },
    /// The forwarder answered with a code other than 200 (D2).
    #[error("failed to forward event room at \"{forwarder}\"")]
    Refused {
        /// The forwarder's name.
        forwarder: String,
        /// The code in the forwarder's reply.
        code: i32,
    },
    /// The room has no address yet: no forwarder was called.
    #[error(
        "no room port found to forward roomEvent. Forwarder name: \"{forwarder}\", Scheduler: \"{scheduler}\""
    )]
    NoPort {
        /// The first forwarder that would have been called.
        forwarder: String,
        /// The scheduler that the room belongs to.
        scheduler: SchedulerName,
    },
    /// The metadata cannot be converted for a forwarder.
    #[error("the metadata of this event cannot be forwarded: {0}")]
    Metadata(String),
}

impl ForwardError {
    /// The name of the code with which the call ended; none if there was no call (contract 6.5).
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Failed { code, .. } => Some(code),
            Self::Refused { code, .. } => Some(code_of_reply(*code)),
            Self::NoPort { .. } | Self::Metadata(_) => None,
        }
    }
}

/// The name in the metrics for the HTTP-like code of a reply (contract 6.4).
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

/// The client of the matchmakers' forwarders. A call is made once: the caller decides about order and retries.
#[async_trait]
pub trait Forwarders: Send + Sync + 'static {
    /// Calls one forwarder once, within its own timeout.
    async fn forward(&self, forwarder: &Forwarder, event: &Forwarding) -> Result<(), ForwardError>;

    /// The scheduler has ended: resources kept for it alone can be freed. A later event allocates them again.
    fn ended(&self, _scheduler: &SchedulerName) {}
}
