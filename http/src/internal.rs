//! The internal server: health, metrics and a look at the actors (contract 1.2, 15.26; architecture 4).
//!
//! For operators only. What it shows of the actors is put together without asking any of them.

use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes, Data, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};
use maestro_actors::Node;
use maestro_api::{Code, ManagementApi, Status, unexpected};
use maestro_core::state::{Command, Reply};
use serde::Deserialize;
use serde_json::json;

use crate::backup::{self, Backup};
use crate::gateway::{Gateway, Observers, refusal};
use crate::named::{named, ordered_by};
use crate::openapi::{About, Answer, Endpoint, Parameter, Tag, object};
use crate::readiness::{Readiness, ready};

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
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

/// Health pages answer every method: probes differ.
pub(crate) const HEALTH: &[Endpoint] = &[
    Endpoint {
        method: Method::GET,
        path: "/health",
        handler: || web::to(alive),
        name: "health",
        about: About {
            tag: Tag::Health,
            summary: "Whether the process runs",
            text: "The same as `/healthz`.",
            fails: &[],
            example: None,
        },
        query: &[],
        body: None,
        answer: Answer::Text("text/plain"),
    },
    Endpoint {
        method: Method::GET,
        path: "/healthz",
        handler: || web::to(alive),
        name: "healthz",
        about: About {
            tag: Tag::Health,
            summary: "Whether the process runs",
            text: "",
            fails: &[],
            example: None,
        },
        query: &[],
        body: None,
        answer: Answer::Text("text/plain"),
    },
    Endpoint {
        method: Method::GET,
        path: "/readyz",
        handler: || web::to(ready),
        name: "readyz",
        about: About {
            tag: Tag::Health,
            summary: "Whether it is ready",
            text: "It is once every scheduler has an owner and while the store takes changes; else 503, and `X-Reason` says why.",
            fails: &[Code::Unavailable],
            example: None,
        },
        query: &[],
        body: None,
        answer: Answer::Text("text/plain"),
    },
];

pub(crate) const METRICS: &[Endpoint] = &[Endpoint {
    method: Method::GET,
    path: "/metrics",
    handler: || web::to(metrics),
    name: "metrics",
    about: About {
        tag: Tag::Health,
        summary: "Metrics for Prometheus",
        text: "",
        fails: &[],
        example: None,
    },
    query: &[],
    body: None,
    answer: Answer::Text("text/plain"),
}];

/// Looks only: on the management API too (`api.debug.enabled`).
pub(crate) const ACTORS: &[Endpoint] = &[Endpoint {
    method: Method::GET,
    path: "/debug/actors",
    handler: || web::to(actors),
    name: "debugActors",
    about: About {
        tag: Tag::Debug,
        summary: "See what every actor is doing",
        text: "No actor is asked for it: a stuck one is seen while it is stuck. On the management API when `api.debug.enabled` says so.",
        fails: &[],
        example: None,
    },
    query: &[Parameter {
        name: "scheduler",
        text: "Only the actor of this scheduler.",
        schema: || object! { "type" => "string" },
    }],
    body: None,
    answer: Answer::Json("DebugActors"),
}];

