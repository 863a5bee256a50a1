//! Orders to actors, and calls that concern the process itself (`maestro/v1/control.proto`).

use serde::ser::Serializer;

use crate::codec::Duration;
use crate::codec::macros::{kind, messages, slot};

messages! {
    PauseSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// The scheduler's queues are paused.
    @[derive(serde::Serialize)]
    PauseSchedulerResponse {}
    ResumeSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// The scheduler's queues continue.
    @[derive(serde::Serialize)]
    ResumeSchedulerResponse {}
    ReloadSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// The scheduler's actor was rebuilt from the store.
    @[derive(serde::Serialize)]
    ReloadSchedulerResponse {}
    RunTestOperationRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// How many seconds the operation takes.
        sleep_seconds "sleepSeconds" one i64 = 101;
    }
    /// The test operation was ordered.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    RunTestOperationResponse {
        /// The operation, which does nothing but take time.
        operation_id "operationId" one String = 100;
    }
    BackUpRequest {
        /// Name of the file in the folder `backups`: 1 to 64 letters, digits, '-', '_' and '.', not beginning with '.'.
        name "name" one String = 100;
    }
    /// The store was copied.
    @[derive(serde::Serialize)]
    BackUpResponse {
        /// The new file, on the server's machine.
        path "path" one String = 100;
        /// The size of the file.
        bytes "bytes" one u64 = 101;
        /// How long the copy took.
        @[serde(rename = "seconds", serialize_with = "in_seconds")]
        took "took" msg Duration = 102;
    }
    GetReadinessRequest {
        /// Skips the check that the store answers.
        skip_store_check "skipStoreCheck" one bool = 100;
    }
    /// Whether the process is ready.
    GetReadinessResponse {
        /// Why the process is not ready; absent if it is.
        not_ready_because "notReadyBecause" opt String = 100;
    }
}

fn in_seconds<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let nanos = span.unwrap_or_default().to_nanos();
    let span = std::time::Duration::from_nanos(nanos.unsigned_abs());
    serializer.serialize_f64(span.as_secs_f64())
}
