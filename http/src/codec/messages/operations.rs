//! Requests and responses of `OperationsService` (`operations.proto`).

use super::shared::{ListOperationItem, Operation};
use crate::codec::message::{kind, messages, slot};

messages! {
    ListOperationsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String;
        /// `createdAt asc` or `createdAt desc`; the latter when it is left out.
        order_by "orderBy" one String;
        /// `pending`, `active` or `final`. Required.
        stage "stage" one String;
        /// Page, from 1. Only with stage `final`.
        page "page" opt u32;
        /// Operations on a page, 1 to 100; 15 when it is left out. Only with stage `final`.
        per_page "perPage" opt u32;
    }
    /// A page of operations.
    ListOperationsResponse {
        /// This page.
        page "page" opt u32;
        /// Operations that fit on it.
        page_size "pageSize" opt u32;
        /// Operations on all pages.
        total "total" opt u32;
        /// Those of this page.
        operations "operations" many ListOperationItem;
    }
    CancelOperationRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String;
        /// Id of the operation.
        operation_id "operationId" one String;
    }
    /// The wish was taken note of: the operation ends when it can.
    CancelOperationResponse {}
    GetOperationRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String;
        /// Id of the operation.
        operation_id "operationId" one String;
    }
    /// One operation.
    GetOperationResponse {
        /// With its input and its history.
        operation "operation" msg Operation;
    }
}
