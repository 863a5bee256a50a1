//! A network between a program and its server that fails: it holds up, loses or resets what passes (loopback TCP).
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// The size of one piece that passes.
const PIECE: usize = 16 * 1024;

/// What the network does to everything that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// It passes at once.
    Works,
    /// Each piece passes after this time.
    Delays(Duration),
    /// Nothing passes until this is over; then what was sent meanwhile arrives.
    Holds,
    /// What is sent never arrives, and neither side hears of it: a connection that has lost something stays silent.
    Loses,
    /// Connections are reset, and so are new ones.
    Resets,
}

/// Listens on a loopback port, and passes everything on to one server.
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    server: watch::Sender<String>,
    task: AbortHandle,
}

impl Proxy {
    /// `server` is `host:port`. It need not listen yet.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, seen) = watch::channel(Network::Works);
        let (server, led) = watch::channel(server.to_owned());
        let task = tokio::spawn(serve(listener, led, seen));
        Self {
            address,
            network,
            server,
            task: task.abort_handle(),
        }
    }

    /// `host:port`, to be called instead of the server.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Changes the network, also for connections that exist.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// Leads new connections to another server, as a name does after a fail-over. Those that exist stay where they are.
    pub fn lead_to(&self, server: &str) {
        self.server.send_replace(server.to_owned());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The connections end with this task.
async fn serve(
    listener: TcpListener,
    server: watch::Receiver<String>,
    network: watch::Receiver<Network>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                let server = server.borrow().clone();
                connections.spawn(connection(client, server, network.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut client: TcpStream, server: String, mut network: watch::Receiver<Network>) {
    let opened = open(&server, network.clone());
    let opened = tokio::select! {
        opened = opened => opened,
        () = resets(&mut network) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    let Ok(mut server) = opened else {
        return reset(&client);
    };
    let carried = carry(&mut client, &mut server, network.clone());
    let is_whole = tokio::select! {
        carried = carried => carried.is_ok(),
        () = resets(&mut network) => false,
    };
    if !is_whole {
        reset(&client);
        reset(&server);
    }
}

async fn open(server: &str, mut network: watch::Receiver<Network>) -> io::Result<TcpStream> {
    until_it_passes(&mut network).await;
    TcpStream::connect(server).await
}

/// An error says that the proxy is gone, and this task with it.
async fn resets(network: &mut watch::Receiver<Network>) {
    let _ = network.wait_for(|now| *now == Network::Resets).await;
}

/// The peer sees a reset, and no end, when the stream is dropped.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Until either side is reset, or both have said everything.
async fn carry(
    client: &mut TcpStream,
    server: &mut TcpStream,
    network: watch::Receiver<Network>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // Halves that own the stream would end it when they are dropped.
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let there = one_way(from_client, to_server, network.clone());
    let back = one_way(from_server, to_client, network);
    tokio::try_join!(there, back).map(drop)
}

async fn one_way(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut network: watch::Receiver<Network>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        let now = *network.borrow_and_update();
        match now {
            Network::Loses => std::future::pending().await,
            Network::Delays(time) => sleep(time).await,
            Network::Holds => until_it_passes(&mut network).await,
            Network::Works | Network::Resets => {}
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
    }
}

/// For ever if what waits is lost.
async fn until_it_passes(network: &mut watch::Receiver<Network>) {
    if *network.borrow_and_update() == Network::Loses {
        std::future::pending::<()>().await;
    }
    // An error says that the proxy is gone, and this task with it.
    let _ = network.wait_for(|network| *network != Network::Holds).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(5);
    const NEVER: Duration = Duration::from_millis(100);

    /// A server that answers with what it is told.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn asks(stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(b"?").await?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await.map(drop)
    }

    #[tokio::test]
    async fn it_passes_delays_and_holds() {
        let proxy = Proxy::start(&echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        asks(&mut stream).await.unwrap();
        let delay = Duration::from_millis(20);
        proxy.set(Network::Delays(delay));
        let begun = Instant::now();
        asks(&mut stream).await.unwrap();
        assert!(begun.elapsed() >= 2 * delay);
        proxy.set(Network::Holds);
        let mut asked = std::pin::pin!(asks(&mut stream));
        assert!(timeout(NEVER, &mut asked).await.is_err());
        proxy.set(Network::Works);
        timeout(SOON, asked).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_is_lost_never_arrives_and_what_is_reset_ends() {
        let proxy = Proxy::start(&echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        asks(&mut stream).await.unwrap();
        proxy.set(Network::Loses);
        assert!(timeout(NEVER, asks(&mut stream)).await.is_err());
        proxy.set(Network::Works);
        assert!(timeout(NEVER, asks(&mut stream)).await.is_err());
        let mut other = TcpStream::connect(proxy.address()).await.unwrap();
        asks(&mut other).await.unwrap();
        proxy.set(Network::Resets);
        for stream in [&mut stream, &mut other] {
            let end = timeout(SOON, stream.read(&mut [0])).await.unwrap();
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
    }
}
