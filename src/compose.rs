//! The only place that names a port and its adapter together: it composes a node.
//!
//! Embedded and clustered mode differ here and in [`crate::cluster`], and nowhere else (invariant 10). The store is one
//! file, or Postgres and Redis; the runtime is local processes, pods, or simulated rooms for load tests;
//! matchmakers get events over gRPC.

use crate::backup;
use crate::clock::SystemClock;
use crate::kubernetes_calls::KubernetesCalls;
use crate::observed::{Observed, StoreMetrics};
use crate::reporter::Reporter;
use crate::settings::{RuntimeKind, Settings};
use anyhow::Context;
use maestro_actors::NodeParts;
use maestro_api::Backup;
use maestro_core::ports::{Feed, MetricsSource, Ownership, PlatformObjects, Reads, Runtime, Store};
use maestro_grpc::{ForwarderMetrics, GrpcForwarders, KeepAlive};
use maestro_prometheus::PrometheusSource;
use maestro_runtime::kubernetes::KubernetesRuntime;
use maestro_runtime::process::{ProcessRuntime, ProcessSettings};
use maestro_runtime::simulated::SimulatedRuntime;
use maestro_runtime::{Elsewhere, Unmeasured};
use maestro_store::cluster::ClusterStore;
use maestro_store::embedded::{ClaimedFolder, EmbeddedStore, OpenError};
use prometheus::Registry;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The interval between retries while the data folder is in use.
const IN_USE_LOOK: Duration = Duration::from_millis(20);

/// A large commit on a slow disk may take seconds.
const STORE_CLOSES: Duration = Duration::from_secs(30);

/// The adapters of a node, which outlive its actors.
pub struct Adapters {
    store: Stores,
    runtime: Rooms,
    metrics: Arc<dyn MetricsSource>,
    forwarders: Arc<GrpcForwarders>,
    store_metrics: StoreMetrics,
}

/// The store that the settings select.
pub enum Stores {
    /// One file in the data folder.
    Embedded(Arc<EmbeddedStore>),
    /// Postgres and Redis. The folder is that of the rooms.
    Cluster {
        store: Arc<ClusterStore>,
        installation: String,
        /// `None` if this process hosts no rooms.
        folder: Option<ClaimedFolder>,
    },
}

impl Stores {
    /// Identifies the rooms of this process.
    pub fn installation(&self) -> &str {
        match self {
            Self::Embedded(store) => store.installation(),
            Self::Cluster { installation, .. } => installation,
        }
    }

    async fn close(self) {
        match self {
            Self::Embedded(store) => store.close().await,
            Self::Cluster { store, folder, .. } => {
                store.close().await;
                drop(folder);
            }
        }
    }
}

/// The metrics of adapters; registered before any of them is opened.
pub struct AdapterMetrics {
    store: StoreMetrics,
    forwarders: ForwarderMetrics,
    registry: Registry,
}

impl AdapterMetrics {
    /// # Errors
    /// If the registry already has them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            store: StoreMetrics::register(registry)?,
            forwarders: ForwarderMetrics::register(registry)?,
            registry: registry.clone(),
        })
    }
}

/// What a process that hosts rooms tells them.
pub struct Hosting {
    pub rooms_api_url: String,
}

/// The runtime that `runtime.type` names.
enum Rooms {
    Process(Arc<ProcessRuntime>),
    Simulated(Arc<SimulatedRuntime>),
    Kubernetes(Arc<KubernetesRuntime>),
    /// This process hosts none.
    Elsewhere,
}

/// Claims the data folder. A process that was killed while spawning a room leaves its lock to the child for a moment,
/// until that executes its program: so a folder in use is retried, `within` at most.
///
/// # Errors
/// Names the holder, and says what to do.
pub async fn claim_folder(folder: &Path, within: Duration) -> anyhow::Result<ClaimedFolder> {
    let until = Instant::now() + within;
    loop {
        let folder = folder.to_owned();
        let claimed = tokio::task::spawn_blocking(move || ClaimedFolder::claim(&folder));
        match claimed.await.context("opening was interrupted")? {
            Err(OpenError::InUse { .. }) if Instant::now() < until => {
                tokio::time::sleep(IN_USE_LOOK).await;
            }
            claimed => return Ok(claimed?),
        }
    }
}

/// # Errors
/// Says what to do about the data folder.
pub async fn open_store(folder: ClaimedFolder) -> anyhow::Result<Stores> {
    let opened = tokio::task::spawn_blocking(move || folder.open());
    let opened = opened.await.context("opening the store was interrupted")?;
    Ok(Stores::Embedded(opened?))
}

