//! For tests: a matchmaker's forwarder. It is a real gRPC server that records the calls it receives, and answers,
//! fails, hangs, goes away and comes back as the test requires.

#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

use crate::events::grpc_forwarder_server::{GrpcForwarder, GrpcForwarderServer};
use crate::events::{PlayerEvent, Response, Room, RoomEvent, RoomInfo, RoomStatus};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Status};

/// One received call.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    Resync(RoomStatus),
    Status(RoomStatus),
    Event(RoomEvent),
    Player(PlayerEvent),
}

impl Received {
    pub fn room(&self) -> &Room {
        let room = match self {
            Self::Resync(m) | Self::Status(m) => m.room.as_ref(),
            Self::Event(m) => m.room.as_ref(),
            Self::Player(m) => m.room.as_ref(),
        };
        room.expect("every event names its room")
    }

    /// A value of the event's metadata, wherever the message carries it.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let metadata = match self {
            Self::Player(m) => &m.metadata,
            other => &other.room().metadata,
        };
        metadata.get(key).map(String::as_str)
    }

    /// One word: `resync:ready`, `status:terminated`, `event:goal`, `player:p1`.
    pub fn word(&self) -> String {
        let status = |m: &RoomStatus| format!("{:?}", m.status_type()).to_lowercase();
        match self {
            Self::Resync(m) => format!("resync:{}", status(m)),
            Self::Status(m) => format!("status:{}", status(m)),
            Self::Event(m) => format!("event:{}", m.event_type),
            Self::Player(m) => format!("player:{}", m.player_id),
        }
    }
}

/// A call that carried a trace context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The event, as [`Received::word`] abbreviates it.
    pub word: String,
    pub traceparent: String,
    pub tracestate: Option<String>,
}

/// Calls that are blocked until the test releases them.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Semaphore>);

impl Hold {
    /// Releases all calls, including future ones.
    pub fn open(&self) {
        self.0.close();
    }

    async fn ended(&self) {
        // The semaphore has no permits; the wait ends when it is closed.
        let _ = self.0.acquire().await;
    }
}

/// A forwarder on a loopback port. Stops when it is dropped.
pub struct TestForwarder {
    address: SocketAddr,
    ear: Ear,
    /// A runtime of its own, so that shutting it down closes every connection at once.
    runtime: Option<Runtime>,
}

#[derive(Clone, Default)]
struct Ear(Arc<Shared>);

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    /// The timeout that the last caller sent, in the form of the `grpc-timeout` header.
    patience: Mutex<Option<String>>,
    traces: Mutex<Vec<Traced>>,
    answer: Mutex<Option<Result<Response, Status>>>,
    holds: Mutex<HashMap<String, Hold>>,
}

impl TestForwarder {
    pub fn start() -> Self {
        let mut started = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ear: Ear::default(),
            runtime: None,
        };
        started.restart();
        started
    }

    /// The value for the `address` of a scheduler's forwarder.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Restarts the server on the same port. Recorded calls are kept.
    pub fn restart(&mut self) {
        self.stop();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("forwarder")
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let listener = {
            let _inside = runtime.enter();
            let std = std::net::TcpListener::bind(self.address).expect("the port is free");
            std.set_nonblocking(true).expect("a socket");
            TcpListener::from_std(std).expect("a socket")
        };
        self.address = listener.local_addr().expect("it listens");
        let server = tonic::transport::Server::builder()
            .add_service(GrpcForwarderServer::new(self.ear.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        runtime.spawn(server);
        self.runtime = Some(runtime);
    }

    /// Closes the port and cuts off calls in progress.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    /// Answers calls with this code and message; 200 means success.
    pub fn answer(&self, code: i32, message: &str) {
        let message = message.to_owned();
        *self.ear.0.answer.lock() = Some(Ok(Response { code, message }));
    }

    /// Fails calls with this gRPC status.
    pub fn fail(&self, status: Status) {
        *self.ear.0.answer.lock() = Some(Err(status));
    }

    /// Blocks the calls that concern this room or player, or all calls if `name` is empty.
    pub fn hold(&self, name: &str) -> Hold {
        let hold = Hold(Arc::new(Semaphore::new(0)));
        self.ear
            .0
            .holds
            .lock()
            .insert(name.to_owned(), hold.clone());
        hold
    }

    pub fn received(&self) -> Vec<Received> {
        self.ear.0.received.lock().clone()
    }

    /// What was received of one room, in order, as [`Received::word`] abbreviates it.
    pub fn words(&self, room: &str) -> Vec<String> {
        let received = self.ear.0.received.lock();
        let of = received.iter().filter(|r| r.room().room_id == room);
        of.map(Received::word).collect()
    }

    /// The `grpc-timeout` of the last call.
    pub fn patience(&self) -> Option<String> {
        self.ear.0.patience.lock().clone()
    }

    pub fn traces(&self) -> Vec<Traced> {
        self.ear.0.traces.lock().clone()
    }
}

impl Drop for TestForwarder {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Answer = Result<tonic::Response<Response>, Status>;

impl Ear {
    async fn hear<T>(&self, request: Request<T>, received: fn(T) -> Received) -> Answer {
        let metadata = request.metadata();
        let text = |name| metadata.get(name)?.to_str().ok().map(str::to_owned);
        *self.0.patience.lock() = text("grpc-timeout");
        let (parent, tracestate) = (text("traceparent"), text("tracestate"));
        let heard = received(request.into_inner());
        let traced = parent.map(|traceparent| Traced {
            word: heard.word(),
            traceparent,
            tracestate,
        });
        self.0.traces.lock().extend(traced);
        let names = [heard.room().room_id.clone(), String::new()];
        self.0.received.lock().push(heard);
        let holds = names.map(|name| self.0.holds.lock().get(&name).cloned());
        for hold in holds.into_iter().flatten() {
            hold.ended().await;
        }
        let ok = Response {
            code: 200,
            message: String::new(),
        };
        let answer = self.0.answer.lock().clone();
        answer.unwrap_or(Ok(ok)).map(tonic::Response::new)
    }
}

#[tonic::async_trait]
impl GrpcForwarder for Ear {
    async fn send_room_info(&self, _: Request<RoomInfo>) -> Answer {
        Err(Status::unimplemented("Maestro never calls it"))
    }
    async fn send_room_ping(&self, _: Request<Room>) -> Answer {
        Err(Status::unimplemented("Maestro never calls it"))
    }
    async fn send_room_status(&self, request: Request<RoomStatus>) -> Answer {
        self.hear(request, Received::Status).await
    }
    async fn send_room_resync(&self, request: Request<RoomStatus>) -> Answer {
        self.hear(request, Received::Resync).await
    }
    async fn send_room_event(&self, request: Request<RoomEvent>) -> Answer {
        self.hear(request, Received::Event).await
    }
    async fn send_player_event(&self, request: Request<PlayerEvent>) -> Answer {
        self.hear(request, Received::Player).await
    }
}
