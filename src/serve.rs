//! The life cycle of the process: adapters, actors, servers, and shutdown.

use crate::cluster::Cluster;
use crate::compose::{AdapterMetrics, Adapters, claim_folder, open_cluster, open_store};
use crate::grpc::Grpc;
use crate::listen::{Addresses, HttpListeners, Listeners};
use crate::metrics;
use crate::settings::{Settings, StoreKind};
use actix_web::dev::{Server, ServerHandle};
use anyhow::Context;
use maestro_actors::Node;
use maestro_api::{Apis, owned, routed};
use maestro_grpc::GrpcPeers;
use maestro_http::{
    ConnectionTimeouts, HttpMetrics, InternalParts, RefusedRequests, ServerSettings, gateway,
    server,
};
use prometheus::Registry;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tracing::{error, info};

/// How long the data folder may be in use at the start.
const IN_USE_FOR: Duration = Duration::from_secs(2);
/// How long the start waits for the stored schedulers; requests are served meanwhile.
const LOADED_WITHIN: Duration = Duration::from_secs(10);

/// How long the I/O runtime may take to shut down. Our own work has ended by then; only idle timers of libraries are
/// left.
pub const UPKEEP_LEFT: Duration = Duration::from_secs(1);

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
    ensure_descriptors(settings)?;
    let registry = Registry::new();
    let measured = AdapterMetrics::register(&registry)?;
    let (settings, listeners, addresses, adapters) = open(settings, io, measured).await?;
    let settings = &settings;
    let node = Node::start(adapters.parts(settings, io.handle().clone()));
    let services = Apis::of(&node, adapters.backup(settings, io.handle().clone()));
    let secret = settings.nodes.secret.clone();
    let peers = Arc::new(GrpcPeers::new(secret, io.handle().clone()));
    let apis = routed(&node, services.clone(), peers.clone());
    let parts = InternalParts {
        operator: apis.operator.clone(),
        metrics: settings
            .metrics_enabled
            .then(|| metrics::page(registry.clone(), Some(node.clone()))),
        health: settings.healthcheck_enabled,
        skip_store_check: settings.skip_store_check,
    };
    let apis = ServedApis {
        public: apis,
        nodes: owned(&node, services),
    };
    let serving = Serving::start(settings, listeners, apis, parts, &registry, io.handle()).await?;

    // "Ready" is logged when commands find their owners.
    node.loaded(LOADED_WITHIN).await;
    serving.grpc.ready().await;
    let result = io
        .spawn(until(addresses))
        .await
        .context("it was interrupted");

    // Other nodes take the schedulers over while this one still answers.
    node.hand_over().await;
    // New work is refused from here on; accepted work is answered.
    serving.grpc.closing().await;
    node.shutdown().await;
    serving.stop(settings.graceful_shutdown).await;
    peers.close().await;
    let closed = io.spawn(adapters.close()).await;
    closed.context("closing was interrupted")?;
    result?
}

/// The folder is claimed first: if it is in use, its holder has the ports too, and the error would blame those. The
/// store is opened only after the ports are bound, so that a refused start creates nothing. The runtime comes last,
/// because rooms need the servers' addresses.
async fn open(
    settings: &Settings,
    io: &tokio::runtime::Runtime,
    measured: AdapterMetrics,
) -> anyhow::Result<(Settings, Listeners, Addresses, Adapters)> {
    let (folder, mut settings) = (settings.data_dir.clone(), settings.clone());
    let claimed = io.spawn(async move { claim_folder(&folder, IN_USE_FOR).await });
    let claimed = claimed.await.context("opening was interrupted")??;
    let cluster = match settings.store {
        StoreKind::Postgres => {
            let opened = io.spawn(async move {
                let cluster = Cluster::open(&mut settings).await;
                cluster.map(|cluster| (cluster, settings))
            });
            let (cluster, completed) = opened.await.context("opening was interrupted")??;
            settings = completed;
            Some(cluster)
        }
        _ => None,
    };
    let listeners = Listeners::bind(&settings).await?;
    let store = match cluster {
        None => io.spawn(open_store(claimed)).await,
        Some(cluster) => {
            let nodes = listeners.nodes.as_ref().map(TcpListener::try_clone);
            let nodes = nodes.transpose()?.context("cluster.listen is empty")?;
            let wanted = settings.clone();
            io.spawn(open_cluster(cluster, wanted, nodes, claimed))
                .await
        }
    };
    let store = store.context("opening was interrupted")??;
    let wanted = settings.clone();
    let addresses = listeners.addresses(store.installation())?;
    let rooms_api_url = settings.rooms_api_url.as_ref().unwrap_or(&addresses.rooms);
    let rooms_api_url = rooms_api_url.clone();
    let opened =
        io.spawn(async move { Adapters::open(&wanted, store, rooms_api_url, measured).await });
    let adapters = opened.await.context("opening was interrupted")??;
    Ok((settings, listeners, addresses, adapters))
}

