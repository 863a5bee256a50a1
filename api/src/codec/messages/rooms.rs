//! Requests and responses of `RoomsService` (`rooms.proto`).

use crate::codec::message::{kind, messages, slot};
use crate::codec::structs::Struct;

messages! {
    GetRoomAddressRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the room, as `MAESTRO_ROOM_ID` tells it.
        room_name "roomName" one String = 2;
    }
    /// Where players reach a room.
    GetRoomAddressResponse {
        /// Its host ports.
        ports "ports" many Port = 1;
        /// Name or address of its host.
        host "host" one String = 2;
        /// Empty: kept for old clients.
        ipv6_label "ipv6Label" one String = 3;
    }
    /// A port as players see it.
    Port {
        /// Its name in the scheduler.
        name "name" one String = 1;
        /// `TCP` or `UDP`.
        protocol "protocol" one String = 2;
        /// The port of the host.
        port "port" one i32 = 3;
    }
    /// A status to forward, without any effect on the room.
    UpdateRoomStatusRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the room, as `MAESTRO_ROOM_ID` tells it.
        room_name "roomName" one String = 2;
        /// Whatever the game wants its matchmaker to know of the room.
        metadata "metadata" msg Struct = 3;
        /// `ready`, `occupied`, `terminating` or `terminated`, in any case.
        status "status" one String = 4;
        /// When it was sent. Not looked at: the clock of the server counts.
        timestamp "timestamp" one i64 = 6;
        /// Matches that the room plays now; 1 when it is `occupied` and says 0.
        running_matches "runningMatches" one i64 = 7;
    }
    /// What became of it.
    UpdateRoomStatusResponse {
        /// Whether it was forwarded, or nobody wanted it.
        success "success" one bool = 1;
    }
    /// Something that a player did.
    ForwardPlayerEventRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the room, as `MAESTRO_ROOM_ID` tells it.
        room_name "roomName" one String = 2;
        /// Goes along; `playerId`, a text, is required.
        metadata "metadata" msg Struct = 3;
        /// `playerJoin` or `playerLeft`.
        event "event" one String = 4;
        /// When it was sent. Not looked at: the clock of the server counts.
        timestamp "timestamp" one i64 = 6;
    }
    /// What became of it.
    ForwardPlayerEventResponse {
        /// Whether it was forwarded, or nobody wanted it.
        success "success" one bool = 1;
        /// Why not; empty otherwise.
        message "message" one String = 2;
    }
    /// Something that happened in a room.
    ForwardRoomEventRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the room, as `MAESTRO_ROOM_ID` tells it.
        room_name "roomName" one String = 2;
        /// Goes along.
        metadata "metadata" msg Struct = 3;
        /// What happened; the game's own word.
        event "event" one String = 4;
        /// When it was sent. Not looked at: the clock of the server counts.
        timestamp "timestamp" one i64 = 6;
    }
    /// What became of it.
    ForwardRoomEventResponse {
        /// Whether it was forwarded, or nobody wanted it.
        success "success" one bool = 1;
        /// Why not; empty otherwise.
        message "message" one String = 2;
    }
    /// A sign of life.
    UpdateRoomWithPingRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// Id of the room, as `MAESTRO_ROOM_ID` tells it.
        room_name "roomName" one String = 2;
        /// Whatever the game wants its matchmaker to know of the room.
        metadata "metadata" msg Struct = 3;
        /// `ready`, `occupied`, `terminating` or `terminated`. Required.
        status "status" one String = 4;
        /// When it was sent. Not looked at: the clock of the server counts.
        timestamp "timestamp" one i64 = 5;
        /// Matches that the room plays now; 1 when it is `occupied` and says 0.
        running_matches "runningMatches" one i64 = 6;
    }
    /// What became of it.
    UpdateRoomWithPingResponse {
        /// False when the room or its scheduler is not known, or the status cannot follow the one before: the room
        /// should ping again.
        success "success" one bool = 1;
    }
    AllocateRoomRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
    }
    /// A room for one match.
    AllocateRoomResponse {
        /// Id of the room.
        room_id "roomId" one String = 1;
        /// True.
        success "success" one bool = 2;
        /// For people.
        message "message" one String = 3;
        /// Its host ports.
        ports "ports" many Port = 4;
        /// Name or address of its host.
        host "host" one String = 5;
    }
}
