//! The side of the node that gets the pings: one stream to the owner's node, opened by the first ping and again by the
//! first one after a failure.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use maestro_api::codec::Struct;
use maestro_api::codec::messages::UpdateRoomWithPingRequest;
use maestro_api::{ApiResult, Code, OwnerHint, RequestContext, Status, trace};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Request;

use super::wire::ping_service_client::PingServiceClient;
use super::wire::{Answer, Outcome, Ping, UNDER_WAY_MAX};
use crate::client::{GrpcClient, failure};

/// How long a ping waits for its place while too many are under way, as at the owner itself.
const PLACE_WITHIN: Duration = Duration::from_millis(250);
/// How long an answer may take: longer than an owner takes to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Passes pings to one other node.
pub struct PingLine {
    client: GrpcClient,
    io: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
    places: Arc<Semaphore>,
    /// Of the open stream; closed when that has ended.
    stream: Mutex<Option<mpsc::Sender<Sent>>>,
}

/// A ping with the one who waits for its answer.
struct Sent {
    ping: Ping,
    waiting: Waiting,
}

struct Waiting {
    to: oneshot::Sender<ApiResult<bool>>,
    _place: OwnedSemaphorePermit,
}

/// One stream, as long as it lasts.
struct Open {
    pings: Mutex<mpsc::Receiver<Sent>>,
    /// Those who wait for answers, by the number of their ping.
    waiting: Mutex<HashMap<u64, Waiting>>,
}

/// The pings as they are sent.
struct Outgoing {
    open: Arc<Open>,
    next: u64,
}

impl Stream for Outgoing {
    type Item = Ping;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Ping>> {
        let open = self.open.clone();
        let mut pings = open.pings.lock();
        let Some(Sent { mut ping, waiting }) = std::task::ready!(pings.poll_recv(cx)) else {
            return Poll::Ready(None);
        };
        ping.number = self.next;
        self.next += 1;
        // While the receiver is locked, so that `close` misses none.
        open.waiting.lock().insert(ping.number, waiting);
        Poll::Ready(Some(ping))
    }
}

impl Open {
    fn answered(&self, answer: Answer) {
        // Bound first: the lock is not held while the answer is passed on.
        let waiting = self.waiting.lock().remove(&answer.number);
        if let Some(waiting) = waiting {
            // Its caller may have stopped waiting.
            let _ = waiting.to.send(outcome(answer));
        }
    }

    /// Takes no more pings, and tells everyone who waits why.
    fn close(&self, why: &Status) {
        let mut pings = self.pings.lock();
        pings.close();
        let mut left: Vec<Waiting> = self
            .waiting
            .lock()
            .drain()
            .map(|(_, waiting)| waiting)
            .collect();
        while let Ok(sent) = pings.try_recv() {
            left.push(sent.waiting);
        }
        for waiting in left {
            let _ = waiting.to.send(Err(why.clone()));
        }
    }
}

