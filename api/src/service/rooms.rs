//! The rooms API (contract 3, 7): pings, addresses, allocation, and events.
//!
//! Pings and events that could be parsed are always answered with 200; failures are reported as `success: false`.

use async_trait::async_trait;
use maestro_actors::{CallError, Node};
use maestro_core::domain::{Address, PingStatus, RoomId};
use maestro_core::state::{Command, EventRequest, Ping, RefusalKind, Reply, RequestedEvent};
use serde_json::value::RawValue;

use super::late::{Doing, in_time};
use crate::codec::Struct;
use crate::codec::messages::*;
use crate::error::unexpected;
use crate::{ApiResult, Code, RequestContext, RoomsApi, Status, convert};

/// Implements the rooms API with the actors of a node.
#[derive(Clone)]
pub struct RoomsService {
    node: Node,
}

impl RoomsService {
    /// A service over the actors of this node.
    pub fn new(node: Node) -> Self {
        Self { node }
    }

    fn ping_failed(&self, scheduler: &str, room: &str, error: &CallError) {
        self.node.ping_failed(scheduler);
        tracing::debug!(scheduler_name = scheduler, room_id = room, %error, "a ping was not taken");
    }

    /// The address of a room that no owner knows but the store does, because another program wrote it, or its scheduler
    /// is gone (contract 8.2). `unknown` is the answer if the store has no such room either.
    async fn stored_address(
        &self,
        context: &RequestContext,
        scheduler: String,
        room: String,
        unknown: CallError,
    ) -> ApiResult<GetRoomAddressResponse> {
        let catalog = self.node.catalog();
        let asked = catalog.read_within(context.remaining(), |reads| {
            Box::pin(async move { reads.room_address(&scheduler, &room).await })
        });
        match asked.await? {
            Some(Some(address)) => Ok(found(&address)),
            Some(None) => Err(Status::new(
                Code::Unavailable,
                "the room has no address yet; ask again once it is placed",
            )),
            None => Err(unknown.into()),
        }
    }

    /// Passes an event to the forwarders; an `Err` is the message for the room.
    async fn forward(
        &self,
        context: &RequestContext,
        scheduler: &str,
        request: EventRequest,
    ) -> Result<(), String> {
        let sent = self.node.forward(scheduler, request, context.remaining());
        sent.await.map_err(|error| error.to_string())
    }
}

fn found(address: &Address) -> GetRoomAddressResponse {
    GetRoomAddressResponse {
        ports: convert::ports(address),
        host: address.host.clone(),
        ipv6_label: String::new(),
    }
}

/// Whether the scheduler or its room does not exist, as far as owners know.
fn is_unknown(error: &CallError) -> bool {
    matches!(error, CallError::Refused(refusal) if refusal.kind == RefusalKind::NotFound)
}

fn event(room: &str, metadata: Option<&Struct>, event: RequestedEvent) -> EventRequest {
    EventRequest {
        room: RoomId::new(room),
        metadata: metadata.map_or("", Struct::as_str).into(),
        event,
    }
}

/// The metadata's `playerId` if it is a string. Whether one is required is decided elsewhere.
fn player(metadata: Option<&Struct>) -> Option<String> {
    /// Kept raw, so that neither the other members nor this one can exceed the parser's depth.
    #[derive(serde::Deserialize)]
    struct Said<'a> {
        #[serde(borrow, default, rename = "playerId")]
        player: Option<&'a RawValue>,
    }
    let said: Said<'_> = serde_json::from_str(metadata?.as_str()).ok()?;
    serde_json::from_str(said.player?.get()).ok()
}

