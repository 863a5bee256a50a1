//! Converts requests to calls of [`RuntimeApi`], and results to responses.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use maestro_api::codec::messages::runtime::{Request, Runtime};
use maestro_api::codec::{decode, encode};
use maestro_api::{RuntimeApi, Status};
use maestro_core::domain::OperationStatus;
use maestro_core::duration;
use serde::Deserialize;

use crate::gateway::read_body;
use crate::operator::query_of;
use crate::progress::Progress;
use crate::request_scope::context;
use crate::resources::refused;

type Runtimes = Data<Arc<dyn RuntimeApi>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    #[serde(default)]
    wait: String,
}

impl Wait {
    /// Whole seconds, as the message counts them; none: not at all.
    fn seconds(&self) -> Result<i32, Status> {
        if self.wait.is_empty() {
            return Ok(-1);
        }
        let wait = duration::parse(&self.wait)
            .map_err(|error| Status::invalid_argument(format!("wait: {error}")))?;
        let seconds = wait
            .as_millis()
            .div_ceil(Duration::from_secs(1).as_millis());
        Ok(match i32::try_from(seconds).unwrap_or(i32::MAX) {
            0 => -1,
            seconds => seconds,
        })
    }
}

/// The body is that of the call, whose namespace is that of the path; it may be empty.
fn wanted(namespace: String, body: &[u8], wait: &Wait) -> Result<Request, Status> {
    let mut request = match body.trim_ascii().is_empty() {
        true => Request::default(),
        false => {
            decode::<Request>(body).map_err(|error| Status::invalid_argument(error.to_string()))?
        }
    };
    let runtime = request.runtime.get_or_insert_with(Runtime::default);
    if !runtime.namespace.is_empty() && runtime.namespace != namespace {
        return Err(Status::invalid_argument(format!(
            "the body names the namespace {:?}, and the path {namespace:?}",
            runtime.namespace
        )));
    }
    runtime.namespace = namespace;
    request.wait_seconds = wait.seconds()?;
    Ok(request)
}

pub async fn create(
    runtimes: Runtimes,
    at: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let progress = request.conn_data::<Progress>();
    let body = match read_body(request.headers(), payload, progress).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let wait: Wait = match query_of(&request) {
        Ok(wait) => wait,
        Err(status) => return refused(status),
    };
    let wanted = match wanted(at.into_inner(), &body, &wait) {
        Ok(wanted) => wanted,
        Err(status) => return refused(status),
    };
    match runtimes.create(&context(&request), wanted).await {
        Ok(ordered) => {
            let is_made = ordered.status == OperationStatus::Finished.as_str();
            let mut response = match is_made {
                true => HttpResponse::Ok(),
                false => HttpResponse::Accepted(),
            };
            response
                .content_type("application/json")
                .body(encode(&ordered))
        }
        Err(status) => refused(status),
    }
}

pub async fn status(runtimes: Runtimes, at: Path<String>, request: HttpRequest) -> HttpResponse {
    let wait: Wait = match query_of(&request) {
        Ok(wait) => wait,
        Err(status) => return refused(status),
    };
    let wanted = match wanted(at.into_inner(), &[], &wait) {
        Ok(wanted) => wanted,
        Err(status) => return refused(status),
    };
    match runtimes.runtime_status(&context(&request), wanted).await {
        Ok(status) => HttpResponse::Ok()
            .content_type("application/json")
            .body(encode(&status)),
        Err(status) => refused(status),
    }
}

/// The query parameters of each endpoint, taken from serde's error for an unknown parameter.
#[cfg(test)]
pub(crate) fn known_parameters() -> [(&'static str, Vec<String>); 2] {
    use crate::operator::known_fields;
    [
        ("createRuntime", known_fields::<Wait>()),
        ("getRuntimeStatus", known_fields::<Wait>()),
    ]
}
