//! The life cycle of the process: adapters, actors, servers, and shutdown.

use crate::compose::{AdapterMetrics, Adapters, claim_folder, open_store};
use crate::grpc::Grpc;
use crate::metrics;
use crate::settings::{Listen, Settings};
use actix_web::dev::{Server, ServerHandle};
use anyhow::{Context, bail};
use maestro_actors::Node;
use maestro_api::Apis;
use maestro_http::{
    HttpMetrics, InternalParts, Patience, RefusedRequests, ServerSettings, gateway, server,
};
use prometheus::Registry;
use std::io;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tracing::{error, info};

/// How long a port, or the data folder, may be in use at the start, and how often a port is retried.
const TAKEN_FOR: Duration = Duration::from_secs(2);
const TAKEN_LOOK: Duration = Duration::from_millis(10);
/// How long the start waits for the stored schedulers; requests are served meanwhile.
const LOADED_WITHIN: Duration = Duration::from_secs(10);

/// For the I/O runtime: everything of ours is closed by then, only idle timers of libraries are left.
pub const UPKEEP_LEFT: Duration = Duration::from_secs(1);

/// The servers' addresses, as URLs.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub management: String,
    pub rooms: String,
    pub internal: String,
    pub grpc: String,
    /// Identifies this installation's room processes.
    pub installation: String,
}

struct Listeners {
    http: HttpListeners,
    grpc: TcpListener,
}

impl Listeners {
    fn bind(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            http: HttpListeners {
                management: listen("api", &settings.api)?,
                rooms: listen("roomsApi", &settings.rooms_api)?,
                internal: listen("internalApi", &settings.internal_api)?,
            },
            grpc: listen("grpc", &settings.grpc)?,
        })
    }

    fn addresses(&self, installation: &str) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            management: url_of(&self.http.management)?,
            rooms: url_of(&self.http.rooms)?,
            internal: url_of(&self.http.internal)?,
            grpc: url_of(&self.grpc)?,
            installation: installation.to_owned(),
        })
    }
}

struct HttpListeners {
    management: TcpListener,
    rooms: TcpListener,
    internal: TcpListener,
}

/// Opens everything, runs `until`, and closes everything in order: no new requests, owners
/// flushed, servers drained, store closed. Rooms stay.
///
/// # Errors
/// A start error, or the error of `until`.
pub fn serve<T, F>(settings: &Settings, until: impl FnOnce(Addresses) -> F) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let io = tokio::runtime::Builder::new_multi_thread()
        .thread_name("io")
        .enable_all()
        .build()
        .context("cannot start the I/O runtime")?;
    let result = actix_rt::System::new().block_on(run(settings, &io, until));
    io.shutdown_timeout(UPKEEP_LEFT);
    result
}

async fn run<T, F>(
    settings: &Settings,
    io: &tokio::runtime::Runtime,
    until: impl FnOnce(Addresses) -> F,
) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let registry = Registry::new();
    let measured = AdapterMetrics::register(&registry)?;
    let (listeners, addresses, adapters) = open(settings, io, measured).await?;
    let node = Node::start(adapters.parts(settings, io.handle().clone()));
    let apis = Apis::of(&node, adapters.backup(settings, io.handle().clone()));
    let parts = InternalParts {
        operator: apis.operator.clone(),
        metrics: settings
            .metrics_enabled
            .then(|| metrics::page(registry.clone(), Some(node.clone()))),
        health: settings.healthcheck_enabled,
        skip_store_check: settings.skip_store_check,
    };
    let serving = Serving::start(settings, listeners, apis, parts, &registry, io.handle()).await?;

    // "Ready" is logged when commands find their owners.
    node.loaded(LOADED_WITHIN).await;
    serving.grpc.ready().await;
    let result = io
        .spawn(until(addresses))
        .await
        .context("it was interrupted");

    // New work is refused from here on; accepted work is answered.
    serving.grpc.closing().await;
    node.shutdown().await;
    serving.stop(settings.graceful_shutdown).await;
    let closed = io.spawn(adapters.close()).await;
    closed.context("closing was interrupted")?;
    result?
}

