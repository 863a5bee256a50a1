//! What a call knows about its request beyond the message: how long it may take and what it is called in the logs.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::header::HeaderMap;

use super::status::Status;

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

/// The caller's name for the request; see [`sane_request_id`].
pub fn request_id(headers: &HeaderMap) -> String {
    sane_request_id(headers.get(REQUEST_ID).and_then(|v| v.to_str().ok()))
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

/// When the caller stops waiting, by its `Grpc-Timeout` header (contract 2.1, 15.11).
pub fn deadline(headers: &HeaderMap) -> Result<Option<Instant>, Status> {
    let Some(value) = headers
        .get("grpc-timeout")
        .filter(|value| !value.is_empty())
    else {
        return Ok(None);
    };
    let (negative, span) = timeout(&String::from_utf8_lossy(value.as_bytes()))?;
    let now = Instant::now();
    match (negative, span.is_zero()) {
        (_, true) => Ok(None),
        (true, _) => Ok(Some(now)),
        // A deadline that the clock cannot hold never comes.
        (false, _) => Ok(now.checked_add(span)),
    }
}

/// When the caller of a gRPC call stops waiting, by its `grpc-timeout` and the moment it came. Unlike over HTTP,
/// a time of zero has passed.
///
/// # Errors
/// When it is not a number and a unit.
pub fn call_deadline(given: &str, begun: Instant) -> Result<Option<Instant>, Status> {
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

/// Binary metadata must be base64, or the request is refused (contract 15.11). Otherwise metadata is ignored.
pub fn check_binary_metadata(headers: &HeaderMap) -> Result<(), Status> {
    for (name, value) in headers {
        let name = name.as_str();
        if name.starts_with("grpc-metadata-")
            && name.ends_with("-bin")
            && let Some(position) = base64_fault(value.as_bytes())
        {
            let name = canonical(name);
            let why = format!("illegal base64 data at input byte {position}");
            return Err(Status::invalid_argument(format!(
                "invalid binary header {name}: {why}"
            )));
        }
    }
    Ok(())
}

/// Where the text stops being standard base64, padded or not.
fn base64_fault(text: &[u8]) -> Option<usize> {
    let trimmed = match text {
        [rest @ .., b'=', b'='] | [rest @ .., b'='] if text.len().is_multiple_of(4) => rest,
        rest => rest,
    };
    let foreign = |b: &u8| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    trimmed
        .iter()
        .position(foreign)
        .or((trimmed.len() % 4 == 1).then_some(trimmed.len()))
}

/// `grpc-metadata-x-bin` as Go spells header names: `Grpc-Metadata-X-Bin`.
fn canonical(name: &str) -> String {
    let capital = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    };
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
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

    #[test]
    fn base64_may_be_padded_or_not() {
        for (text, expected) in [
            ("", None),
            ("YQ==", None),
            ("YQ", None),
            ("YWI=", None),
            ("!!!", Some(0)),
            ("YQ=", Some(2)),
        ] {
            assert_eq!(base64_fault(text.as_bytes()), expected, "{text}");
        }
    }
}
