//! Connecting to Redis, and looking at it before anything is written.

use super::client::{ConnectError, connector, reconnecting, start};
use super::preflight::{self, Concern};
use super::urls::{Place, RedisUrl, one_place};
use super::watchdog::Watchdog;
use super::writes::Writes;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::RespVersion;
use fred::types::config::TlsConnector;
use maestro_core::ports::StoreError;
use std::time::Duration;
use tracing::warn;

/// How the store connects to Redis.
pub struct RedisSettings {
    /// The settings that name the server (contract 1.4).
    pub urls: Vec<RedisUrl>,
    /// `adapters.redis.poolSize`: how many connections it may use beside that of the feed; 0 sets no bound. Commands
    /// of all schedulers share a connection, so that it needs two at most.
    pub pool_size: u32,
    /// `workers.redis.operationsTTL`: how long periodic operations are kept once they have ended; `None` for ever.
    pub operations_ttl: Option<Duration>,
    /// Authorities beside those of the system that may sign the server's certificate, as DER.
    pub authorities: Vec<Vec<u8>>,
}

/// The open connections. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    /// Commits: short scripts, which must not wait behind long reads.
    pub writes: Writes,
    /// Everything else; `None` if it shares the connection of the commits.
    reads: Option<(Client, Watchdog)>,
    /// For further connections; `None` without TLS.
    pub tls: Option<TlsConnector>,
}

impl Connections {
    /// Ends them. Commands in flight are answered first.
    pub async fn close(self) {
        self.writes.close().await;
        if let Some((reads, _)) = self.reads {
            // It fails if the connection is lost already.
            let _ = reads.quit().await;
        }
    }

    /// For commands that write nothing.
    ///
    /// # Errors
    /// While they would share a connection that has ended.
    pub fn reads(&self) -> Result<Client, StoreError> {
        match &self.reads {
            Some((reads, _)) => Ok(reads.clone()),
            None => Ok(self.writes.connected()?.client),
        }
    }
}

/// Connects, and looks at the server before anything is written.
///
/// # Errors
/// If the settings name no server that can be used now; the message says what to do.
pub async fn connect(
    settings: &RedisSettings,
) -> Result<(Connections, Place, Vec<Concern>), ConnectError> {
    let place = one_place(&settings.urls)?;
    let tls = connector(&place, &settings.authorities)?;
    let writes = Writes::open(&place, tls.as_ref()).await?;
    let mut connections = Connections {
        writes,
        reads: None,
        tls,
    };
    let looked = prepare(&mut connections, settings, &place).await;
    match looked {
        Ok(concerns) => Ok((connections, place, concerns)),
        Err(error) => {
            connections.close().await;
            Err(error)
        }
    }
}

async fn prepare(
    connections: &mut Connections,
    settings: &RedisSettings,
    place: &Place,
) -> Result<Vec<Concern>, ConnectError> {
    let concerns = preflight::look(&connections.writes.current().client).await?;
    for concern in &concerns {
        warn!(redis = %place, "{concern}");
    }
    if settings.pool_size != 1 {
        let reads = reconnecting(place, RespVersion::RESP2, connections.tls.as_ref());
        let watchdog = start(&reads, place).await?;
        connections.reads = Some((reads, watchdog));
    }
    Ok(concerns)
}
