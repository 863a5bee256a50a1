//! The calls of operators beside the contract: rooms, rollouts, actors, backups.

use async_trait::async_trait;

use crate::codec::messages::{
    AbortRolloutRequest, AbortRolloutResponse, BackUpRequest, BackUpResponse, GetActorsRequest,
    GetActorsResponse, GetReadinessRequest, GetReadinessResponse, GetRolloutRequest,
    GetRolloutResponse, GetRoomRequest, GetRoomResponse, GetRoomsSummaryRequest,
    GetRoomsSummaryResponse, ListRoomsRequest, ListRoomsResponse, PauseRolloutRequest,
    PauseRolloutResponse, PauseSchedulerRequest, PauseSchedulerResponse, ReadRoomLogRequest,
    ReadRoomLogResponse, ReloadSchedulerRequest, ReloadSchedulerResponse, RemoveRoomRequest,
    RemoveRoomResponse, ResumeRolloutRequest, ResumeRolloutResponse, ResumeSchedulerRequest,
    ResumeSchedulerResponse, RunTestOperationRequest, RunTestOperationResponse,
};
use crate::{Answer, RequestContext};

/// What operators can ask beyond the contract. What each answers to the public, the transports decide; calls under
/// `pause_scheduler` and below change or show the process itself and belong on the internal server.
///
/// Calls outlive neither their request nor its connection, as those of [`crate::ManagementApi`].
#[async_trait]
pub trait OperatorApi: Send + Sync + 'static {
    /// Lists rooms that are there, or the last ones that have ended.
    async fn list_rooms(
        &self,
        context: &RequestContext,
        request: ListRoomsRequest,
    ) -> Answer<ListRoomsResponse>;

    /// Counts the rooms of a scheduler by status.
    async fn get_rooms_summary(
        &self,
        context: &RequestContext,
        request: GetRoomsSummaryRequest,
    ) -> Answer<GetRoomsSummaryResponse>;

    /// Reads a room with its past.
    async fn get_room(
        &self,
        context: &RequestContext,
        request: GetRoomRequest,
    ) -> Answer<GetRoomResponse>;

    /// Reads the last lines that a room printed.
    async fn read_room_log(
        &self,
        context: &RequestContext,
        request: ReadRoomLogRequest,
    ) -> Answer<ReadRoomLogResponse>;

    /// Tells how far a rolling update is and what it waits for.
    async fn get_rollout(
        &self,
        context: &RequestContext,
        request: GetRolloutRequest,
    ) -> Answer<GetRolloutResponse>;

    /// Removes a room: at once, or when its match has ended.
    async fn remove_room(
        &self,
        context: &RequestContext,
        request: RemoveRoomRequest,
    ) -> Answer<RemoveRoomResponse>;

    /// Holds a rolling update.
    async fn pause_rollout(
        &self,
        context: &RequestContext,
        request: PauseRolloutRequest,
    ) -> Answer<PauseRolloutResponse>;

    /// Lets a rolling update go on.
    async fn resume_rollout(
        &self,
        context: &RequestContext,
        request: ResumeRolloutRequest,
    ) -> Answer<ResumeRolloutResponse>;

    /// Goes back to the version before. Refused without a rollout under way.
    async fn abort_rollout(
        &self,
        context: &RequestContext,
        request: AbortRolloutRequest,
    ) -> Answer<AbortRolloutResponse>;

    /// Shows what every actor is doing, without asking any of them.
    async fn get_actors(
        &self,
        context: &RequestContext,
        request: GetActorsRequest,
    ) -> Answer<GetActorsResponse>;

    /// Lets the queues of a scheduler stand still; stored.
    async fn pause_scheduler(
        &self,
        context: &RequestContext,
        request: PauseSchedulerRequest,
    ) -> Answer<PauseSchedulerResponse>;

    /// Lets the queues of a scheduler go on, also where all others stand still; stored.
    async fn resume_scheduler(
        &self,
        context: &RequestContext,
        request: ResumeSchedulerRequest,
    ) -> Answer<ResumeSchedulerResponse>;

    /// Builds the actor of a scheduler anew from the store.
    async fn reload_scheduler(
        &self,
        context: &RequestContext,
        request: ReloadSchedulerRequest,
    ) -> Answer<ReloadSchedulerResponse>;

    /// Enqueues an operation that only takes time.
    async fn run_test_operation(
        &self,
        context: &RequestContext,
        request: RunTestOperationRequest,
    ) -> Answer<RunTestOperationResponse>;

    /// Copies the store while it is in use.
    async fn back_up(
        &self,
        context: &RequestContext,
        request: BackUpRequest,
    ) -> Answer<BackUpResponse>;

    /// Tells whether this process is ready, and why not (contract 1.2).
    async fn get_readiness(
        &self,
        context: &RequestContext,
        request: GetReadinessRequest,
    ) -> Answer<GetReadinessResponse>;
}

/// Hands the list of all calls of [`OperatorApi`] to the macro `$then`, for adapters that treat each call alike. The
/// messages ([`crate::codec::messages`]) have to be in scope there.
#[macro_export]
macro_rules! operator_calls {
    ($then:ident) => {
        $then! { OperatorApi {
            list_rooms(ListRoomsRequest) -> ListRoomsResponse;
            get_rooms_summary(GetRoomsSummaryRequest) -> GetRoomsSummaryResponse;
            get_room(GetRoomRequest) -> GetRoomResponse;
            read_room_log(ReadRoomLogRequest) -> ReadRoomLogResponse;
            get_rollout(GetRolloutRequest) -> GetRolloutResponse;
            remove_room(RemoveRoomRequest) -> RemoveRoomResponse;
            pause_rollout(PauseRolloutRequest) -> PauseRolloutResponse;
            resume_rollout(ResumeRolloutRequest) -> ResumeRolloutResponse;
            abort_rollout(AbortRolloutRequest) -> AbortRolloutResponse;
            get_actors(GetActorsRequest) -> GetActorsResponse;
            pause_scheduler(PauseSchedulerRequest) -> PauseSchedulerResponse;
            resume_scheduler(ResumeSchedulerRequest) -> ResumeSchedulerResponse;
            reload_scheduler(ReloadSchedulerRequest) -> ReloadSchedulerResponse;
            run_test_operation(RunTestOperationRequest) -> RunTestOperationResponse;
            back_up(BackUpRequest) -> BackUpResponse;
            get_readiness(GetReadinessRequest) -> GetReadinessResponse;
        } }
    };
}
