//! What a call knows about its request beyond the message: how long it may take and what it is called in the logs.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Status;

/// The header that names a request, in both directions.
pub const REQUEST_ID: &str = "x-request-id";

/// Travels beside every request message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    /// The caller's `X-Request-Id` when it is sane, else one of ours. Echoed in the answer.
    pub request_id: String,
    /// When the caller stops waiting (`Grpc-Timeout`); none when it waits for ever.
    pub deadline: Option<Instant>,
}

impl RequestContext {
    /// A context for calls that no request stands behind.
    pub fn internal() -> Self {
        Self {
            request_id: new_request_id(),
            deadline: None,
        }
    }

    /// Whether the caller has stopped waiting.
    pub fn expired(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Time left before the caller stops waiting; none when it waits for ever.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// The caller's name for the request if it can be logged and echoed as it is, else a new one.
pub fn sane_request_id(given: Option<&str>) -> String {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b))
    };
    given
        .filter(sane)
        .map_or_else(new_request_id, str::to_owned)
}

/// Unique without asking the system for randomness on every ping: one random name per process, and a count.
fn new_request_id() -> String {
    static PROCESS: LazyLock<String> = LazyLock::new(|| uuid::Uuid::new_v4().simple().to_string());
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!(
        "{}-{:x}",
        &PROCESS[..16],
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// When the caller of a request over HTTP stops waiting, by its `Grpc-Timeout` and the moment it came (contract 2.1,
/// 15.11). A time of zero is no deadline.
///
/// # Errors
/// When it is not a number and a unit.
pub fn http_deadline(given: &str, begun: Instant) -> Result<Option<Instant>, Status> {
    let (negative, span) = timeout(given)?;
    match (negative, span.is_zero()) {
        (_, true) => Ok(None),
        (true, _) => Ok(Some(begun)),
        // A deadline that the clock cannot hold never comes.
        (false, _) => Ok(begun.checked_add(span)),
    }
}

/// When the caller of a gRPC call stops waiting, by its `grpc-timeout` and the moment it came. Unlike over HTTP,
/// a time of zero has passed.
///
/// # Errors
/// When it is not a number and a unit.
pub fn grpc_deadline(given: &str, begun: Instant) -> Result<Option<Instant>, Status> {
    let (negative, span) = timeout(given)?;
    Ok(if negative {
        Some(begun)
    } else {
        begun.checked_add(span)
    })
}

fn timeout(text: &str) -> Result<(bool, Duration), Status> {
    parse_timeout(text)
        .ok_or_else(|| Status::invalid_argument(format!("invalid grpc-timeout: {text}")))
}

/// A number and a unit of `HMSmun`; the sign apart because a negative timeout has already passed.
fn parse_timeout(text: &str) -> Option<(bool, Duration)> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let nanos_per_unit: u64 = match unit {
        "H" => 3_600_000_000_000,
        "M" => 60_000_000_000,
        "S" => 1_000_000_000,
        "m" => 1_000_000,
        "u" => 1_000,
        "n" => 1,
        _ => return None,
    };
    let number = number.parse::<i64>().ok()?;
    let nanos = number.unsigned_abs().saturating_mul(nanos_per_unit);
    Some((number < 0, Duration::from_nanos(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_a_number_and_a_unit() {
        for (text, expected) in [
            ("10S", Some((false, Duration::from_secs(10)))),
            (
                "999999999S",
                Some((false, Duration::from_secs(999_999_999))),
            ),
            ("0S", Some((false, Duration::ZERO))),
            ("-1S", Some((true, Duration::from_secs(1)))),
            ("7m", Some((false, Duration::from_millis(7)))),
            ("5", None),
            ("1x", None),
            ("S", None),
            ("1.5S", None),
            ("1µ", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
    }
}
