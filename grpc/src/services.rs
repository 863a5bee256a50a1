//! The gRPC services: each call goes to the same implementation that HTTP calls.

use std::net::SocketAddr;
use std::sync::Arc;

use maestro_api::codec::messages::*;
use maestro_api::{Api, Code, ManagementApi, OperatorApi, RequestContext, RoomsApi, Status};
use tonic::{Request, Response};

use crate::api::control_service_server::ControlService;
use crate::api::fleet_service_server::FleetService;
use crate::api::operations_service_server::OperationsService;
use crate::api::operator_service_server::OperatorService;
use crate::api::rooms_service_server::RoomsService;
use crate::api::schedulers_service_server::SchedulersService;
use crate::manager::{RESOURCES, RUNTIMES, VERSIONS};
use crate::rpc::{Rpc, record};
use crate::status::status;

/// Who can reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Rooms, matchmakers and operators. As over HTTP, no call of theirs changes the process itself, and not all of
    /// them may see it.
    Public(ActorsShownTo),
    /// Clients of the K8s manager, on a port that serves nothing else.
    Manager,
    /// Other nodes; they may make every call.
    Nodes,
}

/// Who may see the nodes, and what the actors of a public server are doing (`api.debug.enabled`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorsShownTo {
    Nobody,
    /// Callers on this machine.
    ThisMachine,
    Everybody,
}

impl Audience {
    /// The calls of this audience. Pings come first because nearly every call is one.
    pub fn calls(self) -> impl Iterator<Item = &'static Rpc> {
        let all: &[&[Rpc]] = match self {
            Self::Public(_) => &[
                ROOMS, SCHEDULERS, OPERATIONS, FLEET, OPERATOR, RESOURCES, RUNTIMES, VERSIONS,
            ],
            Self::Manager => &[RESOURCES, RUNTIMES, VERSIONS],
            Self::Nodes => &[
                ROOMS, SCHEDULERS, OPERATIONS, FLEET, OPERATOR, RESOURCES, RUNTIMES, VERSIONS,
                CONTROL,
            ],
        };
        all.iter().copied().flatten()
    }

    /// Finds a call by its path.
    pub fn call(self, path: &str) -> Option<&'static Rpc> {
        self.calls().find(|rpc| rpc.path == path)
    }

    /// Checks that this caller may make the call.
    ///
    /// # Errors
    /// A status that says where the call is available.
    pub fn lets(self, rpc: &Rpc, peer: Option<SocketAddr>) -> Result<(), Status> {
        let Self::Public(shown_to) = self else {
            return Ok(());
        };
        let near = peer.is_some_and(|address| address.ip().to_canonical().is_loopback());
        let who = match shown_to {
            _ if !rpc.shows_process => return Ok(()),
            ActorsShownTo::Everybody => return Ok(()),
            ActorsShownTo::ThisMachine if near => return Ok(()),
            ActorsShownTo::ThisMachine => "only to callers on its machine",
            ActorsShownTo::Nobody => "to nobody",
        };
        let page = match rpc.path.ends_with("/GetNodes") {
            true => "/debug/nodes",
            false => "/debug/actors",
        };
        let message = format!(
            "this port shows actors and nodes {who}: set api.debug.enabled to true, or ask the internal server for {page}"
        );
        Err(Status::new(Code::PermissionDenied, message))
    }
}

/// What a call does: whether it changes something, and whether it shows the process itself.
macro_rules! manner {
    (reads) => {
        (false, false)
    };
    (changes) => {
        (true, false)
    };
    (looks) => {
        (false, true)
    };
}

/// Implements a service on top of an API, and lists its calls.
macro_rules! service {
    ($(#[$meta:meta])* $name:ident is $service:literal $trait:ident over $api:ident ($kind:expr), $list:ident {
        $($manner:ident $method:literal $rpc:ident($request:ident {$($field:ident is $attribute:literal),*}) -> $response:ident;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone)]
        pub struct $name(pub Arc<dyn $api>);

        const $list: &[Rpc] = &[$(Rpc {
            path: concat!("/", $service, "/", $method),
            api: $kind,
            mutating: manner!($manner).0,
            shows_process: manner!($manner).1,
            streams: false,
            manages: false,
        }),*];

        #[tonic::async_trait]
        impl $trait for $name {
            $(async fn $rpc(&self, mut request: Request<$request>) -> Result<Response<$response>, tonic::Status> {
                // The server inserts it before the request is routed to a service.
                let context = request.extensions_mut().remove().unwrap_or_else(RequestContext::internal);
                let message = request.into_inner();
                $(record($attribute, &message.$field);)*
                let answer = self.0.$rpc(&context, message).await;
                answer.map(Response::new).map_err(status)
            })*
        }
    };
}

