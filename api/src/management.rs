//! The calls of the management API (contract 2.2, decision D15).

use async_trait::async_trait;

use crate::codec::messages::{
    AddRoomsRequest, AddRoomsResponse, CancelOperationRequest, CancelOperationResponse,
    CreateSchedulerRequest, CreateSchedulerResponse, DeleteSchedulerRequest,
    DeleteSchedulerResponse, GetOperationRequest, GetOperationResponse, GetSchedulerRequest,
    GetSchedulerResponse, GetSchedulerVersionsRequest, GetSchedulerVersionsResponse,
    GetSchedulersInfoRequest, GetSchedulersInfoResponse, ListOperationsRequest,
    ListOperationsResponse, ListSchedulersRequest, ListSchedulersResponse,
    NewSchedulerVersionRequest, NewSchedulerVersionResponse, PatchSchedulerRequest,
    PatchSchedulerResponse, RemoveRoomsRequest, RemoveRoomsResponse, SwitchActiveVersionRequest,
    SwitchActiveVersionResponse,
};
use crate::{ApiResult, RequestContext};

/// The calls of the management API, the same for HTTP and gRPC.
///
/// A call ends with its request: if the client goes away the future is dropped, so an implementation must hand work
/// that has to finish to another task. Calls must not panic; a panic is answered with code 13.
#[async_trait]
pub trait ManagementApi: Send + Sync + 'static {
    /// Creates a scheduler.
    async fn create_scheduler(
        &self,
        context: &RequestContext,
        request: CreateSchedulerRequest,
    ) -> ApiResult<CreateSchedulerResponse>;

    /// Lists schedulers by exact name, game and version.
    async fn list_schedulers(
        &self,
        context: &RequestContext,
        request: ListSchedulersRequest,
    ) -> ApiResult<ListSchedulersResponse>;

    /// Counts the rooms of each scheduler of a game.
    async fn get_schedulers_info(
        &self,
        context: &RequestContext,
        request: GetSchedulersInfoRequest,
    ) -> ApiResult<GetSchedulersInfoResponse>;

    /// Reads a scheduler at a given version, or at the active one.
    async fn get_scheduler(
        &self,
        context: &RequestContext,
        request: GetSchedulerRequest,
    ) -> ApiResult<GetSchedulerResponse>;

    /// Replaces the whole scheduler with a new version.
    async fn new_scheduler_version(
        &self,
        context: &RequestContext,
        request: NewSchedulerVersionRequest,
    ) -> ApiResult<NewSchedulerVersionResponse>;

    /// Creates a new version by changing some fields.
    async fn patch_scheduler(
        &self,
        context: &RequestContext,
        request: PatchSchedulerRequest,
    ) -> ApiResult<PatchSchedulerResponse>;

    /// Activates another version.
    async fn switch_active_version(
        &self,
        context: &RequestContext,
        request: SwitchActiveVersionRequest,
    ) -> ApiResult<SwitchActiveVersionResponse>;

    /// Deletes a scheduler and its rooms.
    async fn delete_scheduler(
        &self,
        context: &RequestContext,
        request: DeleteSchedulerRequest,
    ) -> ApiResult<DeleteSchedulerResponse>;

    /// Lists the versions of a scheduler, newest first.
    async fn get_scheduler_versions(
        &self,
        context: &RequestContext,
        request: GetSchedulerVersionsRequest,
    ) -> ApiResult<GetSchedulerVersionsResponse>;

    /// Adds rooms (decision D15).
    async fn add_rooms(
        &self,
        context: &RequestContext,
        request: AddRoomsRequest,
    ) -> ApiResult<AddRoomsResponse>;

    /// Removes rooms (decision D15).
    async fn remove_rooms(
        &self,
        context: &RequestContext,
        request: RemoveRoomsRequest,
    ) -> ApiResult<RemoveRoomsResponse>;

    /// Lists the operations of a scheduler in one stage.
    async fn list_operations(
        &self,
        context: &RequestContext,
        request: ListOperationsRequest,
    ) -> ApiResult<ListOperationsResponse>;

    /// Reads an operation with its input and history.
    async fn get_operation(
        &self,
        context: &RequestContext,
        request: GetOperationRequest,
    ) -> ApiResult<GetOperationResponse>;

    /// Requests the cancelation of an operation.
    async fn cancel_operation(
        &self,
        context: &RequestContext,
        request: CancelOperationRequest,
    ) -> ApiResult<CancelOperationResponse>;
}

/// Passes the list of all calls of [`ManagementApi`] to the macro `$then`, for adapters that treat all calls alike. The
/// messages ([`crate::codec::messages`]) must be in scope at the place of use.
#[macro_export]
macro_rules! management_calls {
    ($then:ident) => {
        $then! { ManagementApi {
            create_scheduler(CreateSchedulerRequest) -> CreateSchedulerResponse;
            list_schedulers(ListSchedulersRequest) -> ListSchedulersResponse;
            get_schedulers_info(GetSchedulersInfoRequest) -> GetSchedulersInfoResponse;
            get_scheduler(GetSchedulerRequest) -> GetSchedulerResponse;
            new_scheduler_version(NewSchedulerVersionRequest) -> NewSchedulerVersionResponse;
            patch_scheduler(PatchSchedulerRequest) -> PatchSchedulerResponse;
            switch_active_version(SwitchActiveVersionRequest) -> SwitchActiveVersionResponse;
            delete_scheduler(DeleteSchedulerRequest) -> DeleteSchedulerResponse;
            get_scheduler_versions(GetSchedulerVersionsRequest) -> GetSchedulerVersionsResponse;
            add_rooms(AddRoomsRequest) -> AddRoomsResponse;
            remove_rooms(RemoveRoomsRequest) -> RemoveRoomsResponse;
            list_operations(ListOperationsRequest) -> ListOperationsResponse;
            get_operation(GetOperationRequest) -> GetOperationResponse;
            cancel_operation(CancelOperationRequest) -> CancelOperationResponse;
        } }
    };
}
