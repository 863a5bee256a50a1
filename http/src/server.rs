//! The three servers, on sockets that the caller has bound (a taken port is an error of its start). A server serves
//! while it is polled; its handle's `stop(graceful)` ends it.
//!
//! Their workers parse and serialise. They await the calls of `maestro_api` and hold no client of anything.

use std::future::ready;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
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
use maestro_api::{ManagementApi, OperatorApi, RoomsApi};

use crate::connection::{Connection, ConnectionTimeouts, Progress};
use crate::crowd::Crowd;
use crate::gateway::{Gateway, Observers};
use crate::guard::{self, Guard, RefusedRequests, Step, Trusted};
use crate::internal::{InternalParts, MetricsPage, configure_debug, configure_internal};
use crate::openapi::configure_docs;
use crate::operator::configure_operator;
use crate::standby::configure_standby;

/// How long a connection that ended may take to say so.
const DISCONNECT_MAX: Duration = Duration::from_secs(1);

/// How a server runs.
#[derive(Debug)]
pub struct ServerSettings {
    /// Bound before the actors exist: rooms are told the rooms API's address.
    pub listener: TcpListener,
    /// Threads.
    pub workers: usize,
    /// How long requests under way may take to end once the server is stopped gracefully.
    pub shutdown_timeout: Duration,
    /// Most connections at a time. Before there are so many, those that have been idle for longest end; when all
    /// are busy, whoever comes waits until one has ended.
    pub connections_max: usize,
    /// With clients that send or read slowly, or nothing.
    pub timeouts: ConnectionTimeouts,
    /// Beside this machine.
    pub trusted: Trusted,
    /// Where requests that the guard refuses are counted.
    pub refused: RefusedRequests,
}

/// Serves the management API. With `debug`, `/debug/actors` is on it too (`api.debug.enabled`).
///
/// # Errors
/// When the socket cannot be listened on.
pub fn management(
    settings: ServerSettings,
    gateway: Gateway<dyn ManagementApi>,
    operator: Arc<dyn OperatorApi>,
    debug: bool,
) -> io::Result<Server> {
    let debug = debug.then(|| configure_debug(operator.clone(), &gateway));
    let operator = configure_operator(operator, &gateway);
    let stands_before = (guard::Server::Management, gateway.observers());
    bind(settings, stands_before, move |config| {
        if let Some(debug) = &debug {
            debug(config);
        }
        operator(config);
        configure_docs(config);
        gateway.configure(config);
    })
}

/// Serves the rooms API.
///
/// # Errors
/// When the socket cannot be listened on.
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
/// When the socket cannot be listened on.
pub fn internal(settings: ServerSettings, parts: InternalParts) -> io::Result<Server> {
    bind(settings, internally(), configure_internal(parts))
}

/// Serves the internal server of a process that hosts nothing.
///
/// # Errors
/// When the socket cannot be listened on.
pub fn standby(
    settings: ServerSettings,
    metrics: Option<MetricsPage>,
    health: bool,
) -> io::Result<Server> {
    bind(settings, internally(), configure_standby(metrics, health))
}

/// The HTTP metrics are those of the two APIs (contract 9).
fn internally() -> (guard::Server, Observers) {
    (guard::Server::Internal, Observers::default())
}

/// What actix-web's own `HttpServer` does, over connections that look after themselves ([`Connection`]) and behind a
/// [`Guard`]. Signals are the binary's: it stops the servers in order.
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
        // Whole seconds is all that it knows: a part of one is not cut to none.
        .shutdown_timeout(settings.shutdown_timeout.as_millis().div_ceil(1000) as u64)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let server = builder.listen("http", settings.listener, move || {
        let (configure, stopping) = (configure.clone(), stopping.clone());
        // Of this worker alone.
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

/// The answer of `app`, or of the guard before it.
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

/// actix-web waits for a client that reads nothing as long as it likes; the kernel does not have to. Connections
/// inherit this from the socket that they come in by.
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
