//! The server: services, reflection and health on one port.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use maestro_api::{Apis, ManagerAccess};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::api::control_service_server::ControlServiceServer;
use crate::api::fleet_service_server::FleetServiceServer;
use crate::api::operations_service_server::OperationsServiceServer;
use crate::api::operator_service_server::OperatorServiceServer;
use crate::api::resource_metrics_service_server::ResourceMetricsServiceServer;
use crate::api::rooms_service_server::RoomsServiceServer;
use crate::api::runtime_service_server::RuntimeServiceServer;
use crate::api::schedulers_service_server::SchedulersServiceServer;
use crate::api::version_service_server::VersionServiceServer;
use crate::call::{Calls, MESSAGE_MAX, Metrics};
use crate::connections::{Bounds, incoming};
use crate::crowd::{STREAMS_MAX, TURNS_MAX};
use crate::identity::NodeSecret;
use crate::manager::{ResourceMetrics, Runtimes, Versions};
use crate::pings::{Pings, wire::ping_service_server::PingServiceServer};
use crate::services::{Audience, Control, Fleet, Operations, Operator, Rooms, Schedulers};
use crate::tls::NodeTls;
use crate::{
    API_DESCRIPTORS, PUBLIC_DESCRIPTORS, RESOURCES_DESCRIPTORS, RUNTIME_DESCRIPTORS,
    VERSION_DESCRIPTORS,
};

/// Concurrent calls per connection, of both kinds; further calls wait at the client.
const CALLS_MAX: u32 = (TURNS_MAX + STREAMS_MAX) as u32;
/// Maximum size of a call's headers in bytes.
const HEAD_MAX: u32 = 16 << 10;
/// A connection whose peer does not answer a keep-alive ping is closed after both intervals.
const PROBE_EVERY: Duration = Duration::from_secs(30);
const PROBE_ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// What a ping between nodes has beside the room's metadata.
const PING_MORE: usize = 1 << 10;

/// The names that the health service knows: the whole server, and each service.
fn health_names(audience: Audience) -> &'static [&'static str] {
    const ALL: [&str; 9] = [
        "",
        "resourcemetrics.ResourceMetricsService",
        "runtime.RuntimeService",
        "version.VersionService",
        "maestro.v1.FleetService",
        "maestro.v1.OperatorService",
        "api.v1.SchedulersService",
        "api.v1.OperationsService",
        "api.v1.RoomsService",
    ];
    match audience {
        Audience::Public(_) | Audience::Nodes => &ALL,
        Audience::Manager => &ALL[..4],
    }
}

/// A bound server. It serves while [`GrpcServer::run`] is polled.
pub struct GrpcServer {
    listener: TcpListener,
    bounds: Bounds,
    calls: Calls,
    tls: Option<NodeTls>,
    health: HealthReporter,
    control: GrpcControl,
}

/// Shuts a running server down in two steps, and sets what its health service reports.
#[derive(Clone)]
pub struct GrpcControl {
    health: HealthReporter,
    names: &'static [&'static str],
    drain: CancellationToken,
    cut: CancellationToken,
}

impl GrpcServer {
    /// Serves `apis`, the implementations that HTTP also calls, with the calls that `audience` may make. The health
    /// service reports `NOT_SERVING` until [`GrpcControl::ready`].
    ///
    /// # Errors
    /// Fails when the descriptors for reflection are damaged or the metrics are registered already. Both are defects.
    pub async fn new(
        listener: TcpListener,
        bounds: Bounds,
        registry: &Registry,
        apis: Apis,
        audience: Audience,
    ) -> io::Result<Self> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let control = GrpcControl {
            health: health.clone(),
            names: health_names(audience),
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        control.say(ServingStatus::NotServing).await;
        let routes = routes(apis, audience, control.drain.clone())?
            .add_service(health_service.max_decoding_message_size(MESSAGE_MAX))
            .prepare();
        Ok(Self {
            listener,
            bounds,
            calls: Calls {
                routes,
                audience,
                access: ManagerAccess::default(),
                secret: None,
                by_certificate: false,
                metrics: Metrics::register(registry, audience).map_err(io::Error::other)?,
            },
            tls: None,
            health,
            control,
        })
    }

    /// Takes orders of the K8s manager from those who may give them; otherwise only callers on this machine may.
    pub fn managed_by(mut self, access: ManagerAccess) -> Self {
        self.calls.access = access;
        self
    }

    /// Answers only callers that know this secret. Others are refused before anything of their call is read.
    pub fn for_those_who_know(mut self, secret: NodeSecret) -> Self {
        self.calls.secret = Some(secret);
        self
    }

    /// Answers only callers with a certificate of the nodes' authority. One without TLS is told what to do.
    pub fn for_certified(mut self, tls: NodeTls) -> Self {
        self.tls = Some(tls);
        self.calls.by_certificate = true;
        self
    }

    /// The handle that shuts the server down; it stays valid while the server runs.
    pub fn control(&self) -> GrpcControl {
        self.control.clone()
    }

