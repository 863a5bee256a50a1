//! One address of a forwarder: its connection, opened on first use, and a short back-off after each failed attempt to
//! connect.

use super::keep_alive::KeepAlive;
use super::leased::Leased;
use hyper_util::rt::TokioIo;
use maestro_core::rules::back_off::BackOff;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint, Uri};

/// Time limit of one attempt to connect, whatever the timeouts of the calls that wait for it.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The back-off after the first failed attempt; it doubles up to `REST_MAX`.
const REST_FIRST: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(1);

pub(super) struct Member {
    pub addr: SocketAddr,
    /// For error messages: the forwarder's address, followed by this one if the former is a name.
    pub label: String,
    pub channel: Channel,
    health: Arc<Health>,
    /// Closes the connections when it is dropped.
    _lease: DropGuard,
}

#[derive(Default)]
struct Health(Mutex<Option<Down>>);

#[derive(Clone)]
struct Down {
    until: Instant,
    rests: BackOff,
    cause: String,
}

impl Member {
    /// Opens no connection yet. `origin` is the address as the scheduler configures it, for the `:authority` header.
    pub fn new(addr: SocketAddr, origin: &str, keep_alive: KeepAlive) -> Result<Self, String> {
        let uri = format!("http://{origin}");
        let endpoint = Endpoint::from_shared(uri).map_err(|why| why.to_string())?;
        let endpoint = endpoint
            .http2_keep_alive_interval(keep_alive.time)
            .keep_alive_timeout(keep_alive.timeout);
        let label = match addr.to_string() {
            same if same == origin => same,
            other => format!("{origin} ({other})"),
        };
        let health = Arc::new(Health::default());
        let (noted, name) = (health.clone(), label.clone());
        let lease = CancellationToken::new();
        let over = lease.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let (health, name, over) = (noted.clone(), name.clone(), over.clone());
            async move {
                let stream = connect(addr, &name, &health).await?;
                let leased = Leased::new(stream, over.cancelled_owned());
                Ok::<_, std::io::Error>(TokioIo::new(leased))
            }
        });
        Ok(Self {
            addr,
            label,
            channel: endpoint.connect_with_connector_lazy(connector),
            health,
            _lease: lease.drop_guard(),
        })
    }

    /// The last failure if this address is backing off from it.
    pub fn resting(&self) -> Option<String> {
        let down = self.health.0.lock();
        let down = down.as_ref().filter(|down| Instant::now() < down.until);
        down.map(|down| down.cause.clone())
    }
}

async fn connect(addr: SocketAddr, name: &str, health: &Health) -> std::io::Result<TcpStream> {
    let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(addr)).await;
    let why = match connected {
        Ok(Ok(stream)) => {
            *health.0.lock() = None;
            stream.set_nodelay(true)?;
            return Ok(stream);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {CONNECT_MAX:?}"),
    };
    let cause = format!("cannot connect to {name}: {why}");
    let mut down = health.0.lock();
    let before = down.as_ref().map(|before| before.rests);
    let mut rests = before.unwrap_or(BackOff::new(REST_FIRST, REST_MAX));
    let until = Instant::now() + rests.pause();
    *down = Some(Down {
        until,
        rests,
        cause: cause.clone(),
    });
    Err(std::io::Error::other(cause))
}
