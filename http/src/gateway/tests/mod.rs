//! The gateway in-process: the real routes over an implementation that echoes requests.

use std::sync::Mutex;

use actix_web::http::{Method, header};
use actix_web::{App, HttpServer, test as http_test};
use async_trait::async_trait;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

mod bodies;
mod parameters;
mod routes;
mod server;

use maestro_api::codec::Message;
use maestro_api::codec::messages::*;
use maestro_api::{Code, RequestContext, Status};

use super::*;

/// Answers with the request, mostly inside an error message.
struct Echo;

type Reply<T> = Result<T, Status>;

fn echo<T>(what: impl std::fmt::Debug) -> Reply<T> {
    Err(Status::new(Code::Aborted, format!("{what:?}")))
}

#[async_trait]
impl ManagementApi for Echo {
    async fn create_scheduler(
        &self,
        _: &RequestContext,
        r: CreateSchedulerRequest,
    ) -> Reply<CreateSchedulerResponse> {
        let scheduler = Scheduler {
            name: r.name,
            game: r.game,
            spec: r.spec,
            ..Scheduler::default()
        };
        Ok(CreateSchedulerResponse {
            scheduler: Some(scheduler),
        })
    }
    async fn list_schedulers(
        &self,
        context: &RequestContext,
        r: ListSchedulersRequest,
    ) -> Reply<ListSchedulersResponse> {
        match r.game.as_str() {
            "deadline" => echo(context.remaining().map(|left| left.as_secs() / 10)),
            "panic" => panic!("asked to"),
            _ => Ok(ListSchedulersResponse::default()),
        }
    }
    async fn get_schedulers_info(
        &self,
        _: &RequestContext,
        _: GetSchedulersInfoRequest,
    ) -> Reply<GetSchedulersInfoResponse> {
        Ok(GetSchedulersInfoResponse::default())
    }
    async fn get_scheduler(
        &self,
        _: &RequestContext,
        r: GetSchedulerRequest,
    ) -> Reply<GetSchedulerResponse> {
        Err(Status::not_found(format!(
            "scheduler {} not found",
            r.scheduler_name
        )))
    }
    async fn new_scheduler_version(
        &self,
        _: &RequestContext,
        r: NewSchedulerVersionRequest,
    ) -> Reply<NewSchedulerVersionResponse> {
        Ok(NewSchedulerVersionResponse {
            operation_id: r.name,
        })
    }
    async fn patch_scheduler(
        &self,
        _: &RequestContext,
        r: PatchSchedulerRequest,
    ) -> Reply<PatchSchedulerResponse> {
        Err(Status::new(
            Code::AlreadyExists,
            format!("no change found to scheduler {}", r.name),
        ))
    }
    async fn switch_active_version(
        &self,
        _: &RequestContext,
        r: SwitchActiveVersionRequest,
    ) -> Reply<SwitchActiveVersionResponse> {
        Ok(SwitchActiveVersionResponse {
            operation_id: format!("{}@{}", r.scheduler_name, r.version),
        })
    }
    async fn delete_scheduler(
        &self,
        _: &RequestContext,
        r: DeleteSchedulerRequest,
    ) -> Reply<DeleteSchedulerResponse> {
        Err(Status::not_found(format!(
            "no scheduler found: {}",
            r.scheduler_name
        )))
    }
    async fn get_scheduler_versions(
        &self,
        _: &RequestContext,
        r: GetSchedulerVersionsRequest,
    ) -> Reply<GetSchedulerVersionsResponse> {
        echo(r.scheduler_name)
    }
    async fn add_rooms(&self, _: &RequestContext, r: AddRoomsRequest) -> Reply<AddRoomsResponse> {
        Ok(AddRoomsResponse {
            operation_id: format!("{}+{}", r.scheduler_name, r.amount),
        })
    }
    async fn remove_rooms(
        &self,
        _: &RequestContext,
        r: RemoveRoomsRequest,
    ) -> Reply<RemoveRoomsResponse> {
        Ok(RemoveRoomsResponse {
            operation_id: format!("{}-{}", r.scheduler_name, r.amount),
        })
    }
    async fn list_operations(
        &self,
        _: &RequestContext,
        r: ListOperationsRequest,
    ) -> Reply<ListOperationsResponse> {
        if r.stage != "final" {
            return Err(Status::invalid_argument(format!(
                "invalid stage filter: {}",
                r.stage
            )));
        }
        Ok(ListOperationsResponse {
            page: r.page.or(Some(1)),
            page_size: r.per_page,
            ..Default::default()
        })
    }
    async fn get_operation(
        &self,
        _: &RequestContext,
        r: GetOperationRequest,
    ) -> Reply<GetOperationResponse> {
        echo((r.scheduler_name, r.operation_id))
    }
    async fn cancel_operation(
        &self,
        _: &RequestContext,
        _: CancelOperationRequest,
    ) -> Reply<CancelOperationResponse> {
        Ok(CancelOperationResponse::default())
    }
}

