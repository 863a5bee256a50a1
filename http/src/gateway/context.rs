//! The call's context from its headers: request id, deadline, and metadata.

use std::time::Instant;

use actix_web::http::header::HeaderMap;
use maestro_api::{REQUEST_ID, Status, http_deadline, sane_request_id};

/// The caller's request id; see [`sane_request_id`].
pub fn request_id(headers: &HeaderMap) -> String {
    sane_request_id(headers.get(REQUEST_ID).and_then(|v| v.to_str().ok()))
}

/// When the caller stops waiting, from its `Grpc-Timeout` header (contract 2.1, 15.11).
pub fn deadline(headers: &HeaderMap) -> Result<Option<Instant>, Status> {
    let given = headers
        .get("grpc-timeout")
        .filter(|value| !value.is_empty());
    match given {
        Some(value) => http_deadline(&String::from_utf8_lossy(value.as_bytes()), Instant::now()),
        None => Ok(None),
    }
}

/// Binary metadata must be valid base64 (contract 15.11). Apart from that, metadata is ignored.
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

/// The position at which the text is no longer standard base64, padded or not.
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

/// Formats a header name as Go does: `grpc-metadata-x-bin` becomes `Grpc-Metadata-X-Bin`.
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
