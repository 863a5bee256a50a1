//! Latency of calls to forwarders (contract 6.5, 9). The outcome of events is counted by the caller.

use super::message::{METHODS, Message};
use crate::code::NAMES;
use maestro_metrics::LATENCY_BUCKETS_MS;
use prometheus::{HistogramOpts, HistogramVec, Registry};
use std::time::Duration;

const LATENCY: &str = "maestro_worker_grpc_request_latency";
const SERVICE: &str = "GRPCForwarder";
/// Label for unknown codes: forwarders may send any number.
const OTHER: &str = "other";

/// Latency histogram of calls to all forwarders, by method and outcome.
#[derive(Clone, Debug)]
pub struct ForwarderMetrics(HistogramVec);

impl ForwarderMetrics {
    /// Registers the histogram, with the series of every method.
    ///
    /// # Errors
    /// Fails when the registry has the histogram already.
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

    /// Records one finished call under the name of its outcome.
    pub(super) fn record(&self, message: &Message, code: &str, took: Duration) {
        let code = NAMES.into_iter().find(|name| *name == code);
        let labels = [SERVICE, message.method(), code.unwrap_or(OTHER)];
        let latency = self.0.with_label_values(&labels);
        latency.observe(took.as_secs_f64() * 1000.0);
    }
}
