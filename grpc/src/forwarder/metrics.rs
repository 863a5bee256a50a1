//! How long calls of forwarders took (contract 6.5, 9). What became of events, the caller counts.

use super::message::{METHODS, Message};
use crate::code::NAMES;
use std::time::Duration;

const LATENCY: &str = "maestro_worker_grpc_request_latency";
const SERVICE: &str = "GRPCForwarder";
/// A number that nobody knows has no name, and forwarders may send any.
const OTHER: &str = "other";

/// Tells the installed recorder what the metric means; the latency of each method is there
/// from now on.
pub(super) fn register() {
    use metrics::{Unit, describe_histogram};
    describe_histogram!(
        LATENCY,
        Unit::Milliseconds,
        "Calls of forwarders by method and outcome (latency)"
    );
    for method in METHODS {
        let _ = metrics::histogram!(
            LATENCY, "service" => SERVICE, "method" => method, "code" => "OK"
        );
    }
}

/// One call that was made, with the name of its outcome.
pub(super) fn record(message: &Message, code: &str, took: Duration) {
    let code = NAMES.into_iter().find(|name| *name == code);
    let code = code.unwrap_or(OTHER);
    metrics::histogram!(
        LATENCY, "service" => SERVICE, "method" => message.method(), "code" => code
    )
    .record(took.as_secs_f64() * 1000.0);
}
