//! One call from its headers to its answer, around the generated services: request id, span, deadline, size limit,
//! access log, metrics, panics.

mod door;
mod headers;
mod metrics;
mod until_end;

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use maestro_api::access_log::Entry;
use maestro_api::trace::{self, Subject};
use maestro_api::{
    Code, ManagerAccess, REQUEST_ID, RequestContext, Status, grpc_deadline, sane_request_id,
};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderValue, Request, Response, header};
use tonic::service::Routes;
use tracing::Instrument;

use crate::connections::Peer;
use crate::identity::NodeSecret;
use crate::rpc::Rpc;
use crate::services::Audience;
use crate::status::status;
use headers::{code, text};
pub use metrics::Metrics;
use metrics::Timed;
use until_end::UntilEnd;

/// Maximum size of a request message in bytes, the same as over HTTP.
pub const MESSAGE_MAX: usize = 1 << 20;
/// The prefix of a message: a flag and the message's length.
const MESSAGE_HEAD: usize = 5;
/// How long a message may take to arrive, the same as over HTTP.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

type Answer = Response<Body>;

/// Services with streams: standard ones that we serve but do not implement, and pings between nodes.
const STREAMS: [&str; 3] = ["/grpc.health.", "/grpc.reflection.", "/node.v1."];

/// All services of the server, wrapped in what our calls have in common.
#[derive(Clone)]
pub struct Calls {
    pub routes: Routes,
    pub audience: Audience,
    /// Who may give the orders of the K8s manager.
    pub access: ManagerAccess,
    /// What every caller must know, if only nodes may call.
    pub secret: Option<NodeSecret>,
    /// Whether callers with TLS have proved that they are nodes.
    pub by_certificate: bool,
    pub metrics: Arc<Metrics>,
}

impl Service<Request<Body>> for Calls {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(refused) = door::refusal(&request) {
            return Box::pin(std::future::ready(Ok(refused)));
        }
        let peer = request.extensions().get::<Peer>();
        if let Some(peer) = peer.filter(|peer| peer.plain.load(Relaxed)) {
            Timed::unknown(self.metrics.clone()).end(Some(Code::Unavailable));
            return Box::pin(std::future::ready(Ok(door::plain(peer))));
        }
        if let Some(secret) = &self.secret
            && !secret.is_in(request.headers())
        {
            Timed::unknown(self.metrics.clone()).end(Some(Code::Unavailable));
            return Box::pin(std::future::ready(Ok(door::stranger(peer))));
        }
        if (self.secret.is_some() || self.by_certificate)
            && let Some(peer) = peer
        {
            peer.line.trust();
        }
        let path = request.uri().path();
        match self.audience.call(path) {
            Some(rpc) => {
                // Taken now, not when the future is first polled: tonic's own timer starts after this, and would answer
                // with another code if it fired first.
                let begun = Instant::now();
                let timed = Timed::begin(self.metrics.clone(), rpc, begun);
                let line = request.extensions().get::<Peer>().map(|peer| &peer.line);
                let under_way = match line {
                    None => None,
                    Some(line) if !rpc.streams => Some(line.call()),
                    Some(line) => match line.stream() {
                        Some(under_way) => Some(under_way),
                        None => {
                            timed.end(Some(Code::ResourceExhausted));
                            return Box::pin(std::future::ready(Ok(door::too_many_streams())));
                        }
                    },
                };
                let until_end = UntilEnd { timed, under_way };
                let may = self.may(rpc, &request);
                let routes = self.routes.clone();
                Box::pin(serve(routes, may, rpc, request, begun, until_end))
            }
            // These are streams and limit themselves. They do not count as calls under way: streams
            // that
            // nobody ends would keep the places of their connections.
            None if STREAMS.iter().any(|service| path.starts_with(service)) => {
                Box::pin(self.routes.call(request))
            }
            None => {
                let timed = Timed::unknown(self.metrics.clone());
                let call = self.routes.call(request);
                Box::pin(async move {
                    let answer = call.await?;
                    timed.end(code(answer.headers()));
                    Ok(answer)
                })
            }
        }
    }
}

impl Calls {
    /// Whether this caller may make the call.
    fn may(&self, rpc: &Rpc, request: &Request<Body>) -> Result<(), Status> {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
        self.audience.lets(rpc, peer)?;
        // Another node has checked its own caller.
        if !rpc.manages || self.audience == Audience::Nodes {
            return Ok(());
        }
        let given = request.headers().get_all(header::AUTHORIZATION).iter();
        let given = given.map(HeaderValue::as_bytes);
        self.access.check(given, peer.map(|peer| peer.ip()))
    }
}

