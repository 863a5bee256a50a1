//! How far a connection is with its current request, known to the connection, to its requests and to the crowd.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_http::Request;
use tokio::time::Instant;

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
    /// Sending a stream, whose client may leave it unread for so long.
    Streaming(Duration),
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
    /// Whether the client has closed its side.
    left: Cell<bool>,
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
            left: Cell::new(false),
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
            Phase::Serving | Phase::Streaming(_) => self.0.unread.get(),
        }
    }

    /// Marks the connection for closing and wakes its task.
    pub fn oust(&self) {
        self.0.ousted.set(true);
        if let Some(task) = self.0.task.take() {
            task.wake();
        }
    }

    pub fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    pub fn enter(&self, phase: Phase) {
        self.0.phase.set(phase);
    }

    /// The client has read everything, or it is on its way.
    pub fn all_read(&self) {
        self.0.unread.set(None);
    }

    /// The client has closed its side: nobody reads a stream any more.
    pub fn leaves(&self) {
        self.0.left.set(true);
    }

    /// Whether the client has closed its side.
    pub fn has_left(&self) -> bool {
        self.0.left.get()
    }

    /// The time at which a stream that nobody reads is cut.
    pub fn cut_at(&self) -> Option<Instant> {
        match (self.phase(), self.0.unread.get()) {
            (Phase::Streaming(at_most), Some(since)) => Some(since + at_most),
            _ => None,
        }
    }

    /// Whether the connection is about to close.
    pub fn is_ousted(&self) -> bool {
        self.0.ousted.get()
    }

    /// Registers the task that [`Self::oust`] wakes.
    pub fn waits(&self, cx: &Context<'_>) {
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
    pub fn written<T>(&self, cx: &Context<'_>, tried: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
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
