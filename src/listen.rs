//! The addresses that this process listens on.

use crate::module::{Duties, Module};
use crate::settings::{Listen, Settings};
use anyhow::{Context, bail};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long a port may be in use at the start, and how often it is retried.
const TAKEN_FOR: Duration = Duration::from_secs(2);
const TAKEN_LOOK: Duration = Duration::from_millis(10);

/// The servers' addresses, as URLs; `None` for those that this module does not serve.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub management: Option<String>,
    pub rooms: Option<String>,
    pub internal: String,
    pub grpc: Option<String>,
    /// Identifies this installation's room processes.
    pub installation: String,
}

/// All listeners of a process.
pub struct Listeners {
    pub http: HttpListeners,
    pub grpc: Option<TcpListener>,
    /// For calls of other nodes.
    pub nodes: Option<TcpListener>,
}

impl Listeners {
    /// # Errors
    /// If an address is not available; the error names it and says what to do.
    pub async fn bind(settings: &Settings, duties: &Duties) -> anyhow::Result<Self> {
        let rooms = match duties.module {
            Module::RoomsApi if duties.rooms.as_ref() == Some(&settings.api) => "api",
            _ => "roomsApi",
        };
        Ok(Self {
            http: HttpListeners {
                management: listen_if("api", &duties.management).await?,
                rooms: listen_if(rooms, &duties.rooms).await?,
                internal: listen("internalApi", &settings.internal_api).await?,
            },
            grpc: listen_if("grpc", &duties.grpc).await?,
            nodes: match &settings.nodes.listen {
                Some(address) => Some(listen_to_nodes(address).await?),
                None => None,
            },
        })
    }

    /// # Errors
    /// If the address of a listener cannot be read.
    pub fn addresses(&self, installation: &str) -> anyhow::Result<Addresses> {
        let url = |listener: &Option<TcpListener>| listener.as_ref().map(url_of).transpose();
        Ok(Addresses {
            management: url(&self.http.management)?,
            rooms: url(&self.http.rooms)?,
            internal: url_of(&self.http.internal)?,
            grpc: url(&self.grpc)?,
            installation: installation.to_owned(),
        })
    }
}

pub struct HttpListeners {
    pub management: Option<TcpListener>,
    pub rooms: Option<TcpListener>,
    pub internal: TcpListener,
}

/// Where a room on this machine finds the rooms API that another process of it serves.
pub fn rooms_api_of_this_machine(rooms: &Listen) -> String {
    let host = match rooms.host.trim_matches(['[', ']']) {
        "::" | "0.0.0.0" => "127.0.0.1",
        _ => &rooms.host,
    };
    format!("http://{host}:{}", rooms.port)
}

async fn listen_if(what: &str, wanted: &Option<Listen>) -> anyhow::Result<Option<TcpListener>> {
    match wanted {
        Some(wanted) => Ok(Some(listen(what, wanted).await?)),
        None => Ok(None),
    }
}

/// # Errors
/// If the address is not available; the error names it and says what to do.
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
        let bound = TcpListener::bind(address).or_else(|error| match address {
            // All interfaces of a machine without IPv6.
            SocketAddr::V6(all)
                if all.ip().is_unspecified() && error.kind() != ErrorKind::AddrInUse =>
            {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).map_err(|_| error)
            }
            _ => Err(error),
        });
        match bound {
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
        // That of IPv6 takes connections of IPv4 too.
        _ if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    Ok(format!("http://{host}:{}", address.port()))
}
