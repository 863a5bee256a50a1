//! Rolling updates (`maestro/v1/operator.proto`, `control.proto`).

use std::collections::BTreeMap;

use serde::ser::{Serialize, Serializer};

use crate::codec::message::{kind, messages, slot};

messages! {
    GetRolloutRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// How far a rolling update is.
    @[derive(serde::Serialize)]
    GetRolloutResponse {
        /// Of the active version.
        rollout "rollout" msg Rollout = 100;
    }
    /// How far the active version has replaced the rooms of others.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    Rollout {
        /// Rooms of versions that have to be replaced are left.
        in_progress "inProgress" one bool = 100;
        /// An operator holds it.
        paused "paused" one bool = 101;
        /// The version of new rooms.
        active_version "activeVersion" one String = 102;
        /// Where an abort goes back to; empty: nowhere.
        previous_version "previousVersion" one String = 103;
        /// Available rooms that have to be replaced.
        old "old" one u64 = 104;
        /// Available rooms that need not be.
        new "new" one u64 = 105;
        /// Of the new ones, not up yet.
        starting "starting" one u64 = 106;
        /// Rooms that go when their match ends.
        draining "draining" one u64 = 107;
        /// Rooms that may be there beyond the wanted number.
        surge "surge" one i64 = 108;
        /// Available rooms by version.
        @[serde(serialize_with = "map_or_empty")]
        versions "versions" map u64 = 109;
        /// What has to happen before it goes on, in plain words; absent: nothing, or it is over.
        waiting_for "waitingFor" opt String = 110;
    }
    PauseRolloutRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// It stands still.
    @[derive(serde::Serialize)]
    PauseRolloutResponse {
        /// As it is now.
        rollout "rollout" msg Rollout = 100;
    }
    ResumeRolloutRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// It goes on.
    @[derive(serde::Serialize)]
    ResumeRolloutResponse {
        /// As it is now.
        rollout "rollout" msg Rollout = 100;
    }
    AbortRolloutRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// The way back was ordered.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    AbortRolloutResponse {
        /// The operation that goes back to the version before.
        operation_id "operationId" one String = 100;
    }
}

/// An empty map does not travel over gRPC: whoever gets none writes an empty one.
fn map_or_empty<S: Serializer>(
    map: &Option<BTreeMap<String, u64>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match map {
        Some(map) => map.serialize(serializer),
        None => BTreeMap::<String, u64>::new().serialize(serializer),
    }
}
