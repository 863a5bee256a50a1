//! What a Prometheus server answers.

use http::StatusCode;
use jiff::Timestamp;
use maestro_core::ports::MetricsError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// The longest text of a failure that is passed on.
const TEXT_MAX: usize = 500;

/// Around every answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<T> {
    data: Option<T>,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
}

/// The result of a query.
#[derive(Deserialize)]
pub struct Queried<S> {
    pub result: Vec<S>,
}

/// A series of a range.
#[derive(Deserialize)]
pub struct Range {
    values: Vec<(f64, String)>,
}

/// An element of an instant.
#[derive(Deserialize)]
pub struct Instant {
    pub metric: BTreeMap<String, String>,
}

/// The answer to a list of alerts.
#[derive(Deserialize)]
pub struct Alerts {
    pub alerts: Vec<Alert>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub active_at: Option<String>,
}

/// The values of the only series that a sum has. What is no number is not known.
pub fn values(queried: Queried<Range>) -> impl Iterator<Item = (Timestamp, f64)> {
    let series = queried.result.into_iter().next();
    let values = series.map(|series| series.values).unwrap_or_default();
    values.into_iter().filter_map(|(at, value)| {
        let value: f64 = value.parse().ok()?;
        // Prometheus counts milliseconds.
        let at = Timestamp::from_millisecond((at * 1_000.0).round() as i64).ok()?;
        value.is_finite().then_some((at, value))
    })
}

/// The data of an answer, or what its failure means for the caller.
pub fn read<T: DeserializeOwned>(
    server: &str,
    status: StatusCode,
    body: &[u8],
) -> Result<T, MetricsError> {
    let envelope: Option<Envelope<T>> = serde_json::from_slice(body).ok();
    let (error_type, error) = match envelope {
        Some(Envelope {
            data: Some(data), ..
        }) if status.is_success() => return Ok(data),
        Some(envelope) => (envelope.error_type, envelope.error),
        None => Default::default(),
    };
    let mut error: String = error.chars().take(TEXT_MAX).collect();
    if error.is_empty() {
        error = format!("HTTP status {}", status.as_u16());
    }
    Err(match status {
        _ if error_type == "timeout" => {
            MetricsError::Late(format!("Prometheus ran out of time for a query: {error}"))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => MetricsError::Unprepared(format!(
            "Prometheus at {server} refuses this caller ({error}): set prometheus.bearerTokenFile or prometheus.tenant"
        )),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            MetricsError::Unavailable(format!("Prometheus at {server} takes no queries: {error}"))
        }
        status if status.is_success() || status == StatusCode::NOT_FOUND => MetricsError::Internal(
            format!("what answers at {server} is no Prometheus ({error}): see prometheus.url"),
        ),
        _ => MetricsError::Internal(format!("Prometheus refused a query: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, body: &str) -> MetricsError {
        let status = StatusCode::from_u16(status).unwrap();
        let read = read::<Queried<Range>>("http://p", status, body.as_bytes());
        read.err().expect("a failure")
    }

    #[test]
    fn failures_are_told_apart_by_what_can_be_done() {
        let said = |kind: &str, text: &str| {
            format!(r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#)
        };
        let cases = [
            (
                400,
                said("bad_data", "no step"),
                "Internal(\"Prometheus refused a query: no step",
            ),
            (422, said("execution", "many-to-many"), "Internal"),
            (503, said("timeout", "query timed out"), "Late"),
            (503, said("canceled", "shutting down"), "Unavailable"),
            (502, "<html>".to_owned(), "Unavailable"),
            (429, String::new(), "Unavailable"),
            (401, String::new(), "Unprepared"),
            (
                200,
                "hello".to_owned(),
                "Internal(\"what answers at http://p is no Prometheus",
            ),
            (404, "page not found".to_owned(), "Internal(\"what answers"),
            (200, r#"{"status":"success"}"#.to_owned(), "Internal"),
        ];
        for (status, body, expected) in cases {
            let failed = format!("{:?}", failure(status, &body));
            assert!(failed.starts_with(expected), "{status} {body}: {failed}");
        }
    }

    #[test]
    fn values_are_read_with_their_times_and_what_is_no_number_is_left_out() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":
            [[1591883808.281,"0.35"],[1591883823,"NaN"],[1591883838,"+Inf"],[1591883853,"1.5e8"]]}]}}"#;
        let queried = read("", StatusCode::OK, body).unwrap();
        let found: Vec<_> = values(queried).map(|(at, v)| (at.to_string(), v)).collect();
        assert_eq!(
            found,
            [
                ("2020-06-11T13:56:48.281Z".to_owned(), 0.35),
                ("2020-06-11T13:57:33Z".to_owned(), 150_000_000.0)
            ]
        );
    }
}
