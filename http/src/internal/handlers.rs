//! Converts requests on the internal server to calls of [`OperatorApi`], and results to responses.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use maestro_api::codec::messages::*;
use maestro_api::{OperatorApi, Status};
use serde::Deserialize;

use super::text::{TEXT, text};
use crate::gateway::refusal;
use crate::operator::answer;
use crate::request_scope::context;

type Operator = Data<Arc<dyn OperatorApi>>;

const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders all metrics of the process.
pub type MetricsPage = Arc<dyn Fn() -> String + Send + Sync>;

pub async fn metrics(page: Data<MetricsPage>) -> HttpResponse {
    text(StatusCode::OK, METRICS_TEXT, page())
}

pub async fn alive() -> HttpResponse {
    text(StatusCode::OK, TEXT, "OK")
}

pub async fn not_found() -> HttpResponse {
    text(StatusCode::NOT_FOUND, TEXT, "404 page not found\n")
}

#[derive(Deserialize)]
pub struct Filter {
    scheduler: Option<String>,
}

pub async fn actors(
    operator: Operator,
    filter: Query<Filter>,
    request: HttpRequest,
) -> HttpResponse {
    let wanted = GetActorsRequest {
        scheduler_name: filter.into_inner().scheduler,
    };
    match operator.get_actors(&context(&request), wanted).await {
        Ok(actors) => text(StatusCode::OK, "application/json", actors.view),
        Err(status) => refusal(status),
    }
}

pub async fn nodes(
    operator: Operator,
    filter: Query<Filter>,
    request: HttpRequest,
) -> HttpResponse {
    let wanted = GetNodesRequest {
        scheduler_name: filter.into_inner().scheduler,
    };
    match operator.get_nodes(&context(&request), wanted).await {
        Ok(nodes) => text(StatusCode::OK, "application/json", nodes.view),
        Err(status) => refusal(status),
    }
}

/// How a page names the node that answers.
const ME: &str = "me";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Drained {
    #[serde(default)]
    leave_rooms: bool,
}

pub async fn drain(
    operator: Operator,
    at: Path<String>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let Drained { leave_rooms } = match body.is_empty() {
        true => Drained::default(),
        false => match serde_json::from_slice(&body) {
            Ok(wanted) => wanted,
            Err(error) => return refusal(Status::invalid_argument(error.to_string())),
        },
    };
    let wanted = DrainNodeRequest {
        node: node_of(at),
        draining: true,
        leave_rooms,
    };
    answer(operator.drain_node(&context(&request), wanted).await)
}

pub async fn undrain(operator: Operator, at: Path<String>, request: HttpRequest) -> HttpResponse {
    let wanted = DrainNodeRequest {
        node: node_of(at),
        ..DrainNodeRequest::default()
    };
    answer(operator.drain_node(&context(&request), wanted).await)
}

fn node_of(at: Path<String>) -> String {
    Some(at.into_inner())
        .filter(|node| node != ME)
        .unwrap_or_default()
}

/// Makes the owner of a scheduler end, and a new one load it from the store.
pub async fn reload(operator: Operator, at: Path<String>, request: HttpRequest) -> HttpResponse {
    let wanted = ReloadSchedulerRequest {
        scheduler_name: at.into_inner(),
    };
    answer(operator.reload_scheduler(&context(&request), wanted).await)
}

pub async fn pause(operator: Operator, at: Path<String>, request: HttpRequest) -> HttpResponse {
    let wanted = PauseSchedulerRequest {
        scheduler_name: at.into_inner(),
    };
    answer(operator.pause_scheduler(&context(&request), wanted).await)
}

/// Works even while all other schedulers are paused (`workers.paused`).
pub async fn resume(operator: Operator, at: Path<String>, request: HttpRequest) -> HttpResponse {
    let wanted = ResumeSchedulerRequest {
        scheduler_name: at.into_inner(),
    };
    answer(operator.resume_scheduler(&context(&request), wanted).await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestOperation {
    sleep_seconds: i64,
}

/// Enqueues a test operation; the only alternative would be to write to the store.
pub async fn test_operation(
    operator: Operator,
    at: Path<String>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let TestOperation { sleep_seconds } = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return refusal(Status::invalid_argument(error.to_string())),
    };
    let wanted = RunTestOperationRequest {
        scheduler_name: at.into_inner(),
        sleep_seconds,
    };
    answer(
        operator
            .run_test_operation(&context(&request), wanted)
            .await,
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupName {
    name: String,
}

pub async fn back_up(operator: Operator, request: HttpRequest, body: Bytes) -> HttpResponse {
    let BackupName { name } = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            let text = format!("the body has to be {{\"name\": \"…\"}}: {error}");
            return refusal(Status::invalid_argument(text));
        }
    };
    answer(
        operator
            .back_up(&context(&request), BackUpRequest { name })
            .await,
    )
}
