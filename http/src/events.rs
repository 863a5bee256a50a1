//! Watches as server-sent events (HTML, 9.2).

use std::io;
use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use maestro_api::codec::write_string;
use maestro_api::{Code, Status};
use tokio::time::{Interval, interval_at};

use crate::progress::{Phase, Progress};

/// A comment is sent so often, because proxies close connections on which nothing comes.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How long a client may not read what was sent: two ticks, as they are if nothing is set.
const UNREAD_MAX: Duration = Duration::from_secs(10);

/// The texts of events, each with whether more may follow.
pub type Texts = BoxStream<'static, (String, bool)>;

/// A stream of events, with comments while it is silent.
struct Events {
    texts: Texts,
    deadline: Option<Instant>,
    comments: Interval,
    streaming: Streaming,
}

/// The connection serves its client until the stream ends.
struct Streaming(Option<Progress>);

/// The response that sends these events, until they end or the caller stops waiting.
pub fn respond(texts: Texts, deadline: Option<Instant>, request: &HttpRequest) -> HttpResponse {
    let progress = request.conn_data::<Progress>().cloned();
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        // nginx would collect events otherwise.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Events::new(texts, deadline, progress).stream())
}

impl Events {
    fn new(texts: Texts, deadline: Option<Instant>, progress: Option<Progress>) -> Self {
        let first = tokio::time::Instant::now() + COMMENT_EVERY;
        Self {
            texts,
            deadline,
            comments: interval_at(first, COMMENT_EVERY),
            streaming: Streaming(progress),
        }
    }

    /// The text of the events.
    fn stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        let progress = self.streaming.0.clone();
        let mut text = Box::pin(unfold(Some(self), async |events| {
            let mut events = events?;
            let (text, goes_on) = events.next().await?;
            Some((Ok(text.into()), goes_on.then_some(events)))
        }));
        futures_util::stream::poll_fn(move |cx| {
            if let Some(progress) = &progress {
                // The handler is done, and its answer is not.
                progress.enter(Phase::Streaming(UNREAD_MAX));
                if progress.has_left() {
                    return std::task::Poll::Ready(None);
                }
            }
            text.poll_next_unpin(cx)
        })
    }

    /// The next text, and whether more may follow.
    async fn next(&mut self) -> Option<(String, bool)> {
        let alarm = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            text = self.texts.next() => text,
            _ = self.comments.tick() => Some((": still here\n\n".to_owned(), true)),
            () = alarm => {
                let late = Status::new(Code::DeadlineExceeded, "context deadline exceeded");
                Some((error(&late), false))
            }
        }
    }
}

/// The event that tells a failure.
pub fn error(status: &Status) -> String {
    let mut text = format!(
        "event: error\ndata: {{\"code\":{},\"message\":",
        status.code.number()
    );
    write_string(&mut text, &status.message);
    text.push_str("}\n\n");
    text
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.enter(Phase::Between(tokio::time::Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn comments_fill_silence_and_the_end_is_told() {
        let texts = futures_util::stream::iter([
            ("event: a\n\n".to_owned(), true),
            (error(&Status::not_found("two\nlines")), false),
            ("event: never\n\n".to_owned(), true),
        ]);
        let events = Events::new(texts.boxed(), None, None).stream();
        let told: Vec<_> = events.map(|text| text.expect("text")).collect().await;
        assert_eq!(
            told,
            [
                "event: a\n\n",
                "event: error\ndata: {\"code\":5,\"message\":\"two\\nlines\"}\n\n"
            ]
        );
        let silence = futures_util::stream::pending().boxed();
        let deadline = Instant::now() + Duration::from_secs(20);
        let events = Events::new(silence, Some(deadline), None).stream();
        let told: Vec<_> = events.map(|text| text.expect("text")).collect().await;
        assert_eq!(told[0], ": still here\n\n");
        assert!(told[1].starts_with(b"event: error\ndata: {\"code\":4,"));
        assert_eq!(told.len(), 2);
    }
}