    /// Serves until the server has been stopped and its last connection has closed.
    ///
    /// # Errors
    /// When the socket cannot be listened on.
    pub async fn run(self) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let GrpcControl {
            drain, cut, names, ..
        } = self.control;
        // Bound to a local first: health streams end when their senders are dropped.
        let health = self.health;
        let signal = async move {
            drain.cancelled().await;
            let mut health = health;
            for name in names {
                health.clear_service_status(name).await;
            }
        };
        let connections = incoming(listener, cut, self.bounds, self.tls);
        Server::builder()
            .max_concurrent_streams(CALLS_MAX)
            .http2_max_header_list_size(HEAD_MAX)
            .http2_keepalive_interval(Some(PROBE_EVERY))
            .http2_keepalive_timeout(Some(PROBE_ANSWERED_WITHIN))
            .serve_with_incoming_shutdown(self.calls, connections, signal)
            .await
            .map_err(io::Error::other)
    }
}

/// The services of this audience, and reflection, which describes only the public ones.
/// `drain` ends the streams of pings.
pub fn routes(apis: Apis, audience: Audience, drain: CancellationToken) -> io::Result<Routes> {
    let reflection = || {
        let all = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(RESOURCES_DESCRIPTORS)
            .register_encoded_file_descriptor_set(RUNTIME_DESCRIPTORS)
            .register_encoded_file_descriptor_set(VERSION_DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        match audience {
            Audience::Manager => all,
            Audience::Public(_) | Audience::Nodes => all
                .register_encoded_file_descriptor_set(API_DESCRIPTORS)
                .register_encoded_file_descriptor_set(PUBLIC_DESCRIPTORS),
        }
    };
    let v1 = reflection().build_v1().map_err(io::Error::other)?;
    let v1alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
    let metrics = ResourceMetricsServiceServer::new(ResourceMetrics(apis.metrics.clone()));
    let runtimes = RuntimeServiceServer::new(Runtimes(apis.runtimes.clone()));
    let versions = VersionServiceServer::new(Versions(apis.versions.clone()));
    let routes = Routes::new(metrics.max_decoding_message_size(MESSAGE_MAX))
        .add_service(runtimes.max_decoding_message_size(MESSAGE_MAX))
        .add_service(versions.max_decoding_message_size(MESSAGE_MAX))
        .add_service(v1.max_decoding_message_size(MESSAGE_MAX))
        .add_service(v1alpha.max_decoding_message_size(MESSAGE_MAX));
    Ok(match audience {
        Audience::Manager => routes,
        Audience::Public(_) => of_maestro(routes, apis),
        Audience::Nodes => {
            let control = ControlServiceServer::new(Control(apis.operator.clone()));
            let pings = PingServiceServer::new(Pings {
                rooms: apis.rooms.clone(),
                drain,
            });
            of_maestro(routes, apis)
                .add_service(control.max_decoding_message_size(MESSAGE_MAX))
                .add_service(pings.max_decoding_message_size(MESSAGE_MAX + PING_MORE))
        }
    })
}

/// Adds the services of the contract, and our own.
fn of_maestro(routes: Routes, apis: Apis) -> Routes {
    let schedulers = SchedulersServiceServer::new(Schedulers(apis.management.clone()));
    let operations = OperationsServiceServer::new(Operations(apis.management.clone()));
    let fleet = FleetServiceServer::new(Fleet(apis.management));
    let rooms = RoomsServiceServer::new(Rooms(apis.rooms));
    let reads = OperatorServiceServer::new(Operator(apis.operator));
    routes
        .add_service(schedulers.max_decoding_message_size(MESSAGE_MAX))
        .add_service(operations.max_decoding_message_size(MESSAGE_MAX))
        .add_service(rooms.max_decoding_message_size(MESSAGE_MAX))
        .add_service(fleet.max_decoding_message_size(MESSAGE_MAX))
        .add_service(reads.max_decoding_message_size(MESSAGE_MAX))
}

impl GrpcControl {
    /// The health service reports `SERVING` from here on.
    pub async fn ready(&self) {
        self.say(ServingStatus::Serving).await;
    }

    /// The health service reports `NOT_SERVING` from here on; calls are still answered.
    pub async fn closing(&self) {
        self.say(ServingStatus::NotServing).await;
    }

    /// Accepts no new connections or calls. Calls in progress get `grace` to end, then they are cut off; after that
    /// `run` returns.
    pub async fn stop(&self, grace: Duration, running: impl Future<Output = ()>) {
        self.drain.cancel();
        let mut running = std::pin::pin!(running);
        if tokio::time::timeout(grace, running.as_mut()).await.is_err() {
            self.cut.cancel();
            running.await;
        }
    }

    async fn say(&self, status: ServingStatus) {
        for name in self.names {
            self.health.set_service_status(*name, status).await;
        }
    }
}

#[cfg(test)]
mod tests;
