//! The calls of the rooms API (contract 3).

use async_trait::async_trait;

use crate::codec::messages::{
    AllocateRoomRequest, AllocateRoomResponse, ForwardPlayerEventRequest,
    ForwardPlayerEventResponse, ForwardRoomEventRequest, ForwardRoomEventResponse,
    GetRoomAddressRequest, GetRoomAddressResponse, UpdateRoomStatusRequest,
    UpdateRoomStatusResponse, UpdateRoomWithPingRequest, UpdateRoomWithPingResponse,
};
use crate::{ApiResult, RequestContext};

/// The calls of the rooms API, the same for HTTP and gRPC.
///
/// A call ends with its request: if the client goes away the future is dropped, so an implementation must hand work
/// that has to finish to another task. Calls must not panic; a panic is answered with code 13.
#[async_trait]
pub trait RoomsApi: Send + Sync + 'static {
    /// Processes a room's ping. Only an unknown status is an `Err`; other failures are `success: false`.
    async fn update_room_with_ping(
        &self,
        context: &RequestContext,
        request: UpdateRoomWithPingRequest,
    ) -> ApiResult<UpdateRoomWithPingResponse>;

    /// Forwards an event of a room.
    async fn forward_room_event(
        &self,
        context: &RequestContext,
        request: ForwardRoomEventRequest,
    ) -> ApiResult<ForwardRoomEventResponse>;

    /// Forwards an event of a player.
    async fn forward_player_event(
        &self,
        context: &RequestContext,
        request: ForwardPlayerEventRequest,
    ) -> ApiResult<ForwardPlayerEventResponse>;

    /// Forwards a status, for clients of version 9.
    async fn update_room_status(
        &self,
        context: &RequestContext,
        request: UpdateRoomStatusRequest,
    ) -> ApiResult<UpdateRoomStatusResponse>;

    /// Returns the address of a room.
    async fn get_room_address(
        &self,
        context: &RequestContext,
        request: GetRoomAddressRequest,
    ) -> ApiResult<GetRoomAddressResponse>;

    /// Allocates one ready room.
    async fn allocate_room(
        &self,
        context: &RequestContext,
        request: AllocateRoomRequest,
    ) -> ApiResult<AllocateRoomResponse>;
}

/// Passes the list of all calls of [`RoomsApi`] to the macro `$then`, for adapters that treat all calls alike. The
/// messages ([`crate::codec::messages`]) must be in scope at the place of use.
#[macro_export]
macro_rules! rooms_calls {
    ($then:ident) => {
        $then! { RoomsApi {
            update_room_with_ping(UpdateRoomWithPingRequest) -> UpdateRoomWithPingResponse;
            forward_room_event(ForwardRoomEventRequest) -> ForwardRoomEventResponse;
            forward_player_event(ForwardPlayerEventRequest) -> ForwardPlayerEventResponse;
            update_room_status(UpdateRoomStatusRequest) -> UpdateRoomStatusResponse;
            get_room_address(GetRoomAddressRequest) -> GetRoomAddressResponse;
            allocate_room(AllocateRoomRequest) -> AllocateRoomResponse;
        } }
    };
}
