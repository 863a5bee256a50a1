//! The side of the owner: pings come in, answers go out.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use futures_util::{FutureExt, future::BoxFuture};
use maestro_api::codec::Struct;
use maestro_api::codec::messages::UpdateRoomWithPingRequest;
use maestro_api::trace::{self, Subject};
use maestro_api::{Code, OwnerHint, RequestContext, RoomsApi, Status, sane_request_id};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Request, Response, Streaming};
use tracing::{Instrument, Span};

use super::wire::ping_service_server::PingService;
use super::wire::{Answer, Outcome, Ping, UNDER_WAY_MAX};

/// The call of a ping, in its span.
const HANDLER: &str = "/node.v1.PingService/Pass";

/// Hands the pings of other nodes to the owners on this one.
#[derive(Clone)]
pub struct Pings {
    pub rooms: Arc<dyn RoomsApi>,
    /// Canceled when no more pings are taken.
    pub drain: CancellationToken,
}

#[tonic::async_trait]
impl PingService for Pings {
    type PassStream = Answers;

    async fn pass(
        &self,
        request: Request<Streaming<Ping>>,
    ) -> Result<Response<Answers>, tonic::Status> {
        Ok(Response::new(Answers {
            pings: request.into_inner(),
            rooms: self.rooms.clone(),
            under_way: FuturesUnordered::new(),
            drain: Box::pin(self.drain.clone().cancelled_owned()),
            ended: false,
        }))
    }
}

/// The answers of one stream.
pub struct Answers {
    pings: Streaming<Ping>,
    rooms: Arc<dyn RoomsApi>,
    under_way: FuturesUnordered<BoxFuture<'static, Answer>>,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
    /// No more pings come: the answers to those under way are the last ones.
    ended: bool,
}

impl Stream for Answers {
    type Item = Result<Answer, tonic::Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(Some(answer)) = self.under_way.poll_next_unpin(cx) {
            return Poll::Ready(Some(Ok(answer)));
        }
        self.ended |= self.drain.as_mut().poll(cx).is_ready();
        // While too many are under way, the stream is not read: its sender has to wait.
        while !self.ended && self.under_way.len() < UNDER_WAY_MAX {
            match self.pings.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(ping))) => {
                    let mut answer = answer(self.rooms.clone(), ping).boxed();
                    // Begun in the order in which they come. Most are answered at once.
                    match answer.poll_unpin(cx) {
                        Poll::Ready(answer) => return Poll::Ready(Some(Ok(answer))),
                        Poll::Pending => self.under_way.push(answer),
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => self.ended = true,
                Poll::Pending => break,
            }
        }
        match self.under_way.poll_next_unpin(cx) {
            Poll::Ready(Some(answer)) => Poll::Ready(Some(Ok(answer))),
            Poll::Ready(None) if self.ended => Poll::Ready(None),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

async fn answer(rooms: Arc<dyn RoomsApi>, ping: Ping) -> Answer {
    let number = ping.number;
    let span = span_of(&ping);
    let told = tell(rooms, ping).instrument(span);
    let told = AssertUnwindSafe(told).catch_unwind().await;
    let (outcome, owner, message) = match told {
        Ok(Ok(true)) => (Outcome::Taken, None, None),
        Ok(Ok(false)) => (Outcome::NotTaken, None, None),
        Ok(Err(Status {
            owner: Some(owner), ..
        })) => match owner {
            OwnerHint::At(address) => (Outcome::Misrouted, Some(address), None),
            OwnerHint::Nobody => (Outcome::Misrouted, None, None),
        },
        Ok(Err(status)) if status.code == Code::InvalidArgument => {
            (Outcome::Invalid, None, Some(status.message))
        }
        Ok(Err(_)) => (Outcome::NotTaken, None, None),
        Err(_) => {
            tracing::error!("the ping of another node panicked");
            (Outcome::NotTaken, None, None)
        }
    };
    Answer {
        number,
        outcome: outcome.into(),
        owner: owner.unwrap_or_default(),
        message: message.unwrap_or_default(),
    }
}

/// Continues the trace of the room's request.
fn span_of(ping: &Ping) -> Span {
    let subject = Subject {
        scheduler: Some(&ping.scheduler),
        room: Some(&ping.room),
        ..Subject::default()
    };
    trace::request(HANDLER, &ping.request_id, subject, |header| {
        let value = match header {
            trace::TRACEPARENT => ping.traceparent.as_str(),
            _ => ping.tracestate.as_str(),
        };
        (!value.is_empty()).then_some(value)
    })
}

async fn tell(rooms: Arc<dyn RoomsApi>, ping: Ping) -> Result<bool, Status> {
    let metadata = match ping.metadata.as_str() {
        "" => None,
        text => Some(Struct::from_text(text).map_err(Status::invalid_argument)?),
    };
    let within = ping.within_ms.map(|ms| Duration::from_millis(ms.into()));
    let context = RequestContext {
        request_id: sane_request_id(Some(&ping.request_id)),
        deadline: within.and_then(|within| Instant::now().checked_add(within)),
    };
    let request = UpdateRoomWithPingRequest {
        scheduler_name: ping.scheduler,
        room_name: ping.room,
        metadata,
        status: ping.status,
        running_matches: ping.running_matches,
        ..UpdateRoomWithPingRequest::default()
    };
    let answer = rooms.update_room_with_ping(&context, request).await?;
    Ok(answer.success)
}
