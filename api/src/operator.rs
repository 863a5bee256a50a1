//! The operator's calls, in addition to the contract: rooms, rollouts, actors, backups.

use async_trait::async_trait;

use crate::codec::messages::{
    AbortRolloutRequest, AbortRolloutResponse, BackUpRequest, BackUpResponse, DrainNodeRequest,
    DrainNodeResponse, GetActorsRequest, GetActorsResponse, GetLiveVersionsRequest,
    GetLiveVersionsResponse, GetNodesRequest, GetNodesResponse, GetReadinessRequest,
    GetReadinessResponse, GetRolloutRequest, GetRolloutResponse, GetRoomRequest, GetRoomResponse,
    GetRoomsSummaryRequest, GetRoomsSummaryResponse, GetVersionConfigRequest,
    GetVersionConfigResponse, ListRoomsRequest, ListRoomsResponse, PauseRolloutRequest,
    PauseRolloutResponse, PauseSchedulerRequest, PauseSchedulerResponse, ReadRoomLogRequest,
    ReadRoomLogResponse, ReloadSchedulerRequest, ReloadSchedulerResponse, RemoveRoomRequest,
    RemoveRoomResponse, ResumeRolloutRequest, ResumeRolloutResponse, ResumeSchedulerRequest,
    ResumeSchedulerResponse, RunTestOperationRequest, RunTestOperationResponse,
};
use crate::{ApiResult, RequestContext};

/// The operator's calls, in addition to the contract. The transports decide which calls the public may make:
/// `get_actors` and `get_nodes` show the process and the cluster, to those who may see them; those from
/// `pause_scheduler` on change it, or are for its probes, and belong on the internal server.
///
/// Like calls of [`crate::ManagementApi`], a call ends with its request.
#[async_trait]
pub trait OperatorApi: Send + Sync + 'static {
    /// Lists the current rooms, or those that ended last.
    async fn list_rooms(
        &self,
        context: &RequestContext,
        request: ListRoomsRequest,
    ) -> ApiResult<ListRoomsResponse>;

    /// Counts the rooms of a scheduler by status.
    async fn get_rooms_summary(
        &self,
        context: &RequestContext,
        request: GetRoomsSummaryRequest,
    ) -> ApiResult<GetRoomsSummaryResponse>;

    /// Reads a room with its history.
    async fn get_room(
        &self,
        context: &RequestContext,
        request: GetRoomRequest,
    ) -> ApiResult<GetRoomResponse>;

    /// Reads the last lines of a room's output.
    async fn read_room_log(
        &self,
        context: &RequestContext,
        request: ReadRoomLogRequest,
    ) -> ApiResult<ReadRoomLogResponse>;

    /// Returns the progress of a rolling update and what it waits for.
    async fn get_rollout(
        &self,
        context: &RequestContext,
        request: GetRolloutRequest,
    ) -> ApiResult<GetRolloutResponse>;

    /// How far the versions of a scheduler are, each started and published by itself.
    async fn get_live_versions(
        &self,
        context: &RequestContext,
        request: GetLiveVersionsRequest,
    ) -> ApiResult<GetLiveVersionsResponse>;

    /// Shows what every actor is doing, without asking any of them.
    async fn get_actors(
        &self,
        context: &RequestContext,
        request: GetActorsRequest,
    ) -> ApiResult<GetActorsResponse>;

    /// Shows the nodes that are alive, and how many schedulers each owns.
    async fn get_nodes(
        &self,
        context: &RequestContext,
        request: GetNodesRequest,
    ) -> ApiResult<GetNodesResponse>;

    /// Removes a room: at once, or when its match has ended.
    async fn remove_room(
        &self,
        context: &RequestContext,
        request: RemoveRoomRequest,
    ) -> ApiResult<RemoveRoomResponse>;

    /// Pauses a rolling update.
    async fn pause_rollout(
        &self,
        context: &RequestContext,
        request: PauseRolloutRequest,
    ) -> ApiResult<PauseRolloutResponse>;

    /// Continues a rolling update.
    async fn resume_rollout(
        &self,
        context: &RequestContext,
        request: ResumeRolloutRequest,
    ) -> ApiResult<ResumeRolloutResponse>;

    /// Switches back to the previous version. Refused if no rollout is in progress.
    async fn abort_rollout(
        &self,
        context: &RequestContext,
        request: AbortRolloutRequest,
    ) -> ApiResult<AbortRolloutResponse>;

    /// The configuration of a version. Its values may be secrets, so that the transports ask who wants to know them
    /// ([`crate::ManagerAccess`]).
    async fn get_version_config(
        &self,
        context: &RequestContext,
        request: GetVersionConfigRequest,
    ) -> ApiResult<GetVersionConfigResponse>;

    /// Pauses the queues of a scheduler. The change is stored.
    async fn pause_scheduler(
        &self,
        context: &RequestContext,
        request: PauseSchedulerRequest,
    ) -> ApiResult<PauseSchedulerResponse>;

    /// Continues the queues of a scheduler, even while all others are paused. The change is stored.
    async fn resume_scheduler(
        &self,
        context: &RequestContext,
        request: ResumeSchedulerRequest,
    ) -> ApiResult<ResumeSchedulerResponse>;

    /// Rebuilds the actor of a scheduler from the store.
    async fn reload_scheduler(
        &self,
        context: &RequestContext,
        request: ReloadSchedulerRequest,
    ) -> ApiResult<ReloadSchedulerResponse>;

    /// Enqueues an operation that does nothing but take time.
    async fn run_test_operation(
        &self,
        context: &RequestContext,
        request: RunTestOperationRequest,
    ) -> ApiResult<RunTestOperationResponse>;

    /// Copies the store while it is in use.
    async fn back_up(
        &self,
        context: &RequestContext,
        request: BackUpRequest,
    ) -> ApiResult<BackUpResponse>;

    /// Lets a node hand its schedulers over and take no more, or makes it take its share again.
    async fn drain_node(
        &self,
        context: &RequestContext,
        request: DrainNodeRequest,
    ) -> ApiResult<DrainNodeResponse>;

    /// Returns whether this process is ready, and why not (contract 1.2).
    async fn get_readiness(
        &self,
        context: &RequestContext,
        request: GetReadinessRequest,
    ) -> ApiResult<GetReadinessResponse>;
}

