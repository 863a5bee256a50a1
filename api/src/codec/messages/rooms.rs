//! Requests and responses of `RoomsService` (`rooms.proto`).

use crate::codec::macros::{kind, messages, slot};
use crate::codec::structs::Struct;

messages! {
    GetRoomAddressRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the room, as in `MAESTRO_ROOM_ID`.
        room_name "roomName" one String = 2;
    }
    /// Where players reach a room.
    GetRoomAddressResponse {
        /// Its host ports.
        ports "ports" many Port = 1;
        /// Host name or address.
        host "host" one String = 2;
        /// Always empty; kept for old clients.
        ipv6_label "ipv6Label" one String = 3;
    }
    /// A host port of a room.
    Port {
        /// Its name in the scheduler.
        name "name" one String = 1;
        /// `TCP` or `UDP`.
        protocol "protocol" one String = 2;
        /// The port of the host.
        port "port" one i32 = 3;
    }
    /// A status to forward. It does not change the room.
    UpdateRoomStatusRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the room, as in `MAESTRO_ROOM_ID`.
        room_name "roomName" one String = 2;
        /// Anything that the game wants its matchmaker to know about the room.
        metadata "metadata" msg Struct = 3;
        /// `ready`, `occupied`, `terminating` or `terminated`, in any case.
        status "status" one String = 4;
        /// When it was sent. Ignored: the server's clock counts.
        timestamp "timestamp" one i64 = 6;
        /// Matches in progress; 0 counts as 1 when the status is `occupied`.
        running_matches "runningMatches" one i64 = 7;
    }
    /// The outcome.
    UpdateRoomStatusResponse {
        /// True if it was forwarded, or if no forwarder wanted it.
        success "success" one bool = 1;
    }
    /// An event of a player.
    ForwardPlayerEventRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the room, as in `MAESTRO_ROOM_ID`.
        room_name "roomName" one String = 2;
        /// Passed on to the forwarders; `playerId`, a string, is required.
        metadata "metadata" msg Struct = 3;
        /// `playerJoin` or `playerLeft`.
        event "event" one String = 4;
        /// When it was sent. Ignored: the server's clock counts.
        timestamp "timestamp" one i64 = 6;
    }
    /// The outcome.
    ForwardPlayerEventResponse {
        /// True if it was forwarded, or if no forwarder wanted it.
        success "success" one bool = 1;
        /// The reason for a failure; empty otherwise.
        message "message" one String = 2;
    }
    /// An event of a room.
    ForwardRoomEventRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the room, as in `MAESTRO_ROOM_ID`.
        room_name "roomName" one String = 2;
        /// Passed on to the forwarders.
        metadata "metadata" msg Struct = 3;
        /// Name of the event; the game's own word.
        event "event" one String = 4;
        /// When it was sent. Ignored: the server's clock counts.
        timestamp "timestamp" one i64 = 6;
    }
    /// The outcome.
    ForwardRoomEventResponse {
        /// True if it was forwarded, or if no forwarder wanted it.
        success "success" one bool = 1;
        /// The reason for a failure; empty otherwise.
        message "message" one String = 2;
    }
    /// A ping: the room is alive, and this is its status.
    UpdateRoomWithPingRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the room, as in `MAESTRO_ROOM_ID`.
        room_name "roomName" one String = 2;
        /// Anything that the game wants its matchmaker to know about the room.
        metadata "metadata" msg Struct = 3;
        /// `ready`, `occupied`, `terminating` or `terminated`. Required.
        status "status" one String = 4;
        /// When it was sent. Ignored: the server's clock counts.
        timestamp "timestamp" one i64 = 5;
        /// Matches in progress; 0 counts as 1 when the status is `occupied`.
        running_matches "runningMatches" one i64 = 6;
    }
    /// The outcome.
    UpdateRoomWithPingResponse {
        /// False if the room or its scheduler is unknown, or if the status cannot follow the previous one: the room
        /// should ping again.
        success "success" one bool = 1;
    }
    AllocateRoomRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
    }
    /// The room that was allocated for a match.
    AllocateRoomResponse {
        /// Id of the room.
        room_id "roomId" one String = 1;
        /// Always true.
        success "success" one bool = 2;
        /// A text for people.
        message "message" one String = 3;
        /// Its host ports.
        ports "ports" many Port = 4;
        /// Host name or address.
        host "host" one String = 5;
    }
}