service! {
    /// `SchedulersService`.
    Schedulers is "api.v1.SchedulersService" SchedulersService over ManagementApi (Api::Management), SCHEDULERS {
        reads "ListSchedulers" list_schedulers(ListSchedulersRequest {}) -> ListSchedulersResponse;
        reads "GetScheduler" get_scheduler(GetSchedulerRequest {scheduler_name is "scheduler_name"}) -> GetSchedulerResponse;
        changes "CreateScheduler" create_scheduler(CreateSchedulerRequest {name is "scheduler_name"}) -> CreateSchedulerResponse;
        changes "NewSchedulerVersion" new_scheduler_version(NewSchedulerVersionRequest {name is "scheduler_name"}) -> NewSchedulerVersionResponse;
        changes "PatchScheduler" patch_scheduler(PatchSchedulerRequest {name is "scheduler_name"}) -> PatchSchedulerResponse;
        reads "GetSchedulerVersions" get_scheduler_versions(GetSchedulerVersionsRequest {scheduler_name is "scheduler_name"}) -> GetSchedulerVersionsResponse;
        changes "SwitchActiveVersion" switch_active_version(SwitchActiveVersionRequest {scheduler_name is "scheduler_name"}) -> SwitchActiveVersionResponse;
        reads "GetSchedulersInfo" get_schedulers_info(GetSchedulersInfoRequest {}) -> GetSchedulersInfoResponse;
        changes "DeleteScheduler" delete_scheduler(DeleteSchedulerRequest {scheduler_name is "scheduler_name"}) -> DeleteSchedulerResponse;
    }
}

service! {
    /// `OperationsService`.
    Operations is "api.v1.OperationsService" OperationsService over ManagementApi (Api::Management), OPERATIONS {
        reads "ListOperations" list_operations(ListOperationsRequest {scheduler_name is "scheduler_name"}) -> ListOperationsResponse;
        changes "CancelOperation" cancel_operation(CancelOperationRequest {scheduler_name is "scheduler_name", operation_id is "operation_id"}) -> CancelOperationResponse;
        reads "GetOperation" get_operation(GetOperationRequest {scheduler_name is "scheduler_name", operation_id is "operation_id"}) -> GetOperationResponse;
    }
}

service! {
    /// `RoomsService`.
    Rooms is "api.v1.RoomsService" RoomsService over RoomsApi (Api::Rooms), ROOMS {
        changes "UpdateRoomWithPing" update_room_with_ping(UpdateRoomWithPingRequest {scheduler_name is "scheduler_name", room_name is "room_id"}) -> UpdateRoomWithPingResponse;
        changes "ForwardRoomEvent" forward_room_event(ForwardRoomEventRequest {scheduler_name is "scheduler_name", room_name is "room_id"}) -> ForwardRoomEventResponse;
        changes "ForwardPlayerEvent" forward_player_event(ForwardPlayerEventRequest {scheduler_name is "scheduler_name", room_name is "room_id"}) -> ForwardPlayerEventResponse;
        changes "UpdateRoomStatus" update_room_status(UpdateRoomStatusRequest {scheduler_name is "scheduler_name", room_name is "room_id"}) -> UpdateRoomStatusResponse;
        reads "GetRoomAddress" get_room_address(GetRoomAddressRequest {scheduler_name is "scheduler_name", room_name is "room_id"}) -> GetRoomAddressResponse;
        changes "AllocateRoom" allocate_room(AllocateRoomRequest {scheduler_name is "scheduler_name"}) -> AllocateRoomResponse;
    }
}

service! {
    /// `FleetService`.
    Fleet is "maestro.v1.FleetService" FleetService over ManagementApi (Api::Management), FLEET {
        changes "AddRooms" add_rooms(AddRoomsRequest {scheduler_name is "scheduler_name"}) -> AddRoomsResponse;
        changes "RemoveRooms" remove_rooms(RemoveRoomsRequest {scheduler_name is "scheduler_name"}) -> RemoveRoomsResponse;
    }
}

