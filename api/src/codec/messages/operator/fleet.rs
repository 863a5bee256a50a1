//! Adding and removing rooms (`maestro/v1/fleet.proto`, decision D15). Both calls are part of the management API.

use crate::codec::macros::{kind, messages, slot};

messages! {
    AddRoomsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// How many rooms, at least 1. Required.
        amount "amount" one i32 = 101;
    }
    /// The rooms were ordered.
    AddRoomsResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String = 100;
    }
    RemoveRoomsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// How many rooms, at least 1. Idle rooms are removed first, rooms with a match when it has ended. Required.
        amount "amount" one i32 = 101;
        /// Also removes rooms with a match at once, after the idle ones.
        force "force" one bool = 102;
    }
    /// The removal was ordered.
    RemoveRoomsResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String = 100;
    }
}
