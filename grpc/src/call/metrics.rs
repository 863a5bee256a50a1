//! What is counted of the calls of `api.v1`, under the names that interceptors of gRPC servers give it everywhere.
//!
//! Most calls are pings: the handles of each method are kept, and a call makes no label.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use maestro_http::gateway::Code;
use metrics::{Counter, Histogram};

use crate::code::NAMES;
use crate::services::{self, Rpc};

/// How long calls took, in seconds.
pub const HANDLING_SECONDS: &str = "grpc_server_handling_seconds";
const HANDLED: &str = "grpc_server_handled_total";

/// None of our methods is a stream.
const KIND: &str = "unary";
/// Service and method of everything that is not served; by name it would fill the metrics.
const UNKNOWN: [&str; 2] = ["unknown", "unknown"];

/// Handles of all methods.
pub struct Metrics {
    methods: Vec<Method>,
    unknown: Method,
}

struct Method {
    /// `/package.Service/Method`; empty: those that are not served.
    path: &'static str,
    labels: [(&'static str, &'static str); 3],
    seconds: Histogram,
    /// By the number of the code; made when a call ends with it first.
    handled: [OnceLock<Counter>; NAMES.len()],
}

impl Metrics {
    /// Tells the installed recorder what the metrics mean; each method is there from now on.
    pub fn register() -> Arc<Self> {
        use metrics::{Unit, describe_counter, describe_histogram};
        describe_counter!(HANDLED, "Calls over gRPC that were answered, by code");
        describe_histogram!(
            HANDLING_SECONDS,
            Unit::Seconds,
            "How long calls over gRPC took"
        );
        let method = |rpc: &'static Rpc| {
            let names = rpc.path.trim_start_matches('/').split_once('/');
            let (service, method) = names.unwrap_or((rpc.path, ""));
            Method::new(rpc.path, [service, method], None)
        };
        Arc::new(Self {
            methods: services::all().map(method).collect(),
            unknown: Method::new("", UNKNOWN, Some(Code::Unimplemented)),
        })
    }

    fn of(&self, path: &str) -> &Method {
        let mut methods = self.methods.iter();
        let known = methods.find(|method| method.path == path);
        known.unwrap_or(&self.unknown)
    }
}

impl Method {
    /// `usual` is how its calls end.
    fn new(path: &'static str, [service, method]: [&'static str; 2], usual: Option<Code>) -> Self {
        let labels = [
            ("grpc_type", KIND),
            ("grpc_service", service),
            ("grpc_method", method),
        ];
        let this = Self {
            path,
            labels,
            seconds: metrics::histogram!(HANDLING_SECONDS, &labels),
            handled: [const { OnceLock::new() }; NAMES.len()],
        };
        // A counter that begins with what it counts shows no increase.
        this.handled(usual);
        this
    }

    fn handled(&self, code: Option<Code>) -> &Counter {
        let code = code.map_or(0, |code| usize::from(code.number()));
        self.handled[code].get_or_init(|| {
            let code = ("grpc_code", NAMES[code]);
            let [kind, service, method] = self.labels;
            metrics::counter!(HANDLED, &[kind, service, method, code])
        })
    }
}

/// A call under way. Dropped without an end, it counts as canceled: its client has gone.
pub struct Timed {
    metrics: Arc<Metrics>,
    path: &'static str,
    begun: Instant,
    code: Option<Code>,
}

impl Timed {
    /// Of a method that is served.
    pub fn begin(metrics: Arc<Metrics>, rpc: &'static Rpc, begun: Instant) -> Self {
        Self {
            metrics,
            path: rpc.path,
            begun,
            code: Some(Code::Canceled),
        }
    }

    /// Of one that is not.
    pub fn unknown(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            path: "",
            begun: Instant::now(),
            code: Some(Code::Canceled),
        }
    }

    /// None: it succeeded.
    pub fn end(mut self, code: Option<Code>) {
        self.code = code;
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let method = self.metrics.of(self.path);
        method.seconds.record(self.begun.elapsed().as_secs_f64());
        method.handled(self.code).increment(1);
    }
}

#[cfg(test)]
mod tests;
