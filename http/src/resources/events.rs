//! Samples as server-sent events.

use std::fmt::Write;

use futures_util::stream::StreamExt;
use maestro_api::codec::encode;
use maestro_api::codec::messages::resourcemetrics::Response;
use maestro_api::{ApiResult, Tick, Watch};

use crate::events::{Texts, error};

/// What a watch tells a client that has seen the samples until a date; for a new client that is empty.
pub fn texts(ticks: Watch, seen: &str) -> Texts {
    let seen = seen.to_owned();
    let texts = ticks.filter_map(move |tick| {
        let text = event(&tick, &seen).map(|text| (text, tick.is_ok()));
        std::future::ready(text)
    });
    texts.boxed()
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

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_api::Status;
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

    #[tokio::test]
    async fn one_failure_is_told_and_the_last_one_ends_the_stream() {
        let ticks = futures_util::stream::iter([
            Ok(Tick::Failed(Status::unavailable("not now"))),
            Err(Status::not_found("gone")),
        ]);
        let told: Vec<_> = texts(ticks.boxed(), "").collect().await;
        assert_eq!(told.len(), 2);
        assert!(told[0].0.contains("not now") && told[0].1);
        assert!(told[1].0.contains("gone") && !told[1].1);
    }
}
