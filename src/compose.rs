//! The only place that names a port and its adapter together: what a node is made of.
//!
//! Embedded and clustered mode differ here and nowhere else (invariant 10). This build has
//! one file as the store, and as the runtime local processes, or rooms on paper for load tests;
//! matchmakers are told by gRPC.

use crate::backup;
use crate::clock::SystemClock;
use crate::observed::Observed;
use crate::settings::{RuntimeKind, Settings};
use anyhow::Context;
use maestro_actors::NodeParts;
use maestro_core::ports::Runtime;
use maestro_grpc::{GrpcForwarders, KeepAlive};
use maestro_http::Backup;
use maestro_runtime::CappedRuntime;
use maestro_runtime::process::{ProcessRuntime, ProcessSettings};
use maestro_runtime::simulated::SimulatedRuntime;
use maestro_store::embedded::EmbeddedStore;
use std::sync::Arc;

/// The adapters of a node, for the time after its actors.
pub struct Adapters {
    pub store: Arc<EmbeddedStore>,
    runtime: Rooms,
    forwarders: Arc<GrpcForwarders>,
}

/// The runtime that `runtime.type` names.
enum Rooms {
    Process(Arc<ProcessRuntime>),
    Simulated(Arc<SimulatedRuntime>),
}

impl Adapters {
    /// Opens everything. Has to run on the I/O runtime: clients live and die there.
    ///
    /// # Errors
    /// Says what to do about the data folder.
    pub async fn open(settings: &Settings, rooms_api_url: String) -> anyhow::Result<Self> {
        let folder = settings.data_dir.clone();
        let keep_alive = KeepAlive::new(settings.keep_alive_time, settings.keep_alive_timeout);
        let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&folder));
        let store = opened
            .await
            .context("opening the store was interrupted")??;
        match Rooms::open(settings, store.installation(), rooms_api_url).await {
            Ok(runtime) => Ok(Self {
                store,
                runtime,
                forwarders: Arc::new(GrpcForwarders::new(keep_alive)),
            }),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    pub fn parts(&self, settings: &Settings, io: tokio::runtime::Handle) -> NodeParts {
        NodeParts::new(
            Arc::new(Observed::new(self.store.clone())),
            Arc::new(CappedRuntime::new(
                self.runtime.port(),
                settings.rooms_per_node,
            )),
            self.forwarders.clone(),
            Arc::new(SystemClock::new()),
            settings.core.clone(),
            settings.actors_in_use(),
            io,
        )
    }

    /// Copies the store on request.
    pub fn backup(&self, settings: &Settings, io: tokio::runtime::Handle) -> Backup {
        backup::of(self.store.clone(), settings.data_dir.clone(), io)
    }

    /// After the actors: rooms stay as they are, the file is flushed and its lock given back.
    pub async fn close(self) {
        self.runtime.shutdown().await;
        self.store.close().await;
    }
}

impl Rooms {
    async fn open(
        settings: &Settings,
        installation: &str,
        rooms_api_url: String,
    ) -> anyhow::Result<Self> {
        if settings.runtime == RuntimeKind::Simulated {
            let mut simulated = settings.simulated.clone();
            simulated.default_ports = Some(settings.default_ports);
            let opened = SimulatedRuntime::open(simulated);
            let opened = opened.context("cannot write runtime.simulated.roomList")?;
            return Ok(Self::Simulated(opened));
        }
        let mut process = ProcessSettings::new(&settings.data_dir, installation);
        process.rooms_api_url = rooms_api_url;
        process.host.clone_from(&settings.room_host);
        process.default_ports = Some(settings.default_ports);
        let opened = tokio::task::spawn_blocking(move || ProcessRuntime::open(process));
        let runtime = opened
            .await
            .context("opening the runtime was interrupted")??;
        Ok(Self::Process(runtime))
    }

    fn port(&self) -> Arc<dyn Runtime> {
        match self {
            Self::Process(runtime) => runtime.clone(),
            Self::Simulated(runtime) => runtime.clone(),
        }
    }

    async fn shutdown(&self) {
        match self {
            Self::Process(runtime) => runtime.shutdown().await,
            Self::Simulated(runtime) => runtime.shutdown().await,
        }
    }
}
