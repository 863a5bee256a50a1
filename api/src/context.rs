//! The context of a call beyond its message: how long it may take, and its id in the logs.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Status;

/// The header that names a request, in both directions.
pub const REQUEST_ID: &str = "x-request-id";

/// Accompanies every request message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    /// The caller's `X-Request-Id` if it is valid, else a generated one. Echoed in the answer.
    pub request_id: String,
    /// When the caller stops waiting (`Grpc-Timeout`); none if it waits indefinitely.
    pub deadline: Option<Instant>,
}

impl RequestContext {
    /// A context for calls that do not originate from a request.
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

    /// Time left until the caller stops waiting; none if it waits indefinitely.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// The caller's request id if it can be logged and echoed unchanged, else a new one.
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

/// Unique without system randomness for every ping: one random name per process, and a counter.
fn new_request_id() -> String {
    static PROCESS: LazyLock<String> = LazyLock::new(|| uuid::Uuid::new_v4().simple().to_string());
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!(
        "{}-{:x}",
        &PROCESS[..16],
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// When the caller of an HTTP request stops waiting, from its `Grpc-Timeout` and the time of its arrival (contract 2.1,
/// 15.11). A timeout of zero is no deadline.
///
/// # Errors
/// When `given` is not a number and a unit.
pub fn http_deadline(given: &str, begun: Instant) -> Result<Option<Instant>, Status> {
    let (negative, span) = timeout(given)?;
    match (negative, span.is_zero()) {
        (_, true) => Ok(None),
        (true, _) => Ok(Some(begun)),
        // A deadline beyond the clock's range never comes.
        (false, _) => Ok(begun.checked_add(span)),
    }
}

/// When the caller of a gRPC call stops waiting, from its `grpc-timeout` and the time of its arrival. Unlike over HTTP,
/// a timeout of zero has expired already.
///
/// # Errors
/// When `given` is not a number and a unit.
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

/// A number and a unit of `HMSmun`. The sign is separate: a negative timeout has expired already.
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
