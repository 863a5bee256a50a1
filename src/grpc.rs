//! The life cycle of the gRPC server in this process. Its task is on the I/O runtime and ends in [`Grpc::stop`].

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context;
use maestro_api::{Apis, ManagerAccess};
use maestro_grpc::{Audience, Bounds, GrpcControl, GrpcServer, NodeSecret, NodeTls};
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::error;

/// How callers prove that they are nodes.
pub enum NodeProof {
    Secret(NodeSecret),
    Certificate(NodeTls),
    Both(NodeSecret, NodeTls),
}

impl NodeProof {
    /// `None`: they cannot, so that nobody may be served.
    pub fn of(secret: Option<NodeSecret>, tls: Option<NodeTls>) -> Option<Self> {
        match (secret, tls) {
            (None, None) => None,
            (Some(secret), None) => Some(Self::Secret(secret)),
            (None, Some(tls)) => Some(Self::Certificate(tls)),
            (Some(secret), Some(tls)) => Some(Self::Both(secret, tls)),
        }
    }
}

/// A running gRPC server.
pub struct Grpc {
    control: GrpcControl,
    running: JoinHandle<io::Result<()>>,
}

impl Grpc {
    /// Serves from here on; health reports it only after [`Self::ready`].
    ///
    /// # Errors
    /// If the server cannot be built.
    pub async fn start(
        listener: TcpListener,
        connections_max: usize,
        registry: &Registry,
        apis: Apis,
        (audience, access): (Audience, ManagerAccess),
        io: &Handle,
    ) -> anyhow::Result<Self> {
        let bounds = Bounds::new(connections_max);
        let server = GrpcServer::new(listener, bounds, registry, apis, audience).await;
        let server = server.context("cannot serve gRPC")?;
        Ok(Self::run(server.managed_by(access), io))
    }

    /// Serves other nodes, which prove that they are some. `registry` is not that of the public server, which has
    /// families of the same names.
    ///
    /// # Errors
    /// If the server cannot be built.
    pub async fn start_for_nodes(
        listener: TcpListener,
        connections_max: usize,
        registry: &Registry,
        apis: Apis,
        proof: NodeProof,
        io: &Handle,
    ) -> anyhow::Result<Self> {
        let (bounds, audience) = (Bounds::new(connections_max), Audience::Nodes);
        let server = GrpcServer::new(listener, bounds, registry, apis, audience).await;
        let server = server.context("cannot serve other nodes")?;
        let server = match proof {
            NodeProof::Secret(secret) => server.for_those_who_know(secret),
            NodeProof::Certificate(tls) => server.for_certified(tls),
            NodeProof::Both(secret, tls) => server.for_those_who_know(secret).for_certified(tls),
        };
        Ok(Self::run(server, io))
    }

    fn run(server: GrpcServer, io: &Handle) -> Self {
        let control = server.control();
        let running = io.spawn(server.run());
        Self { control, running }
    }

    /// Health reports `SERVING`.
    pub async fn ready(&self) {
        self.control.ready().await;
    }

    /// Health reports `NOT_SERVING`; calls are still answered.
    pub async fn closing(&self) {
        self.control.closing().await;
    }

    /// Running calls end within `grace`, or are cut off.
    pub async fn stop(self, grace: Duration) {
        let running = async {
            if let Ok(Err(error)) = self.running.await {
                error!(%error, "the gRPC server ended with an error");
            }
        };
        self.control.stop(grace, running).await;
    }
}
