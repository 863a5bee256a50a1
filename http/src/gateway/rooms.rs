//! The routes of the rooms API (contract 3).

use actix_web::http::Method;
use maestro_api::codec::messages::{
    AllocateRoomRequest, AllocateRoomResponse, ForwardPlayerEventRequest,
    ForwardPlayerEventResponse, ForwardRoomEventRequest, ForwardRoomEventResponse,
    GetRoomAddressRequest, GetRoomAddressResponse, UpdateRoomStatusRequest,
    UpdateRoomStatusResponse, UpdateRoomWithPingRequest, UpdateRoomWithPingResponse,
};
use maestro_api::{Code, RoomsApi};

use super::route::{Reads, Route, rpc};
use crate::endpoint::{About, Tag};

/// Pings come first because nearly every request is one.
pub(super) const ROUTES: &[Route<dyn RoomsApi>] = &[
    Route {
        method: Method::PUT,
        template: "/scheduler/{scheduler_name}/rooms/{room_name}/ping",
        label: "/scheduler/:schedulerName/rooms/:roomID/ping",
        reads: Reads::Body,
        rpc: rpc!(update_room_with_ping(UpdateRoomWithPingRequest) -> UpdateRoomWithPingResponse),
        about: About {
            tag: Tag::GameRooms,
            summary: "Ping",
            text: "Every room sends this regularly, and at once when its status changes. Once the body could be read \
                the answer is 200, and `success` tells the rest. A room that is silent for too long is replaced.",
            fails: &[],
            example: Some(
                r#"{"status": "ready", "timestamp": 1767225600, "runningMatches": 0, "metadata": {"region": "eu"}}"#,
            ),
        },
    },
    Route {
        method: Method::POST,
        template: "/scheduler/{scheduler_name}/rooms/{room_name}/roomevent",
        label: "/scheduler/:schedulerName/rooms/:roomID/roomevent",
        reads: Reads::Body,
        rpc: rpc!(forward_room_event(ForwardRoomEventRequest) -> ForwardRoomEventResponse),
        about: About {
            tag: Tag::GameRooms,
            summary: "Forward an event of a room",
            text: "To the scheduler's forwarders; 200 whatever becomes of it, once the body could be read.",
            fails: &[],
            example: Some(
                r#"{"event": "roundStarted", "timestamp": 1767225600, "metadata": {"map": "desert"}}"#,
            ),
        },
    },
    Route {
        method: Method::POST,
        template: "/scheduler/{scheduler_name}/rooms/{room_name}/playerevent",
        label: "/scheduler/:schedulerName/rooms/:roomID/playerevent",
        reads: Reads::Body,
        rpc: rpc!(forward_player_event(ForwardPlayerEventRequest) -> ForwardPlayerEventResponse),
        about: About {
            tag: Tag::GameRooms,
            summary: "Forward an event of a player",
            text: "To the scheduler's forwarders; 200 whatever becomes of it, once the body could be read.",
            fails: &[],
            example: Some(
                r#"{"event": "playerJoin", "timestamp": 1767225600, "metadata": {"playerId": "p-1"}}"#,
            ),
        },
    },
    Route {
        method: Method::PUT,
        template: "/scheduler/{scheduler_name}/rooms/{room_name}/status",
        label: "/scheduler/:schedulerName/rooms/:roomID/status",
        reads: Reads::Body,
        rpc: rpc!(update_room_status(UpdateRoomStatusRequest) -> UpdateRoomStatusResponse),
        about: About {
            tag: Tag::GameRooms,
            summary: "Forward a status (old clients)",
            text: "Changes nothing about the room: that is what the ping does.",
            fails: &[],
            example: Some(r#"{"status": "ready", "timestamp": 1767225600}"#),
        },
    },
    Route {
        method: Method::GET,
        template: "/scheduler/{scheduler_name}/rooms/{room_name}/address",
        label: "/scheduler/:schedulerName/rooms/:roomID/address",
        reads: Reads::Query,
        rpc: rpc!(get_room_address(GetRoomAddressRequest) -> GetRoomAddressResponse),
        about: About {
            tag: Tag::GameRooms,
            summary: "Read the address of a room",
            text: "For the room itself, and for old matchmakers.",
            fails: &[Code::NotFound],
            example: None,
        },
    },
    Route {
        method: Method::POST,
        template: "/scheduler/{scheduler_name}/rooms/allocate",
        label: "/scheduler/:schedulerName/rooms/allocate",
        reads: Reads::Body,
        rpc: rpc!(allocate_room(AllocateRoomRequest) -> AllocateRoomResponse),
        about: About {
            tag: Tag::Matchmaking,
            summary: "Take a ready room",
            text: "Nobody else gets the room while it is held: until a match runs in it, or the allocation has run out. \
                No ready room is 503: try again.",
            fails: &[],
            example: None,
        },
    },
];
