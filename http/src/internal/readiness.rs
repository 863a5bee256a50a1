//! Whether this process is ready, and why not (contract 1.2).

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::Data;
use maestro_api::codec::messages::GetReadinessRequest;
use maestro_api::{OperatorApi, RequestContext};
use maestro_core::text::escaped;

use super::text::{TEXT, text};

/// Response header with the reason why the process is not ready.
const REASON: HeaderName = HeaderName::from_static("x-reason");

/// Settings of the readiness check.
pub struct Readiness {
    pub skip_store_check: bool,
}

/// The process is ready once every scheduler has an owner here and the store answers.
pub async fn ready(
    operator: Data<Arc<dyn OperatorApi>>,
    readiness: Data<Readiness>,
) -> HttpResponse {
    let wanted = GetReadinessRequest {
        skip_store_check: readiness.skip_store_check,
    };
    let nobody = RequestContext::internal();
    let why = match operator.get_readiness(&nobody, wanted).await {
        Ok(readiness) => readiness.not_ready_because,
        Err(status) => Some(status.message),
    };
    match why {
        None => text(StatusCode::OK, TEXT, "OK"),
        // The contract fixes the body (1.2), so the reason is in a header.
        Some(why) => {
            let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, TEXT, "Service Unavailable");
            if let Ok(why) = HeaderValue::from_bytes(escaped(&why).as_bytes()) {
                answer.headers_mut().insert(REASON, why);
            }
            answer
        }
    }
}
