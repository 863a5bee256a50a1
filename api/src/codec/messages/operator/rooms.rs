//! The rooms of a scheduler (`maestro/v1/operator.proto`, `control.proto`).

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::codec::macros::{kind, messages, slot};

messages! {
    ListRoomsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// Only rooms in this status; `ended` lists the rooms that ended last, newest first.
        status "status" opt String = 101;
        /// Only rooms of this version, such as `v1.2.0`.
        version "version" opt String = 102;
        /// Page, from 1.
        page "page" opt u64 = 103;
        /// Rooms per page, 1 to 500; the default is 100.
        per_page "perPage" opt u64 = 104;
    }
    /// A page of rooms.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    ListRoomsResponse {
        /// The number of this page.
        page "page" one u64 = 100;
        /// The maximum number of rooms per page.
        page_size "pageSize" one u64 = 101;
        /// Rooms on all pages.
        total "total" one u64 = 102;
        /// The rooms of this page.
        rooms "rooms" many RoomRow = 103;
    }
    /// A room in a list.
    @[derive(serde::Serialize)]
    RoomRow {
        /// The room.
        @[serde(flatten)]
        room "room" msg Room = 100;
        /// How it ended, with the last line of its output; absent while it runs.
        @[serde(skip_serializing_if = "Option::is_none")]
        ended "ended" msg RoomEnd = 101;
    }
    /// A room.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    Room {
        /// Its id.
        id "id" one String = 100;
        /// Its status as Maestro sees it.
        status "status" one String = 101;
        /// The version of the scheduler that it was created from.
        version "version" one String = 102;
        /// Host name or address for players; absent until the room has one.
        host "host" opt String = 103;
        /// Its host ports.
        ports "ports" many RoomPort = 104;
        /// When its creation was ordered.
        created_at "createdAt" msg Timestamp = 105;
        /// When it last pinged; the time of its creation if it never did.
        last_ping_at "lastPingAt" msg Timestamp = 106;
        /// Matches in progress, as the room reports them.
        running_matches "runningMatches" one i64 = 107;
        /// Whether it will be removed when its match ends.
        draining "draining" one bool = 108;
        /// In status `error` because a container exited; it will be restarted in place.
        restarting "restarting" one bool = 109;
        /// Whether it only tests a new version: such a room is never allocated.
        validation "validation" one bool = 110;
    }
    /// A port of a room.
    @[derive(serde::Serialize)]
    RoomPort {
        /// Its name in the scheduler.
        name "name" one String = 100;
        /// The port on the room's host.
        port "port" one i32 = 101;
        /// `TCP` or `UDP`.
        protocol "protocol" one String = 102;
    }
    /// How a room ended.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    RoomEnd {
        /// When it ended.
        at "at" msg Timestamp = 100;
        /// The exit code; absent if it is unknown or a signal ended the process.
        exit_code "exitCode" opt i32 = 101;
        /// The signal that ended it; absent if it is unknown or the process exited.
        signal "signal" opt i32 = 102;
        /// The reason in plain words; may be empty.
        reason "reason" one String = 103;
        /// The last lines of its output.
        last_log_lines "lastLogLines" many String = 104;
    }
    GetRoomRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// Id of the room.
        room_id "roomId" one String = 101;
    }
    /// One room with its history.
    @[derive(serde::Serialize)]
    GetRoomResponse {
        /// The room; one that has ended is kept for a while.
        room "room" msg RoomDetail = 100;
    }
    /// A room with its history.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    RoomDetail {
        /// The room.
        @[serde(flatten)]
        room "room" msg Room = 100;
        /// The state of its process or pod, as the runtime reports it.
        instance "instance" one String = 101;
        /// The runtime's description of that state; may be empty.
        description "description" one String = 102;
        /// When it was allocated; absent if it is not.
        allocated_at "allocatedAt" msg Timestamp = 103;
        /// Why it is to be removed, such as `scale_down`; absent if it is not.
        removal "removal" opt String = 104;
        /// How it ended; absent while it runs.
        ended "ended" msg RoomEnd = 105;
        /// Its latest events, oldest first.
        events "events" many RoomEvent = 106;
        /// Its processes on this machine; empty if it has none here.
        @[serde(skip_serializing_if = "Vec::is_empty")]
        processes "processes" many RoomProcess = 107;
    }
    /// An event in a room's history.
    RoomEvent {
        /// When it happened.
        at "at" msg Timestamp = 100;
        /// `created`, `adopted`, `status`, `instance`, `draining`, `removing` or `ended`.
        event "event" one String = 101;
        /// The new status or instance state, or the reason for the removal; absent for other events.
        detail "detail" opt String = 102;
    }
    /// The process of a container.
    @[derive(serde::Serialize)]
    RoomProcess {
        /// The container's name.
        container "container" one String = 100;
        /// The process id of the session leader.
        pid "pid" one u32 = 101;
    }
    GetRoomsSummaryRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// The rooms of a scheduler counted by status, without validation rooms.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    GetRoomsSummaryResponse {
        /// Name of the scheduler.
        name "name" one String = 100;
        /// `creating`, `in-sync`, `on-error` or `terminating`.
        state "state" one String = 101;
        /// The active version.
        version "version" one String = 102;
        /// Whether an operator or `workers.paused` has paused it.
        paused "paused" one bool = 103;
        /// Rooms that are being started.
        rooms_pending "roomsPending" one u64 = 104;
        /// Rooms that run and have not reported that they are ready.
        rooms_unready "roomsUnready" one u64 = 105;
        /// Rooms that can be allocated.
        rooms_ready "roomsReady" one u64 = 106;
        /// Rooms that were allocated and whose match has not begun.
        rooms_allocated "roomsAllocated" one u64 = 107;
        /// Rooms that have matches and can take more.
        rooms_active "roomsActive" one u64 = 108;
        /// Rooms that have as many matches as they can take.
        rooms_occupied "roomsOccupied" one u64 = 109;
        /// Rooms that are being terminated.
        rooms_terminating "roomsTerminating" one u64 = 110;
        /// Rooms that have reported their end and are not gone yet.
        rooms_terminated "roomsTerminated" one u64 = 111;
        /// Rooms that failed or wait for their restart in place.
        rooms_error "roomsError" one u64 = 112;
        /// The sum of these.
        rooms_total "roomsTotal" one u64 = 113;
        /// How many of the rooms in error will be restarted in place.
        rooms_restarting "roomsRestarting" one u64 = 114;
        /// Rooms that will be removed when their match ends.
        rooms_draining "roomsDraining" one u64 = 115;
        /// Rooms that count towards the desired number.
        rooms_available "roomsAvailable" one u64 = 116;
        /// The desired number of rooms; absent if nothing was planned since the start.
        rooms_desired "roomsDesired" opt i64 = 117;
        /// Matches in rooms that are not to be removed.
        running_matches "runningMatches" one i64 = 118;
    }
    ReadRoomLogRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// Id of the room.
        room_id "roomId" one String = 101;
        /// How many of the last lines to return, at most 10,000; the default is 100.
        tail "tail" opt u64 = 102;
    }
    /// The last lines of a room's output.
    ReadRoomLogResponse {
        /// The lines without their line breaks.
        lines "lines" many String = 100;
    }
    RemoveRoomRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// Id of the room.
        room_id "roomId" one String = 101;
        /// Removes the room without waiting for its match to end.
        force "force" one bool = 102;
    }
    /// The room will be removed: at once, or when its match has ended.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    RemoveRoomResponse {
        /// The operation that removes it; absent if nothing was left to do.
        @[serde(skip_serializing_if = "Option::is_none")]
        operation_id "operationId" opt String = 100;
    }
}

/// The event as a string, or as an object with one member if it has a detail.
impl Serialize for RoomEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = serializer.serialize_struct("RoomEvent", 2)?;
        written.serialize_field("at", &self.at)?;
        match &self.detail {
            None => written.serialize_field("event", &self.event)?,
            Some(detail) => {
                let told = std::collections::BTreeMap::from([(&self.event, detail)]);
                written.serialize_field("event", &told)?;
            }
        }
        written.end()
    }
}
