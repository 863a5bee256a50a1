//! The Redis half of the cluster store: rooms, operations, and the order of their writes (contract 8.2).

mod connect;
mod preflight;
mod urls;

pub use connect::{ConnectError, RedisSettings};
pub use preflight::{Concern, PreflightError};
pub use urls::{RedisUrl, UrlError};

use connect::Connections;
use fred::interfaces::ClientLike;
use std::fmt;
use urls::Place;

/// The open store.
pub struct RedisStore {
    connections: Connections,
    place: Place,
    concerns: Vec<Concern>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore({})", self.place)
    }
}

impl RedisStore {
    /// Connects, and looks at the server before anything is written. What an operator should know about it is logged as
    /// warnings.
    ///
    /// # Errors
    /// If the settings name no server that can be used now; the message says what to do.
    pub async fn connect(settings: &RedisSettings) -> Result<Self, ConnectError> {
        let (connections, place, concerns) = connect::connect(settings).await?;
        Ok(Self {
            connections,
            place,
            concerns,
        })
    }

    /// What an operator should know about the server.
    pub fn concerns(&self) -> &[Concern] {
        &self.concerns
    }

    /// Ends the connections.
    pub async fn close(&self) {
        for client in [&self.connections.writes, &self.connections.reads] {
            // It fails if the connection is lost already.
            let _ = client.quit().await;
        }
    }
}
