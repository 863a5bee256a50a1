//! Converts operators' requests to calls of [`OperatorApi`], and results to responses.

use std::sync::Arc;

use actix_web::error::QueryPayloadError;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use maestro_api::codec::messages::*;
use maestro_api::convert::listed_status;
use maestro_api::{OperatorApi, Status};
use serde::{Deserialize, Serialize};

use crate::gateway::refusal;
use crate::request_scope::context;

type Operator = Data<Arc<dyn OperatorApi>>;

/// The result of a call as JSON.
pub(crate) fn answer(outcome: Result<impl Serialize, Status>) -> HttpResponse {
    match outcome {
        Ok(body) => HttpResponse::Ok().json(body),
        Err(status) => refusal(status),
    }
}

/// The same with sorted members: these endpoints have always written them in alphabetical order.
fn sorted(outcome: Result<impl Serialize, Status>) -> HttpResponse {
    answer(outcome.and_then(|body| {
        serde_json::to_value(body).map_err(|error| Status::internal(error.to_string()))
    }))
}

/// The `status` parameter of a listing.
struct ListedStatus(String);

impl<'de> Deserialize<'de> for ListedStatus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        listed_status(&word).map_err(serde::de::Error::custom)?;
        Ok(Self(word))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoomFilter {
    status: Option<ListedStatus>,
    version: Option<String>,
    page: Option<u64>,
    per_page: Option<u64>,
}

/// The query parameters of a request.
pub(crate) fn query_of<T: for<'de> Deserialize<'de>>(request: &HttpRequest) -> Result<T, Status> {
    let query = Query::<T>::from_query(request.query_string());
    query.map(Query::into_inner).map_err(|error| {
        Status::invalid_argument(match error {
            QueryPayloadError::Deserialize(error) => error.to_string(),
            other => other.to_string(),
        })
    })
}

pub async fn rooms(operator: Operator, at: Path<String>, request: HttpRequest) -> HttpResponse {
    let filter: RoomFilter = match query_of(&request) {
        Ok(filter) => filter,
        Err(status) => return refusal(status),
    };
    let wanted = ListRoomsRequest {
        scheduler_name: at.into_inner(),
        status: filter.status.map(|ListedStatus(word)| word),
        version: filter.version,
        page: filter.page,
        per_page: filter.per_page,
    };
    sorted(operator.list_rooms(&context(&request), wanted).await)
}

pub async fn summary(operator: Operator, at: Path<String>, request: HttpRequest) -> HttpResponse {
    let wanted = GetRoomsSummaryRequest {
        scheduler_name: at.into_inner(),
    };
    answer(operator.get_rooms_summary(&context(&request), wanted).await)
}

pub async fn room(
    operator: Operator,
    at: Path<(String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let (scheduler_name, room_id) = at.into_inner();
    let wanted = GetRoomRequest {
        scheduler_name,
        room_id,
    };
    sorted(operator.get_room(&context(&request), wanted).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Removal {
    #[serde(default)]
    force: bool,
}

/// Drains a room that has a match unless `?force=true`; any other room is removed at once.
pub async fn remove_room(
    operator: Operator,
    at: Path<(String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let removal: Removal = match query_of(&request) {
        Ok(removal) => removal,
        Err(status) => return refusal(status),
    };
    let (scheduler_name, room_id) = at.into_inner();
    let wanted = RemoveRoomRequest {
        scheduler_name,
        room_id,
        force: removal.force,
    };
    answer(operator.remove_room(&context(&request), wanted).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    tail: Option<u64>,
}

pub async fn log(
    operator: Operator,
    at: Path<(String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let Tail { tail } = match query_of(&request) {
        Ok(tail) => tail,
        Err(status) => return refusal(status),
    };
    let (scheduler_name, room_id) = at.into_inner();
    let wanted = ReadRoomLogRequest {
        scheduler_name,
        room_id,
        tail,
    };
    match operator.read_room_log(&context(&request), wanted).await {
        Ok(log) => HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .body(
                log.lines
                    .into_iter()
                    .map(|line| line + "\n")
                    .collect::<String>(),
            ),
        Err(status) => refusal(status),
    }
}

pub async fn rollout(operator: Operator, at: Path<String>, request: HttpRequest) -> HttpResponse {
    let wanted = GetRolloutRequest {
        scheduler_name: at.into_inner(),
    };
    sorted(operator.get_rollout(&context(&request), wanted).await)
}

pub async fn steer(
    operator: Operator,
    at: Path<(String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let (scheduler_name, order) = at.into_inner();
    let context = context(&request);
    match order.as_str() {
        "pause" => {
            let wanted = PauseRolloutRequest { scheduler_name };
            sorted(operator.pause_rollout(&context, wanted).await)
        }
        "resume" => {
            let wanted = ResumeRolloutRequest { scheduler_name };
            sorted(operator.resume_rollout(&context, wanted).await)
        }
        "abort" => {
            let wanted = AbortRolloutRequest { scheduler_name };
            sorted(operator.abort_rollout(&context, wanted).await)
        }
        _ => refusal(Status::not_found("Not Found")),
    }
}

/// The query parameters of each endpoint, taken from serde's error for an unknown parameter.
#[cfg(test)]
pub(crate) fn known_parameters() -> [(&'static str, Vec<String>); 3] {
    [
        ("listRooms", known_fields::<RoomFilter>()),
        ("removeRoom", known_fields::<Removal>()),
        ("readRoomLog", known_fields::<Tail>()),
    ]
}

#[cfg(test)]
pub(crate) fn known_fields<T: for<'de> Deserialize<'de>>() -> Vec<String> {
    let refused = Query::<T>::from_query("no-such-parameter=1").err();
    let text = refused.map(|error| error.to_string()).unwrap_or_default();
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.skip(1).map(str::to_owned).collect()
}