#[async_trait]
impl RoomsApi for RoomsService {
    async fn update_room_with_ping(
        &self,
        context: &RequestContext,
        request: UpdateRoomWithPingRequest,
    ) -> ApiResult<UpdateRoomWithPingResponse> {
        let Some(status) = PingStatus::from_word(&request.status) else {
            let word = request.status;
            return Err(Status::invalid_argument(format!(
                "cannot convert string {word} to a valid GameRoomStatus representation"
            )));
        };
        let metadata = request.metadata.as_ref().map_or("", Struct::as_str);
        let ping = Ping {
            room: RoomId::new(request.room_name.as_str()),
            status,
            running_matches: request.running_matches,
            metadata: metadata.into(),
        };
        let pinged = self
            .node
            .ping_within(&request.scheduler_name, ping, context.remaining());
        let outcome = pinged.await;
        if let Err(error) = &outcome {
            self.ping_failed(&request.scheduler_name, &request.room_name, error);
        }
        Ok(UpdateRoomWithPingResponse {
            success: outcome.is_ok(),
        })
    }

    async fn forward_room_event(
        &self,
        context: &RequestContext,
        request: ForwardRoomEventRequest,
    ) -> ApiResult<ForwardRoomEventResponse> {
        let word = RequestedEvent::Room(request.event);
        let event = event(&request.room_name, request.metadata.as_ref(), word);
        let outcome = self.forward(context, &request.scheduler_name, event).await;
        Ok(ForwardRoomEventResponse {
            success: outcome.is_ok(),
            message: outcome.err().unwrap_or_default(),
        })
    }

    async fn forward_player_event(
        &self,
        context: &RequestContext,
        request: ForwardPlayerEventRequest,
    ) -> ApiResult<ForwardPlayerEventResponse> {
        let metadata = request.metadata.as_ref();
        let word = RequestedEvent::Player {
            event: request.event,
            player: player(metadata),
        };
        let event = event(&request.room_name, metadata, word);
        let outcome = self.forward(context, &request.scheduler_name, event).await;
        Ok(ForwardPlayerEventResponse {
            success: outcome.is_ok(),
            message: outcome.err().unwrap_or_default(),
        })
    }

    async fn update_room_status(
        &self,
        context: &RequestContext,
        request: UpdateRoomStatusRequest,
    ) -> ApiResult<UpdateRoomStatusResponse> {
        let word = RequestedEvent::Status(request.status);
        let event = event(&request.room_name, request.metadata.as_ref(), word);
        let outcome = self.forward(context, &request.scheduler_name, event).await;
        if let Err(why) = &outcome {
            let (scheduler, room) = (&request.scheduler_name, &request.room_name);
            tracing::debug!(scheduler_name = %scheduler, room_id = %room, %why, "a status was not forwarded");
        }
        Ok(UpdateRoomStatusResponse {
            success: outcome.is_ok(),
        })
    }

    async fn get_room_address(
        &self,
        context: &RequestContext,
        request: GetRoomAddressRequest,
    ) -> ApiResult<GetRoomAddressResponse> {
        in_time(context, Doing::GettingInstance)?;
        let room = request.room_name;
        let command = Command::Address(room.as_str().into());
        let asked = self
            .node
            .ask(&request.scheduler_name, command, context.remaining());
        let reply = match asked.await {
            Err(error) if is_unknown(&error) => {
                let scheduler = request.scheduler_name;
                return self.stored_address(context, scheduler, room, error).await;
            }
            answered => answered?,
        };
        match reply {
            Reply::Address(address) => Ok(found(&address)),
            other => Err(unexpected(&other)),
        }
    }

    async fn allocate_room(
        &self,
        context: &RequestContext,
        request: AllocateRoomRequest,
    ) -> ApiResult<AllocateRoomResponse> {
        in_time(context, Doing::Other)?;
        let name = &request.scheduler_name;
        let asked = self.node.ask(name, Command::Allocate, context.remaining());
        match asked.await? {
            Reply::Allocated { room, address } => Ok(AllocateRoomResponse {
                room_id: room.to_string(),
                success: true,
                message: String::new(),
                ports: convert::ports(&address),
                host: address.host.clone(),
            }),
            other => Err(unexpected(&other)),
        }
    }
}
