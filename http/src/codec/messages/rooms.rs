//! Requests and responses of `RoomsService` (`rooms.proto`).

use crate::codec::message::{messages, slot};
use crate::codec::structs::Struct;

messages! {
    GetRoomAddressRequest {
        scheduler_name "schedulerName" one String;
        room_name "roomName" one String;
    }
    GetRoomAddressResponse {
        ports "ports" many Port;
        host "host" one String;
        ipv6_label "ipv6Label" one String;
    }
    Port {
        name "name" one String;
        protocol "protocol" one String;
        port "port" one i32;
    }
    UpdateRoomStatusRequest {
        scheduler_name "schedulerName" one String;
        room_name "roomName" one String;
        metadata "metadata" msg Struct;
        status "status" one String;
        timestamp "timestamp" one i64;
        running_matches "runningMatches" one i64;
    }
    UpdateRoomStatusResponse {
        success "success" one bool;
    }
    ForwardPlayerEventRequest {
        scheduler_name "schedulerName" one String;
        room_name "roomName" one String;
        metadata "metadata" msg Struct;
        event "event" one String;
        timestamp "timestamp" one i64;
    }
    ForwardPlayerEventResponse {
        success "success" one bool;
        message "message" one String;
    }
    ForwardRoomEventRequest {
        scheduler_name "schedulerName" one String;
        room_name "roomName" one String;
        metadata "metadata" msg Struct;
        event "event" one String;
        timestamp "timestamp" one i64;
    }
    ForwardRoomEventResponse {
        success "success" one bool;
        message "message" one String;
    }
    UpdateRoomWithPingRequest {
        scheduler_name "schedulerName" one String;
        room_name "roomName" one String;
        metadata "metadata" msg Struct;
        status "status" one String;
        timestamp "timestamp" one i64;
        running_matches "runningMatches" one i64;
    }
    UpdateRoomWithPingResponse {
        success "success" one bool;
    }
    AllocateRoomRequest {
        scheduler_name "schedulerName" one String;
    }
    AllocateRoomResponse {
        room_id "roomId" one String;
        success "success" one bool;
        message "message" one String;
        ports "ports" many Port;
        host "host" one String;
    }
}
