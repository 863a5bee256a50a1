//! The three servers, on sockets that the caller has bound, so that a taken port is an error at startup. A server runs
//! while it is polled; `stop(graceful)` on its handle ends it.
//!
//! Workers parse and serialize. They await calls of `maestro_api` and hold no clients of other services.

use std::future::ready;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix_http::{HttpService, Request, Response};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_web::App;
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::rt::net::TcpStream;
use actix_web::web::ServiceConfig;
use maestro_api::{ManagementApi, OperatorApi, ResourceMetricsApi, RoomsApi};

use crate::connection::{Connection, ConnectionTimeouts};
use crate::crowd::Crowd;
use crate::gateway::{Gateway, Observers};
use crate::guard::{self, Guard, RefusedRequests, Step, Trusted};
use crate::internal::{InternalParts, configure_debug, configure_internal};
use crate::openapi::configure_docs;
use crate::operator::configure_operator;
use crate::progress::Progress;
use crate::resources::configure_resources;
use crate::runtimes::{RuntimeParts, configure_runtimes};
use crate::versions::{VersionParts, configure_versions};
use crate::waiting::{configure_refusing, configure_waiting, configure_watched};

/// How long the shutdown of a connection may take.
const DISCONNECT_MAX: Duration = Duration::from_secs(1);

/// Settings of a server.
#[derive(Debug)]
pub struct ServerSettings {
    /// Bound before the actors exist, because rooms are given the address of the rooms API.
    pub listener: TcpListener,
    /// Number of worker threads.
    pub workers: usize,
    /// How long requests in progress may take to end during a graceful stop.
    pub shutdown_timeout: Duration,
    /// Maximum number of open connections. When it is nearly reached, the connections that have been idle longest are
    /// closed; if all are busy, new clients wait until one has closed.
    pub connections_max: usize,
    /// Timeouts for clients that send or read slowly, or not at all.
    pub timeouts: ConnectionTimeouts,
    /// Hosts and origins that are trusted in addition to this machine.
    pub trusted: Trusted,
    /// Counter of the requests that the guard refuses.
    pub refused: RefusedRequests,
}

/// What the management API serves beside the contract's calls.
#[derive(Clone)]
pub struct ManagementParts {
    /// Calls for operators.
    pub operator: Arc<dyn OperatorApi>,
    /// What the rooms of a version use.
    pub metrics: Arc<dyn ResourceMetricsApi>,
    /// Runtimes.
    pub runtimes: RuntimeParts,
    /// Orders about versions.
    pub versions: VersionParts,
    /// Whether it also serves `/debug/actors` (`api.debug.enabled`).
    pub debug: bool,
}

/// Serves the management API.
///
/// # Errors
/// Fails when it cannot listen on the socket.
pub fn management(
    settings: ServerSettings,
    gateway: Gateway<dyn ManagementApi>,
    parts: ManagementParts,
) -> io::Result<Server> {
    let ManagementParts {
        operator,
        metrics,
        runtimes,
        versions,
        debug,
    } = parts;
    let debug = debug.then(|| configure_debug(operator.clone(), &gateway));
    let versions = configure_versions(versions, operator.clone(), &gateway);
    let operator = configure_operator(operator, &gateway);
    let resources = configure_resources(metrics, &gateway);
    let runtimes = configure_runtimes(runtimes, &gateway);
    let stands_before = (guard::Server::Management, gateway.observers());
    bind(settings, stands_before, move |config| {
        if let Some(debug) = &debug {
            debug(config);
        }
        operator(config);
        resources(config);
        runtimes(config);
        versions(config);
        configure_docs(config);
        gateway.configure(config);
    })
}

/// Serves the rooms API.
///
/// # Errors
/// Fails when it cannot listen on the socket.
pub fn rooms(settings: ServerSettings, gateway: Gateway<dyn RoomsApi>) -> io::Result<Server> {
    let stands_before = (guard::Server::Rooms, gateway.observers());
    bind(settings, stands_before, move |config| {
        configure_docs(config);
        gateway.configure(config);
    })
}

/// Serves the internal server.
///
/// # Errors
/// Fails when it cannot listen on the socket.
pub fn internal(settings: ServerSettings, parts: InternalParts) -> io::Result<Server> {
    bind(settings, internally(), configure_internal(parts))
}

