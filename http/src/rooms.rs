//! What the rooms API does (contract 3, 7): pings, addresses, allocation, and events.
//!
//! Pings and events answer 200 whatever happens, once they could be read; what went wrong is `success: false`.

use std::sync::Arc;

use async_trait::async_trait;
use maestro_actors::{CallError, Node};
use maestro_core::domain::{Forwarder, PingStatus, RoomId, Scheduler};
use maestro_core::state::{Command, Ping, RefusalKind, Reply};

use crate::codec::Struct;
use crate::codec::messages::*;
use crate::convert;
use crate::error::unexpected;
use crate::gateway::{RequestContext, RoomsApi, Status};

type Answer<T> = Result<T, Status>;

/// The rooms API over the actors of a node.
#[derive(Clone)]
pub struct RoomsService {
    node: Node,
}

impl RoomsService {
    pub fn new(node: Node) -> Self {
        Self { node }
    }

    fn ping_failed(&self, scheduler: &str, room: &str, error: &CallError) {
        self.node.ping_failed(scheduler);
        tracing::debug!(scheduler_name = scheduler, room_id = room, %error, "a ping was not taken");
    }

    async fn scheduler(&self, name: &str) -> Result<Arc<Scheduler>, String> {
        let wanted = name.to_owned();
        let read = self
            .node
            .catalog()
            .read(move |reads| Box::pin(async move { reads.scheduler(&wanted).await }));
        match read.await {
            Ok(Some(scheduler)) => Ok(scheduler),
            Ok(None) => Err(format!("scheduler {name} not found")),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn forward_room(&self, request: &ForwardRoomEventRequest) -> Result<(), String> {
        let (name, room) = (&request.scheduler_name, &request.room_name);
        let scheduler = self.scheduler(name).await?;
        let Some(forwarder) = enabled(&scheduler) else {
            return Ok(());
        };
        // A room that ends may be gone already.
        let ending = ["terminating", "terminated"].contains(&request.event.as_str());
        if !ending {
            let address = Command::Address(room.as_str().into());
            match self.node.ask(name, address, None).await {
                Err(CallError::Refused(refusal)) if refusal.kind == RefusalKind::NotFound => {
                    return Err(format!("failed to get room {room} from storage: {refusal}"));
                }
                Err(CallError::Refused(refusal)) if refusal.kind == RefusalKind::Unavailable => {
                    return Err(format!(
                        "no room port found to forward roomEvent. Forwarder name: {:?}, Scheduler: {name:?}",
                        forwarder.name
                    ));
                }
                _ => {}
            }
        }
        Err(not_forwarded(forwarder))
    }

    async fn forward_player(&self, request: &ForwardPlayerEventRequest) -> Result<(), String> {
        let name = &request.scheduler_name;
        let scheduler = self.scheduler(name).await?;
        let Some(forwarder) = enabled(&scheduler) else {
            return Ok(());
        };
        if !["playerJoin", "playerLeft"].contains(&request.event.as_str()) {
            let words = r#"invalid PlayerEventType. Should be "playerLeft" or "playerJoin""#;
            return Err(words.to_owned());
        }
        let metadata = request.metadata.as_ref().and_then(Struct::to_map);
        let player = metadata.as_ref().and_then(|map| map.get("playerId"));
        if !player.is_some_and(serde_json::Value::is_string) {
            return Err(format!(
                "eventAttributes must contain key \"playerId\" in playerEvent events. Forwarder name: {:?}, Scheduler: {name:?}",
                forwarder.name
            ));
        }
        Err(not_forwarded(forwarder))
    }
}

fn enabled(scheduler: &Scheduler) -> Option<&Forwarder> {
    scheduler.forwarders.iter().find(|f| f.enabled)
}

/// In the form of a forwarder that cannot be reached (decision D3).
fn not_forwarded(forwarder: &Forwarder) -> String {
    format!(
        "failed to forward event room at {:?} with code Unavailable: forwarding is not available in this build yet",
        forwarder.name
    )
}

#[async_trait]
impl RoomsApi for RoomsService {
    async fn update_room_with_ping(
        &self,
        context: &RequestContext,
        request: UpdateRoomWithPingRequest,
    ) -> Answer<UpdateRoomWithPingResponse> {
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
        _: &RequestContext,
        request: ForwardRoomEventRequest,
    ) -> Answer<ForwardRoomEventResponse> {
        let outcome = self.forward_room(&request).await;
        Ok(ForwardRoomEventResponse {
            success: outcome.is_ok(),
            message: outcome.err().unwrap_or_default(),
        })
    }

    async fn forward_player_event(
        &self,
        _: &RequestContext,
        request: ForwardPlayerEventRequest,
    ) -> Answer<ForwardPlayerEventResponse> {
        let outcome = self.forward_player(&request).await;
        Ok(ForwardPlayerEventResponse {
            success: outcome.is_ok(),
            message: outcome.err().unwrap_or_default(),
        })
    }

    async fn update_room_status(
        &self,
        _: &RequestContext,
        request: UpdateRoomStatusRequest,
    ) -> Answer<UpdateRoomStatusResponse> {
        let scheduler = self.scheduler(&request.scheduler_name).await;
        Ok(UpdateRoomStatusResponse {
            success: scheduler.is_ok_and(|s| enabled(&s).is_none()),
        })
    }

    async fn get_room_address(
        &self,
        context: &RequestContext,
        request: GetRoomAddressRequest,
    ) -> Answer<GetRoomAddressResponse> {
        let command = Command::Address(request.room_name.into());
        let asked = self
            .node
            .ask(&request.scheduler_name, command, context.remaining());
        match asked.await? {
            Reply::Address(address) => Ok(GetRoomAddressResponse {
                ports: convert::ports(&address),
                host: address.host.clone(),
                ipv6_label: String::new(),
            }),
            other => Err(unexpected(&other)),
        }
    }

    async fn allocate_room(
        &self,
        context: &RequestContext,
        request: AllocateRoomRequest,
    ) -> Answer<AllocateRoomResponse> {
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
