//! Converts requests to calls of [`maestro_api::RuntimeApi`], and results to responses.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use maestro_api::codec::decode;
use maestro_api::codec::messages::runtime::{Request, Runtime};
use maestro_api::{ApiResult, RequestContext, Status};
use serde::Deserialize;

use super::RuntimeParts;
use crate::access::may;
use crate::conflict::{answer, refused, written};
use crate::named::agrees;
use crate::operator::query_of;
use crate::request_scope::context;
use crate::wait::Wait;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    #[serde(default)]
    wait: Wait,
}

/// The context of a call that waits so long, and the seconds that its message says: none, or as long as the context.
fn waiting(request: &HttpRequest) -> ApiResult<(RequestContext, i32)> {
    let Waiting { wait } = query_of(request)?;
    let context = context(request);
    Ok(match wait.is_none() {
        true => (context, -1),
        false => (wait.within(context), 0),
    })
}

/// The body is that of the call, whose namespace is that of the path; it may be empty.
fn wanted(namespace: String, body: &[u8], wait_seconds: i32) -> ApiResult<Request> {
    let request =
        decode::<Request>(body).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let runtime = request.runtime.unwrap_or_default();
    agrees("namespace", &runtime.namespace, &namespace)?;
    Ok(Request {
        runtime: Some(Runtime {
            namespace,
            ..runtime
        }),
        wait_seconds,
    })
}

pub async fn create(
    parts: Data<RuntimeParts>,
    at: Path<String>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let read = || {
        may(&parts.access, &request)?;
        let (context, seconds) = waiting(&request)?;
        Ok((context, wanted(at.into_inner(), &body, seconds)?))
    };
    let (context, wanted) = match read() {
        Ok(read) => read,
        Err(status) => return refused(status),
    };
    let status = match wanted.wait_seconds {
        0 => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    match parts.runtimes.create(&context, wanted).await {
        Ok(ordered) => written(status, &ordered),
        Err(status) => refused(status),
    }
}

pub async fn status(
    parts: Data<RuntimeParts>,
    at: Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let read = || {
        let (context, seconds) = waiting(&request)?;
        Ok((context, wanted(at.into_inner(), &[], seconds)?))
    };
    match read() {
        Ok((context, wanted)) => answer(parts.runtimes.runtime_status(&context, wanted).await),
        Err(status) => refused(status),
    }
}

/// The query parameters of each endpoint, taken from serde's error for an unknown parameter.
#[cfg(test)]
pub(crate) fn known_parameters() -> [(&'static str, Vec<String>); 2] {
    use crate::operator::known_fields;
    [
        ("createRuntime", known_fields::<Waiting>()),
        ("getRuntimeStatus", known_fields::<Waiting>()),
    ]
}