/// Serves the internal server of a process that waits for its stores.
///
/// # Errors
/// Fails when it cannot listen on the socket.
pub fn waiting(settings: ServerSettings, health: bool) -> io::Result<Server> {
    bind(settings, internally(), configure_waiting(health))
}

/// Serves the internal server of a process that has nothing else to serve.
///
/// # Errors
/// Fails when it cannot listen on the socket.
pub fn watched(settings: ServerSettings, ready: Arc<AtomicBool>) -> io::Result<Server> {
    bind(settings, internally(), configure_watched(ready))
}

/// Serves an API of a process that waits for its stores: all calls are refused with 503.
///
/// # Errors
/// Fails when it cannot listen on the socket.
pub fn refusing(settings: ServerSettings) -> io::Result<Server> {
    bind(settings, internally(), configure_refusing)
}

/// Without observers: the HTTP metrics cover only the two APIs (contract 9).
fn internally() -> (guard::Server, Observers) {
    (guard::Server::Internal, Observers::default())
}

/// Does what actix-web's own `HttpServer` does, with connections that enforce their own timeouts ([`Connection`]) and
/// behind a [`Guard`]. The binary handles signals: it stops the servers in order.
fn bind(
    settings: ServerSettings,
    (server, observers): (guard::Server, Observers),
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let workers = settings.workers.max(1);
    bound_unread(&settings.listener, settings.timeouts.unread)?;
    let address = settings.listener.local_addr()?;
    let timeouts = settings.timeouts;
    let places = settings.connections_max.div_ceil(workers).max(1);
    let loopback = address.ip().to_canonical().is_loopback();
    let counted = (server, &settings.refused);
    let guard = Arc::new(Guard::new(settings.trusted, loopback, counted, observers));
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(places)
        // actix only accepts whole seconds; rounded up, so that a fraction does not become zero.
        .shutdown_timeout(settings.shutdown_timeout.as_millis().div_ceil(1000) as u64)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let server = builder.listen("http", settings.listener, move || {
        let (configure, stopping) = (configure.clone(), stopping.clone());
        // Each worker has its own.
        let (guard, crowd) = (guard.clone(), Rc::new(Crowd::new(places)));
        let app = App::new().configure(configure).into_factory();
        let app = app.map_err(|error| error.error_response());
        let app = map_config(app, |()| AppConfig::default());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(timeouts.between)
            .client_request_timeout(timeouts.head)
            .client_disconnect_timeout(DISCONNECT_MAX)
            .local_addr(address)
            .on_connect_ext(|connection: &Connection, data: &mut _| connection.introduce(data))
            .h1(apply_fn_factory(app, move |request: Request, app: &_| {
                let progress = Progress::of(&request);
                Progress::during(progress, guarded(&guard, request, app))
            }));
        fn_service(move |io: TcpStream| {
            let peer = io.peer_addr().ok();
            ready(Ok((Connection::new(io, timeouts, &crowd), peer)))
        })
        .and_then(http)
    })?;
    Ok(server.run())
}

/// The response of `app`, or of the guard in front of it.
fn guarded<S>(
    guard: &Guard,
    mut request: Request,
    app: &S,
) -> impl Future<Output = Result<Response<BoxBody>, S::Error>> + use<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>>,
    S::Error: Into<Response<BoxBody>>,
{
    let step = match guard.admit(&mut request) {
        Step::Serve(marks) => Ok((app.call(request), marks)),
        Step::Answer(answer) => Err(answer),
    };
    async move {
        match step {
            Ok((answer, marks)) => {
                let mut answer = answer.await.map_or_else(Into::into, Response::from);
                marks.put(answer.headers_mut());
                Ok(answer)
            }
            Err(answer) => Ok(answer),
        }
    }
}

/// Limits how long unread data may stay in the send buffer: actix-web itself waits indefinitely for a client that does
/// not read. Accepted connections inherit the option from the listening socket.
#[cfg(target_os = "linux")]
fn bound_unread(listener: &TcpListener, at_most: Duration) -> io::Result<()> {
    let millis = u32::try_from(at_most.as_millis()).unwrap_or(u32::MAX);
    Ok(rustix::net::sockopt::set_tcp_user_timeout(
        listener, millis,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn bound_unread(_: &TcpListener, _: Duration) -> io::Result<()> {
    Ok(())
}
