//! One process, from open to closed: adapters, actors, the three servers, and the way down.

use crate::compose::Adapters;
use crate::metrics;
use crate::settings::{Listen, Settings};
use anyhow::{Context, bail};
use maestro_actors::Node;
use maestro_http::gateway;
use maestro_http::{
    BoundServer, HttpMetrics, InternalParts, ManagementService, RoomsService, ServerSettings,
    server,
};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// How long the start waits for the schedulers of the store; requests are served meanwhile.
const LOADED_WITHIN: Duration = Duration::from_secs(10);

/// For the I/O runtime: everything of ours is closed by then, what is left are idle timers of libraries.
pub const UPKEEP_LEFT: Duration = Duration::from_secs(1);

/// Where the servers listen, as URLs.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub management: String,
    pub rooms: String,
    pub internal: String,
    /// Marks this installation's room processes.
    pub installation: String,
}

struct Listeners {
    management: TcpListener,
    rooms: TcpListener,
    internal: TcpListener,
}

/// Opens everything, runs `until`, and closes everything in order: no new requests, owners
/// flushed, servers drained, store closed. Rooms stay.
///
/// # Errors
/// What keeps it from starting, or what `until` says.
pub fn serve<T, F>(settings: &Settings, until: impl FnOnce(Addresses) -> F) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let listeners = Listeners {
        management: listen("api", &settings.api)?,
        rooms: listen("roomsApi", &settings.rooms_api)?,
        internal: listen("internalApi", &settings.internal_api)?,
    };
    let io = tokio::runtime::Builder::new_multi_thread()
        .thread_name("io")
        .enable_all()
        .build()
        .context("cannot start the I/O runtime")?;
    let result = actix_rt::System::new().block_on(run(settings, listeners, &io, until));
    io.shutdown_timeout(UPKEEP_LEFT);
    result
}

async fn run<T, F>(
    settings: &Settings,
    listeners: Listeners,
    io: &tokio::runtime::Runtime,
    until: impl FnOnce(Addresses) -> F,
) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let rooms_api_url = match &settings.rooms_api_url {
        Some(url) => url.clone(),
        None => url_of(&listeners.rooms)?,
    };
    let mut addresses = Addresses {
        management: url_of(&listeners.management)?,
        rooms: url_of(&listeners.rooms)?,
        internal: url_of(&listeners.internal)?,
        installation: String::new(),
    };
    let (wanted, url) = (settings.clone(), rooms_api_url);
    // First, so that whatever measures finds its recorder.
    let stop = CancellationToken::new();
    let recorded = match settings.metrics_enabled {
        true => Some(metrics::install(io, stop.clone())?),
        false => None,
    };
    let opened = io.spawn(async move { Adapters::open(&wanted, url).await });
    let adapters = opened.await.context("opening was interrupted")??;
    addresses.installation = adapters.store.installation().to_owned();
    let node = Node::start(adapters.parts(settings, io.handle().clone()));
    let parts = InternalParts {
        node: node.clone(),
        metrics: recorded.map(|recorded| metrics::page(recorded, Some(node.clone()))),
        health: settings.healthcheck_enabled,
        skip_store_check: settings.skip_store_check,
        backup: Some(adapters.backup(settings, io.handle().clone())),
    };
    let servers = servers(settings, listeners, parts)?;
    let handles: Vec<_> = servers.iter().map(|bound| bound.server.handle()).collect();
    let running: Vec<_> = servers
        .into_iter()
        .map(|bound| actix_rt::spawn(bound.server))
        .collect();

    // "Ready" is said when orders find their owners.
    node.loaded(LOADED_WITHIN).await;
    let result = io
        .spawn(until(addresses))
        .await
        .context("it was interrupted");

    // New work is refused from here on; what was accepted is answered.
    node.shutdown().await;
    for handle in handles {
        handle.stop(true).await;
    }
    for server in running {
        if let Ok(Err(error)) = server.await {
            error!(%error, "a server ended with an error");
        }
    }
    stop.cancel();
    let closed = io.spawn(adapters.close()).await;
    closed.context("closing was interrupted")?;
    result?
}

fn servers(
    settings: &Settings,
    listeners: Listeners,
    parts: InternalParts,
) -> anyhow::Result<[BoundServer; 3]> {
    let with = |listener| ServerSettings {
        listener,
        workers: settings.http_threads(),
        shutdown_timeout: settings.graceful_shutdown,
    };
    let internal = ServerSettings {
        listener: listeners.internal,
        workers: 1,
        shutdown_timeout: settings.internal_shutdown,
    };
    let node = &parts.node;
    let management = gateway::management(Arc::new(ManagementService::new(node.clone())))
        .observer(Arc::new(HttpMetrics::management()));
    let rooms = gateway::rooms(Arc::new(RoomsService::new(node.clone())))
        .observer(Arc::new(HttpMetrics::rooms()));
    Ok([
        server::management(
            with(listeners.management),
            management,
            node.clone(),
            settings.serves_debug(),
        )?,
        server::rooms(with(listeners.rooms), rooms)?,
        server::internal(internal, parts)?,
    ])
}

/// Waits for TERM or INT.
///
/// # Errors
/// When signals cannot be listened for.
pub async fn ended_by_signal() -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("cannot listen for TERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen for INT")?;
    let name = tokio::select! {
        _ = term.recv() => "TERM",
        _ = int.recv() => "INT",
    };
    info!(signal = name, "shutting down: no new work, rooms stay");
    Ok(())
}

pub fn listen(what: &str, listen: &Listen) -> anyhow::Result<TcpListener> {
    let Listen { host, port } = listen;
    let address =
        resolve(host, *port).with_context(|| format!("{what}.host {host:?} is no address"))?;
    match TcpListener::bind(address) {
        Ok(listener) => Ok(listener),
        Err(error) => {
            let variable = what.to_ascii_uppercase();
            bail!(
                "{what} cannot listen on {address}: {error}; choose another port with MAESTRO_{variable}_PORT"
            )
        }
    }
}

fn resolve(host: &str, port: u16) -> std::io::Result<SocketAddr> {
    use std::net::ToSocketAddrs;
    let mut found = (host.trim_matches(['[', ']']), port).to_socket_addrs()?;
    found
        .next()
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))
}

pub fn url_of(listener: &TcpListener) -> anyhow::Result<String> {
    let address = listener
        .local_addr()
        .context("a listener without an address")?;
    // Rooms and people on this machine cannot reach "everywhere".
    let host = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => "[::1]".to_owned(),
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    Ok(format!("http://{host}:{}", address.port()))
}
