//! What headers and trailers say.

use maestro_api::Code;
use tonic::codegen::http::HeaderMap;

/// A header as text.
pub fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The code of an answer. Failed calls have it in their headers; all others succeed.
pub fn code(headers: &HeaderMap) -> Option<Code> {
    let number = text(headers, "grpc-status")?.parse().ok()?;
    Code::from_number(number)
}
