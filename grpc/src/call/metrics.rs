//! Metrics of our calls, under the names that gRPC server interceptors commonly use.
//!
//! Most calls are pings, so the handles of each method are cached and a call builds no labels.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use maestro_api::Code;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use crate::code::NAMES;
use crate::rpc::Rpc;
use crate::services::Audience;

/// Latency of calls in seconds.
const HANDLING_SECONDS: &str = "grpc_server_handling_seconds";
const HANDLED: &str = "grpc_server_handled_total";

const TYPE: &str = "grpc_type";
const SERVICE: &str = "grpc_service";
const METHOD: &str = "grpc_method";
const CODE: &str = "grpc_code";
/// The values of [`TYPE`]: one answer, or a stream of them.
const KINDS: [&str; 2] = ["unary", "server_stream"];
/// Labels of calls to unknown methods; their own names would make the number of series unbounded.
const UNKNOWN: (&str, &str) = ("unknown", "unknown");

/// The cached handles of all methods.
pub struct Metrics {
    counters: IntCounterVec,
    methods: Vec<Method>,
    unknown: Method,
}

struct Method {
    /// `/package.Service/Method`; empty for unknown methods.
    path: &'static str,
    kind: &'static str,
    service: &'static str,
    name: &'static str,
    seconds: Histogram,
    /// Indexed by the code's number; created when a call first ends with that code.
    handled: [OnceLock<IntCounter>; NAMES.len()],
}

impl Metrics {
    /// Registers the metrics, with the series of each method of this audience.
    ///
    /// # Errors
    /// Fails when the registry has them already.
    pub fn register(registry: &Registry, audience: Audience) -> prometheus::Result<Arc<Self>> {
        let about = Opts::new(HANDLED, "Calls over gRPC that were answered, by code");
        let counters = IntCounterVec::new(about, &[TYPE, SERVICE, METHOD, CODE])?;
        registry.register(Box::new(counters.clone()))?;
        let about = HistogramOpts::new(HANDLING_SECONDS, "How long calls over gRPC took");
        let seconds = HistogramVec::new(about, &[TYPE, SERVICE, METHOD])?;
        registry.register(Box::new(seconds.clone()))?;
        let method = |rpc: &'static Rpc| {
            let names = rpc.path.trim_start_matches('/').split_once('/');
            let kind = KINDS[usize::from(rpc.streams)];
            Method::new(&seconds, rpc.path, kind, names.unwrap_or((rpc.path, "")))
        };
        let metrics = Self {
            methods: audience.calls().map(method).collect(),
            unknown: Method::new(&seconds, "", KINDS[0], UNKNOWN),
            counters,
        };
        // A counter that first appears with its first event shows no increase, so the series exist from the start.
        for method in &metrics.methods {
            metrics.handled(method, None);
        }
        metrics.handled(&metrics.unknown, Some(Code::Unimplemented));
        Ok(Arc::new(metrics))
    }

    fn of(&self, path: &str) -> &Method {
        let mut methods = self.methods.iter();
        let known = methods.find(|method| method.path == path);
        known.unwrap_or(&self.unknown)
    }

    fn handled<'a>(&self, method: &'a Method, code: Option<Code>) -> &'a IntCounter {
        let code = code.map_or(0, |code| usize::from(code.number()));
        method.handled[code].get_or_init(|| {
            let labels = [method.kind, method.service, method.name, NAMES[code]];
            self.counters.with_label_values(&labels)
        })
    }
}

impl Method {
    fn new(
        seconds: &HistogramVec,
        path: &'static str,
        kind: &'static str,
        (service, name): (&'static str, &'static str),
    ) -> Self {
        Self {
            path,
            kind,
            service,
            name,
            seconds: seconds.with_label_values(&[kind, service, name]),
            handled: [const { OnceLock::new() }; NAMES.len()],
        }
    }
}

/// A call in progress. If it is dropped without an end, its client has gone and it counts as canceled.
pub struct Timed {
    metrics: Arc<Metrics>,
    path: &'static str,
    begun: Instant,
    code: Option<Code>,
}

impl Timed {
    /// A call to a known method.
    pub fn begin(metrics: Arc<Metrics>, rpc: &'static Rpc, begun: Instant) -> Self {
        Self {
            metrics,
            path: rpc.path,
            begun,
            code: Some(Code::Canceled),
        }
    }

    /// A call to an unknown method.
    pub fn unknown(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            path: "",
            begun: Instant::now(),
            code: Some(Code::Canceled),
        }
    }

    /// Ends the call; `None` means success.
    pub fn end(mut self, code: Option<Code>) {
        self.code = code;
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let method = self.metrics.of(self.path);
        method.seconds.observe(self.begun.elapsed().as_secs_f64());
        self.metrics.handled(method, self.code).inc();
    }
}

#[cfg(test)]
mod tests;