/// The APIs by who calls them.
struct ServedApis {
    /// For everybody: calls reach the owner, wherever it runs.
    public: Apis,
    /// For other nodes: calls are answered where the owner runs here.
    nodes: Apis,
}

/// The running servers.
struct Serving {
    http: Vec<(ServerHandle, JoinHandle<io::Result<()>>)>,
    grpc: Grpc,
    nodes: Option<Grpc>,
}

impl Serving {
    async fn start(
        settings: &Settings,
        listeners: Listeners,
        apis: ServedApis,
        parts: InternalParts,
        registry: &Registry,
        io: &Handle,
    ) -> anyhow::Result<Self> {
        let Listeners { grpc, http, nodes } = listeners;
        let shown_to = settings.actors_shown_over_grpc();
        let nodes = match (nodes, &settings.nodes.secret) {
            (Some(listener), Some(secret)) => {
                let (connections_max, secret) = (descriptors() / 8, secret.clone());
                let address = settings.nodes.address(&listener)?;
                info!(address, "taking calls of other nodes");
                let started =
                    Grpc::start_for_nodes(listener, connections_max, apis.nodes, secret, io);
                Some(started.await?)
            }
            _ => None,
        };
        let apis = apis.public;
        let apis_over_grpc = apis.clone();
        let grpc = Grpc::start(
            grpc,
            descriptors() / 8,
            registry,
            apis_over_grpc,
            shown_to,
            io,
        )
        .await?;
        let http = servers(settings, http, apis, parts, registry)?
            .map(|server| (server.handle(), actix_rt::spawn(server)));
        Ok(Self {
            http: http.into(),
            grpc,
            nodes,
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
        let nodes = async {
            if let Some(nodes) = self.nodes {
                nodes.stop(grace).await;
            }
        };
        tokio::join!(self.grpc.stop(grace), http, nodes);
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
        timeouts: ConnectionTimeouts::default(),
    };
    let internal = ServerSettings {
        listener: listeners.internal,
        connections_max: descriptors / 16,
        trusted: settings.trusted.clone(),
        refused: refused.clone(),
        workers: 1,
        shutdown_timeout: settings.internal_shutdown,
        timeouts: ConnectionTimeouts::default(),
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

/// Files and sockets that an idle server has open, and some spare ones.
const DESCRIPTORS_AT_REST: u64 = 64;
/// Additional ones for each thread of the APIs and actors.
const DESCRIPTORS_PER_THREAD: u64 = 12;

/// Refuses a start with too few descriptors: libraries would panic halfway, and leave a process that serves nothing.
fn ensure_descriptors(settings: &Settings) -> anyhow::Result<()> {
    let threads = settings
        .http_threads()
        .max(settings.actors_in_use().threads);
    let needed = DESCRIPTORS_AT_REST + DESCRIPTORS_PER_THREAD * threads as u64;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    match limit {
        Some(limit) if limit < needed => anyhow::bail!(
            "no more than {limit} files may be open at a time, and {needed} are needed: raise the limit (ulimit -n, or LimitNOFILE= \
             of the unit), or set fewer api.workers and actors.threads"
        ),
        _ => Ok(()),
    }
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
