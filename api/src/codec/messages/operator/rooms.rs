//! The rooms of a scheduler (`maestro/v1/operator.proto`, `control.proto`).

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::codec::message::{kind, messages, slot};

messages! {
    ListRoomsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// Only rooms in this status; `ended`: the last ones that are gone, the newest first.
        status "status" opt String = 101;
        /// Only rooms of this version, as `v1.2.0`.
        version "version" opt String = 102;
        /// Page, from 1.
        page "page" opt u64 = 103;
        /// Rooms on a page, 1 to 500; 100 when it is left out.
        per_page "perPage" opt u64 = 104;
    }
    /// A page of rooms.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    ListRoomsResponse {
        /// This page.
        page "page" one u64 = 100;
        /// Rooms that fit on it.
        page_size "pageSize" one u64 = 101;
        /// Rooms on all pages.
        total "total" one u64 = 102;
        /// Those of this page.
        rooms "rooms" many RoomRow = 103;
    }
    /// A room in a list.
    @[derive(serde::Serialize)]
    RoomRow {
        /// The room itself.
        @[serde(flatten)]
        room "room" msg Room = 100;
        /// How it ended, with the last line that it printed; absent while it runs.
        @[serde(skip_serializing_if = "Option::is_none")]
        ended "ended" msg RoomEnd = 101;
    }
    /// A room.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    Room {
        /// Its id.
        id "id" one String = 100;
        /// What Maestro says of it.
        status "status" one String = 101;
        /// The version of the scheduler that it was made from.
        version "version" one String = 102;
        /// Where players reach it; absent until it is placed.
        host "host" opt String = 103;
        /// Its host ports.
        ports "ports" many RoomPort = 104;
        /// When it was ordered.
        created_at "createdAt" msg Timestamp = 105;
        /// When it pinged last; when it was ordered, if it never did.
        last_ping_at "lastPingAt" msg Timestamp = 106;
        /// Matches that it plays now, as it says.
        running_matches "runningMatches" one i64 = 107;
        /// Is to be removed when its match ends.
        draining "draining" one bool = 108;
        /// In error: a container of it ended and is to be started again in place.
        restarting "restarting" one bool = 109;
        /// Only tries a new version: it is never given out.
        validation "validation" one bool = 110;
    }
    /// A port of a room.
    @[derive(serde::Serialize)]
    RoomPort {
        /// As the scheduler names it.
        name "name" one String = 100;
        /// On the room's host.
        port "port" one i32 = 101;
        /// `TCP` or `UDP`.
        protocol "protocol" one String = 102;
    }
    /// How a room ended.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    RoomEnd {
        /// When.
        at "at" msg Timestamp = 100;
        /// The status that it exited with; absent: unknown, or there is none.
        exit_code "exitCode" opt i32 = 101;
        /// The signal that ended it; absent: unknown, or there is none.
        signal "signal" opt i32 = 102;
        /// In words; may be empty.
        reason "reason" one String = 103;
        /// The last lines that it printed.
        last_log_lines "lastLogLines" many String = 104;
    }
    GetRoomRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// Id of the room.
        room_id "roomId" one String = 101;
    }
    /// One room with its past.
    @[derive(serde::Serialize)]
    GetRoomResponse {
        /// Also one that has ended, for a while.
        room "room" msg RoomDetail = 100;
    }
    /// A room with its past.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    RoomDetail {
        /// The room itself.
        @[serde(flatten)]
        room "room" msg Room = 100;
        /// What the runtime says of its process or pod.
        instance "instance" one String = 101;
        /// The runtime's own words; may be empty.
        description "description" one String = 102;
        /// When it was given out; absent: it is not.
        allocated_at "allocatedAt" msg Timestamp = 103;
        /// Why it is to go, as `scale_down`; absent: it is not.
        removal "removal" opt String = 104;
        /// How it ended; absent while it runs.
        ended "ended" msg RoomEnd = 105;
        /// What happened to it last, oldest first.
        events "events" many RoomEvent = 106;
        /// What runs for it now; empty where that is no process of this machine.
        @[serde(skip_serializing_if = "Vec::is_empty")]
        processes "processes" many RoomProcess = 107;
    }
    /// Something that happened to a room.
    RoomEvent {
        /// When.
        at "at" msg Timestamp = 100;
        /// `created`, `adopted`, `status`, `instance`, `draining`, `removing` or `ended`.
        event "event" one String = 101;
        /// What its status or instance became, or why it is to go; absent where there is no more to say.
        detail "detail" opt String = 102;
    }
    /// The process of a container.
    @[derive(serde::Serialize)]
    RoomProcess {
        /// The container's name.
        container "container" one String = 100;
        /// The leader of its session.
        pid "pid" one u32 = 101;
    }
    GetRoomsSummaryRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
    }
    /// The rooms of a scheduler by status, validation rooms left out.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    GetRoomsSummaryResponse {
        /// The scheduler.
        name "name" one String = 100;
        /// `creating`, `in-sync`, `on-error` or `terminating`.
        state "state" one String = 101;
        /// The active version.
        version "version" one String = 102;
        /// Held by an operator or by `workers.paused`.
        paused "paused" one bool = 103;
        /// Are being started.
        rooms_pending "roomsPending" one u64 = 104;
        /// Run, and have not said that they are ready.
        rooms_unready "roomsUnready" one u64 = 105;
        /// May be allocated.
        rooms_ready "roomsReady" one u64 = 106;
        /// Were given out, and their match has not begun.
        rooms_allocated "roomsAllocated" one u64 = 107;
        /// Have matches and take more.
        rooms_active "roomsActive" one u64 = 108;
        /// Have as many matches as they take.
        rooms_occupied "roomsOccupied" one u64 = 109;
        /// Are ending.
        rooms_terminating "roomsTerminating" one u64 = 110;
        /// Say that they have ended, and are not gone yet.
        rooms_terminated "roomsTerminated" one u64 = 111;
        /// Failed, or wait for their restart in place.
        rooms_error "roomsError" one u64 = 112;
        /// All of these.
        rooms_total "roomsTotal" one u64 = 113;
        /// Of those in error, to be started again in place.
        rooms_restarting "roomsRestarting" one u64 = 114;
        /// Go when their match ends.
        rooms_draining "roomsDraining" one u64 = 115;
        /// Count toward the desired ones.
        rooms_available "roomsAvailable" one u64 = 116;
        /// Rooms there should be; absent: nothing was planned since the start.
        rooms_desired "roomsDesired" opt i64 = 117;
        /// Matches in rooms that are to stay.
        running_matches "runningMatches" one i64 = 118;
    }
    ReadRoomLogRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// Id of the room.
        room_id "roomId" one String = 101;
        /// How many of the last lines, at most 10,000; 100 when it is left out.
        tail "tail" opt u64 = 102;
    }
    /// The last lines that a room printed.
    ReadRoomLogResponse {
        /// Without their ends.
        lines "lines" many String = 100;
    }
    RemoveRoomRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 100;
        /// Id of the room.
        room_id "roomId" one String = 101;
        /// Does not wait for the end of its match.
        force "force" one bool = 102;
    }
    /// The room goes: at once, or when its match has ended.
    @[derive(serde::Serialize)]
    @[serde(rename_all = "camelCase")]
    RemoveRoomResponse {
        /// The operation that does it; absent where nothing was left to do.
        @[serde(skip_serializing_if = "Option::is_none")]
        operation_id "operationId" opt String = 100;
    }
}

/// The event as a word, or as an object of one member where there is more to say of it.
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
