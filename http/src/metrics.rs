//! The metrics of the two APIs (contract 9).
//!
//! Each ping passes through here twice, on all threads concurrently: handlers of the route tables are found without a
//! lock, and each thread has its own counters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use maestro_metrics::{Distribution, MetricKind, Page, Reading, Sharded};
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::gateway::{self, RequestObserver};

const DURATION_SECONDS: &str = "http_request_duration_seconds";
const RESPONSE_BYTES: &str = "http_response_size_bytes";
const INFLIGHT: &str = "http_requests_inflight";

const NANOS_PER_SECOND: f64 = 1e9;
/// Bounds of [`DURATION_SECONDS`], in milliseconds.
const DURATION_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/// Bounds of [`DURATION_SECONDS`] in the unit in which they are compared.
const DURATION_NANOS: [u64; DURATION_MS.len()] = {
    let mut bounds = DURATION_MS;
    let mut at = 0;
    while at < bounds.len() {
        bounds[at] *= 1_000_000;
        at += 1;
    }
    bounds
};
/// Bounds of [`RESPONSE_BYTES`].
const SIZES: [u64; 8] = [
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

const METHODS: [&str; 9] = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT",
];
/// Label of unknown methods: clients could otherwise create unlimited series.
const OTHER_METHOD: &str = "other";

/// The observer of one API. Clones share their counters.
#[derive(Clone)]
pub struct HttpMetrics(Arc<Service>);

