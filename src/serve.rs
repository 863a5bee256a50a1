//! The life cycle of the process: adapters, actors, servers, and shutdown.

use crate::compose::{AdapterMetrics, Adapters, Hosting, claim_folder, open_store};
use crate::grpc::{Grpc, NodeProof};
use crate::listen::{Addresses, HttpListeners, Listeners, rooms_api_of_this_machine};
use crate::metrics;
use crate::module::{Duties, Module};
use crate::services::Services;
use crate::settings::{Settings, StoreKind};
use crate::waiting;
use actix_web::dev::{Server, ServerHandle};
use anyhow::Context;
use maestro_actors::Node;
use maestro_api::{Apis, VersionsApi};
use maestro_grpc::{Audience, GrpcPeers, NodeTls};
use maestro_http::runtimes::RuntimeParts;
use maestro_http::versions::VersionParts;
use maestro_http::{
    ConnectionTimeouts, HttpMetrics, InternalParts, ManagementParts, RefusedRequests,
    ServerSettings, gateway, server,
};
use prometheus::Registry;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
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
pub fn serve<T, F>(
    settings: &Settings,
    duties: &Duties,
    until: impl FnOnce(Addresses) -> F,
) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let io = tokio::runtime::Builder::new_multi_thread()
        .thread_name("io")
        .enable_all()
        .build()
        .context("cannot start the I/O runtime")?;
    let result = actix_rt::System::new().block_on(run(settings, duties, &io, until));
    io.shutdown_timeout(UPKEEP_LEFT);
    result
}

async fn run<T, F>(
    settings: &Settings,
    duties: &Duties,
    io: &tokio::runtime::Runtime,
    until: impl FnOnce(Addresses) -> F,
) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    ensure_descriptors(settings)?;
    // Before anything is opened: files that cannot be used end the start.
    let files = settings.nodes.tls.files().map_err(anyhow::Error::msg)?;
    let tls = files.map(NodeTls::open).transpose()?;
    let registry = Registry::new();
    let of_nodes = metrics::registry_of_nodes()?;
    let measured = AdapterMetrics::register(&registry)?;
    let (settings, listeners, addresses, adapters) = open(settings, duties, io, measured).await?;
    let settings = &settings;
    let node = Node::start(adapters.parts(settings, io.handle().clone()));
    let secret = settings.nodes.secret.clone();
    let reporter = match duties.module.reads_figures() {
        true => adapters.reporter(settings, io.handle()),
        false => None,
    };
    let peers = GrpcPeers::new(secret.clone(), io.handle().clone()).by_certificate(tls.clone());
    let peers = Arc::new(peers);
    let told = rooms_api_url(settings, &addresses);
    let services = Services::of(settings, &node, &adapters, peers.clone(), told, io.handle());
    let parts = InternalParts {
        operator: services.public.operator.clone(),
        metrics: settings
            .metrics_enabled
            .then(|| metrics::page([registry.clone(), of_nodes.clone()], node.clone(), reporter)),
        health: settings.healthcheck_enabled,
        skip_store_check: settings.skip_store_check,
    };
    let apis = ServedApis {
        public: services.public.clone(),
        until_done: services.until_done.clone(),
        nodes: services.nodes.clone(),
        proof: NodeProof::of(secret, tls),
    };
    let serving = Serving::start(
        (settings, duties),
        listeners,
        apis,
        parts,
        [&registry, &of_nodes],
        io.handle(),
    )
    .await?;

    // "Ready" is logged when commands find their owners.
    node.loaded(LOADED_WITHIN).await;
    serving.ready().await;
    let result = io
        .spawn(until(addresses))
        .await
        .context("it was interrupted");

    // Other nodes take the schedulers over while this one still answers.
    node.hand_over().await;
    serving.closing().await;
    services.close().await;
    // Nothing new is accepted from here on. What was accepted needs owners, or the way to those of other nodes.
    let grace = settings.graceful_shutdown;
    let nodes = serving.stop_public(grace).await;
    node.shutdown().await;
    stop(nodes, grace).await;
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
    duties: &Duties,
    io: &tokio::runtime::Runtime,
    measured: AdapterMetrics,
) -> anyhow::Result<(Settings, Listeners, Addresses, Adapters)> {
    let (folder, mut settings) = (settings.data_dir.clone(), settings.clone());
    let claimed = match duties.module.hosts() {
        true => {
            let claimed = io.spawn(async move { claim_folder(&folder, IN_USE_FOR).await });
            Some(claimed.await.context("opening was interrupted")??)
        }
        false => None,
    };
    let listeners = Listeners::bind(&settings, duties).await?;
    let store = match (settings.store, claimed) {
        (StoreKind::Postgres, folder) => {
            let (store, completed) =
                waiting::open_cluster(settings, &listeners, folder.is_some(), io).await?;
            settings = completed;
            store.stores(folder)
        }
        (_, Some(folder)) => {
            let opened = io.spawn(open_store(folder)).await;
            opened.context("opening was interrupted")??
        }
        (_, None) => anyhow::bail!(duties.module.needs_shared_store()),
    };
    let addresses = listeners.addresses(store.installation())?;
    let hosting = duties.module.hosts().then(|| Hosting {
        rooms_api_url: rooms_api_url(&settings, &addresses),
    });
    let wanted = settings.clone();
    let opened = io.spawn(async move { Adapters::open(&wanted, store, hosting, measured).await });
    let adapters = opened.await.context("opening was interrupted")??;
    Ok((settings, listeners, addresses, adapters))
}

