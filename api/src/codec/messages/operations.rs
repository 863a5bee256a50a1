//! Requests and responses of `OperationsService` (`operations.proto`).

use super::shared::{ListOperationItem, Operation};
use crate::codec::macros::{kind, messages, slot};

messages! {
    ListOperationsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// `createdAt asc` or `createdAt desc`; the default is `createdAt desc`.
        order_by "orderBy" one String = 2;
        /// `pending`, `active` or `final`. Required.
        stage "stage" one String = 3;
        /// Page, from 1. Only with stage `final`.
        page "page" opt u32 = 4;
        /// Operations per page, 1 to 100; the default is 15. Only with stage `final`.
        per_page "perPage" opt u32 = 5;
    }
    /// A page of operations.
    ListOperationsResponse {
        /// The number of this page.
        page "page" opt u32 = 1;
        /// The maximum number of operations per page.
        page_size "pageSize" opt u32 = 2;
        /// Operations on all pages.
        total "total" opt u32 = 3;
        /// The operations of this page.
        operations "operations" many ListOperationItem = 4;
    }
    CancelOperationRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the operation.
        operation_id "operationId" one String = 2;
    }
    /// The request was recorded: the operation will be canceled as soon as possible.
    CancelOperationResponse {}
    GetOperationRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the operation.
        operation_id "operationId" one String = 2;
    }
    /// One operation.
    GetOperationResponse {
        /// The operation with its input and its history.
        operation "operation" msg Operation = 1;
    }
}