#[async_trait]
impl RoomsApi for Echo {
    async fn update_room_with_ping(
        &self,
        _: &RequestContext,
        r: UpdateRoomWithPingRequest,
    ) -> Reply<UpdateRoomWithPingResponse> {
        if r.status.is_empty() {
            return Err(Status::invalid_argument(
                "cannot convert string  to a status",
            ));
        }
        Ok(UpdateRoomWithPingResponse {
            success: r.scheduler_name == "known" && r.room_name == "r1",
        })
    }
    async fn forward_room_event(
        &self,
        _: &RequestContext,
        r: ForwardRoomEventRequest,
    ) -> Reply<ForwardRoomEventResponse> {
        Ok(ForwardRoomEventResponse {
            success: true,
            message: r.event,
        })
    }
    async fn forward_player_event(
        &self,
        _: &RequestContext,
        r: ForwardPlayerEventRequest,
    ) -> Reply<ForwardPlayerEventResponse> {
        Ok(ForwardPlayerEventResponse {
            success: true,
            message: r.event,
        })
    }
    async fn update_room_status(
        &self,
        _: &RequestContext,
        _: UpdateRoomStatusRequest,
    ) -> Reply<UpdateRoomStatusResponse> {
        Ok(UpdateRoomStatusResponse { success: true })
    }
    async fn get_room_address(
        &self,
        _: &RequestContext,
        _: GetRoomAddressRequest,
    ) -> Reply<GetRoomAddressResponse> {
        Err(Status::unavailable("no address yet"))
    }
    async fn allocate_room(
        &self,
        _: &RequestContext,
        r: AllocateRoomRequest,
    ) -> Reply<AllocateRoomResponse> {
        Ok(AllocateRoomResponse {
            room_id: r.scheduler_name,
            ..Default::default()
        })
    }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const UNPRINTABLE: &str = r#"{"code":13,"message":"failed to marshal error message"}"#;
const YAML: (&str, &str) = ("content-type", "application/yaml; charset=utf-8");

#[derive(Debug)]
struct Got {
    status: u16,
    content_type: Option<String>,
    location: Option<String>,
    request_id: String,
    body: String,
}

/// Sends a request to the routes of both APIs: paths under `/scheduler/` go to the rooms API.
async fn send(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Got {
    let mut request = http_test::TestRequest::with_uri(path)
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .set_payload(body.to_vec());
    for header in headers {
        request = request.insert_header(*header);
    }
    let is_rooms = path.contains("/scheduler/");
    let app = http_test::init_service(App::new().configure(|cfg| {
        if is_rooms {
            rooms(Arc::new(Echo)).configure(cfg)
        } else {
            management(Arc::new(Echo)).configure(cfg)
        }
    }))
    .await;
    let response = http_test::call_service(&app, request.to_request()).await;
    let text = |name: header::HeaderName| {
        response
            .headers()
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned())
    };
    Got {
        status: response.status().as_u16(),
        content_type: text(header::CONTENT_TYPE),
        location: text(header::LOCATION),
        request_id: text(header::HeaderName::from_static("x-request-id")).unwrap_or_default(),
        body: String::from_utf8(http_test::read_body(response).await.to_vec()).unwrap(),
    }
}

fn error(code: u8, message: &str) -> String {
    format!(
        r#"{{"code":{code},"message":{},"details":[]}}"#,
        serde_json::to_string(message).unwrap()
    )
}

type Line<'a> = (
    &'a str,
    &'a str,
    &'a [(&'a str, &'a str)],
    &'a str,
    u16,
    String,
);

async fn check(lines: &[Line<'_>]) {
    for (method, path, headers, body, status, expected) in lines {
        let got = send(method, path, headers, body.as_bytes()).await;
        assert_eq!(
            (got.status, &got.body),
            (*status, expected),
            "{method} {path} {headers:?} {body}"
        );
        assert_eq!(
            got.content_type.as_deref(),
            Some("application/json"),
            "{method} {path}"
        );
    }
}
