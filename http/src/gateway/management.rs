//! The calls of the management API and their routes (contract 2.2, decision D15).

use actix_web::http::Method;
use async_trait::async_trait;

use super::context::RequestContext;
use super::route::{Reads, Route, call};
use super::status::Status;
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

/// What the management API can be asked; HTTP and gRPC alike.
///
/// Calls outlive neither their request nor its connection: a client that goes away drops the future, so an
/// implementation must hand work that has to finish to somebody else. No call may panic; one that does is answered
/// with code 13.
#[async_trait]
pub trait ManagementApi: Send + Sync + 'static {
    /// Creates a scheduler.
    async fn create_scheduler(
        &self,
        context: &RequestContext,
        request: CreateSchedulerRequest,
    ) -> Result<CreateSchedulerResponse, Status>;

    /// Lists schedulers by exact name, game and version.
    async fn list_schedulers(
        &self,
        context: &RequestContext,
        request: ListSchedulersRequest,
    ) -> Result<ListSchedulersResponse, Status>;

    /// Counts the rooms of every scheduler of a game.
    async fn get_schedulers_info(
        &self,
        context: &RequestContext,
        request: GetSchedulersInfoRequest,
    ) -> Result<GetSchedulersInfoResponse, Status>;

    /// Reads a scheduler, at a version or the active one.
    async fn get_scheduler(
        &self,
        context: &RequestContext,
        request: GetSchedulerRequest,
    ) -> Result<GetSchedulerResponse, Status>;

    /// Replaces the whole scheduler by a new version.
    async fn new_scheduler_version(
        &self,
        context: &RequestContext,
        request: NewSchedulerVersionRequest,
    ) -> Result<NewSchedulerVersionResponse, Status>;

    /// Makes a new version from some changed fields.
    async fn patch_scheduler(
        &self,
        context: &RequestContext,
        request: PatchSchedulerRequest,
    ) -> Result<PatchSchedulerResponse, Status>;

    /// Makes another version the active one.
    async fn switch_active_version(
        &self,
        context: &RequestContext,
        request: SwitchActiveVersionRequest,
    ) -> Result<SwitchActiveVersionResponse, Status>;

    /// Deletes a scheduler and its rooms.
    async fn delete_scheduler(
        &self,
        context: &RequestContext,
        request: DeleteSchedulerRequest,
    ) -> Result<DeleteSchedulerResponse, Status>;

    /// Lists the versions of a scheduler, newest first.
    async fn get_scheduler_versions(
        &self,
        context: &RequestContext,
        request: GetSchedulerVersionsRequest,
    ) -> Result<GetSchedulerVersionsResponse, Status>;

    /// Adds rooms (decision D15).
    async fn add_rooms(
        &self,
        context: &RequestContext,
        request: AddRoomsRequest,
    ) -> Result<AddRoomsResponse, Status>;

    /// Removes rooms (decision D15).
    async fn remove_rooms(
        &self,
        context: &RequestContext,
        request: RemoveRoomsRequest,
    ) -> Result<RemoveRoomsResponse, Status>;

    /// Lists the operations of a scheduler in one stage.
    async fn list_operations(
        &self,
        context: &RequestContext,
        request: ListOperationsRequest,
    ) -> Result<ListOperationsResponse, Status>;

    /// Reads an operation with its input and history.
    async fn get_operation(
        &self,
        context: &RequestContext,
        request: GetOperationRequest,
    ) -> Result<GetOperationResponse, Status>;

    /// Asks for an operation to be canceled.
    async fn cancel_operation(
        &self,
        context: &RequestContext,
        request: CancelOperationRequest,
    ) -> Result<CancelOperationResponse, Status>;
}

/// In order of precedence: `info` wins over a scheduler of that name. Two labels repeat an oddity of contract 9: `info` and
/// `cancel` are counted under the route before them.
pub(super) const ROUTES: &[Route<dyn ManagementApi>] = &[
    Route {
        method: Method::POST,
        template: "/schedulers",
        label: "/schedulers",
        reads: Reads::Body,
        call: call!(create_scheduler),
    },
    Route {
        method: Method::GET,
        template: "/schedulers",
        label: "/schedulers",
        reads: Reads::Query,
        call: call!(list_schedulers),
    },
    Route {
        method: Method::GET,
        template: "/schedulers/info",
        label: "/schedulers/:schedulerName",
        reads: Reads::Query,
        call: call!(get_schedulers_info),
    },
    Route {
        method: Method::GET,
        template: "/schedulers/{scheduler_name}",
        label: "/schedulers/:schedulerName",
        reads: Reads::Query,
        call: call!(get_scheduler),
    },
    Route {
        method: Method::POST,
        template: "/schedulers/{name}",
        label: "/schedulers/:schedulerName",
        reads: Reads::Body,
        call: call!(new_scheduler_version),
    },
    Route {
        method: Method::PATCH,
        template: "/schedulers/{name}",
        label: "/schedulers/:schedulerName",
        reads: Reads::Body,
        call: call!(patch_scheduler),
    },
    Route {
        method: Method::PUT,
        template: "/schedulers/{scheduler_name}",
        label: "/schedulers/:schedulerName",
        reads: Reads::Body,
        call: call!(switch_active_version),
    },
    Route {
        method: Method::DELETE,
        template: "/schedulers/{scheduler_name}",
        label: "/schedulers/:schedulerName",
        reads: Reads::Query,
        call: call!(delete_scheduler),
    },
    Route {
        method: Method::GET,
        template: "/schedulers/{scheduler_name}/versions",
        label: "/schedulers/:schedulerName/versions",
        reads: Reads::Query,
        call: call!(get_scheduler_versions),
    },
    Route {
        method: Method::POST,
        template: "/schedulers/{scheduler_name}/add-rooms",
        label: "/schedulers/:schedulerName/add-rooms",
        reads: Reads::Body,
        call: call!(add_rooms),
    },
    Route {
        method: Method::POST,
        template: "/schedulers/{scheduler_name}/remove-rooms",
        label: "/schedulers/:schedulerName/remove-rooms",
        reads: Reads::Body,
        call: call!(remove_rooms),
    },
    Route {
        method: Method::GET,
        template: "/schedulers/{scheduler_name}/operations",
        label: "/schedulers/:schedulerName/operations",
        reads: Reads::Query,
        call: call!(list_operations),
    },
    Route {
        method: Method::GET,
        template: "/schedulers/{scheduler_name}/operations/{operation_id}",
        label: "/schedulers/:schedulerName/operations/:operationID",
        reads: Reads::Query,
        call: call!(get_operation),
    },
    Route {
        method: Method::POST,
        template: "/schedulers/{scheduler_name}/operations/{operation_id}/cancel",
        label: "/schedulers/:schedulerName/operations/:operationID",
        reads: Reads::Query,
        call: call!(cancel_operation),
    },
];
