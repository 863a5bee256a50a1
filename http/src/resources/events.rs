//! Watches as server-sent events (HTML, 9.2).

use std::fmt::Write;
use std::io;
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use futures_util::stream::{Stream, StreamExt, unfold};
use maestro_api::codec::messages::resourcemetrics::Response;
use maestro_api::codec::{encode, write_string};
use maestro_api::{ApiResult, Code, Status, Tick, Watch};
use tokio::time::{Interval, interval_at};

use crate::progress::{Phase, Progress};

/// A comment is sent so often, because proxies close connections on which nothing comes.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How long a client may not read what was sent: two ticks, as they are if nothing is set.
const UNREAD_MAX: Duration = Duration::from_secs(10);

pub struct Events {
    ticks: Watch,
    /// Samples until this date were seen before; empty for a new client.
    seen: String,
    deadline: Option<Instant>,
    comments: Interval,
    streaming: Streaming,
}

/// The connection serves its client until the stream ends.
struct Streaming(Option<Progress>);

impl Events {
    pub fn new(
        ticks: Watch,
        seen: &str,
        deadline: Option<Instant>,
        progress: Option<Progress>,
    ) -> Self {
        let first = tokio::time::Instant::now() + COMMENT_EVERY;
        Self {
            ticks,
            seen: seen.to_owned(),
            deadline,
            comments: interval_at(first, COMMENT_EVERY),
            streaming: Streaming(progress),
        }
    }

    /// The text of the events.
    pub fn stream(self) -> impl Stream<Item = io::Result<Bytes>> {
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
        let mut alarm = std::pin::pin!(alarm);
        loop {
            let tick = tokio::select! {
                tick = self.ticks.next() => tick?,
                _ = self.comments.tick() => return Some((": still here\n\n".to_owned(), true)),
                () = &mut alarm => Err(Status::new(Code::DeadlineExceeded, "context deadline exceeded")),
            };
            if let Some(text) = event(&tick, &self.seen) {
                return Some((text, tick.is_ok()));
            }
        }
    }
}

/// What a tick tells a client that has seen the samples until a date; `None` if that is nothing.
fn event(tick: &ApiResult<Tick>, seen: &str) -> Option<String> {
    match tick {
        Ok(Tick::Samples(samples)) => metrics(samples, seen),
        Ok(Tick::Failed(status)) | Err(status) => Some(error(status)),
    }
}

/// Dates are compared as texts: both are ours, in UTC and whole seconds, or a client's own.
fn metrics(samples: &Response, seen: &str) -> Option<String> {
    let all = samples.versionResourceMetrics.iter();
    let newer = all.filter(|sample| sample.date.as_str() > seen);
    let response = Response {
        versionResourceMetrics: newer.cloned().collect(),
    };
    let last = &response.versionResourceMetrics.last()?.date;
    let mut text = String::new();
    // Writing into a String cannot fail. JSON has no line breaks.
    let _ = write!(
        text,
        "event: metrics\nid: {last}\ndata: {}\n\n",
        encode(&response)
    );
    Some(text)
}

fn error(status: &Status) -> String {
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
    use maestro_api::codec::messages::resourcemetrics::VersionResourceMetrics;

    fn samples(dates: &[&str]) -> ApiResult<Tick> {
        let each = dates.iter().map(|date| VersionResourceMetrics {
            date: (*date).to_owned(),
            cpu: 0.35,
            mem: 0.0,
        });
        Ok(Tick::Samples(Response {
            versionResourceMetrics: each.collect(),
        }))
    }

    #[test]
    fn samples_are_an_event_with_the_last_date_as_id_and_zeros_written_out() {
        let told = event(
            &samples(&["2026-01-02T03:04:05Z", "2026-01-02T03:04:10Z"]),
            "",
        );
        let expected = "event: metrics\nid: 2026-01-02T03:04:10Z\ndata: {\"versionResourceMetrics\":[\
            {\"date\":\"2026-01-02T03:04:05Z\",\"cpu\":0.35,\"mem\":0},\
            {\"date\":\"2026-01-02T03:04:10Z\",\"cpu\":0.35,\"mem\":0}]}\n\n";
        assert_eq!(told.as_deref(), Some(expected));
    }

    #[test]
    fn what_a_client_has_seen_is_not_repeated() {
        let seen = "2026-01-02T03:04:05Z";
        let told = event(&samples(&[seen, "2026-01-02T03:04:10Z"]), seen);
        assert!(!told.as_deref().unwrap_or_default().contains(seen));
        assert!(told.is_some());
        assert_eq!(event(&samples(&[seen]), seen), None);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_events_comments_fill_silence_and_the_end_is_told() {
        let ticks = futures_util::stream::iter([
            Ok(Tick::Failed(Status::unavailable("two\nlines"))),
            Err(Status::not_found("gone")),
        ]);
        let events = Events::new(ticks.boxed(), "", None, None).stream();
        let told: Vec<_> = events.map(|text| text.expect("text")).collect().await;
        assert_eq!(
            told,
            [
                "event: error\ndata: {\"code\":14,\"message\":\"two\\nlines\"}\n\n",
                "event: error\ndata: {\"code\":5,\"message\":\"gone\"}\n\n"
            ]
        );
        let silence = futures_util::stream::pending().boxed();
        let deadline = Instant::now() + Duration::from_secs(20);
        let events = Events::new(silence, "", Some(deadline), None).stream();
        let told: Vec<_> = events.map(|text| text.expect("text")).collect().await;
        assert_eq!(told[0], ": still here\n\n");
        assert!(told[1].starts_with(b"event: error\ndata: {\"code\":4,"));
        assert_eq!(told.len(), 2);
    }
}
