//! Limits on connections: their number ([`Crowd`]), the frames each may send ([`Frames`]), and their end when the time
//! to drain is over.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use maestro_api::Seldom;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;
use tracing::warn;

use crate::crowd::{Crowd, Line, Place};
use crate::frames::Frames;
use crate::tls::{HANDSHAKE, NodeTls, Wire};

/// Limits that keep one client from starving the others.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Maximum number of open connections. Beyond it, the ones that have been idle longest are closed; while all have
    /// calls in progress, one new connection waits, and the others stay in the kernel's backlog.
    pub connections_max: usize,
    /// Time limit from accepting a connection to its preface (RFC 9113, 3.4). After that, keep-alive pings detect dead
    /// clients, and also a client that trickles one frame: its acknowledgement would have to interrupt that frame.
    pub preface_within: Duration,
}

impl Bounds {
    /// Allows five seconds for the preface, as long as HTTP allows for its first request head.
    pub fn new(connections_max: usize) -> Self {
        Self {
            connections_max,
            preface_within: Duration::from_secs(5),
        }
    }
}

/// Length of the preface.
const PREFACE: usize = 24;

/// How long the server waits after it failed to accept a connection.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Accepts connections, which are closed when `cut` is canceled. With `tls`, callers are to prove that they are nodes.
pub fn incoming(
    listener: TcpListener,
    cut: CancellationToken,
    bounds: Bounds,
    tls: Option<NodeTls>,
) -> impl Stream<Item = io::Result<Connection>> {
    let crowd = Crowd::new(bounds.connections_max);
    unfold(
        (listener, crowd, cut, tls),
        move |(listener, crowd, cut, tls)| async move {
            let accepted = match listener.accept().await {
                Ok((stream, peer)) => {
                    let place = crowd.enter(&cut).await?;
                    // Answers are small and latency matters. If it cannot be set, they are only slower.
                    let _ = stream.set_nodelay(true);
                    Ok(Connection {
                        wire: Wire::new(stream, peer, tls.as_ref()),
                        peer,
                        frames: Frames::new(Instant::now()),
                        cut: Box::pin(place.cut().cancelled_owned()),
                        preface: Some(Preface {
                            left: PREFACE,
                            until: Box::pin(sleep(bounds.preface_within)),
                        }),
                        place,
                    })
                }
                Err(error) => {
                    // For example, too many open files: an immediate retry would fail again.
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                    Err(error)
                }
            };
            Some((accepted, (listener, crowd, cut, tls)))
        },
    )
}

/// A client's connection, which holds its place in the crowd.
pub struct Connection {
    wire: Wire,
    peer: SocketAddr,
    frames: Frames,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Set until the preface has been received.
    preface: Option<Preface>,
    place: Place,
}

/// The peer of a connection, as its calls see it.
#[derive(Clone)]
pub struct Peer {
    pub address: SocketAddr,
    pub line: Line,
    /// Set where TLS is required and it came without.
    pub plain: Arc<AtomicBool>,
}

struct Preface {
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl Connection {
    fn wire(&mut self) -> Pin<&mut Wire> {
        Pin::new(&mut self.wire)
    }

    /// Whether the connection has to end before its preface came. The server writes before it reads, and a handshake
    /// that never ends would keep it there.
    fn is_late(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        let preface = self.preface.as_mut()?;
        if self.cut.as_mut().poll(cx).is_ready() {
            return Some(io::ErrorKind::ConnectionAborted.into());
        }
        let late = preface.until.as_mut().poll(cx).is_ready();
        late.then(|| io::ErrorKind::TimedOut.into())
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.frames.answered(bytes);
        }
        written
    }

    fn flooded(&self) -> io::Error {
        // A client can provoke this line at will, so its rate is limited.
        static SAID: Seldom = Seldom::new();
        if let Some(unsaid) = SAID.next() {
            warn!(
                peer = %self.peer, not_logged = unsaid,
                "a connection of gRPC was cut: it sent thousands of frames that no call needs"
            );
        }
        io::ErrorKind::ConnectionAborted.into()
    }
}

/// Anybody can provoke this line, so its rate is limited.
fn speaks_tls(peer: SocketAddr) -> io::Error {
    static SAID: Seldom = Seldom::new();
    if let Some(unsaid) = SAID.next() {
        warn!(
            %peer, not_logged = unsaid,
            "a caller that speaks TLS was refused, because none is spoken here; if it is a node, set cluster.tls.cert, \
             cluster.tls.key and cluster.tls.ca on all nodes or on none"
        );
    }
    io::ErrorKind::InvalidData.into()
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer {
            address: self.peer,
            line: self.place.line(),
            plain: self.wire.is_plain(),
        }
    }
}

impl AsyncRead for Connection {
    /// The server always has a read pending, so this is where it learns that the connection is to end.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Some(late) = self.is_late(cx) {
            return Poll::Ready(Err(late));
        }
        let before = buf.filled().len();
        let read = self.wire().poll_read(cx, buf);
        let came = &buf.filled()[before..];
        let greeting = self.preface.as_ref().map_or(0, |preface| preface.left);
        if greeting == PREFACE && came.first() == Some(&HANDSHAKE) {
            return Poll::Ready(Err(speaks_tls(self.peer)));
        }
        let greeting = greeting.min(came.len());
        if let Some(preface) = &mut self.preface {
            preface.left -= greeting;
            if preface.left == 0 {
                self.preface = None;
            }
        }
        if came.len() > greeting
            && !self.place.is_trusted()
            && !self.frames.take(&came[greeting..], Instant::now())
        {
            buf.set_filled(before);
            return Poll::Ready(Err(self.flooded()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(late) = self.is_late(cx) {
            return Poll::Ready(Err(late));
        }
        let written = self.wire().poll_write(cx, buf);
        self.count(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(late) = self.is_late(cx) {
            return Poll::Ready(Err(late));
        }
        let written = self.wire().poll_write_vectored(cx, bufs);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }
}
