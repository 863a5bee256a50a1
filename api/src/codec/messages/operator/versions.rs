//! The versions of a scheduler as its owner knows them (`maestro/v1/operator.proto`, `control.proto`).

use crate::codec::macros::{kind, messages, slot};

messages! {
    GetLiveVersionsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// Only this version.
        version "version" opt String = 101;
    }
    /// The versions of a scheduler by how far they are.
    @[derive(serde::Serialize)]
    GetLiveVersionsResponse {
        /// In order.
        versions "versions" many LiveVersion = 100;
    }
    /// How far a version is. Of a scheduler whose versions were never started one by one, the active one is published.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    LiveVersion {
        /// The version.
        version "version" one String = 100;
        /// STOPPED, STARTING, STARTED, PUBLISHED, STOPPING or ERROR.
        state "state" one String = 101;
        /// How many rooms it is to have.
        rooms_wanted "roomsWanted" one i32 = 102;
        /// All of its rooms, also those that are ending.
        rooms "rooms" one u64 = 103;
        /// Rooms that count and are up.
        rooms_up "roomsUp" one u64 = 104;
        /// Rooms that are to be replaced, because its configuration was.
        rooms_outdated "roomsOutdated" one u64 = 105;
        /// Why it is in error, or why its rooms end too soon at present; empty otherwise.
        failure "failure" one String = 106;
    }
    GetVersionConfigRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// Name of the version.
        version "version" one String = 101;
    }
    /// The configuration of a version, as new rooms get it.
    @[derive(serde::Serialize)]
    GetVersionConfigResponse {
        /// Ordered by key.
        config "config" many ConfigPair = 100;
    }
    /// A variable of all containers of a version's rooms.
    @[derive(serde::Serialize)]
    ConfigPair {
        /// Its name.
        key "key" one String = 100;
        /// Its value, which may be a secret.
        value "value" one String = 101;
    }
}
