//! Telling matchmakers: room and player events to a forwarder (contract 6).

use crate::domain::{Address, Forwarder, PingStatus, RoomId, SchedulerName};
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What happened (contract 6.1).
#[derive(Clone, Debug, PartialEq)]
pub enum ForwardedEvent {
    Resync(PingStatus),
    /// The v9 status call, and rooms that ended.
    Status(PingStatus),
    RoomEvent(String),
    PlayerJoined {
        player: String,
    },
    PlayerLeft {
        player: String,
    },
}

#[derive(Clone, Debug)]
pub struct Forwarding {
    pub scheduler: SchedulerName,
    pub game: String,
    pub room: RoomId,
    pub address: Option<Arc<Address>>,
    pub event: ForwardedEvent,
    /// Attributes of the event: the request's metadata.
    pub attributes: Map<String, Value>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum ForwardError {
    /// D3: the gRPC code's name and the transport's own cause.
    #[error("failed to forward event room at \"{forwarder}\" with code {code}: {cause}")]
    Unreachable {
        forwarder: String,
        code: String,
        cause: String,
    },
    /// D2: the forwarder answered with another code than 200.
    #[error("failed to forward event room at \"{forwarder}\"")]
    Refused { forwarder: String },
}

#[async_trait]
pub trait Forwarders: Send + Sync + 'static {
    async fn forward(&self, forwarder: &Forwarder, event: &Forwarding) -> Result<(), ForwardError>;
}
