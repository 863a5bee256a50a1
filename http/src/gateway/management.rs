//! The calls of the management API and their routes (contract 2.2, decision D15).

use actix_web::http::Method;
use async_trait::async_trait;

use super::context::RequestContext;
use super::route::{Reads, Route, rpc};
use super::status::{Code, Status};
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

use crate::openapi::{About, Tag};

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
        rpc: rpc!(create_scheduler(CreateSchedulerRequest) -> CreateSchedulerResponse),
        about: About {
            tag: Tag::Schedulers,
            summary: "Create a scheduler and its rooms",
            text: "Answers once the scheduler is stored; its rooms are started by the operation `create_scheduler`.",
            fails: &[Code::AlreadyExists],
            example: Some(include_str!("../../../examples/rooms.json")),
        },
    },
    Route {
        method: Method::GET,
        template: "/schedulers",
        label: "/schedulers",
        reads: Reads::Query,
        rpc: rpc!(list_schedulers(ListSchedulersRequest) -> ListSchedulersResponse),
        about: About {
            tag: Tag::Schedulers,
            summary: "List schedulers",
            text: "Filters are exact and all of them count; nobody passing them is an empty list.",
            fails: &[],
            example: None,
        },
    },
    Route {
        method: Method::GET,
        template: "/schedulers/info",
        label: "/schedulers/:schedulerName",
        reads: Reads::Query,
        rpc: rpc!(get_schedulers_info(GetSchedulersInfoRequest) -> GetSchedulersInfoResponse),
        about: About {
            tag: Tag::Schedulers,
            summary: "Count the rooms of all schedulers",
            text: "For dashboards and scripts: how many rooms of each scheduler are ready, occupied, starting and \
                ending.",
            fails: &[],
            example: None,
        },
    },
    Route {
        method: Method::GET,
        template: "/schedulers/{scheduler_name}",
        label: "/schedulers/:schedulerName",
        reads: Reads::Query,
        rpc: rpc!(get_scheduler(GetSchedulerRequest) -> GetSchedulerResponse),
        about: About {
            tag: Tag::Schedulers,
            summary: "Read a scheduler",
            text: "",
            fails: &[Code::NotFound],
            example: None,
        },
    },
    Route {
        method: Method::POST,
        template: "/schedulers/{name}",
        label: "/schedulers/:schedulerName",
        reads: Reads::Body,
        rpc: rpc!(new_scheduler_version(NewSchedulerVersionRequest) -> NewSchedulerVersionResponse),
        about: About {
            tag: Tag::Versions,
            summary: "Replace a scheduler by a new version",
            text: "The operation `create_new_scheduler_version` tries the new version in a room, then switches to it; \
                rooms are replaced as `maxSurge` allows. Refused (400, code 9) while another change of the version \
                is under way.",
            fails: &[Code::NotFound],
            example: Some(include_str!("../../../examples/rooms.json")),
        },
    },
    Route {
        method: Method::PATCH,
        template: "/schedulers/{name}",
        label: "/schedulers/:schedulerName",
        reads: Reads::Body,
        rpc: rpc!(patch_scheduler(PatchSchedulerRequest) -> PatchSchedulerResponse),
        about: About {
            tag: Tag::Versions,
            summary: "Change some fields of a scheduler",
            text: "Makes a new version of the changed fields. A change that leaves the rooms as they are is a minor \
                version and replaces none. A patch that changes nothing is 409; another change under way is 400 with \
                code 9.",
            fails: &[Code::NotFound, Code::AlreadyExists],
            example: Some(r#"{"roomsReplicas": 3}"#),
        },
    },
    Route {
        method: Method::PUT,
        template: "/schedulers/{scheduler_name}",
        label: "/schedulers/:schedulerName",
        reads: Reads::Body,
        rpc: rpc!(switch_active_version(SwitchActiveVersionRequest) -> SwitchActiveVersionResponse),
        about: About {
            tag: Tag::Versions,
            summary: "Make another version the active one",
            text: "For going back. Neither the scheduler nor the version is looked for now: the operation says if they \
                do not exist.",
            fails: &[],
            example: Some(r#"{"version": "v1.0.0"}"#),
        },
    },
    Route {
        method: Method::DELETE,
        template: "/schedulers/{scheduler_name}",
        label: "/schedulers/:schedulerName",
        reads: Reads::Query,
        rpc: rpc!(delete_scheduler(DeleteSchedulerRequest) -> DeleteSchedulerResponse),
        about: About {
            tag: Tag::Schedulers,
            summary: "Delete a scheduler and its rooms",
            text: "Rooms are ended, also those with a match.",
            fails: &[Code::NotFound],
            example: None,
        },
    },
    Route {
        method: Method::GET,
        template: "/schedulers/{scheduler_name}/versions",
        label: "/schedulers/:schedulerName/versions",
        reads: Reads::Query,
        rpc: rpc!(get_scheduler_versions(GetSchedulerVersionsRequest) -> GetSchedulerVersionsResponse),
        about: About {
            tag: Tag::Versions,
            summary: "List the versions of a scheduler",
            text: "",
            fails: &[Code::NotFound],
            example: None,
        },
    },
    Route {
        method: Method::POST,
        template: "/schedulers/{scheduler_name}/add-rooms",
        label: "/schedulers/:schedulerName/add-rooms",
        reads: Reads::Body,
        rpc: rpc!(add_rooms(AddRoomsRequest) -> AddRoomsResponse),
        about: About {
            tag: Tag::Rooms,
            summary: "Add rooms",
            text: "One order, for tests and emergencies: what the scheduler wants (`roomsReplicas` or its autoscaling) \
                takes over again afterwards.",
            fails: &[Code::NotFound],
            example: Some(r#"{"amount": 1}"#),
        },
    },
    Route {
        method: Method::POST,
        template: "/schedulers/{scheduler_name}/remove-rooms",
        label: "/schedulers/:schedulerName/remove-rooms",
        reads: Reads::Body,
        rpc: rpc!(remove_rooms(RemoveRoomsRequest) -> RemoveRoomsResponse),
        about: About {
            tag: Tag::Rooms,
            summary: "Remove rooms",
            text: "One order: what the scheduler wants (`roomsReplicas` or its autoscaling) takes over again \
                afterwards. Idle rooms go first. Rooms with a match go when it has ended, or after the drain's \
                deadline; the operation finishes before that and names them in its history. `force` ends them at \
                once.",
            fails: &[Code::NotFound],
            example: Some(r#"{"amount": 1}"#),
        },
    },
    Route {
        method: Method::GET,
        template: "/schedulers/{scheduler_name}/operations",
        label: "/schedulers/:schedulerName/operations",
        reads: Reads::Query,
        rpc: rpc!(list_operations(ListOperationsRequest) -> ListOperationsResponse),
        about: About {
            tag: Tag::Operations,
            summary: "List the operations of a scheduler",
            text: "`pending` ones wait, `active` ones run, `final` ones are over. A scheduler that does not exist has \
                none.",
            fails: &[],
            example: None,
        },
    },
    Route {
        method: Method::GET,
        template: "/schedulers/{scheduler_name}/operations/{operation_id}",
        label: "/schedulers/:schedulerName/operations/:operationID",
        reads: Reads::Query,
        rpc: rpc!(get_operation(GetOperationRequest) -> GetOperationResponse),
        about: About {
            tag: Tag::Operations,
            summary: "Read an operation with its history",
            text: "Where to look when something failed: the history says what happened and why.",
            fails: &[Code::NotFound],
            example: None,
        },
    },
    Route {
        method: Method::POST,
        template: "/schedulers/{scheduler_name}/operations/{operation_id}/cancel",
        label: "/schedulers/:schedulerName/operations/:operationID",
        reads: Reads::Query,
        rpc: rpc!(cancel_operation(CancelOperationRequest) -> CancelOperationResponse),
        about: About {
            tag: Tag::Operations,
            summary: "Cancel an operation",
            text: "Answers at once; what the operation did is undone. One that is over is 409; one that does not exist, \
                or whose scheduler does not, is 404.",
            fails: &[Code::NotFound, Code::Aborted],
            example: None,
        },
    },
];