async fn serve(
    routes: Routes,
    may: Result<(), Status>,
    rpc: &'static Rpc,
    request: Request<Body>,
    begun: Instant,
    until_end: UntilEnd,
) -> Result<Answer, Infallible> {
    let request_id = sane_request_id(text(request.headers(), REQUEST_ID));
    let entry = Entry::call(rpc.api, &request_id, rpc.path, rpc.mutating);
    let echoed = HeaderValue::from_str(&request_id);
    let header = |name| text(request.headers(), name);
    let span = trace::request(rpc.path, &request_id, Subject::default(), header);
    let run = run(routes, may, rpc, request, request_id, begun).instrument(span);
    let mut answer = entry
        .hear(run)
        .await
        .unwrap_or_else(|refused| status(refused).into_http());
    if let Ok(id) = echoed {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    let code = code(answer.headers());
    entry.end_call(code);
    Ok(match rpc.streams && code.is_none() {
        true => answer.map(|body| until_end.of(body)),
        false => {
            until_end.timed.end(code);
            answer
        }
    })
}

async fn run(
    routes: Routes,
    may: Result<(), Status>,
    rpc: &'static Rpc,
    request: Request<Body>,
    request_id: String,
    begun: Instant,
) -> Result<Answer, Status> {
    let peer = request.extensions().get::<Peer>();
    may?;
    let deadline = match text(request.headers(), "grpc-timeout") {
        Some(given) => grpc_deadline(given, begun)?,
        None => None,
    };
    let context = RequestContext {
        request_id,
        deadline,
    };
    let line = peer.map(|peer| peer.line.clone());
    let call = async {
        let _turn = match &line {
            Some(line) if !rpc.streams => line.turn().await,
            _ => None,
        };
        let mut request = arrived(request).await?;
        request.extensions_mut().insert(context.clone());
        let mut routes = routes;
        let call = AssertUnwindSafe(routes.call(request));
        match call.catch_unwind().await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(never)) => match never {},
            Err(_) => {
                let request_id = &context.request_id;
                tracing::error!(request_id, handler_name = rpc.path, "the call panicked");
                Err(Status::internal("internal error"))
            }
        }
    };
    match deadline {
        None => call.await,
        Some(deadline) => until(deadline, call).await.unwrap_or_else(|| {
            Err(Status::new(
                Code::DeadlineExceeded,
                "context deadline exceeded",
            ))
        }),
    }
}

/// Waits for the complete message before the call begins, so that a slow client occupies no actor.
async fn arrived(request: Request<Body>) -> Result<Request<Body>, Status> {
    let (head, body) = request.into_parts();
    let limited = Limited::new(body, MESSAGE_MAX + MESSAGE_HEAD);
    let body = match tokio::time::timeout(ARRIVES_WITHIN, limited.collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("request body exceeds the limit of {MESSAGE_MAX} bytes");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        Ok(Err(error)) => {
            let message = format!("cannot read the request body: {error}");
            return Err(Status::invalid_argument(message));
        }
        Err(_) => {
            let message = format!("request body took longer than {ARRIVES_WITHIN:?}");
            return Err(Status::new(Code::DeadlineExceeded, message));
        }
    };
    if !is_one_message(&body) {
        return Err(Status::invalid_argument("the call has no whole message"));
    }
    Ok(Request::from_parts(head, Body::new(Full::new(body))))
}

/// Whether the body is one message: a flag, a length, and that many bytes ("PROTOCOL-HTTP2", Length-Prefixed-Message).
/// The server's library would report anything else as an internal error.
fn is_one_message(body: &[u8]) -> bool {
    let Some((&[_, a, b, c, d], message)) = body.split_first_chunk() else {
        return false;
    };
    usize::try_from(u32::from_be_bytes([a, b, c, d])).is_ok_and(|length| length == message.len())
}

/// `None` once the deadline has passed. It also checks the clock, so that a timer started later cannot fire first.
async fn until<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut alarm = pin!(tokio::time::sleep_until(deadline.into()));
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        let rang = alarm.as_mut().poll(cx).is_ready() || deadline <= Instant::now();
        if rang {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    })
    .await
}

#[cfg(test)]
mod tests;
