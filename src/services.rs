//! The APIs of this node, by who calls them.

use crate::compose::Adapters;
use crate::settings::Settings;
use maestro_actors::Node;
use maestro_api::{
    Apis, ResourcesService, RuntimesService, RuntimesUntilDone, UntilDone, VersionsService, Waits,
    owned, routed,
};
use maestro_grpc::GrpcPeers;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Must be closed before the actors are ([`Self::close`]).
pub struct Services {
    /// For everybody: calls reach the owner, wherever it runs.
    pub public: Apis,
    /// Orders about versions, answered when they are carried out.
    pub until_done: Arc<UntilDone>,
    /// For other nodes: calls are answered where the owner runs here.
    pub nodes: Apis,
    resources: Arc<ResourcesService>,
    versions: Arc<VersionsService>,
    waits: Waits,
}

impl Services {
    /// `rooms_api_url` is what callers are told who ask where rooms are given.
    pub fn of(
        settings: &Settings,
        node: &Node,
        adapters: &Adapters,
        peers: Arc<GrpcPeers>,
        rooms_api_url: String,
        io: &Handle,
    ) -> Self {
        let resources = Arc::new(ResourcesService::new(
            node.clone(),
            adapters.metrics(),
            settings.resources.for_api(),
            io.clone(),
        ));
        let versions = VersionsService::new(node.clone(), rooms_api_url, io.clone());
        let versions = Arc::new(versions);
        let backup = adapters.backup(settings, io.clone());
        let runtimes = RuntimesService::new(node.clone(), settings.runtimes.status_timeout);
        let local = Apis::of(
            node,
            backup,
            resources.clone(),
            Arc::new(runtimes),
            versions.clone(),
        );
        let mut public = routed(node, local.clone(), peers);
        if settings.resources_known_everywhere() {
            public.metrics = local.metrics.clone();
        }
        let waits = Waits::new(node.clone());
        let runtimes = RuntimesUntilDone::new(waits.clone(), public.runtimes);
        public.runtimes = Arc::new(runtimes);
        let until_done = UntilDone::new(waits.clone(), public.versions.clone());
        Self {
            public,
            until_done: Arc::new(until_done),
            nodes: owned(node, local),
            resources,
            versions,
            waits,
        }
    }

    /// Ends watches, and the waits for operations.
    pub async fn close(&self) {
        self.waits.close();
        self.versions.close().await;
        self.resources.close().await;
    }
}
