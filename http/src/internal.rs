//! The internal server: health, metrics and a look at the actors (contract 1.2, 15.26; architecture 4).
//!
//! For operators only. What it shows of the actors is put together without asking any of them.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Bytes, Data, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};
use maestro_actors::Node;
use maestro_core::state::{Command, Reply};
use serde::Deserialize;
use serde_json::json;

use crate::backup::{self, Backup};
use crate::error::unexpected;
use crate::gateway::{Status, refusal};
use crate::named::{named, ordered_by};

/// How long the store may take to say that it is there.
const READY_WITHIN: Duration = Duration::from_secs(2);
const TEXT: &str = "text/plain; charset=utf-8";
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders all metrics of the process.
pub type MetricsPage = Arc<dyn Fn() -> String + Send + Sync>;

/// What the internal server serves.
#[derive(Clone)]
pub struct InternalParts {
    pub node: Node,
    /// `None`: no `/metrics` (`internalApi.metrics.enabled`).
    pub metrics: Option<MetricsPage>,
    /// Whether there are health pages (`internalApi.healthcheck.enabled`).
    pub health: bool,
    /// Readiness does not ask the store (`internalApi.healthcheck.skipPostgresCheck`).
    pub skip_store_check: bool,
    /// `None`: no `/backup`.
    pub backup: Option<Backup>,
}

/// Mounts the internal server's pages, and its 404 for all others.
pub fn configure_internal(
    parts: InternalParts,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    let node = Data::new(parts.node);
    move |config: &mut ServiceConfig| {
        let order = |path: &str| Resource::new(path).wrap(from_fn(named));
        config.app_data(node.clone());
        if parts.health {
            config
                .service(Resource::new("/health").to(alive))
                .service(Resource::new("/healthz").to(alive))
                .service(
                    Resource::new("/readyz").to(move |node| ready(node, parts.skip_store_check)),
                );
        }
        mount_metrics(parts.metrics.clone(), config);
        if let Some(backup) = parts.backup.clone() {
            config
                .app_data(Data::new(backup))
                .service(order("/backup").route(web::post().to(backup::handle)));
        }
        let at = "/debug/actors/{scheduler}";
        config
            .service(Resource::new("/debug/actors").route(web::get().to(actors)))
            .service(order(&format!("{at}/reload")).route(web::post().to(reload)))
            .service(order(&format!("{at}/pause")).route(web::post().to(pause)))
            .service(order(&format!("{at}/resume")).route(web::post().to(resume)))
            .service(order(&format!("{at}/test-operation")).route(web::post().to(test_operation)))
            .default_service(web::to(not_found));
    }
}

pub(crate) fn mount_metrics(page: Option<MetricsPage>, config: &mut ServiceConfig) {
    let Some(page) = page else {
        return;
    };
    let render = move || {
        let page = page.clone();
        async move { text(StatusCode::OK, METRICS_TEXT, page()) }
    };
    config.service(Resource::new("/metrics").to(render));
}

/// Mounts only the page that looks: for the management API (`api.debug.enabled`). To be called before the gateway's.
pub fn configure_debug(node: Node) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    let node = Data::new(node);
    move |config: &mut ServiceConfig| {
        config
            .app_data(node.clone())
            .service(Resource::new("/debug/actors").route(web::get().to(actors)));
    }
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<String>) -> HttpResponse {
    HttpResponse::build(status)
        .content_type(kind)
        .body(body.into())
}

pub(crate) async fn alive() -> HttpResponse {
    text(StatusCode::OK, TEXT, "OK")
}

/// Ready once every scheduler has an owner here and the store answers.
async fn ready(node: Data<Node>, skip_store_check: bool) -> HttpResponse {
    let answered = skip_store_check || store_answers(&node).await;
    match answered && node.directory().is_complete() {
        true => text(StatusCode::OK, TEXT, "OK"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, "Service Unavailable"),
    }
}

async fn store_answers(node: &Node) -> bool {
    let check = node
        .catalog()
        .read(|reads| Box::pin(async move { reads.check().await }));
    matches!(tokio::time::timeout(READY_WITHIN, check).await, Ok(Ok(())))
}

pub(crate) async fn not_found() -> HttpResponse {
    text(StatusCode::NOT_FOUND, TEXT, "404 page not found\n")
}

#[derive(Deserialize)]
struct Filter {
    scheduler: Option<String>,
}

async fn actors(node: Data<Node>, filter: Query<Filter>) -> HttpResponse {
    HttpResponse::Ok().json(node.debug(filter.scheduler.as_deref()))
}

/// Lets the owner of a scheduler end and load anew what the store has.
async fn reload(node: Data<Node>, scheduler: Path<String>) -> HttpResponse {
    match node.reload(&scheduler).await {
        Ok(true) => HttpResponse::Ok().json(json!({})),
        Ok(false) => refusal(Status::not_found(format!(
            "scheduler {scheduler} not found"
        ))),
        Err(error) => refusal(error.into()),
    }
}

async fn pause(node: Data<Node>, scheduler: Path<String>) -> HttpResponse {
    set_paused(&node, &scheduler, Some(true)).await
}

/// Also where all others stand still (`workers.paused`).
async fn resume(node: Data<Node>, scheduler: Path<String>) -> HttpResponse {
    set_paused(&node, &scheduler, Some(false)).await
}

async fn set_paused(node: &Node, scheduler: &str, paused: Option<bool>) -> HttpResponse {
    match node.ask(scheduler, Command::SetPaused(paused), None).await {
        Ok(_) => HttpResponse::Ok().json(json!({})),
        Err(error) => refusal(error.into()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestOperation {
    sleep_seconds: i64,
}

/// Enqueues a test operation: there is no other way to one without writing to a store.
async fn test_operation(
    node: Data<Node>,
    scheduler: Path<String>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let TestOperation { sleep_seconds } = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return refusal(Status::invalid_argument(error.to_string())),
    };
    let command = ordered_by(&request, Command::TestOperation { sleep_seconds });
    match node.ask(&scheduler, command, None).await {
        Ok(Reply::Operation(id)) => HttpResponse::Ok().json(json!({ "operationId": id })),
        Ok(other) => refusal(unexpected(&other)),
        Err(error) => refusal(error.into()),
    }
}
