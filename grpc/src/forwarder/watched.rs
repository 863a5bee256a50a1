//! A channel that records what tonic does not expose: the number of a status outside the standard range, and why a call
//! failed in transport.

use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::transport::Channel;
use tower::Service;

/// What was observed of one call.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Sight>>);

#[derive(Default)]
struct Sight {
    status: Option<i64>,
    lost: Option<String>,
}

impl Seen {
    /// The number in `grpc-status`, if the response had one.
    pub fn status(&self) -> Option<i64> {
        self.0.lock().status
    }
    /// The transport's error, if the call failed there.
    pub fn lost(&self) -> Option<String> {
        self.0.lock().lost.clone()
    }

    fn headers(&self, headers: &http::HeaderMap) {
        let number = headers
            .get("grpc-status")
            .and_then(|v| v.to_str().ok()?.parse().ok());
        if number.is_some() {
            self.0.lock().status = number;
        }
    }

    fn failure(&self, error: &(dyn Error + 'static)) {
        let mut root = error;
        while let Some(source) = root.source() {
            root = source;
        }
        self.0.lock().lost = Some(root.to_string());
    }
}

/// A channel for one call.
#[derive(Clone)]
pub(super) struct Watched {
    pub channel: Channel,
    pub seen: Seen,
}

type Answer = Result<http::Response<Body>, tonic::transport::Error>;

impl Service<http::Request<Body>> for Watched {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let polled = self.channel.poll_ready(cx);
        if let Poll::Ready(Err(error)) = &polled {
            self.seen.failure(error);
        }
        polled
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (call, seen) = (self.channel.call(request), self.seen.clone());
        Box::pin(async move {
            let response = call.await.inspect_err(|error| seen.failure(error))?;
            seen.headers(response.headers());
            Ok(response.map(|body| {
                let lost = seen.clone();
                Body::new(
                    body.map_frame(move |frame| {
                        if let Some(trailers) = frame.trailers_ref() {
                            seen.headers(trailers);
                        }
                        frame
                    })
                    .map_err(move |error| {
                        lost.failure(&error);
                        error
                    }),
                )
            }))
        })
    }
}