/// Passes the list of all calls of [`OperatorApi`] to the macro `$then`, for adapters that treat all calls alike. The
/// messages ([`crate::codec::messages`]) must be in scope at the place of use.
#[macro_export]
macro_rules! operator_calls {
    ($then:ident) => {
        $then! { OperatorApi {
            list_rooms(ListRoomsRequest) -> ListRoomsResponse;
            get_rooms_summary(GetRoomsSummaryRequest) -> GetRoomsSummaryResponse;
            get_room(GetRoomRequest) -> GetRoomResponse;
            read_room_log(ReadRoomLogRequest) -> ReadRoomLogResponse;
            get_rollout(GetRolloutRequest) -> GetRolloutResponse;
            get_live_versions(GetLiveVersionsRequest) -> GetLiveVersionsResponse;
            get_actors(GetActorsRequest) -> GetActorsResponse;
            get_nodes(GetNodesRequest) -> GetNodesResponse;
            remove_room(RemoveRoomRequest) -> RemoveRoomResponse;
            pause_rollout(PauseRolloutRequest) -> PauseRolloutResponse;
            resume_rollout(ResumeRolloutRequest) -> ResumeRolloutResponse;
            abort_rollout(AbortRolloutRequest) -> AbortRolloutResponse;
            get_version_config(GetVersionConfigRequest) -> GetVersionConfigResponse;
            pause_scheduler(PauseSchedulerRequest) -> PauseSchedulerResponse;
            resume_scheduler(ResumeSchedulerRequest) -> ResumeSchedulerResponse;
            reload_scheduler(ReloadSchedulerRequest) -> ReloadSchedulerResponse;
            run_test_operation(RunTestOperationRequest) -> RunTestOperationResponse;
            back_up(BackUpRequest) -> BackUpResponse;
            drain_node(DrainNodeRequest) -> DrainNodeResponse;
            get_readiness(GetReadinessRequest) -> GetReadinessResponse;
        } }
    };
}