/// The folder first: if it is in use, its holder has the ports too, and those would be blamed. The store only after the
/// ports, so that a refused start creates nothing. Rooms need an address, so they come last.
async fn open(
    settings: &Settings,
    io: &tokio::runtime::Runtime,
    measured: AdapterMetrics,
) -> anyhow::Result<(Listeners, Addresses, Adapters)> {
    let (folder, wanted) = (settings.data_dir.clone(), settings.clone());
    let claimed = io.spawn(async move { claim_folder(&folder, TAKEN_FOR).await });
    let claimed = claimed.await.context("opening was interrupted")??;
    let listeners = Listeners::bind(settings)?;
    let opened = io.spawn(open_store(claimed));
    let store = opened.await.context("opening was interrupted")??;
    let addresses = listeners.addresses(store.installation())?;
    let rooms_api_url = settings.rooms_api_url.as_ref().unwrap_or(&addresses.rooms);
    let rooms_api_url = rooms_api_url.clone();
    let opened =
        io.spawn(async move { Adapters::open(&wanted, store, rooms_api_url, measured).await });
    let adapters = opened.await.context("opening was interrupted")??;
    Ok((listeners, addresses, adapters))
}

/// The running servers.
struct Serving {
    http: Vec<(ServerHandle, JoinHandle<io::Result<()>>)>,
    grpc: Grpc,
}

impl Serving {
    async fn start(
        settings: &Settings,
        listeners: Listeners,
        apis: Apis,
        parts: InternalParts,
        registry: &Registry,
        io: &Handle,
    ) -> anyhow::Result<Self> {
        let (management, rooms) = (apis.management.clone(), apis.rooms.clone());
        let Listeners { grpc, http } = listeners;
        let grpc = Grpc::start(grpc, descriptors() / 8, registry, management, rooms, io).await?;
        let http = servers(settings, http, apis, parts, registry)?
            .map(|server| (server.handle(), actix_rt::spawn(server)));
        Ok(Self {
            http: http.into(),
            grpc,
        })
    }

    /// Running gRPC calls end within `grace`; the HTTP servers have their own limit.
    async fn stop(self, grace: Duration) {
        let http = async {
            for (handle, running) in self.http {
                handle.stop(true).await;
                if let Ok(Err(error)) = running.await {
                    error!(%error, "a server ended with an error");
                }
            }
        };
        tokio::join!(self.grpc.stop(grace), http);
    }
}

fn servers(
    settings: &Settings,
    listeners: HttpListeners,
    apis: Apis,
    parts: InternalParts,
    registry: &Registry,
) -> anyhow::Result<[Server; 3]> {
    let refused = RefusedRequests::register(registry)?;
    let descriptors = descriptors();
    let with = |listener, connections_max, trusted| ServerSettings {
        listener,
        connections_max,
        trusted,
        refused: refused.clone(),
        workers: settings.http_threads(),
        shutdown_timeout: settings.graceful_shutdown,
        patience: Patience::default(),
    };
    let internal = ServerSettings {
        listener: listeners.internal,
        connections_max: descriptors / 16,
        trusted: settings.trusted.clone(),
        refused: refused.clone(),
        workers: 1,
        shutdown_timeout: settings.internal_shutdown,
        patience: Patience::default(),
    };
    let management =
        gateway::management(apis.management).observer(Arc::new(HttpMetrics::management(registry)?));
    let rooms = gateway::rooms(apis.rooms).observer(Arc::new(HttpMetrics::rooms(registry)?));
    Ok([
        server::management(
            with(
                listeners.management,
                descriptors / 8,
                settings.trusted.clone(),
            ),
            management,
            apis.operator,
            settings.serves_debug(),
        )?,
        server::rooms(
            with(
                listeners.rooms,
                descriptors / 2,
                settings.trusted_by_rooms(),
            ),
            rooms,
        )?,
        server::internal(internal, parts)?,
    ])
}

/// How many files and sockets the process may have open. Connections get a share, so that clients cannot take all of
/// them from the store and the rooms.
fn descriptors() -> usize {
    const PLENTY: u64 = 1 << 18;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    usize::try_from(limit.current.unwrap_or(PLENTY).min(PLENTY)).unwrap_or(1024)
}

/// Waits for TERM or INT.
///
/// # Errors
/// If signal handlers cannot be installed.
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
    match bind(address) {
        Ok(listener) => Ok(listener),
        Err(error) => {
            let variable = what.to_ascii_uppercase();
            bail!(
                "{what} cannot listen on {address}: {error}; choose another port with MAESTRO_{variable}_PORT"
            )
        }
    }
}

/// A process that was killed while spawning a room leaves its listeners to the child for a moment, until that executes
/// its program: so a port in use is retried.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let until = Instant::now() + TAKEN_FOR;
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(TAKEN_LOOK);
            }
            result => return result,
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
    // Rooms and people on this machine cannot connect to the unspecified address.
    let host = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => "[::1]".to_owned(),
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    Ok(format!("http://{host}:{}", address.port()))
}
