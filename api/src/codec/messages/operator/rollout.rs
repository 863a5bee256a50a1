//! Rolling updates (`maestro/v1/operator.proto`, `control.proto`).

use std::collections::BTreeMap;

use serde::ser::{Serialize, Serializer};

use crate::codec::macros::{kind, messages, slot};

messages! {
    GetRolloutRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// Progress of a rolling update.
    @[derive(serde::Serialize)]
    GetRolloutResponse {
        /// Progress of the active version.
        rollout "rollout" msg Rollout = 100;
    }
    /// How far the active version has replaced the rooms of other versions.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    Rollout {
        /// Whether there are rooms left that have to be replaced.
        in_progress "inProgress" one bool = 100;
        /// Whether an operator has paused it.
        paused "paused" one bool = 101;
        /// The version that new rooms get.
        active_version "activeVersion" one String = 102;
        /// The version that an abort switches to; empty if there is none.
        previous_version "previousVersion" one String = 103;
        /// Available rooms that still have to be replaced.
        old "old" one u64 = 104;
        /// Available rooms that need no replacement.
        new "new" one u64 = 105;
        /// How many of the new rooms have not started up yet.
        starting "starting" one u64 = 106;
        /// Rooms that will be removed when their match ends.
        draining "draining" one u64 = 107;
        /// Rooms allowed beyond the desired number.
        surge "surge" one i64 = 108;
        /// Available rooms by version.
        @[serde(serialize_with = "map_or_empty")]
        versions "versions" map u64 = 109;
        /// What it waits for, in plain words; absent if it waits for nothing or is complete.
        waiting_for "waitingFor" opt String = 110;
    }
    PauseRolloutRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// The rolling update is paused.
    @[derive(serde::Serialize)]
    PauseRolloutResponse {
        /// Its progress now.
        rollout "rollout" msg Rollout = 100;
    }
    ResumeRolloutRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// The rolling update continues.
    @[derive(serde::Serialize)]
    ResumeRolloutResponse {
        /// Its progress now.
        rollout "rollout" msg Rollout = 100;
    }
    AbortRolloutRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// The rollback was ordered.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    AbortRolloutResponse {
        /// The operation that switches to the previous version.
        operation_id "operationId" one String = 100;
    }
}

/// gRPC does not transmit an empty map, so an absent one is written as an empty one.
fn map_or_empty<S: Serializer>(
    map: &Option<BTreeMap<String, u64>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match map {
        Some(map) => map.serialize(serializer),
        None => BTreeMap::<String, u64>::new().serialize(serializer),
    }
}
