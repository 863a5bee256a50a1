//! What operators have beside the contract: the rooms of a scheduler, and its rollout.
//!
//! New data gets new endpoints, since strict clients refuse unknown fields in the old answers (contract 2.1).
//! Mounted on the management API, before the gateway.

use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};
use maestro_actors::Node;
use maestro_core::domain::{RoomStatus, SchedulerVersion};
use maestro_core::state::{Command, Reply, RoomQuery};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::unexpected;
use crate::gateway::{Code, Status, refusal};
use crate::named::{named, ordered_by};

const PAGE_SIZE: usize = 100;
const PAGE_SIZE_MAX: usize = 500;
const TAIL: usize = 100;
const TAIL_MAX: usize = 10_000;

/// Mounts the endpoints. To be called before the gateway's.
pub fn configure_operator(node: Node) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    let node = Data::new(node);
    move |config: &mut ServiceConfig| {
        let at = "/schedulers/{scheduler}";
        let resource = |path: &str| {
            Resource::new(format!("{at}{path}"))
                .default_service(web::to(method_not_allowed))
                .wrap(from_fn(named))
        };
        config
            .app_data(node.clone())
            .service(resource("/rooms").route(web::get().to(rooms)))
            .service(
                resource("/rooms/{room}")
                    .route(web::get().to(room))
                    .route(web::delete().to(remove_room)),
            )
            .service(resource("/rooms/{room}/log").route(web::get().to(log)))
            .service(resource("/rollout").route(web::get().to(rollout)))
            .service(resource("/rollout/{order}").route(web::post().to(steer)));
    }
}

async fn method_not_allowed() -> HttpResponse {
    refusal(Status::new(Code::Unimplemented, "Method Not Allowed"))
}

fn answer(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(body)
}

async fn ask(node: &Node, scheduler: &str, command: Command) -> Result<Reply, Status> {
    Ok(node.ask(scheduler, command, None).await?)
}

/// The reply that a command brings, as JSON.
async fn show(node: &Node, scheduler: &str, command: Command) -> HttpResponse {
    match ask(node, scheduler, command).await {
        Ok(Reply::Room(room)) => answer(&json!({ "room": room })),
        Ok(Reply::Rollout(view)) => answer(&json!({ "rollout": view })),
        Ok(Reply::Operation(id)) => answer(&json!({ "operationId": id })),
        Ok(Reply::Done) => answer(&json!({})),
        Ok(other) => refusal(unexpected(&other)),
        Err(status) => refusal(status),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoomFilter {
    status: Option<RoomStatus>,
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
        status: filter.status,
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

async fn room(node: Data<Node>, at: Path<(String, String)>) -> HttpResponse {
    let (scheduler, room) = at.into_inner();
    show(&node, &scheduler, Command::Room(room.into())).await
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
