//! A look at the actors and orders to them, and what the process itself can be asked (`maestro/v1/control.proto`).

use serde::ser::Serializer;

use crate::codec::Duration;
use crate::codec::message::{kind, messages, slot};

messages! {
    GetActorsRequest {
        /// Only the actor of this scheduler.
        scheduler_name "schedulerName" opt String = 100;
    }
    /// What every actor is doing. No actor is asked for it: a stuck one is seen while it is stuck.
    GetActorsResponse {
        /// As JSON; `docs/debug-actors.schema.json` has its members. A text, since it changes with what there is to
        /// see.
        view "view" one String = 100;
    }
    PauseSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// Its queues stand still.
    @[derive(serde::Serialize)]
    PauseSchedulerResponse {}
    ResumeSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// Its queues go on.
    @[derive(serde::Serialize)]
    ResumeSchedulerResponse {}
    ReloadSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// Its actor was built anew from the store.
    @[derive(serde::Serialize)]
    ReloadSchedulerResponse {}
    RunTestOperationRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// How long it takes.
        sleep_seconds "sleepSeconds" one i64 = 101;
    }
    /// The operation was ordered.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    RunTestOperationResponse {
        /// The operation, which only takes time.
        operation_id "operationId" one String = 100;
    }
    BackUpRequest {
        /// Name of the file in the folder `backups`: 1 to 64 letters, digits, '-', '_' and '.', the first of them no
        /// '.'.
        name "name" one String = 100;
    }
    /// The store was copied.
    @[derive(serde::Serialize)]
    BackUpResponse {
        /// The new file, on the server's machine.
        path "path" one String = 100;
        /// Its size.
        bytes "bytes" one u64 = 101;
        /// How long the copy took.
        @[serde(rename = "seconds", serialize_with = "in_seconds")]
        took "took" msg Duration = 102;
    }
    GetReadinessRequest {
        /// Does not ask the store.
        skip_store_check "skipStoreCheck" one bool = 100;
    }
    /// Whether the process is ready.
    GetReadinessResponse {
        /// What keeps it from being ready; absent: it is.
        not_ready_because "notReadyBecause" opt String = 100;
    }
}

fn in_seconds<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let nanos = span.unwrap_or_default().to_nanos();
    let span = std::time::Duration::from_nanos(nanos.unsigned_abs());
    serializer.serialize_f64(span.as_secs_f64())
}
