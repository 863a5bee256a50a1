//! The metrics of the two APIs (contract 9), written through the `metrics` facade.
//!
//! Each ping passes here twice. Handles are therefore kept per handler, method and code, and looked up without allocating.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use metrics::{Gauge, Histogram};

use crate::gateway::RequestObserver;

pub const DURATION_SECONDS: &str = "http_request_duration_seconds";
pub const RESPONSE_BYTES: &str = "http_response_size_bytes";
pub const INFLIGHT: &str = "http_requests_inflight";

/// Buckets of [`DURATION_SECONDS`].
pub const DURATION_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Buckets of [`RESPONSE_BYTES`].
pub const SIZE_BUCKETS: [f64; 8] = [1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

const METHODS: [&str; 9] = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT",
];
/// Label of methods that only a client knows; they would otherwise fill the metrics.
const OTHER_METHOD: &str = "other";

/// Tells the installed recorder what the metrics mean.
pub fn describe() {
    use metrics::{Unit, describe_gauge, describe_histogram};
    describe_histogram!(
        DURATION_SECONDS,
        Unit::Seconds,
        "The latency of the HTTP requests."
    );
    describe_histogram!(
        RESPONSE_BYTES,
        Unit::Bytes,
        "The size of the HTTP responses."
    );
    describe_gauge!(
        INFLIGHT,
        "The number of inflight requests being handled at the same time."
    );
    crate::guard::describe();
}

/// The observer of one API.
pub struct HttpMetrics {
    service: &'static str,
    handlers: RwLock<HashMap<Box<str>, Handler>>,
}

struct Handler {
    inflight: Gauge,
    /// Few: a route has one or two methods and a handful of codes.
    ends: Vec<End>,
}

struct End {
    method: &'static str,
    code: u16,
    seconds: Histogram,
    bytes: Histogram,
}

impl HttpMetrics {
    /// Under the label `management-api`.
    pub fn management() -> Self {
        Self::new("management-api")
    }

    /// Under the label `rooms-api`.
    pub fn rooms() -> Self {
        Self::new("rooms-api")
    }

    fn new(service: &'static str) -> Self {
        Self {
            service,
            handlers: RwLock::default(),
        }
    }

    /// Runs `change` on the entry of `handler`, made when there is none.
    fn change(&self, handler: &str, change: impl FnOnce(&mut Handler)) {
        let mut handlers = self
            .handlers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let entry = handlers.entry(handler.into()).or_insert_with(|| Handler {
            inflight: metrics::gauge!(
                INFLIGHT, "service" => self.service, "handler" => handler.to_owned()
            ),
            ends: Vec::new(),
        });
        change(entry);
    }

    /// Runs `read` on the entry of `handler`; false: it has none, or not what `read` looks for.
    fn with(&self, handler: &str, read: impl FnOnce(&Handler) -> bool) -> bool {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        handlers.get(handler).is_some_and(read)
    }
}

impl RequestObserver for HttpMetrics {
    fn begin(&self, handler: &str) {
        let begin = |entry: &Handler| {
            entry.inflight.increment(1);
            true
        };
        if !self.with(handler, begin) {
            self.change(handler, |entry| entry.inflight.increment(1));
        }
    }

    fn observe(&self, handler: &str, method: &str, code: u16, seconds: f64, size: u64) {
        let known = METHODS.into_iter().find(|known| *known == method);
        let method = known.unwrap_or(OTHER_METHOD);
        let end = |entry: &Handler| {
            let mut ends = entry.ends.iter();
            let Some(end) = ends.find(|end| end.code == code && end.method == method) else {
                return false;
            };
            entry.inflight.decrement(1);
            end.seconds.record(seconds);
            // Sizes stay far below what a double holds exactly.
            end.bytes.record(size as f64);
            true
        };
        if self.with(handler, end) {
            return;
        }
        self.change(handler, |entry| {
            let labels = [
                metrics::Label::new("service", self.service),
                metrics::Label::new("handler", handler.to_owned()),
                metrics::Label::new("method", method),
                metrics::Label::new("code", code.to_string()),
            ];
            // Another request may have made the same one meanwhile: both lead to the same series.
            entry.ends.push(End {
                method,
                code,
                seconds: metrics::histogram!(DURATION_SECONDS, labels.iter()),
                bytes: metrics::histogram!(RESPONSE_BYTES, labels.iter()),
            });
            end(entry);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn requests_are_counted_under_the_contracts_names() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let observer = HttpMetrics::rooms();
            for _ in 0..3 {
                observer.begin("/ping");
            }
            observer.observe("/ping", "PUT", 200, 0.5, 16);
            observer.observe("/ping", "PUT", 200, 0.5, 16);
            observer.begin("/ping");
            observer.observe("/ping", "BREW", 501, 0.5, 16);
        });
        let page = recorder.handle().render();
        let labels = r#"service="rooms-api",handler="/ping",method="PUT",code="200""#;
        for line in [
            r#"http_requests_inflight{service="rooms-api",handler="/ping"} 1"#.to_owned(),
            format!("http_request_duration_seconds_count{{{labels}}} 2"),
            format!("http_response_size_bytes_sum{{{labels}}} 32"),
        ] {
            assert!(page.contains(&line), "{line} is not in\n{page}");
        }
        assert!(page.contains(r#"method="other",code="501""#), "{page}");
        assert!(!page.contains("BREW"));
    }
}
