//! What operators have beside the contract: the rooms of a scheduler, and its rollout.
//!
//! New data gets new endpoints, since strict clients refuse unknown fields in the old answers (contract 2.1).
//! Mounted on the management API, before the gateway.

use actix_web::http::Method;
use actix_web::web::{self, Data, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};
use maestro_actors::{Node, Order};
use maestro_api::{Code, ManagementApi, Status, unexpected};
use maestro_core::domain::{RoomStatus, SchedulerVersion};
use maestro_core::ports::ContainerProcess;
use maestro_core::state::{Command, Reply, RoomDetail, RoomQuery};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::gateway::{Gateway, refusal};
use crate::named::{named, ordered_by};
use crate::openapi::{About, Answer, Endpoint, Parameter, Tag, Tree, object};

const PAGE_SIZE: usize = 100;
const PAGE_SIZE_MAX: usize = 500;
const TAIL: usize = 100;
const TAIL_MAX: usize = 10_000;

/// What is mounted, and how it is described.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/rooms",
        handler: || web::to(rooms),
        name: "listRooms",
        about: about("List the rooms of a scheduler", "", &[Code::NotFound]),
        query: &[
            Parameter {
                name: "status",
                text: "Only rooms in this status; `ended`: the last ones that are gone, the newest first.",
                schema: || {
                    let statuses = RoomStatus::ALL.map(|status| Tree::from(status.as_str()));
                    let words: Vec<Tree> = statuses.into_iter().chain(["ended".into()]).collect();
                    object! { "enum" => words }
                },
            },
            Parameter {
                name: "version",
                text: "Only rooms of this version, as `v1.2.0`.",
                schema: || object! { "type" => "string" },
            },
            Parameter {
                name: "page",
                text: "Page, from 1.",
                schema: || object! { "type" => "integer", "minimum" => 1, "default" => 1 },
            },
            Parameter {
                name: "perPage",
                text: "Rooms on a page.",
                schema: || bounded(1, PAGE_SIZE, PAGE_SIZE_MAX),
            },
        ],
        body: None,
        answer: Answer::Json("RoomPage"),
    },
    // Before the rooms themselves: their ids begin with the scheduler's name and a hyphen, so none is called that.
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/rooms/summary",
        handler: || web::to(summary),
        name: "summarizeRooms",
        about: about(
            "Count the rooms of a scheduler by status",
            "All statuses, also those that the information about schedulers has no place for.",
            &[Code::NotFound],
        ),
        query: &[],
        body: None,
        answer: Answer::Json("RoomsSummary"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/rooms/{room}",
        handler: || web::to(room),
        name: "getRoom",
        about: about(
            "Read a room with its past",
            "Also one that has ended, for a while.",
            &[Code::NotFound],
        ),
        query: &[],
        body: None,
        answer: Answer::Json("RoomAnswer"),
    },
    Endpoint {
        method: Method::DELETE,
        path: "/schedulers/{scheduler}/rooms/{room}",
        handler: || web::to(remove_room),
        name: "removeRoom",
        about: about(
            "Remove a room",
            "A room with a match goes when the match has ended. Another one is made where the scheduler wants it.",
            &[Code::NotFound],
        ),
        query: &[Parameter {
            name: "force",
            text: "Do not wait for the end of its match.",
            schema: || object! { "type" => "boolean", "default" => false },
        }],
        body: None,
        answer: Answer::Json("OrderedOrDone"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/rooms/{room}/log",
        handler: || web::to(log),
        name: "readRoomLog",
        about: about(
            "Read the last lines that a room printed",
            "",
            &[Code::NotFound],
        ),
        query: &[Parameter {
            name: "tail",
            text: "How many lines.",
            schema: || bounded(0, TAIL, TAIL_MAX),
        }],
        body: None,
        answer: Answer::Text("text/plain"),
    },
    Endpoint {
        method: Method::GET,
        path: "/schedulers/{scheduler}/rollout",
        handler: || web::to(rollout),
        name: "getRollout",
        about: of_rollouts(
            "See how far a rolling update is and what it waits for",
            "",
            &[Code::NotFound],
        ),
        query: &[],
        body: None,
        answer: Answer::Json("RolloutAnswer"),
    },
    Endpoint {
        method: Method::POST,
        path: "/schedulers/{scheduler}/rollout/{order}",
        handler: || web::to(steer),
        name: "steerRollout",
        about: of_rollouts(
            "Pause, resume or abort a rolling update",
            "An abort without a rollout under way is 400 with code 9.",
            &[Code::FailedPrecondition, Code::NotFound],
        ),
        query: &[],
        body: None,
        answer: Answer::Json("RolloutOrdered"),
    },
];

