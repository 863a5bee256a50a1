//! Answers of the endpoints for the K8s manager's calls. A state that does not allow a call is a conflict there: 409,
//! where the contract has 400.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use maestro_api::codec::{Message, encode};
use maestro_api::{Code, Status};

use crate::gateway::refusal;

/// The header that names the operation that a call ordered, and that goes on or failed.
const OPERATION: HeaderName = HeaderName::from_static("maestro-operation");

/// A failure.
pub fn refused(status: Status) -> HttpResponse {
    let conflict = status.code == Code::FailedPrecondition;
    let operation = status.operation.clone();
    let mut response = refusal(status);
    if conflict {
        *response.status_mut() = StatusCode::CONFLICT;
    }
    if let Some(Ok(id)) = operation.map(|id| HeaderValue::from_str(&id)) {
        response.headers_mut().insert(OPERATION, id);
    }
    response
}

/// An outcome.
pub fn answer(outcome: Result<impl Message, Status>) -> HttpResponse {
    match outcome {
        Ok(message) => written(StatusCode::OK, &message),
        Err(status) => refused(status),
    }
}

/// A message with this status.
pub fn written(status: StatusCode, message: &impl Message) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("application/json")
        .body(encode(message))
}
