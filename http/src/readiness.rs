//! Whether this process is ready, and why not (contract 1.2).

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::Data;
use maestro_actors::{CallError, Node};
use maestro_core::ports::Outage;
use maestro_core::text::escaped;

use crate::internal::{TEXT, text};

/// How long the store may take to say that it is there.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// Why it is not ready.
const REASON: HeaderName = HeaderName::from_static("x-reason");

/// What readiness asks.
pub(crate) struct Readiness {
    pub skip_store_check: bool,
}

/// Ready once every scheduler has an owner here and the store answers.
pub(crate) async fn ready(node: Data<Node>, readiness: Data<Readiness>) -> HttpResponse {
    let store = match readiness.skip_store_check {
        true => Ok(()),
        false => store_answers(&node).await,
    };
    let ready = store.and_then(|()| match node.directory().is_complete() {
        true => Ok(()),
        false => Err("the schedulers of the store have no owners yet".to_owned()),
    });
    match ready {
        Ok(()) => text(StatusCode::OK, TEXT, "OK"),
        // The body is the contract's (1.2), so the reason goes beside it.
        Err(why) => {
            let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, TEXT, "Service Unavailable");
            if let Ok(why) = HeaderValue::from_bytes(escaped(&why).as_bytes()) {
                answer.headers_mut().insert(REASON, why);
            }
            answer
        }
    }
}

/// `Err`: what keeps it from taking changes.
async fn store_answers(node: &Node) -> Result<(), String> {
    if let Some(outage) = node.outage() {
        let Outage { since, cause } = &*outage;
        return Err(format!(
            "the store takes no changes since {since:.0}: {cause}"
        ));
    }
    let check = node.catalog().read_within(Some(READY_WITHIN), |reads| {
        Box::pin(async move { reads.check().await })
    });
    check.await.map_err(|error| match error {
        CallError::Timeout(_) => "the store does not answer".to_owned(),
        other => other.to_string(),
    })
}
