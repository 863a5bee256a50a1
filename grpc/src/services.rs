//! The three services: each call goes to the very implementation that HTTP calls.

use std::sync::Arc;

use maestro_http::codec::messages::*;
use maestro_http::gateway::{Api, ManagementApi, RequestContext, RoomsApi, Status};
use tonic::{Request, Response};

use crate::api::operations_service_server::OperationsService;
use crate::api::rooms_service_server::RoomsService;
use crate::api::schedulers_service_server::SchedulersService;

/// One call that can be made.
#[derive(Debug)]
pub struct Rpc {
    /// `/package.Service/Method`.
    pub path: &'static str,
    pub api: Api,
    /// Whether it wants something changed: those are logged.
    pub orders: bool,
}

/// Finds a call of `api.v1` by its path.
pub fn rpc(path: &str) -> Option<&'static Rpc> {
    // Pings first: nearly every call is one.
    [ROOMS, SCHEDULERS, OPERATIONS]
        .into_iter()
        .flatten()
        .find(|rpc| rpc.path == path)
}

/// Who reads and who orders.
macro_rules! orders {
    (reads) => {
        false
    };
    (orders) => {
        true
    };
}

/// Implements a service by an API, and lists its calls.
macro_rules! service {
    ($(#[$meta:meta])* $name:ident is $service:literal $trait:ident over $api:ident ($kind:expr), $list:ident {
        $($manner:ident $method:literal $rpc:ident($request:ident) -> $response:ident;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone)]
        pub struct $name(pub Arc<dyn $api>);

        const $list: &[Rpc] = &[$(Rpc {
            path: concat!("/", $service, "/", $method),
            api: $kind,
            orders: orders!($manner),
        }),*];

        #[tonic::async_trait]
        impl $trait for $name {
            $(async fn $rpc(&self, mut request: Request<$request>) -> Result<Response<$response>, tonic::Status> {
                // The server puts it there before it looks for the service.
                let context = request.extensions_mut().remove().unwrap_or_else(RequestContext::internal);
                let answer = self.0.$rpc(&context, request.into_inner()).await;
                answer.map(Response::new).map_err(status)
            })*
        }
    };
}

service! {
    /// `SchedulersService`.
    Schedulers is "api.v1.SchedulersService" SchedulersService over ManagementApi (Api::Management), SCHEDULERS {
        reads "ListSchedulers" list_schedulers(ListSchedulersRequest) -> ListSchedulersResponse;
        reads "GetScheduler" get_scheduler(GetSchedulerRequest) -> GetSchedulerResponse;
        orders "CreateScheduler" create_scheduler(CreateSchedulerRequest) -> CreateSchedulerResponse;
        orders "NewSchedulerVersion" new_scheduler_version(NewSchedulerVersionRequest) -> NewSchedulerVersionResponse;
        orders "PatchScheduler" patch_scheduler(PatchSchedulerRequest) -> PatchSchedulerResponse;
        reads "GetSchedulerVersions" get_scheduler_versions(GetSchedulerVersionsRequest) -> GetSchedulerVersionsResponse;
        orders "SwitchActiveVersion" switch_active_version(SwitchActiveVersionRequest) -> SwitchActiveVersionResponse;
        reads "GetSchedulersInfo" get_schedulers_info(GetSchedulersInfoRequest) -> GetSchedulersInfoResponse;
        orders "DeleteScheduler" delete_scheduler(DeleteSchedulerRequest) -> DeleteSchedulerResponse;
    }
}

service! {
    /// `OperationsService`.
    Operations is "api.v1.OperationsService" OperationsService over ManagementApi (Api::Management), OPERATIONS {
        reads "ListOperations" list_operations(ListOperationsRequest) -> ListOperationsResponse;
        orders "CancelOperation" cancel_operation(CancelOperationRequest) -> CancelOperationResponse;
        reads "GetOperation" get_operation(GetOperationRequest) -> GetOperationResponse;
    }
}

service! {
    /// `RoomsService`.
    Rooms is "api.v1.RoomsService" RoomsService over RoomsApi (Api::Rooms), ROOMS {
        orders "UpdateRoomWithPing" update_room_with_ping(UpdateRoomWithPingRequest) -> UpdateRoomWithPingResponse;
        orders "ForwardRoomEvent" forward_room_event(ForwardRoomEventRequest) -> ForwardRoomEventResponse;
        orders "ForwardPlayerEvent" forward_player_event(ForwardPlayerEventRequest) -> ForwardPlayerEventResponse;
        orders "UpdateRoomStatus" update_room_status(UpdateRoomStatusRequest) -> UpdateRoomStatusResponse;
        reads "GetRoomAddress" get_room_address(GetRoomAddressRequest) -> GetRoomAddressResponse;
        orders "AllocateRoom" allocate_room(AllocateRoomRequest) -> AllocateRoomResponse;
    }
}

/// The same code and message as over HTTP.
pub fn status(status: Status) -> tonic::Status {
    let code = tonic::Code::from_i32(i32::from(status.code.number()));
    tonic::Status::new(code, status.message)
}
