//! The three servers, on sockets that the caller has bound (a taken port is an error of its start); run by the caller.
//!
//! Their workers parse and serialise. They await the actors through a node's handles and hold no client of anything.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use maestro_actors::Node;

use crate::gateway::{Gateway, ManagementApi, RoomsApi};
use crate::internal::{InternalParts, MetricsPage, configure_debug, configure_internal};
use crate::openapi::configure_docs;
use crate::operator::configure_operator;
use crate::standby::configure_standby;

/// Longer than the 30 seconds between two pings of a room, so that rooms keep their connections.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// How long a client may leave unread what was sent to it, before its connection ends.
const UNREAD_MAX: Duration = Duration::from_secs(30);

/// How a server runs.
#[derive(Debug)]
pub struct ServerSettings {
    /// Bound before the actors exist: rooms are told the rooms API's address.
    pub listener: TcpListener,
    /// Threads.
    pub workers: usize,
    /// How long requests under way may take to end once the server is stopped gracefully.
    pub shutdown_timeout: Duration,
    /// Most connections at a time. Whoever comes then waits until another one has ended.
    pub connections_max: usize,
}

/// A server that holds its port. It serves while `server` is polled; `server.handle().stop(graceful)` ends it.
pub struct BoundServer {
    /// Where it listens: the port is a real one where 0 was asked for.
    pub addresses: Vec<SocketAddr>,
    pub server: Server,
}

/// Serves the management API. With `debug`, `/debug/actors` is on it too (`api.debug.enabled`).
///
/// # Errors
/// When the socket cannot be listened on.
pub fn management(
    settings: ServerSettings,
    gateway: Gateway<dyn ManagementApi>,
    node: Node,
    debug: bool,
) -> io::Result<BoundServer> {
    let operator = configure_operator(node.clone());
    let debug = debug.then(|| configure_debug(node));
    bind(settings, move |config| {
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
pub fn rooms(settings: ServerSettings, gateway: Gateway<dyn RoomsApi>) -> io::Result<BoundServer> {
    bind(settings, move |config| {
        configure_docs(config);
        gateway.configure(config);
    })
}

/// Serves the internal server.
///
/// # Errors
/// When the socket cannot be listened on.
pub fn internal(settings: ServerSettings, parts: InternalParts) -> io::Result<BoundServer> {
    bind(settings, configure_internal(parts))
}

/// Serves the internal server of a process that hosts nothing.
///
/// # Errors
/// When the socket cannot be listened on.
pub fn standby(
    settings: ServerSettings,
    metrics: Option<MetricsPage>,
    health: bool,
) -> io::Result<BoundServer> {
    bind(settings, configure_standby(metrics, health))
}

/// Signals are the binary's: it stops the servers in order.
fn bind(
    settings: ServerSettings,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<BoundServer> {
    let workers = settings.workers.max(1);
    bound_unread(&settings.listener)?;
    let server = HttpServer::new(move || App::new().configure(configure.clone()))
        .workers(workers)
        .max_connections(settings.connections_max.div_ceil(workers).max(1))
        .keep_alive(KEEP_ALIVE)
        // Whole seconds is all that it knows: a part of one is not cut to none.
        .shutdown_timeout(settings.shutdown_timeout.as_millis().div_ceil(1000) as u64)
        .disable_signals()
        .listen(settings.listener)?;
    Ok(BoundServer {
        addresses: server.addrs(),
        server: server.run(),
    })
}

/// actix-web waits for a client that reads nothing as long as it likes; the kernel does not have to. Connections inherit
/// this from the socket that they come in by.
#[cfg(target_os = "linux")]
fn bound_unread(listener: &TcpListener) -> io::Result<()> {
    let millis = u32::try_from(UNREAD_MAX.as_millis()).unwrap_or(u32::MAX);
    Ok(rustix::net::sockopt::set_tcp_user_timeout(
        listener, millis,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn bound_unread(_: &TcpListener) -> io::Result<()> {
    Ok(())
}