const fn about(summary: &'static str, text: &'static str, fails: &'static [Code]) -> About {
    About {
        tag: Tag::Rooms,
        summary,
        text,
        fails,
        example: None,
    }
}

const fn of_rollouts(summary: &'static str, text: &'static str, fails: &'static [Code]) -> About {
    About {
        tag: Tag::Versions,
        ..about(summary, text, fails)
    }
}

fn bounded(least: usize, usual: usize, most: usize) -> Tree {
    object! { "type" => "integer", "minimum" => least, "maximum" => most, "default" => usual }
}

/// Mounts the endpoints. To be called before the gateway's, whose observer hears of their requests too.
pub fn configure_operator(
    node: Node,
    gateway: &Gateway<dyn ManagementApi>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<> {
    let (node, observers) = (Data::new(node), gateway.observers());
    move |config: &mut ServiceConfig| {
        config.app_data(node.clone());
        // Methods of one path stand together in the table.
        for methods in ENDPOINTS.chunk_by(|a, b| a.path == b.path) {
            let mut resource = Resource::new(methods[0].path);
            for endpoint in methods {
                resource = resource.route((endpoint.handler)().method(endpoint.method.clone()));
            }
            let resource = resource.default_service(web::to(method_not_allowed));
            config.service(named(resource, methods[0].path, &observers));
        }
    }
}

async fn method_not_allowed() -> HttpResponse {
    refusal(Status::new(Code::Unimplemented, "Method Not Allowed"))
}

fn answer(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(body)
}

async fn ask(node: &Node, scheduler: &str, order: impl Into<Order>) -> Result<Reply, Status> {
    Ok(node.ask(scheduler, order, None).await?)
}

/// The reply that a command brings, as JSON.
async fn show(node: &Node, scheduler: &str, order: impl Into<Order>) -> HttpResponse {
    match ask(node, scheduler, order).await {
        Ok(Reply::Summary(summary)) => answer(&summary),
        Ok(Reply::Rollout(view)) => answer(&json!({ "rollout": view })),
        Ok(Reply::Operation(id)) => answer(&json!({ "operationId": id })),
        Ok(Reply::Done) => answer(&json!({})),
        Ok(other) => refusal(unexpected(&other)),
        Err(status) => refusal(status),
    }
}

/// The words of `status` in a listing.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    In(RoomStatus),
    Ended,
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let status = RoomStatus::ALL.into_iter().find(|s| s.as_str() == word);
        match status {
            Some(status) => Ok(Self::In(status)),
            None if word == "ended" => Ok(Self::Ended),
            None => {
                let words = RoomStatus::ALL.map(RoomStatus::as_str).join(", ");
                let text = format!("{word:?} is no status of rooms; say one of {words}, or ended");
                Err(serde::de::Error::custom(text))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoomFilter {
    status: Option<Wanted>,
    version: Option<String>,
    page: Option<usize>,
    per_page: Option<usize>,
}

fn query_of<T: for<'de> Deserialize<'de>>(request: &HttpRequest) -> Result<T, Status> {
    let query = Query::<T>::from_query(request.query_string());
    query
        .map(Query::into_inner)
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

async fn rooms(node: Data<Node>, at: Path<String>, request: HttpRequest) -> HttpResponse {
    let filter: RoomFilter = match query_of(&request) {
        Ok(filter) => filter,
        Err(status) => return refusal(status),
    };
    let (page, size) = (
        filter.page.unwrap_or(1),
        filter.per_page.unwrap_or(PAGE_SIZE),
    );
    if page == 0 || size == 0 || size > PAGE_SIZE_MAX {
        let text = format!("page starts at 1, perPage is between 1 and {PAGE_SIZE_MAX}");
        return refusal(Status::invalid_argument(text));
    }
    let query = RoomQuery {
        status: match filter.status {
            Some(Wanted::In(status)) => Some(status),
            _ => None,
        },
        ended: filter.status == Some(Wanted::Ended),
        version: filter.version.map(SchedulerVersion),
        offset: (page - 1).saturating_mul(size),
        limit: size,
    };
    match ask(&node, &at, Command::Rooms(query)).await {
        Ok(Reply::Rooms(found)) => answer(&json!({
            "page": page, "pageSize": size, "total": found.total, "rooms": found.rooms,
        })),
        Ok(other) => refusal(unexpected(&other)),
        Err(status) => refusal(status),
    }
}

async fn summary(node: Data<Node>, at: Path<String>) -> HttpResponse {
    show(&node, &at, Command::RoomsSummary).await
}

async fn room(node: Data<Node>, at: Path<(String, String)>) -> HttpResponse {
    let (scheduler, room) = at.into_inner();
    let command = Command::Room(room.as_str().into());
    match ask(&node, &scheduler, command).await {
        Ok(Reply::Room(detail)) => {
            let processes = node.room_processes(&scheduler, &room);
            let room = Inspected {
                detail: *detail,
                processes,
            };
            answer(&json!({ "room": room }))
        }
        Ok(other) => refusal(unexpected(&other)),
        Err(status) => refusal(status),
    }
}

/// What its owner knows of a room, and what runs for it on this machine.
#[derive(Serialize)]
struct Inspected {
    #[serde(flatten)]
    detail: RoomDetail,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    processes: Vec<ContainerProcess>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Removal {
    #[serde(default)]
    force: bool,
}

/// Drains a room with a match unless `?force=true`; any other room goes at once.
async fn remove_room(
    node: Data<Node>,
    at: Path<(String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let removal: Removal = match query_of(&request) {
        Ok(removal) => removal,
        Err(status) => return refusal(status),
    };
    let (scheduler, room) = at.into_inner();
    let command = Command::RemoveRoom {
        room: room.into(),
        force: removal.force,
    };
    show(&node, &scheduler, ordered_by(&request, command)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    tail: Option<usize>,
}

async fn log(node: Data<Node>, at: Path<(String, String)>, request: HttpRequest) -> HttpResponse {
    let tail: Tail = match query_of(&request) {
        Ok(tail) => tail,
        Err(status) => return refusal(status),
    };
    let (scheduler, room) = at.into_inner();
    let lines = tail.tail.unwrap_or(TAIL);
    if lines > TAIL_MAX {
        return refusal(Status::invalid_argument(format!(
            "tail is at most {TAIL_MAX}"
        )));
    }
    match node.log_tail(&scheduler, &room, lines).await {
        Ok(lines) => HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .body(
                lines
                    .into_iter()
                    .map(|line| line + "\n")
                    .collect::<String>(),
            ),
        Err(error) => refusal(error.into()),
    }
}

async fn rollout(node: Data<Node>, at: Path<String>) -> HttpResponse {
    show(&node, &at, Command::Rollout).await
}

async fn steer(node: Data<Node>, at: Path<(String, String)>, request: HttpRequest) -> HttpResponse {
    let (scheduler, order) = at.into_inner();
    let command = match order.as_str() {
        "pause" => Command::PauseRollout,
        "resume" => Command::ResumeRollout,
        "abort" => Command::AbortRollout,
        _ => return refusal(Status::not_found("Not Found")),
    };
    show(&node, &scheduler, ordered_by(&request, command)).await
}

/// The query parameters that are read, by endpoint: serde names them when it meets one that it does not know.
#[cfg(test)]
pub(crate) fn known_parameters() -> [(&'static str, Vec<String>); 3] {
    fn known<T: for<'de> Deserialize<'de>>() -> Vec<String> {
        let refused = Query::<T>::from_query("no-such-parameter=1").err();
        let text = refused.map(|error| error.to_string()).unwrap_or_default();
        let quoted = text.split('`').skip(1).step_by(2);
        quoted.skip(1).map(str::to_owned).collect()
    }
    [
        ("listRooms", known::<RoomFilter>()),
        ("removeRoom", known::<Removal>()),
        ("readRoomLog", known::<Tail>()),
    ]
}
