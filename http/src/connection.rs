//! A client's connection that limits how long the head of each request may take.
//!
//! The HTTP library limits only the head of a connection's first request (5 s, then 408), and the time without any
//! data. A later head that trickles in would keep its connection open as long as the client likes. Here such a
//! connection ends as if the client had closed it: requests accepted before are still answered.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_http::Request;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::crowd::{Crowd, Place};

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

/// What a connection is doing.
#[derive(Clone, Copy)]
pub enum Phase {
    /// Waiting for the next request, since this time.
    Between(Instant),
    /// Receiving a request head, since this time.
    Head(Instant),
    /// Receiving a body, since this time. Its reader limits how long that may take.
    Body(Instant),
    /// Waiting for the response of a handler.
    Serving,
}

/// Shared by a connection and its requests, all on one thread.
#[derive(Clone)]
pub struct Progress(Rc<State>);

struct State {
    phase: Cell<Phase>,
    /// Since when the client has not read data that was sent to it.
    unread: Cell<Option<Instant>>,
    /// Whether the connection must close to make room for another one.
    ousted: Cell<bool>,
    /// The task that waits for the client.
    task: RefCell<Option<Waker>>,
}

impl Progress {
    /// The state of a new connection.
    pub fn new(now: Instant) -> Self {
        Self(Rc::new(State {
            phase: Cell::new(Phase::Between(now)),
            unread: Cell::new(None),
            ousted: Cell::new(false),
            task: RefCell::default(),
        }))
    }

    /// The progress of the connection that this request came on.
    pub fn of(request: &Request) -> Option<Self> {
        request.conn_data::<Self>().cloned()
    }

    /// Since when it has been waiting for its client, either to send a complete request or to read a response; `None`
    /// while we are busy with a request.
    pub fn idle_since(&self) -> Option<Instant> {
        match self.0.phase.get() {
            Phase::Between(since) | Phase::Head(since) | Phase::Body(since) => Some(since),
            Phase::Serving => self.0.unread.get(),
        }
    }

    /// Marks the connection for closing and wakes its task.
    pub fn oust(&self) {
        self.0.ousted.set(true);
        if let Some(task) = self.0.task.take() {
            task.wake();
        }
    }

    /// Whether the connection is about to close.
    pub fn is_ousted(&self) -> bool {
        self.0.ousted.get()
    }

    /// Registers the task that [`Self::oust`] wakes.
    fn waits(&self, cx: &Context<'_>) {
        let mut task = self.0.task.borrow_mut();
        match &mut *task {
            Some(known) => known.clone_from(cx.waker()),
            None => *task = Some(cx.waker().clone()),
        }
    }

    /// Reads a request's body; meanwhile the connection counts as waiting for its client.
    pub async fn reading<T>(&self, body: impl Future<Output = T>) -> T {
        let mut body = pin!(body);
        // Most bodies arrive together with their heads.
        if let Poll::Ready(body) = futures_util::poll!(body.as_mut()) {
            return body;
        }
        self.0.phase.set(Phase::Body(Instant::now()));
        let body = body.await;
        self.0.phase.set(Phase::Serving);
        body
    }

    /// Records the outcome of a write. An ousted connection does not wait for its client.
    fn written<T>(&self, cx: &Context<'_>, tried: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            return tried;
        }
        if self.is_ousted() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.0.unread.get().is_none() {
            self.0.unread.set(Some(Instant::now()));
        }
        self.waits(cx);
        Poll::Pending
    }

    /// Runs a handler; meanwhile the connection is not considered idle.
    pub async fn during<T>(progress: Option<Self>, answer: impl Future<Output = T>) -> T {
        let mark = |phase| {
            if let Some(progress) = &progress {
                progress.0.phase.set(phase);
            }
        };
        mark(Phase::Serving);
        let answer = answer.await;
        mark(Phase::Between(Instant::now()));
        answer
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
        match self.progress.0.phase.get() {
            Phase::Serving | Phase::Body(_) => true,
            Phase::Between(_) => {
                self.progress.0.phase.set(Phase::Head(Instant::now()));
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
            let until = match self.progress.0.phase.get() {
                Phase::Between(since) | Phase::Head(since) => since + self.timeouts.at_most(),
                Phase::Serving | Phase::Body(_) => now + self.timeouts.at_most(),
            };
            if until <= now {
                return Poll::Ready(());
            }
            self.look.as_mut().reset(until);
        }
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
                if buffer.filled().len() > before && !self.came() {
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
        self.progress.written(cx, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.progress.written(cx, tried)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.io).poll_flush(cx);
        if tried.is_ready() {
            // All data has been handed to the kernel.
            self.progress.0.unread.set(None);
        }
        self.progress.written(cx, tried)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
