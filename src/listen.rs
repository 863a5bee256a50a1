//! The addresses that this process listens on.

use crate::settings::{Listen, Settings};
use anyhow::{Context, bail};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long a port may be in use at the start, and how often it is retried.
const TAKEN_FOR: Duration = Duration::from_secs(2);
const TAKEN_LOOK: Duration = Duration::from_millis(10);

/// The servers' addresses, as URLs.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub management: String,
    pub rooms: String,
    pub internal: String,
    pub grpc: String,
    /// Identifies this installation's room processes.
    pub installation: String,
}

/// All listeners of a process that runs every module.
pub struct Listeners {
    pub http: HttpListeners,
    pub grpc: TcpListener,
    /// For calls of other nodes.
    pub nodes: Option<TcpListener>,
}

impl Listeners {
    /// # Errors
    /// If an address is not available; the error names it and says what to do.
    pub async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            http: HttpListeners {
                management: listen("api", &settings.api).await?,
                rooms: listen("roomsApi", &settings.rooms_api).await?,
                internal: listen("internalApi", &settings.internal_api).await?,
            },
            grpc: listen("grpc", &settings.grpc).await?,
            nodes: match &settings.nodes.listen {
                Some(address) => Some(listen_to_nodes(address).await?),
                None => None,
            },
        })
    }

    /// # Errors
    /// If the address of a listener cannot be read.
    pub fn addresses(&self, installation: &str) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            management: url_of(&self.http.management)?,
            rooms: url_of(&self.http.rooms)?,
            internal: url_of(&self.http.internal)?,
            grpc: url_of(&self.grpc)?,
            installation: installation.to_owned(),
        })
    }
}

pub struct HttpListeners {
    pub management: TcpListener,
    pub rooms: TcpListener,
    pub internal: TcpListener,
}

/// # Errors
/// If an address is not available; the error names it and says what to do.
pub async fn listen(what: &str, listen: &Listen) -> anyhow::Result<TcpListener> {
    let Listen { host, port } = listen;
    let address =
        resolve(host, *port).with_context(|| format!("{what}.host {host:?} is no address"))?;
    match bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) => {
            let variable = what.to_ascii_uppercase();
            bail!(
                "{what} cannot listen on {address}: {error}; choose another port with MAESTRO_{variable}_PORT"
            )
        }
    }
}

async fn listen_to_nodes(Listen { host, port }: &Listen) -> anyhow::Result<TcpListener> {
    let address =
        resolve(host, *port).with_context(|| format!("cluster.listen: {host:?} is no address"))?;
    let bound = bind(address).await;
    bound.with_context(|| {
        format!(
            "cluster.listen cannot listen on {address}; choose another with MAESTRO_CLUSTER_LISTEN"
        )
    })
}

/// A process that was killed while spawning a room leaves its listeners to the child for a moment, until that executes
/// its program: so a port in use is retried.
async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let until = Instant::now() + TAKEN_FOR;
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => {
                tokio::time::sleep(TAKEN_LOOK).await;
            }
            result => return result,
        }
    }
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let mut found = (host.trim_matches(['[', ']']), port).to_socket_addrs()?;
    found
        .next()
        .ok_or_else(|| io::Error::from(ErrorKind::AddrNotAvailable))
}

/// # Errors
/// If the listener's address cannot be read.
pub fn url_of(listener: &TcpListener) -> anyhow::Result<String> {
    let address = listener
        .local_addr()
        .context("a listener without an address")?;
    // Rooms and people on this machine cannot connect to the unspecified address.
    let host = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => "[::1]".to_owned(),
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    Ok(format!("http://{host}:{}", address.port()))
}