/// As rooms are told: as set, or else that of this process, or else that of this machine.
fn rooms_api_url(settings: &Settings, addresses: &Addresses) -> String {
    let told = settings.rooms_api_url.as_ref().or(addresses.rooms.as_ref());
    told.map_or_else(
        || rooms_api_of_this_machine(&settings.rooms_api),
        String::clone,
    )
}

/// The APIs by who calls them.
struct ServedApis {
    /// For everybody: calls reach the owner, wherever it runs.
    public: Apis,
    /// Orders about versions, answered when they are carried out.
    until_done: Arc<dyn VersionsApi>,
    /// For other nodes: calls are answered where the owner runs here.
    nodes: Apis,
    /// How those prove that they are nodes.
    proof: Option<NodeProof>,
}

/// The running servers.
struct Serving {
    http: Vec<(ServerHandle, JoinHandle<io::Result<()>>)>,
    grpc: Option<Grpc>,
    nodes: Option<Grpc>,
}

impl Serving {
    async fn start(
        (settings, duties): (&Settings, &Duties),
        listeners: Listeners,
        apis: ServedApis,
        parts: InternalParts,
        [registry, of_nodes]: [&Registry; 2],
        io: &Handle,
    ) -> anyhow::Result<Self> {
        let Listeners { grpc, http, nodes } = listeners;
        let nodes = match (nodes, apis.proof) {
            (Some(listener), Some(proof)) => {
                let connections_max = descriptors() / 8;
                let address = settings.nodes.address(&listener)?;
                info!(address, "taking calls of other nodes");
                let apis = apis.nodes;
                let started =
                    Grpc::start_for_nodes(listener, connections_max, of_nodes, apis, proof, io);
                Some(started.await?)
            }
            _ => None,
        };
        let (apis, until_done) = (apis.public, apis.until_done);
        let grpc = match grpc {
            Some(grpc) => {
                let most = descriptors() / 8;
                // As the K8s manager's own calls are answered.
                let apis = Apis {
                    versions: until_done.clone(),
                    ..apis.clone()
                };
                let audience = match duties.module {
                    Module::K8sManager => Audience::Manager,
                    _ => Audience::Public(settings.actors_shown_over_grpc()),
                };
                let callers = (audience, settings.manager_access());
                Some(Grpc::start(grpc, most, registry, apis, callers, io).await?)
            }
            None => None,
        };
        let http = servers(settings, http, apis, until_done, parts, registry)?;
        let http = http
            .into_iter()
            .map(|server| (server.handle(), actix_rt::spawn(server)));
        Ok(Self {
            http: http.collect(),
            grpc,
            nodes,
        })
    }

    /// Health reports that calls are served.
    async fn ready(&self) {
        if let Some(grpc) = &self.grpc {
            grpc.ready().await;
        }
    }

    /// Health reports that no more calls should come.
    async fn closing(&self) {
        if let Some(grpc) = &self.grpc {
            grpc.closing().await;
        }
    }

    /// Running gRPC calls end within `grace`; the HTTP servers have their own limit. What other nodes call goes on:
    /// this one may still own what could not be handed over.
    async fn stop_public(self, grace: Duration) -> Option<Grpc> {
        let http = async {
            for (handle, running) in self.http {
                handle.stop(true).await;
                if let Ok(Err(error)) = running.await {
                    error!(%error, "a server ended with an error");
                }
            }
        };
        tokio::join!(stop(self.grpc, grace), http);
        self.nodes
    }
}

async fn stop(server: Option<Grpc>, grace: Duration) {
    if let Some(server) = server {
        server.stop(grace).await;
    }
}

fn servers(
    settings: &Settings,
    listeners: HttpListeners,
    apis: Apis,
    until_done: Arc<dyn VersionsApi>,
    parts: InternalParts,
    registry: &Registry,
) -> anyhow::Result<Vec<Server>> {
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
        workers: 1,
        shutdown_timeout: settings.internal_shutdown,
        ..with(
            listeners.internal,
            descriptors / 16,
            settings.trusted.clone(),
        )
    };
    let mut all = vec![server::internal(internal, parts)?];
    if let Some(listener) = listeners.management {
        let gateway = gateway::management(apis.management)
            .observer(Arc::new(HttpMetrics::management(registry)?));
        all.push(server::management(
            with(listener, descriptors / 8, settings.trusted.clone()),
            gateway,
            ManagementParts {
                operator: apis.operator,
                metrics: apis.metrics,
                runtimes: RuntimeParts {
                    runtimes: apis.runtimes,
                    access: settings.manager_access(),
                },
                versions: VersionParts {
                    orders: apis.versions,
                    until_done,
                    access: settings.manager_access(),
                },
                debug: settings.serves_debug(),
            },
        )?);
    }
    if let Some(listener) = listeners.rooms {
        let gateway = gateway::rooms(apis.rooms).observer(Arc::new(HttpMetrics::rooms(registry)?));
        let settings = with(listener, descriptors / 2, settings.trusted_by_rooms());
        all.push(server::rooms(settings, gateway)?);
    }
    Ok(all)
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
