//! Converts requests to calls of [`ResourceMetricsApi`], and results to responses.

use std::sync::Arc;

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use maestro_api::ResourceMetricsApi;
use maestro_api::codec::messages::resourcemetrics::{AlertsRequest, VersionRequest};
use serde::Deserialize;

use super::events::texts;
use crate::conflict::{answer, refused};
use crate::events::respond;
use crate::operator::query_of;
use crate::request_scope::context;

type Metrics = Data<Arc<dyn ResourceMetricsApi>>;

/// The date of the last event that a client of server-sent events has seen.
const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Times {
    #[serde(default)]
    from_date: String,
    #[serde(default)]
    to_date: String,
    #[serde(default)]
    step: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Begin {
    #[serde(default)]
    from_date: String,
    #[serde(default)]
    step: i32,
}

pub async fn metrics(
    metrics: Metrics,
    at: Path<(String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let times: Times = match query_of(&request) {
        Ok(times) => times,
        Err(status) => return refused(status),
    };
    let (namespace, version) = at.into_inner();
    let wanted = VersionRequest {
        namespace,
        versionName: version,
        fromDate: times.from_date,
        toDate: times.to_date,
        step: times.step,
    };
    answer(metrics.get_version(&context(&request), wanted).await)
}

pub async fn watch(
    metrics: Metrics,
    at: Path<(String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let begin: Begin = match query_of(&request) {
        Ok(begin) => begin,
        Err(status) => return refused(status),
    };
    let seen = request.headers().get(LAST_EVENT_ID);
    let seen = seen.and_then(|id| id.to_str().ok()).unwrap_or_default();
    let (namespace, version) = at.into_inner();
    let wanted = VersionRequest {
        namespace,
        versionName: version,
        fromDate: match seen {
            "" => begin.from_date,
            seen => seen.to_owned(),
        },
        toDate: String::new(),
        step: begin.step,
    };
    let context = context(&request);
    match metrics.watch_version(&context, wanted).await {
        Ok(ticks) => respond(texts(ticks, seen), context.deadline, &request),
        Err(status) => refused(status),
    }
}

pub async fn alerts(
    metrics: Metrics,
    at: Path<(String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let (namespace, version) = at.into_inner();
    let wanted = AlertsRequest {
        namespace,
        versionName: version,
    };
    answer(metrics.get_alerts(&context(&request), wanted).await)
}

/// The query parameters of each endpoint, taken from serde's error for an unknown parameter.
#[cfg(test)]
pub(crate) fn known_parameters() -> [(&'static str, Vec<String>); 2] {
    use crate::operator::known_fields;
    [
        ("getVersionMetrics", known_fields::<Times>()),
        ("watchVersionMetrics", known_fields::<Begin>()),
    ]
}
