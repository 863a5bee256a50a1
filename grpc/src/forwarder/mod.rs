//! The client of forwarders: the adapter of [`maestro_core::ports::Forwarders`] that speaks gRPC (contract 6.3, 6.4).
//!
//! Each call is attempted once, within the forwarder's own timeout; a call never waits for an unreachable forwarder to
//! come back. Queues, order, and the choice of events do not belong here.

mod attributes;
mod connections;
mod keep_alive;
mod leased;
mod member;
mod message;
mod metrics;
mod target;
mod watched;

use crate::code;
use crate::events::grpc_forwarder_client::GrpcForwarderClient;
use async_trait::async_trait;
use connections::Connections;
pub use keep_alive::KeepAlive;
use maestro_api::trace::{self, TRACEPARENT, TRACESTATE, TraceContext};
use maestro_core::domain::{Forwarder, SchedulerName};
use maestro_core::ports::{ForwardError, Forwarders, Forwarding, code_of_reply};
use member::Member;
use message::Message;
pub use metrics::ForwarderMetrics;
use std::time::{Duration, Instant};
use target::Target;
use tonic::Status;
use tonic::metadata::MetadataMap;
use watched::{Seen, Watched};

/// Timeout of a forwarder that was stored without options (contract 2.3; 15, 23).
const TIMEOUT_DEFAULT_MS: i64 = 1000;
/// The longest timeout that a timer supports.
const TIMEOUT_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// The code of a reply that means success (D2).
const SUCCESS: i32 = 200;

/// All forwarders of a node. Must be used on the I/O runtime, which drives its connections.
pub struct GrpcForwarders {
    connections: Connections,
    metrics: ForwarderMetrics,
}

/// Why a call brought no reply.
struct Failure {
    code: String,
    cause: String,
}

impl Failure {
    fn new(code: tonic::Code, cause: String) -> Self {
        Self {
            code: code::name(code as i64),
            cause,
        }
    }
}

impl GrpcForwarders {
    /// Opens no connection yet.
    pub fn new(keep_alive: KeepAlive, metrics: ForwarderMetrics) -> Self {
        Self {
            metrics,
            connections: Connections::new(keep_alive),
        }
    }

    /// The code of the forwarder's reply.
    async fn call(
        &self,
        forwarder: &Forwarder,
        event: &Forwarding,
        message: &Message,
    ) -> Result<i32, Failure> {
        let timeout = timeout_of(forwarder)?;
        let target = self.connections.target(&forwarder.address, event);
        tokio::select! {
            // Must win over the library's own timeout, which reports `Canceled`.
            biased;
            () = tokio::time::sleep(timeout) => {
                let cause = format!("{} did not answer within {timeout:?}", forwarder.address);
                Err(Failure::new(tonic::Code::DeadlineExceeded, cause))
            }
            result = call_any(&target, message, timeout) => result,
        }
    }
}

#[async_trait]
impl Forwarders for GrpcForwarders {
    async fn forward(&self, forwarder: &Forwarder, event: &Forwarding) -> Result<(), ForwardError> {
        let message = message::of(forwarder, event)?;
        let began = Instant::now();
        let result = self.call(forwarder, event, &message).await;
        let code = match &result {
            Ok(code) => code_of_reply(*code),
            Err(failure) => &failure.code,
        };
        self.metrics.record(&message, code, began.elapsed());
        let forwarder = forwarder.name.clone();
        match result {
            Ok(SUCCESS) => Ok(()),
            Ok(code) => Err(ForwardError::Refused { forwarder, code }),
            Err(Failure { code, cause }) => Err(ForwardError::Failed {
                forwarder,
                code,
                cause,
            }),
        }
    }

    fn ended(&self, scheduler: &SchedulerName) {
        self.connections.ended(scheduler);
    }
}

/// A timeout that is not positive has expired before the call begins (contract 15.28).
fn timeout_of(forwarder: &Forwarder) -> Result<Duration, Failure> {
    let options = forwarder.options.as_ref();
    let milliseconds = options.map_or(TIMEOUT_DEFAULT_MS, |options| options.timeout);
    match u64::try_from(milliseconds) {
        Ok(positive @ 1..) => Ok(Duration::from_millis(positive).min(TIMEOUT_MAX)),
        _ => {
            let cause = format!("its timeout is {milliseconds} ms");
            Err(Failure::new(tonic::Code::DeadlineExceeded, cause))
        }
    }
}

/// Calls the next address in turn, and moves on to another one if nothing listens there.
async fn call_any(target: &Target, message: &Message, timeout: Duration) -> Result<i32, Failure> {
    let mut tried = 0;
    loop {
        let picked = target.pick().await;
        let unavailable = |cause| Failure::new(tonic::Code::Unavailable, cause);
        let member = picked.map_err(unavailable)?;
        tried += 1;
        match call_one(&member, message, timeout).await {
            // The connection failed, so the call was never sent and another address may be tried.
            Err(_) if member.resting().is_some() && tried < target.spread().await => {}
            result => return result,
        }
    }
}

async fn call_one(member: &Member, message: &Message, timeout: Duration) -> Result<i32, Failure> {
    let seen = Seen::default();
    let mut client = GrpcForwarderClient::new(Watched {
        channel: member.channel.clone(),
        seen: seen.clone(),
    });
    // The `grpc-timeout` header tells the forwarder how long it has.
    let answer = match message {
        Message::Resync(m) => client.send_room_resync(request(m, timeout)).await,
        Message::Status(m) => client.send_room_status(request(m, timeout)).await,
        Message::Event(m) => client.send_room_event(request(m, timeout)).await,
        Message::Player(m) => client.send_player_event(request(m, timeout)).await,
    };
    match answer {
        Ok(reply) => Ok(reply.into_inner().code),
        Err(status) => Err(failure(member, &seen, &status)),
    }
}

fn request<T: Clone>(message: &T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message.clone());
    request.set_timeout(timeout);
    trace_along(request.metadata_mut());
    request
}

/// Propagates the trace context, so that the forwarder's work can join the same trace.
fn trace_along(metadata: &mut MetadataMap) {
    let Some(TraceContext { parent, state }) = trace::current() else {
        return;
    };
    for (name, text) in [(TRACEPARENT, parent), (TRACESTATE, state)] {
        // A caller's `tracestate` may not be valid metadata; then it is not propagated.
        if let (false, Ok(value)) = (text.is_empty(), text.parse()) {
            metadata.insert(name, value);
        }
    }
}

/// Why the call failed: the forwarder's status if there is one, else the transport's error.
fn failure(member: &Member, seen: &Seen, status: &Status) -> Failure {
    if let Some(number @ 1..) = seen.status() {
        return Failure {
            code: code::name(number),
            cause: status.message().to_owned(),
        };
    }
    match (member.resting(), seen.lost()) {
        (Some(cause), Some(_)) => Failure::new(tonic::Code::Unavailable, cause),
        (None, Some(root)) => {
            let cause = format!("the connection to {} was lost: {root}", member.label);
            Failure::new(tonic::Code::Unavailable, cause)
        }
        (_, None) => Failure::new(status.code(), status.message().to_owned()),
    }
}
