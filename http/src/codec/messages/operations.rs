//! Requests and responses of `OperationsService` (`operations.proto`).

use super::shared::{ListOperationItem, Operation};
use crate::codec::message::{messages, slot};

messages! {
    ListOperationsRequest {
        scheduler_name "schedulerName" one String;
        order_by "orderBy" one String;
        stage "stage" one String;
        page "page" opt u32;
        per_page "perPage" opt u32;
    }
    ListOperationsResponse {
        page "page" opt u32;
        page_size "pageSize" opt u32;
        total "total" opt u32;
        operations "operations" many ListOperationItem;
    }
    CancelOperationRequest {
        scheduler_name "schedulerName" one String;
        operation_id "operationId" one String;
    }
    CancelOperationResponse {}
    GetOperationRequest {
        scheduler_name "schedulerName" one String;
        operation_id "operationId" one String;
    }
    GetOperationResponse {
        operation "operation" msg Operation;
    }
}
