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
    DrainNodeRequest {
        /// Name, session or address of the node; empty for the node that is asked.
        node "node" one String = 100;
        /// Whether it is drained; otherwise it takes its share of the schedulers again.
        draining "draining" one bool = 101;
        /// Also schedulers go whose rooms only this node can see. Their new owners replace these rooms.
        leave_rooms "leaveRooms" one bool = 102;
    }
    /// The node hands its schedulers over, or takes its share again.
    @[derive(serde::Serialize)]
    DrainNodeResponse {
        /// The session of the node.
        session "session" one String = 100;
        /// Its name.
        name "name" one String = 101;
        /// Where it takes the calls of other nodes.
        address "address" one String = 102;
        /// Whether it drains.
        draining "draining" one bool = 103;
        /// How many schedulers it owns at the moment.
        owned "owned" one u64 = 104;
        /// How many of them stay, because the nodes that should own them cannot see their rooms.
        staying "staying" one u64 = 105;
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
