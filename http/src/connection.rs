//! A client's connection that limits how long the head of each request may take.
//!
//! The HTTP library limits only the head of a connection's first request (5 s, then 408), and the time without any
//! data. A later head that trickles in would keep its connection open as long as the client likes. Here such a
//! connection ends as if the client had closed it: requests accepted before are still answered.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::crowd::{Crowd, Place};
use crate::progress::{Phase, Progress};

/// How long connections wait for their clients.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// Time limit for a request head, from its first byte to its last.
    pub head: Duration,
    /// Time limit between two requests.
    pub between: Duration,
    /// Time limit for the client to read what was sent. On Linux only.
    pub unread: Duration,
}

impl Default for ConnectionTimeouts {
    /// `between` exceeds the 30 seconds between two pings of a room, so that rooms keep their connections.
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            between: Duration::from_secs(120),
            unread: Duration::from_secs(30),
        }
    }
}

impl ConnectionTimeouts {
    /// The library's own timer fires first; this one is a backstop.
    fn at_most(&self) -> Duration {
        self.between + self.head
    }
}

pub struct Connection {
    io: TcpStream,
    progress: Progress,
    /// Its membership in the worker's [`Crowd`].
    _place: Place,
    timeouts: ConnectionTimeouts,
    /// Expires when the current phase may have timed out. It is not reset by each request.
    look: Pin<Box<Sleep>>,
}

impl Connection {
    pub fn new(io: TcpStream, timeouts: ConnectionTimeouts, crowd: &Rc<Crowd>) -> Self {
        let now = Instant::now();
        let progress = Progress::new(now);
        Self {
            io,
            _place: crowd.enter(progress.clone()),
            progress,
            timeouts,
            look: Box::pin(sleep_until(now + timeouts.at_most())),
        }
    }

    /// Makes the progress available to the requests of this connection, see [`Progress::of`].
    pub fn introduce(&self, data: &mut Extensions) {
        data.insert(self.progress.clone());
    }

    /// Called when data has arrived; returns whether it was in time.
    fn came(&self) -> bool {
        match self.progress.phase() {
            Phase::Serving | Phase::Streaming(_) | Phase::Body(_) => true,
            Phase::Between(_) => {
                self.progress.enter(Phase::Head(Instant::now()));
                true
            }
            Phase::Head(since) => since.elapsed() < self.timeouts.head,
        }
    }

    /// Completes when the client has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.look.as_mut().poll(cx));
            let now = Instant::now();
            let until = match self.progress.phase() {
                Phase::Between(since) | Phase::Head(since) => since + self.timeouts.at_most(),
                Phase::Serving | Phase::Streaming(_) | Phase::Body(_) => {
                    now + self.timeouts.at_most()
                }
            };
            if until <= now {
                return Poll::Ready(());
            }
            self.look.as_mut().reset(until);
        }
    }
}

impl Connection {
    /// Records the outcome of a write. A stream that its client does not read is cut.
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        tried: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = self.progress.written(cx, tried);
        if written.is_pending()
            && let Some(cut_at) = self.progress.cut_at()
        {
            self.look.as_mut().reset(cut_at);
            ready!(self.look.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }
}

impl AsyncRead for Connection {
    /// Reports the end of the stream, as if the client had closed it, once the connection has timed out.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() == before {
                    self.progress.leaves();
                } else if !self.came() {
                    buffer.set_filled(before);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending if self.progress.is_ousted() => Poll::Ready(Ok(())),
            Poll::Pending => {
                self.progress.waits(cx);
                self.poll_silence(cx).map(Ok)
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(cx, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.written(cx, tried)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.io).poll_flush(cx);
        if tried.is_ready() {
            // All data has been handed to the kernel.
            self.progress.all_read();
        }
        self.written(cx, tried)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
