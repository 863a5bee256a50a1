//! Each call by what it needs: the owner of a scheduler, or only this node.

use tracing::debug;

use super::way::{Answer, Way};
use crate::codec::messages::*;
use crate::{ApiResult, Apis, Code, ManagementApi, OperatorApi, RequestContext, RoomsApi};

/// The APIs over one way to treat calls about schedulers that may be owned elsewhere.
pub struct ByOwner<W>(pub W);

impl<W: Way> ByOwner<W> {
    /// Whether the local services answer. Costs one look-up for a scheduler that is owned here.
    fn is_here(&self, name: &str) -> bool {
        self.0.node().directory().is_here(name)
    }
}

/// A call on its way to the owner.
macro_rules! to_owner {
    ($self:ident, $context:ident, $request:ident, $api:ident.$rpc:ident by $name:ident) => {{
        let name = $request.$name.clone();
        let call = move |apis: Apis, context: RequestContext| {
            let request = $request.clone();
            let call = async move { apis.$api.$rpc(&context, request).await };
            Box::pin(call) as Answer<'static, _>
        };
        $self.0.route($context, name, Box::new(call))
    }};
}

/// A call from here: to the local services, or on its way to the owner.
macro_rules! call {
    ($self:ident, $context:ident, $request:ident, $api:ident.$rpc:ident) => {
        $self.0.local().$api.$rpc($context, $request)
    };
    ($self:ident, $context:ident, $request:ident, $api:ident.$rpc:ident by $name:ident) => {
        match $self.is_here(&$request.$name) {
            true => call!($self, $context, $request, $api.$rpc),
            false => to_owner!($self, $context, $request, $api.$rpc by $name),
        }
    };
    // In a method of this name, which says how failures are answered.
    ($self:ident, $context:ident, $request:ident, $api:ident.$rpc:ident for rooms by $name:ident) => {
        match $self.is_here(&$request.$name) {
            true => call!($self, $context, $request, $api.$rpc),
            false => Box::pin(ByOwner::$rpc($self, $context, $request)),
        }
    };
    ($self:ident, $context:ident, $request:ident, $api:ident.$rpc:ident on all) => {
        Box::pin(ByOwner::$rpc($self, $context, $request))
    };
}

/// Implements an API. A call with the name of a scheduler (`by`) needs its owner; the others are answered here. The
/// methods are not `async`, because that would allocate a second future for each ping that is answered here.
macro_rules! by_owner {
    ($trait:ident as $api:ident { $($rpc:ident($request:ident) -> $response:ident $(, $($by:ident)+)?;)* }) => {
        #[async_trait::async_trait]
        impl<W: Way> $trait for ByOwner<W> {
            $(fn $rpc<'s, 'c, 'f>(
                &'s self,
                context: &'c RequestContext,
                request: $request,
            ) -> Answer<'f, $response>
            where
                's: 'f,
                'c: 'f,
                Self: 'f,
            {
                call!(self, context, request, $api.$rpc $($($by)+)?)
            })*
        }
    };
}

by_owner! {
    ManagementApi as management {
        create_scheduler(CreateSchedulerRequest) -> CreateSchedulerResponse, by name;
        list_schedulers(ListSchedulersRequest) -> ListSchedulersResponse;
        get_schedulers_info(GetSchedulersInfoRequest) -> GetSchedulersInfoResponse;
        get_scheduler(GetSchedulerRequest) -> GetSchedulerResponse;
        new_scheduler_version(NewSchedulerVersionRequest) -> NewSchedulerVersionResponse, by name;
        patch_scheduler(PatchSchedulerRequest) -> PatchSchedulerResponse, by name;
        switch_active_version(SwitchActiveVersionRequest) -> SwitchActiveVersionResponse, by scheduler_name;
        delete_scheduler(DeleteSchedulerRequest) -> DeleteSchedulerResponse, by scheduler_name;
        get_scheduler_versions(GetSchedulerVersionsRequest) -> GetSchedulerVersionsResponse;
        add_rooms(AddRoomsRequest) -> AddRoomsResponse, by scheduler_name;
        remove_rooms(RemoveRoomsRequest) -> RemoveRoomsResponse, by scheduler_name;
        list_operations(ListOperationsRequest) -> ListOperationsResponse;
        get_operation(GetOperationRequest) -> GetOperationResponse;
        cancel_operation(CancelOperationRequest) -> CancelOperationResponse, by scheduler_name;
    }
}

by_owner! {
    RoomsApi as rooms {
        update_room_with_ping(UpdateRoomWithPingRequest) -> UpdateRoomWithPingResponse, for rooms by scheduler_name;
        forward_room_event(ForwardRoomEventRequest) -> ForwardRoomEventResponse, for rooms by scheduler_name;
        forward_player_event(ForwardPlayerEventRequest) -> ForwardPlayerEventResponse, for rooms by scheduler_name;
        update_room_status(UpdateRoomStatusRequest) -> UpdateRoomStatusResponse, for rooms by scheduler_name;
        get_room_address(GetRoomAddressRequest) -> GetRoomAddressResponse, by scheduler_name;
        allocate_room(AllocateRoomRequest) -> AllocateRoomResponse, by scheduler_name;
    }
}

