//! What the contract counts of the calls of forwarders (contract 6.5, 9).

use super::message::{METHODS, Message};
use maestro_core::ports::Forwarding;
use std::time::Duration;

const LATENCY: &str = "maestro_worker_grpc_request_latency";
const SERVICE: &str = "GRPCForwarder";
const ROOM: [&str; 2] = [
    "maestro_api_success_room_event_forwarding_total",
    "maestro_api_failed_room_event_forwarding_total",
];
const PLAYER: [&str; 2] = [
    "maestro_api_success_player_event_forwarding_total",
    "maestro_api_failed_player_event_forwarding_total",
];

/// Tells the installed recorder what the metrics mean; the latency of each method is there
/// from now on.
pub(super) fn register() {
    use metrics::{Unit, describe_counter, describe_histogram};
    describe_histogram!(
        LATENCY,
        Unit::Milliseconds,
        "Calls of forwarders by method and outcome (latency)"
    );
    describe_counter!(ROOM[0], "Events of rooms that a forwarder took (counter)");
    describe_counter!(
        ROOM[1],
        "Events of rooms that a forwarder did not take (counter)"
    );
    describe_counter!(
        PLAYER[0],
        "Events of players that a forwarder took (counter)"
    );
    describe_counter!(
        PLAYER[1],
        "Events of players that a forwarder did not take (counter)"
    );
    for method in METHODS {
        let _ = metrics::histogram!(
            LATENCY, "service" => SERVICE, "method" => method, "code" => "OK"
        );
    }
}

/// One call that was made, with the name of its outcome.
pub(super) fn record(event: &Forwarding, message: &Message, code: &str, took: Duration) {
    metrics::histogram!(
        LATENCY, "service" => SERVICE, "method" => message.method(), "code" => code.to_owned()
    )
    .record(took.as_secs_f64() * 1000.0);
    let [success, failure] = match message {
        Message::Player(_) => PLAYER,
        _ => ROOM,
    };
    let name = if code == "OK" { success } else { failure };
    metrics::counter!(
        name,
        "game" => event.game.to_string(),
        "scheduler" => event.scheduler.to_string(),
        "code" => code.to_owned()
    )
    .increment(1);
}
