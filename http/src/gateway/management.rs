//! The routes of the management API (contract 2.2, decision D15).

use actix_web::http::Method;
use maestro_api::codec::messages::{
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
use maestro_api::{Code, ManagementApi};

use super::route::{Reads, Route, rpc};
use crate::endpoint::{About, Tag};

/// In order of precedence: `info` takes precedence over a scheduler of that name. Two labels repeat an oddity of
/// contract 9: requests of `info` and `cancel` are counted under the preceding route.
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