/// Orders to an actor.
pub(crate) const ORDERS: &[Endpoint] = &[
    Endpoint {
        method: Method::POST,
        path: "/debug/actors/{scheduler}/reload",
        handler: || web::to(reload),
        name: "reloadActor",
        about: About {
            tag: Tag::Debug,
            summary: "Build an actor anew from the store",
            text: "Its rooms do not notice.",
            fails: &[Code::NotFound],
            example: None,
        },
        query: &[],
        body: None,
        answer: Answer::Json("Done"),
    },
    Endpoint {
        method: Method::POST,
        path: "/debug/actors/{scheduler}/pause",
        handler: || web::to(pause),
        name: "pauseActor",
        about: About {
            tag: Tag::Debug,
            summary: "Let the queues of a scheduler stand still",
            text: "Pings, allocation and reads go on; no room is started or ended. Stored: it stays through restarts until it \
                is resumed.",
            fails: &[Code::NotFound],
            example: None,
        },
        query: &[],
        body: None,
        answer: Answer::Json("Done"),
    },
    Endpoint {
        method: Method::POST,
        path: "/debug/actors/{scheduler}/resume",
        handler: || web::to(resume),
        name: "resumeActor",
        about: About {
            tag: Tag::Debug,
            summary: "Let the queues of a scheduler go on",
            text: "Also where all others stand still (`workers.paused`); stored like a pause.",
            fails: &[Code::NotFound],
            example: None,
        },
        query: &[],
        body: None,
        answer: Answer::Json("Done"),
    },
    Endpoint {
        method: Method::POST,
        path: "/debug/actors/{scheduler}/test-operation",
        handler: || web::to(test_operation),
        name: "orderTestOperation",
        about: About {
            tag: Tag::Debug,
            summary: "Order an operation that only takes time",
            text: "",
            fails: &[Code::NotFound],
            example: Some(r#"{"sleepSeconds": 1}"#),
        },
        query: &[],
        body: Some("TestOperation"),
        answer: Answer::Json("Ordered"),
    },
];

pub(crate) const BACKUP: &[Endpoint] = &[Endpoint {
    method: Method::POST,
    path: "/backup",
    handler: || web::to(backup::handle),
    name: "backUp",
    about: About {
        tag: Tag::Backup,
        summary: "Copy the store while it is in use",
        text: "To `backups/NAME.redb` in the data folder.",
        fails: &[Code::AlreadyExists, Code::Unavailable],
        example: Some(r#"{"name": "monday"}"#),
    },
    query: &[],
    body: Some("BackupWanted"),
    answer: Answer::Json("BackupDone"),
}];

/// Mounts the internal server's pages, and its 404 for all others.
pub fn configure_internal(
    parts: InternalParts,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    let node = Data::new(parts.node);
    // The HTTP metrics are those of the two APIs (contract 9).
    let nobody = Observers::default();
    move |config: &mut ServiceConfig| {
        config.app_data(node.clone());
        if parts.health {
            config.app_data(Data::new(Readiness {
                skip_store_check: parts.skip_store_check,
            }));
            for endpoint in HEALTH {
                config.service(Resource::new(endpoint.path).route((endpoint.handler)()));
            }
        }
        mount_metrics(parts.metrics.clone(), config);
        if let Some(backup) = parts.backup.clone() {
            config.app_data(Data::new(backup));
            mount(config, BACKUP, &nobody);
        }
        mount(config, ACTORS, &nobody);
        mount(config, ORDERS, &nobody);
        config.default_service(web::to(not_found));
    }
}

pub(crate) fn mount_metrics(page: Option<MetricsPage>, config: &mut ServiceConfig) {
    let Some(page) = page else {
        return;
    };
    config.app_data(Data::new(page));
    for endpoint in METRICS {
        config.service(Resource::new(endpoint.path).route((endpoint.handler)()));
    }
}

/// Mounts only the page that looks: for the management API (`api.debug.enabled`). To be called before the gateway's, whose
/// observer hears of its requests too.
pub fn configure_debug(
    node: Node,
    gateway: &Gateway<dyn ManagementApi>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<> {
    let (node, observers) = (Data::new(node), gateway.observers());
    move |config: &mut ServiceConfig| {
        config.app_data(node.clone());
        mount(config, ACTORS, &observers);
    }
}

/// Each under its own method alone.
fn mount(config: &mut ServiceConfig, endpoints: &[Endpoint], observers: &Observers) {
    for endpoint in endpoints {
        let route = (endpoint.handler)().method(endpoint.method.clone());
        let resource = Resource::new(endpoint.path).route(route);
        config.service(named(resource, endpoint.path, observers));
    }
}

pub(crate) fn text(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<String>,
) -> HttpResponse {
    HttpResponse::build(status)
        .content_type(kind)
        .body(body.into())
}

async fn metrics(page: Data<MetricsPage>) -> HttpResponse {
    text(StatusCode::OK, METRICS_TEXT, page())
}

pub(crate) async fn alive() -> HttpResponse {
    text(StatusCode::OK, TEXT, "OK")
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
    set_paused(&node, &scheduler, true).await
}

/// Also where all others stand still (`workers.paused`).
async fn resume(node: Data<Node>, scheduler: Path<String>) -> HttpResponse {
    set_paused(&node, &scheduler, false).await
}

async fn set_paused(node: &Node, scheduler: &str, paused: bool) -> HttpResponse {
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
