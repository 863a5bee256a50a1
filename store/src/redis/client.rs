//! Clients of Redis, with limits for everything that may be slow or missing.

use super::preflight::PreflightError;
use super::urls::{Place, UrlError};
use super::watchdog::{LOOK_EVERY, SILENT_MAX, Watchdog};
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::rustls::{ClientConfig, RootCertStore, crypto::ring};
use fred::rustls_native_certs::load_native_certs;
use fred::types::RespVersion;
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, ServerConfig, TlsConnector,
    UnresponsiveConfig,
};
use std::sync::Arc;
use std::time::Duration;

/// A command that has no answer by then has an unknown outcome. Shorter than the 2 s that an allocation waits
/// (architecture 5).
const COMMAND_TIMEOUT: Duration = Duration::from_millis(1500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Commands that wait for a connection; more are refused at once.
const BUFFERED_MAX: usize = 10_000;
/// Back-off between two attempts to connect again, in milliseconds.
pub const RECONNECT_MIN: u32 = 20;
pub const RECONNECT_MAX: u32 = 1000;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(
        "Redis {place} cannot be reached: {reason}; check the address, the user, the password and the certificate \
         of adapters.*.redis.url"
    )]
    Unreachable {
        place: String,
        reason: String,
        /// The server is starting, or out of reach; it refuses nothing.
        passing: bool,
    },
    #[error("the certificates that may sign that of Redis cannot be read: {0}")]
    Authorities(String),
    #[error(transparent)]
    Preflight(#[from] PreflightError),
}

/// Opens the first connection of a client, which then connects again by itself.
pub async fn start(client: &Client, place: &Place) -> Result<Watchdog, ConnectError> {
    let started = client.init().await;
    started.map_err(|error| unreachable(place, &error))?;
    Ok(Watchdog::of(client))
}

pub fn unreachable(place: &Place, error: &Error) -> ConnectError {
    ConnectError::Unreachable {
        place: place.to_string(),
        reason: error.details().to_owned(),
        passing: !matches!(
            error.kind(),
            ErrorKind::Auth | ErrorKind::Tls | ErrorKind::Config | ErrorKind::Url
        ),
    }
}

impl ConnectError {
    /// Whether it may work later although nobody has changed the settings.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { passing: true, .. })
    }
}

/// A client that connects again by itself, and is not connected yet.
pub fn reconnecting(place: &Place, version: RespVersion, tls: Option<&TlsConnector>) -> Client {
    let policy = ReconnectPolicy::new_exponential(0, RECONNECT_MIN, RECONNECT_MAX, 2);
    client(place, version, tls, Some(policy))
}

/// A client that is not connected yet. Without a policy it has one connection, and ends with that.
pub fn client(
    place: &Place,
    version: RespVersion,
    tls: Option<&TlsConnector>,
    policy: Option<ReconnectPolicy>,
) -> Client {
    let config = Config {
        server: ServerConfig::new_centralized(place.host.clone(), place.port),
        username: place.username.clone(),
        password: place.password.clone(),
        database: Some(place.database),
        tls: tls.cloned().map(Into::into),
        version,
        ..Config::default()
    };
    let performance = PerformanceConfig {
        default_command_timeout: COMMAND_TIMEOUT,
        broadcast_channel_capacity: 1024,
        ..PerformanceConfig::default()
    };
    let connection = ConnectionConfig {
        connection_timeout: CONNECT_TIMEOUT,
        internal_command_timeout: CONNECT_TIMEOUT,
        // A command in flight when the connection ends is not sent again: it would push an operation twice.
        max_command_attempts: 1,
        max_command_buffer_len: BUFFERED_MAX,
        unresponsive: UnresponsiveConfig {
            max_timeout: Some(SILENT_MAX),
            interval: LOOK_EVERY,
        },
        ..ConnectionConfig::default()
    };
    Client::new(config, Some(performance), Some(connection), policy)
}

/// Verifies the server's name and certificate, which the original does not (contract 1.4). `None` where TLS is not
/// asked for. Made once: the system's certificates are hundreds of files or a large one, which blocks whoever reads it.
///
/// # Errors
/// If there are no certificates to verify the server with.
pub fn connector(
    place: &Place,
    authorities: &[Vec<u8>],
) -> Result<Option<TlsConnector>, ConnectError> {
    if !place.tls {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    let system = load_native_certs();
    let ours = authorities.iter().map(|der| der.clone().into());
    roots.add_parsable_certificates(system.certs.into_iter().chain(ours));
    if roots.is_empty() {
        let why = system.errors.first().map_or_else(
            || "there are none; install ca-certificates".to_owned(),
            ToString::to_string,
        );
        return Err(ConnectError::Authorities(why));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Authorities(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(config.into()))
}