impl PingLine {
    /// A line to the node that `client` calls. Its streams run on `io`, among `tasks`, until `stop`.
    pub fn new(
        client: GrpcClient,
        io: Handle,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            client,
            io,
            tasks,
            stop,
            places: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            stream: Mutex::default(),
        }
    }

    /// Passes a ping to its owner. Pings that are passed one after the other reach it in this order.
    ///
    /// # Errors
    /// When this node does not own the scheduler, does not answer, or has too many pings waiting.
    pub async fn pass(
        &self,
        context: &RequestContext,
        request: UpdateRoomWithPingRequest,
    ) -> ApiResult<bool> {
        let left = context.remaining();
        let wait = left.map_or(ANSWERED_WITHIN, |left| left.min(ANSWERED_WITHIN));
        let answer = timeout(wait, self.send(context, request, left));
        answer.await.unwrap_or_else(|_| {
            Err(Status::new(
                Code::DeadlineExceeded,
                "context deadline exceeded",
            ))
        })
    }

    async fn send(
        &self,
        context: &RequestContext,
        request: UpdateRoomWithPingRequest,
        left: Option<Duration>,
    ) -> ApiResult<bool> {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => match timeout(PLACE_WITHIN, self.places.clone().acquire_owned()).await {
                Ok(Ok(place)) => place,
                _ => {
                    let text = "too many pings wait for the owner's node; try again in a moment";
                    return Err(Status::new(Code::ResourceExhausted, text));
                }
            },
        };
        let (to, answer) = oneshot::channel();
        let waiting = Waiting { to, _place: place };
        let ping = frame(context, request, left);
        self.enqueue(Sent { ping, waiting });
        // Without an answer, the stream has failed: the table of those who wait is gone.
        answer.await.unwrap_or_else(|_| {
            let text = "the node that owns the scheduler does not answer; try again in a moment";
            Err(Status::unavailable(text))
        })
    }

    /// Puts it on the stream, which is opened if there is none. It has space for all who have a place.
    fn enqueue(&self, sent: Sent) {
        let mut stream = self.stream.lock();
        let sent = match &*stream {
            Some(open) => match open.try_send(sent) {
                Ok(()) => return,
                Err(closed) => closed.into_inner(),
            },
            None => sent,
        };
        let (sender, pings) = mpsc::channel(UNDER_WAY_MAX);
        // It is empty, so there is space.
        let _ = sender.try_send(sent);
        *stream = Some(sender);
        let open = Arc::new(Open {
            pings: Mutex::new(pings),
            waiting: Mutex::default(),
        });
        let run = run(self.client.clone(), open, self.stop.clone());
        self.tasks.spawn_on(run, &self.io);
    }
}

/// Runs one stream to its end.
async fn run(client: GrpcClient, open: Arc<Open>, stop: CancellationToken) {
    let mut request = Request::new(Outgoing {
        open: open.clone(),
        next: 1,
    });
    client.sign(request.metadata_mut());
    let exchange = async {
        let mut service = PingServiceClient::new(client.channel());
        let mut answers = service.pass(request).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            open.answered(answer);
        }
        Ok::<(), tonic::Status>(())
    };
    let ended = tokio::select! {
        ended = exchange => ended,
        () = stop.cancelled() => Ok(()),
    };
    open.close(&match ended {
        // That node takes no more pings: it shuts down, after it has handed its schedulers over.
        Ok(()) => Status {
            owner: Some(OwnerHint::Nobody),
            ..Status::unavailable("the node that owned the scheduler is shutting down")
        },
        Err(told) => failure(&told),
    });
}

fn frame(
    context: &RequestContext,
    request: UpdateRoomWithPingRequest,
    left: Option<Duration>,
) -> Ping {
    let trace = trace::current().unwrap_or_default();
    let metadata = request.metadata.as_ref().map_or("", Struct::as_str);
    Ping {
        number: 0,
        metadata: metadata.to_owned(),
        scheduler: request.scheduler_name,
        room: request.room_name,
        status: request.status,
        running_matches: request.running_matches,
        within_ms: left.map(|left| u32::try_from(left.as_millis()).unwrap_or(u32::MAX)),
        request_id: context.request_id.clone(),
        traceparent: trace.parent,
        tracestate: trace.state,
    }
}

fn outcome(answer: Answer) -> ApiResult<bool> {
    match Outcome::try_from(answer.outcome) {
        Ok(Outcome::Taken) => Ok(true),
        Ok(Outcome::Misrouted) => Err(Status {
            owner: Some(match answer.owner.is_empty() {
                true => OwnerHint::Nobody,
                false => OwnerHint::At(answer.owner),
            }),
            ..Status::unavailable("the scheduler is owned by another node")
        }),
        Ok(Outcome::Invalid) => Err(Status::invalid_argument(answer.message)),
        // Also what a later version may answer.
        Ok(Outcome::NotTaken | Outcome::Unspecified) | Err(_) => Ok(false),
    }
}
