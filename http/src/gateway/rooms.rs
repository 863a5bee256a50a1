//! The calls of the rooms API and their routes (contract 3).

use actix_web::http::Method;
use async_trait::async_trait;

use super::context::RequestContext;
use super::route::{Reads, Route, call};
use super::status::Status;
use crate::codec::messages::{
    AllocateRoomRequest, AllocateRoomResponse, ForwardPlayerEventRequest,
    ForwardPlayerEventResponse, ForwardRoomEventRequest, ForwardRoomEventResponse,
    GetRoomAddressRequest, GetRoomAddressResponse, UpdateRoomStatusRequest,
    UpdateRoomStatusResponse, UpdateRoomWithPingRequest, UpdateRoomWithPingResponse,
};

/// What the rooms API can be asked; HTTP and gRPC alike.
///
/// Calls outlive neither their request nor its connection: a client that goes away drops the future, so an
/// implementation must hand work that has to finish to somebody else. No call may panic; one that does is answered
/// with code 13.
#[async_trait]
pub trait RoomsApi: Send + Sync + 'static {
    /// Hears from a room. An `Err` is for an unknown status only; other failures are `success: false`.
    async fn update_room_with_ping(
        &self,
        context: &RequestContext,
        request: UpdateRoomWithPingRequest,
    ) -> Result<UpdateRoomWithPingResponse, Status>;

    /// Forwards an event of a room.
    async fn forward_room_event(
        &self,
        context: &RequestContext,
        request: ForwardRoomEventRequest,
    ) -> Result<ForwardRoomEventResponse, Status>;

    /// Forwards an event of a player.
    async fn forward_player_event(
        &self,
        context: &RequestContext,
        request: ForwardPlayerEventRequest,
    ) -> Result<ForwardPlayerEventResponse, Status>;

    /// Forwards a status, for clients of version 9.
    async fn update_room_status(
        &self,
        context: &RequestContext,
        request: UpdateRoomStatusRequest,
    ) -> Result<UpdateRoomStatusResponse, Status>;

    /// Tells where a room listens.
    async fn get_room_address(
        &self,
        context: &RequestContext,
        request: GetRoomAddressRequest,
    ) -> Result<GetRoomAddressResponse, Status>;

    /// Takes one ready room.
    async fn allocate_room(
        &self,
        context: &RequestContext,
        request: AllocateRoomRequest,
    ) -> Result<AllocateRoomResponse, Status>;
}

/// Pings first: nearly every request is one.
pub(super) const ROUTES: &[Route<dyn RoomsApi>] = &[
    Route {
        method: Method::PUT,
        template: "/scheduler/{scheduler_name}/rooms/{room_name}/ping",
        label: "/scheduler/:schedulerName/rooms/:roomID/ping",
        reads: Reads::Body,
        call: call!(update_room_with_ping),
    },
    Route {
        method: Method::POST,
        template: "/scheduler/{scheduler_name}/rooms/{room_name}/roomevent",
        label: "/scheduler/:schedulerName/rooms/:roomID/roomevent",
        reads: Reads::Body,
        call: call!(forward_room_event),
    },
    Route {
        method: Method::POST,
        template: "/scheduler/{scheduler_name}/rooms/{room_name}/playerevent",
        label: "/scheduler/:schedulerName/rooms/:roomID/playerevent",
        reads: Reads::Body,
        call: call!(forward_player_event),
    },
    Route {
        method: Method::PUT,
        template: "/scheduler/{scheduler_name}/rooms/{room_name}/status",
        label: "/scheduler/:schedulerName/rooms/:roomID/status",
        reads: Reads::Body,
        call: call!(update_room_status),
    },
    Route {
        method: Method::GET,
        template: "/scheduler/{scheduler_name}/rooms/{room_name}/address",
        label: "/scheduler/:schedulerName/rooms/:roomID/address",
        reads: Reads::Query,
        call: call!(get_room_address),
    },
    Route {
        method: Method::POST,
        template: "/scheduler/{scheduler_name}/rooms/allocate",
        label: "/scheduler/:schedulerName/rooms/allocate",
        reads: Reads::Body,
        call: call!(allocate_room),
    },
];