struct Service {
    name: &'static str,
    /// The handlers of the route table.
    routes: Box<[(&'static str, Handler)]>,
    others: RwLock<HashMap<Box<str>, Arc<Handler>>>,
    desc: Desc,
}

#[derive(Default)]
struct Handler {
    flights: Sharded<Flights>,
    /// A short list: a route has one or two methods and a handful of codes.
    ends: OnceLock<Box<Ends>>,
}

#[derive(Default)]
struct Flights {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// An append-only list.
struct Ends {
    method: &'static str,
    code: u16,
    answers: Sharded<Answers>,
    next: OnceLock<Box<Ends>>,
}

#[derive(Default)]
struct Answers {
    nanos: Distribution<{ DURATION_NANOS.len() }>,
    bytes: Distribution<{ SIZES.len() }>,
}

impl HttpMetrics {
    /// Registers the metrics under the label `management-api`.
    ///
    /// # Errors
    /// Fails when the registry has them already.
    pub fn management(registry: &Registry) -> prometheus::Result<Self> {
        let labels = gateway::management_labels();
        Self::new("management-api", labels, registry)
    }

    /// Registers the metrics under the label `rooms-api`.
    ///
    /// # Errors
    /// Fails when the registry has them already.
    pub fn rooms(registry: &Registry) -> prometheus::Result<Self> {
        Self::new("rooms-api", gateway::rooms_labels(), registry)
    }

    fn new(
        name: &'static str,
        labels: impl Iterator<Item = &'static str>,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let mut routes: Vec<(&'static str, Handler)> = Vec::new();
        for label in labels {
            if !routes.iter().any(|(known, _)| *known == label) {
                routes.push((label, Handler::default()));
            }
        }
        // The constant label distinguishes the two APIs in the registry.
        let desc = Desc::new(
            INFLIGHT.to_owned(),
            INFLIGHT_HELP.to_owned(),
            vec!["handler".to_owned()],
            HashMap::from([("service".to_owned(), name.to_owned())]),
        )?;
        let metrics = Self(Arc::new(Service {
            name,
            routes: routes.into(),
            others: RwLock::default(),
            desc,
        }));
        registry.register(Box::new(metrics.clone()))?;
        Ok(metrics)
    }
}

impl Service {
    fn with(&self, handler: &str, run: impl FnOnce(&Handler)) {
        let mut routes = self.routes.iter();
        // Usually it is the very label of the table.
        let found = routes
            .find(|(label, _)| std::ptr::eq(*label, handler))
            .or_else(|| self.routes.iter().find(|(label, _)| *label == handler));
        if let Some((_, route)) = found {
            return run(route);
        }
        run(&self.other(handler));
    }

    fn other(&self, handler: &str) -> Arc<Handler> {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = others.get(handler) {
            return known.clone();
        }
        drop(others);
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        others.entry(handler.into()).or_default().clone()
    }

    /// Calls `show` for each handler that has had a request.
    fn each(&self, mut show: impl FnMut(&str, &Handler)) {
        let mut show = |label: &str, handler: &Handler| {
            if handler.flights.all().any(|f| f.begun.load(Relaxed) > 0) {
                show(label, handler);
            }
        };
        for (label, handler) in &self.routes {
            show(label, handler);
        }
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        for (label, handler) in &*others {
            show(label, handler);
        }
    }
}

impl Handler {
    fn answers(&self, method: &'static str, code: u16) -> &Answers {
        let mut place = &self.ends;
        loop {
            let end = place.get_or_init(|| {
                Box::new(Ends {
                    method,
                    code,
                    answers: Sharded::default(),
                    next: OnceLock::new(),
                })
            });
            if end.code == code && end.method == method {
                return end.answers.mine();
            }
            place = &end.next;
        }
    }

    fn ends(&self) -> impl Iterator<Item = &Ends> {
        let first = self.ends.get().map(|end| &**end);
        std::iter::successors(first, |end| end.next.get().map(|end| &**end))
    }

    fn inflight(&self) -> u64 {
        let sum = |of: fn(&Flights) -> &AtomicU64| -> u64 {
            self.flights.all().map(|f| of(f).load(Relaxed)).sum()
        };
        // In this order: a request that ends meanwhile was counted as begun before.
        let ended = sum(|flights| &flights.ended);
        sum(|flights| &flights.begun).saturating_sub(ended)
    }
}

impl RequestObserver for HttpMetrics {
    fn begin(&self, handler: &str) {
        self.0.with(handler, |handler| {
            handler.flights.mine().begun.fetch_add(1, Relaxed);
        });
    }

    fn observe(&self, handler: &str, method: &str, code: u16, took: Duration, size: u64) {
        let known = METHODS.into_iter().find(|known| *known == method);
        let method = known.unwrap_or(OTHER_METHOD);
        // Saturates only after more than 500 years.
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.with(handler, |handler| {
            handler.flights.mine().ended.fetch_add(1, Relaxed);
            let answers = handler.answers(method, code);
            answers.nanos.record(&DURATION_NANOS, nanos);
            answers.bytes.record(&SIZES, size);
        });
    }
}

const INFLIGHT_HELP: &str = "The number of inflight requests being handled at the same time.";

impl Collector for HttpMetrics {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let service = &*self.0;
        let mut page = Page::default();
        let mut inflight = page.family(INFLIGHT, MetricKind::Gauge, INFLIGHT_HELP);
        service.each(|label, handler| {
            let labels = [("service", service.name), ("handler", label)];
            inflight.value(&labels, handler.inflight() as f64);
        });
        let help = "The latency of the HTTP requests.";
        let mut seconds = page.family(DURATION_SECONDS, MetricKind::Histogram, help);
        service.each_end(|labels, end| {
            let read = Reading::of(end.answers.all().map(|answers| &answers.nanos));
            let bounds = DURATION_MS.map(|ms| ms as f64 / 1000.0);
            let sum = read.sum as f64 / NANOS_PER_SECOND;
            let buckets = bounds.into_iter().zip(read.up_to);
            seconds.histogram(labels, buckets, sum, read.count);
        });
        let help = "The size of the HTTP responses.";
        let mut bytes = page.family(RESPONSE_BYTES, MetricKind::Histogram, help);
        service.each_end(|labels, end| {
            let read = Reading::of(end.answers.all().map(|answers| &answers.bytes));
            let bounds = SIZES.map(|size| size as f64);
            let buckets = bounds.into_iter().zip(read.up_to);
            bytes.histogram(labels, buckets, read.sum as f64, read.count);
        });
        page.into_families()
    }
}

impl Service {
    fn each_end(&self, mut show: impl FnMut(maestro_metrics::Labels<'_>, &Ends)) {
        self.each(|label, handler| {
            for end in handler.ends() {
                let code = end.code.to_string();
                let labels = [
                    ("service", self.name),
                    ("handler", label),
                    ("method", end.method),
                    ("code", code.as_str()),
                ];
                show(&labels, end);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    const PING: &str = "/scheduler/:schedulerName/rooms/:roomName/ping";

    fn page(registry: &Registry) -> String {
        let text = TextEncoder::new().encode_to_string(&registry.gather());
        text.expect("a page")
    }

    #[test]
    fn requests_are_counted_under_the_contracts_names() {
        let registry = Registry::new();
        let observer = HttpMetrics::rooms(&registry).expect("the first");
        HttpMetrics::management(&registry).expect("another service");
        assert!(HttpMetrics::rooms(&registry).is_err(), "it is there twice");
        assert_eq!(page(&registry), "", "nothing has been asked yet");
        let took = Duration::from_millis(500);
        for handler in ["/ping", PING] {
            for _ in 0..4 {
                observer.begin(handler);
            }
            observer.observe(handler, "PUT", 200, took, 16);
            observer.observe(handler, "PUT", 200, took + took, 16);
            observer.observe(handler, "BREW", 501, took, 16);
        }
        let page = page(&registry);
        for handler in ["/ping", PING] {
            let labels =
                format!(r#"service="rooms-api",handler="{handler}",method="PUT",code="200""#);
            for line in [
                format!(r#"http_requests_inflight{{service="rooms-api",handler="{handler}"}} 1"#),
                format!(r#"http_request_duration_seconds_bucket{{{labels},le="0.25"}} 0"#),
                format!(r#"http_request_duration_seconds_bucket{{{labels},le="0.5"}} 1"#),
                format!("http_request_duration_seconds_count{{{labels}}} 2"),
                format!("http_request_duration_seconds_sum{{{labels}}} 1.5"),
                format!("http_response_size_bytes_sum{{{labels}}} 32"),
            ] {
                assert!(page.contains(&line), "{line} is not in\n{page}");
            }
        }
        assert!(page.contains(r#"method="other",code="501""#), "{page}");
        assert!(!page.contains("BREW"));
    }
}