impl Adapters {
    /// Opens the rest. Must run on the I/O runtime, where clients live. On an error the store is closed.
    ///
    /// # Errors
    /// Says what to do about the data folder.
    pub async fn open(
        settings: &Settings,
        store: Stores,
        hosting: Option<Hosting>,
        metrics: AdapterMetrics,
    ) -> anyhow::Result<Self> {
        let keep_alive = KeepAlive::new(settings.keep_alive_time, settings.keep_alive_timeout);
        let runtime = match hosting {
            Some(hosting) => {
                let opened = Rooms::open(settings, store.installation(), hosting).await;
                opened.and_then(|rooms| rooms.measured_by(&metrics.registry))
            }
            None => Ok(Rooms::Elsewhere),
        };
        let opened = runtime.and_then(|runtime| Ok((runtime.metrics(settings)?, runtime)));
        match opened {
            Ok((source, runtime)) => Ok(Self {
                store,
                runtime,
                metrics: source,
                forwarders: Arc::new(GrpcForwarders::new(keep_alive, metrics.forwarders)),
                store_metrics: metrics.store,
            }),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    pub fn parts(&self, settings: &Settings, io: tokio::runtime::Handle) -> NodeParts {
        let mut parts = match &self.store {
            Stores::Embedded(store) => self.parts_on(store.clone(), settings, io),
            Stores::Cluster { store, .. } => self.parts_on(store.clone(), settings, io),
        };
        parts.duplicate_creates = Some(self.store_metrics.duplicate_creates());
        if let Some(platform) = self.runtime.platform() {
            parts.platform = platform;
        }
        parts
    }

    fn parts_on<S>(
        &self,
        store: Arc<S>,
        settings: &Settings,
        io: tokio::runtime::Handle,
    ) -> NodeParts
    where
        S: Store + Reads + Ownership + Feed,
    {
        NodeParts::new(
            Arc::new(Observed::new(store, &self.store_metrics)),
            self.runtime.port(),
            self.forwarders.clone(),
            Arc::new(SystemClock::new()),
            settings.for_core(),
            settings.actors_in_use(),
            io,
        )
    }

    /// Reads the figures of all fleets; `None` on the embedded store, whose process has them.
    pub fn reporter(&self, settings: &Settings, io: &tokio::runtime::Handle) -> Option<Reporter> {
        let Stores::Cluster { store, .. } = &self.store else {
            return None;
        };
        let (every, page) = (settings.report_every, settings.redis.scan_size);
        Some(Reporter::start(store.clone(), every, page, io))
    }

    /// Knows what rooms use.
    pub fn metrics(&self) -> Arc<dyn MetricsSource> {
        self.metrics.clone()
    }

    /// Copies the store on request.
    pub fn backup(&self, settings: &Settings, io: tokio::runtime::Handle) -> Backup {
        match &self.store {
            Stores::Embedded(store) => backup::of(store.clone(), settings.data_dir.clone(), io),
            Stores::Cluster { .. } => backup::elsewhere(),
        }
    }

    /// After the actors: rooms stay as they are, the file is flushed and its lock released. A hanging disk is not
    /// awaited: acknowledged changes are already stored.
    pub async fn close(self) {
        self.runtime.shutdown().await;
        if tokio::time::timeout(STORE_CLOSES, self.store.close())
            .await
            .is_err()
        {
            tracing::error!("the store's disk hangs: the process ends without closing the file");
        }
    }
}

impl Rooms {
    async fn open(
        settings: &Settings,
        installation: &str,
        hosting: Hosting,
    ) -> anyhow::Result<Self> {
        if settings.runtime == RuntimeKind::Kubernetes {
            let opened = KubernetesRuntime::open(settings.for_kubernetes()?).await?;
            return Ok(Self::Kubernetes(opened));
        }
        if settings.runtime == RuntimeKind::Simulated {
            let mut simulated = settings.simulated.clone();
            simulated.default_ports = Some(settings.default_ports);
            simulated.rooms_max = settings.rooms_per_node;
            let opened = SimulatedRuntime::open(simulated);
            let opened = opened.context("cannot write runtime.simulated.roomList")?;
            return Ok(Self::Simulated(opened));
        }
        let mut process = ProcessSettings::new(&settings.data_dir, installation);
        process.rooms_api_url = hosting.rooms_api_url;
        process.host.clone_from(&settings.room_host);
        process.default_ports = Some(settings.default_ports);
        process.rooms_max = settings.rooms_per_node;
        // The running program, even if an update has replaced its file.
        process.log_writer = Some("/proc/self/exe".into());
        let opened = tokio::task::spawn_blocking(move || ProcessRuntime::open(process));
        let runtime = opened
            .await
            .context("opening the runtime was interrupted")??;
        Ok(Self::Process(runtime))
    }

    /// With the metrics of this kind of runtime.
    fn measured_by(self, registry: &Registry) -> anyhow::Result<Self> {
        if let Self::Kubernetes(runtime) = &self {
            registry.register(Box::new(KubernetesCalls::of(runtime.clone())?))?;
        }
        Ok(self)
    }

    fn port(&self) -> Arc<dyn Runtime> {
        match self {
            Self::Process(runtime) => runtime.clone(),
            Self::Simulated(runtime) => runtime.clone(),
            Self::Kubernetes(runtime) => runtime.clone(),
            Self::Elsewhere => Arc::new(Elsewhere),
        }
    }

    /// Shows runtimes and versions where their rooms run; `None` where nobody looks for them.
    fn platform(&self) -> Option<Arc<dyn PlatformObjects>> {
        match self {
            Self::Kubernetes(runtime) => Some(runtime.platform()),
            Self::Process(runtime) => Some(runtime.platform()),
            Self::Simulated(_) | Self::Elsewhere => None,
        }
    }

    /// Pods are measured by Prometheus, which answers every process alike; processes by whoever runs them.
    fn metrics(&self, settings: &Settings) -> anyhow::Result<Arc<dyn MetricsSource>> {
        Ok(match self {
            _ if settings.runtime == RuntimeKind::Kubernetes => {
                let (server, queries) = settings.resources.for_prometheus();
                Arc::new(PrometheusSource::open(server, queries)?)
            }
            Self::Process(runtime) => runtime.clone(),
            Self::Simulated(_) => Arc::new(Unmeasured(
                "simulated rooms use nothing that could be measured: see runtime.type",
            )),
            Self::Kubernetes(_) | Self::Elsewhere => Arc::new(Unmeasured(
                "this process hosts no rooms, and measures none: ask a node that does",
            )),
        })
    }

    async fn shutdown(&self) {
        match self {
            Self::Process(runtime) => runtime.shutdown().await,
            Self::Simulated(runtime) => runtime.shutdown().await,
            Self::Kubernetes(runtime) => runtime.shutdown().await,
            Self::Elsewhere => {}
        }
    }
}