by_owner! {
    OperatorApi as operator {
        list_rooms(ListRoomsRequest) -> ListRoomsResponse, by scheduler_name;
        get_rooms_summary(GetRoomsSummaryRequest) -> GetRoomsSummaryResponse, by scheduler_name;
        get_room(GetRoomRequest) -> GetRoomResponse, by scheduler_name;
        read_room_log(ReadRoomLogRequest) -> ReadRoomLogResponse, by scheduler_name;
        get_rollout(GetRolloutRequest) -> GetRolloutResponse, by scheduler_name;
        get_live_versions(GetLiveVersionsRequest) -> GetLiveVersionsResponse, by scheduler_name;
        get_actors(GetActorsRequest) -> GetActorsResponse, on all;
        get_nodes(GetNodesRequest) -> GetNodesResponse;
        remove_room(RemoveRoomRequest) -> RemoveRoomResponse, by scheduler_name;
        pause_rollout(PauseRolloutRequest) -> PauseRolloutResponse, by scheduler_name;
        resume_rollout(ResumeRolloutRequest) -> ResumeRolloutResponse, by scheduler_name;
        abort_rollout(AbortRolloutRequest) -> AbortRolloutResponse, by scheduler_name;
        get_version_config(GetVersionConfigRequest) -> GetVersionConfigResponse, by scheduler_name;
        pause_scheduler(PauseSchedulerRequest) -> PauseSchedulerResponse, by scheduler_name;
        resume_scheduler(ResumeSchedulerRequest) -> ResumeSchedulerResponse, by scheduler_name;
        reload_scheduler(ReloadSchedulerRequest) -> ReloadSchedulerResponse, by scheduler_name;
        run_test_operation(RunTestOperationRequest) -> RunTestOperationResponse, by scheduler_name;
        back_up(BackUpRequest) -> BackUpResponse;
        drain_node(DrainNodeRequest) -> DrainNodeResponse, on all;
        get_readiness(GetReadinessRequest) -> GetReadinessResponse;
    }
}

/// What rooms are told of failures between nodes: as of all others, in the answer itself (contract 3).
impl<W: Way> ByOwner<W> {
    async fn update_room_with_ping(
        &self,
        context: &RequestContext,
        request: UpdateRoomWithPingRequest,
    ) -> ApiResult<UpdateRoomWithPingResponse> {
        let (scheduler, room) = (request.scheduler_name.clone(), request.room_name.clone());
        let routed =
            to_owner!(self, context, request, rooms.update_room_with_ping by scheduler_name);
        match routed.await {
            Err(error) if W::ANSWERS_ROOMS && error.code != Code::InvalidArgument => {
                self.0.node().ping_failed(&scheduler);
                debug!(scheduler_name = scheduler, room_id = room, %error, "a ping did not reach its owner");
                Ok(UpdateRoomWithPingResponse { success: false })
            }
            answer => answer,
        }
    }

    async fn forward_room_event(
        &self,
        context: &RequestContext,
        request: ForwardRoomEventRequest,
    ) -> ApiResult<ForwardRoomEventResponse> {
        let routed = to_owner!(self, context, request, rooms.forward_room_event by scheduler_name);
        match routed.await {
            Err(error) if W::ANSWERS_ROOMS => Ok(ForwardRoomEventResponse {
                success: false,
                message: error.message,
            }),
            answer => answer,
        }
    }

    async fn forward_player_event(
        &self,
        context: &RequestContext,
        request: ForwardPlayerEventRequest,
    ) -> ApiResult<ForwardPlayerEventResponse> {
        let routed =
            to_owner!(self, context, request, rooms.forward_player_event by scheduler_name);
        match routed.await {
            Err(error) if W::ANSWERS_ROOMS => Ok(ForwardPlayerEventResponse {
                success: false,
                message: error.message,
            }),
            answer => answer,
        }
    }

    async fn update_room_status(
        &self,
        context: &RequestContext,
        request: UpdateRoomStatusRequest,
    ) -> ApiResult<UpdateRoomStatusResponse> {
        let routed = to_owner!(self, context, request, rooms.update_room_status by scheduler_name);
        match routed.await {
            Err(error) if W::ANSWERS_ROOMS => {
                debug!(%error, "a status did not reach its owner");
                Ok(UpdateRoomStatusResponse { success: false })
            }
            answer => answer,
        }
    }

    async fn get_actors(
        &self,
        context: &RequestContext,
        request: GetActorsRequest,
    ) -> ApiResult<GetActorsResponse> {
        let scheduler = request.scheduler_name.clone();
        let GetActorsResponse { view } =
            self.0.local().operator.get_actors(context, request).await?;
        let view = self.0.with_other_actors(context, scheduler, view).await?;
        Ok(GetActorsResponse { view })
    }

    async fn drain_node(
        &self,
        context: &RequestContext,
        request: DrainNodeRequest,
    ) -> ApiResult<DrainNodeResponse> {
        self.0.drain(context, request).await
    }
}