service! {
    /// `OperatorService`.
    Operator is "maestro.v1.OperatorService" OperatorService over OperatorApi (Api::Management), OPERATOR {
        reads "ListRooms" list_rooms(ListRoomsRequest {scheduler_name is "scheduler_name"}) -> ListRoomsResponse;
        reads "GetRoomsSummary" get_rooms_summary(GetRoomsSummaryRequest {scheduler_name is "scheduler_name"}) -> GetRoomsSummaryResponse;
        reads "GetRoom" get_room(GetRoomRequest {scheduler_name is "scheduler_name", room_id is "room_id"}) -> GetRoomResponse;
        reads "ReadRoomLog" read_room_log(ReadRoomLogRequest {scheduler_name is "scheduler_name", room_id is "room_id"}) -> ReadRoomLogResponse;
        reads "GetRollout" get_rollout(GetRolloutRequest {scheduler_name is "scheduler_name"}) -> GetRolloutResponse;
        reads "GetLiveVersions" get_live_versions(GetLiveVersionsRequest {scheduler_name is "scheduler_name"}) -> GetLiveVersionsResponse;
        looks "GetActors" get_actors(GetActorsRequest {}) -> GetActorsResponse;
        looks "GetNodes" get_nodes(GetNodesRequest {}) -> GetNodesResponse;
    }
}

service! {
    /// `ControlService`.
    Control is "maestro.v1.ControlService" ControlService over OperatorApi (Api::Management), CONTROL {
        changes "RemoveRoom" remove_room(RemoveRoomRequest {scheduler_name is "scheduler_name", room_id is "room_id"}) -> RemoveRoomResponse;
        changes "PauseRollout" pause_rollout(PauseRolloutRequest {scheduler_name is "scheduler_name"}) -> PauseRolloutResponse;
        changes "ResumeRollout" resume_rollout(ResumeRolloutRequest {scheduler_name is "scheduler_name"}) -> ResumeRolloutResponse;
        changes "AbortRollout" abort_rollout(AbortRolloutRequest {scheduler_name is "scheduler_name"}) -> AbortRolloutResponse;
        reads "GetVersionConfig" get_version_config(GetVersionConfigRequest {scheduler_name is "scheduler_name"}) -> GetVersionConfigResponse;
        changes "PauseScheduler" pause_scheduler(PauseSchedulerRequest {scheduler_name is "scheduler_name"}) -> PauseSchedulerResponse;
        changes "ResumeScheduler" resume_scheduler(ResumeSchedulerRequest {scheduler_name is "scheduler_name"}) -> ResumeSchedulerResponse;
        changes "ReloadScheduler" reload_scheduler(ReloadSchedulerRequest {scheduler_name is "scheduler_name"}) -> ReloadSchedulerResponse;
        changes "RunTestOperation" run_test_operation(RunTestOperationRequest {scheduler_name is "scheduler_name"}) -> RunTestOperationResponse;
        changes "BackUp" back_up(BackUpRequest {}) -> BackUpResponse;
        changes "DrainNode" drain_node(DrainNodeRequest {}) -> DrainNodeResponse;
        reads "GetReadiness" get_readiness(GetReadinessRequest {}) -> GetReadinessResponse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_looks_at_actors_and_nodes_depend_on_where_a_call_comes_from() {
        let peer = |address: &str| Some(address.parse().unwrap());
        let peers = [
            (peer("127.0.0.1:1"), true),
            (peer("[::1]:1"), true),
            (peer("[::ffff:127.0.0.1]:1"), true),
            (peer("10.1.2.3:1"), false),
            (peer("[2001:db8::1]:1"), false),
            (None, false),
        ];
        for rpc in Audience::Nodes.calls() {
            for (peer, near) in peers {
                let lets = |audience: Audience| audience.lets(rpc, peer).is_ok();
                let to = |shown_to| lets(Audience::Public(shown_to));
                let is_look = ["GetActors", "GetNodes"]
                    .iter()
                    .any(|method| rpc.path == format!("/maestro.v1.OperatorService/{method}"));
                assert!(lets(Audience::Nodes) && to(ActorsShownTo::Everybody));
                assert_eq!(to(ActorsShownTo::ThisMachine), near || !is_look, "{rpc:?}");
                assert_eq!(to(ActorsShownTo::Nobody), !is_look, "{rpc:?}");
            }
        }
    }
}
