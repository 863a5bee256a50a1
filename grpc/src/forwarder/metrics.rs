//! How long calls of forwarders took (contract 6.5, 9). What became of events, the caller counts.

use super::message::{METHODS, Message};
use crate::code::NAMES;
use maestro_metrics::LATENCY_BUCKETS_MS;
use prometheus::{HistogramOpts, HistogramVec, Registry};
use std::time::Duration;

const LATENCY: &str = "maestro_worker_grpc_request_latency";
const SERVICE: &str = "GRPCForwarder";
/// A number that nobody knows has no name, and forwarders may send any.
const OTHER: &str = "other";

/// Calls of all forwarders, by method and outcome.
#[derive(Clone, Debug)]
pub struct ForwarderMetrics(HistogramVec);

impl ForwarderMetrics {
    /// The latency of each method is there from now on.
    ///
    /// # Errors
    /// When the registry has it already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let about = HistogramOpts::new(
            LATENCY,
            "Calls of forwarders by method and outcome (latency)",
        );
        let about = about.buckets(LATENCY_BUCKETS_MS.to_vec());
        let latency = HistogramVec::new(about, &["service", "method", "code"])?;
        registry.register(Box::new(latency.clone()))?;
        for method in METHODS {
            latency.with_label_values(&[SERVICE, method, "OK"]);
        }
        Ok(Self(latency))
    }

    /// One call that was made, with the name of its outcome.
    pub(super) fn record(&self, message: &Message, code: &str, took: Duration) {
        let code = NAMES.into_iter().find(|name| *name == code);
        let labels = [SERVICE, message.method(), code.unwrap_or(OTHER)];
        let latency = self.0.with_label_values(&labels);
        latency.observe(took.as_secs_f64() * 1000.0);
    }
}
