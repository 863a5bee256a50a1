//! What matchmakers are told (contract 6): about which rooms, what, and which forwarders. Delivery and its outcome are
//! handled elsewhere.

use crate::domain::*;
use crate::ports::{ForwardError, ForwardedEvent, Forwarding};
use crate::state::command::{
    CommandResult, EventRequest, Refusal, RefusalKind, Reply, RequestedEvent,
};
use crate::state::decision::Effect;
use crate::state::fleet::Fleet;
use crate::state::fleet::audience::Audience;
use crate::state::fleet::room::Room;
use crate::state::input::Ping;
use crate::state::refusals::missing;
use crate::state::turn::Turn;
use std::sync::Arc;

/// A ping that will be forwarded once it is accepted.
pub(in crate::state) struct Heard {
    room: RoomId,
    said: PingStatus,
}

impl Fleet {
    /// Whether there are any receivers. Without an enabled forwarder nothing else in this file runs.
    pub fn forwards(&self) -> bool {
        self.audience.is_some()
    }

    pub fn audience_changed(&mut self) {
        self.audience = self.scheduler.as_deref().and_then(Audience::of);
    }

    pub fn hear(&self, ping: &Ping) -> Heard {
        Heard {
            room: ping.room.clone(),
            said: ping.status,
        }
    }

    /// Forwards an accepted ping as a resync.
    pub fn forward_ping(&mut self, turn: &mut Turn, heard: Heard) {
        let Some(room) = self.rooms.touch(heard.room.as_str()) else {
            return;
        };
        let instance = room.record.instance.as_ref();
        let ends = instance.is_some_and(|i| i.status == InstanceStatus::Terminating);
        // No match should begin in a room that is being removed (contract 11.33).
        let said = match heard.said {
            PingStatus::Ready if room.is_leaving() || ends => PingStatus::Terminating,
            said => said,
        };
        let event = ForwardedEvent::Resync(said);
        let metadata = room.record.reported.metadata.clone().unwrap_or_default();
        // A room may be up and ping before its runtime has reported its address (D34).
        let placed = instance.is_some_and(|i| i.address.is_some());
        let waits = !placed && !event.needs_no_address(&metadata);
        room.untold = waits.then_some(heard.said);
        if !waits {
            self.forward(turn, &heard.room, event, metadata);
        }
    }

    /// Forwards what a room reported before its address was known; only the last report, because each one supersedes
    /// the one before.
    pub fn forward_untold(&mut self, turn: &mut Turn, id: &RoomId) {
        let room = self.rooms.touch(id.as_str());
        if let Some(said) = room.and_then(|room| room.untold.take())
            && self.forwards()
        {
            let room = id.clone();
            self.forward_ping(turn, Heard { room, said });
        }
    }

    /// Forwards the end of a room, the last event about it (D34). While it is ending it may still play its match, and
    /// its reports are forwarded too.
    pub fn forward_end(&self, turn: &mut Turn, id: &RoomId) {
        let Some(room) = self.rooms.get(id.as_str()).filter(|_| self.forwards()) else {
            return;
        };
        // A room that never started concerns nobody.
        let lived =
            room.record.instance.is_some() || room.record.reported.ping != PingStatus::Unknown;
        if lived {
            self.forward(turn, id, ForwardedEvent::Terminated, Arc::default());
        }
    }

    fn forward(&self, turn: &mut Turn, id: &RoomId, event: ForwardedEvent, metadata: Arc<str>) {
        let room = self.rooms.get(id.as_str());
        if let Some(room) = room.filter(|room| !room.record.intent.validation)
            && let Some(forwarding) = self.forwarding(id, Some(room), event, metadata)
        {
            turn.effects.push(Effect::Forward(Arc::new(forwarding)));
        }
    }

    fn forwarding(
        &self,
        id: &RoomId,
        room: Option<&Room>,
        event: ForwardedEvent,
        metadata: Arc<str>,
    ) -> Option<Forwarding> {
        let Audience { game, to } = self.audience.clone()?;
        let address = room
            .and_then(|room| room.record.instance.as_ref()?.address.clone())
            .filter(|address| !address.ports.is_empty());
        Some(Forwarding {
            scheduler: self.name.clone(),
            game,
            to,
            room: id.clone(),
            address,
            event,
            metadata,
        })
    }

    /// What has to be forwarded for a request; the caller delivers it and waits for the outcome, which changes nothing
    /// here.
    pub fn plan_event(&self, request: EventRequest) -> CommandResult {
        self.active(missing)?;
        let Some(first) = self.audience.as_ref().and_then(|all| all.to.first()) else {
            return Ok(Reply::Forward(None));
        };
        let EventRequest {
            room: id,
            metadata,
            event,
        } = request;
        let room = self.rooms.get(id.as_str());
        let on_trial = room.is_some_and(|room| room.record.intent.validation);
        let event = match event {
            RequestedEvent::Player { event, player } => {
                // The room's existence is not checked (contract 3).
                let event = player_event(&event, player, first, &self.name)?;
                let planned = self.forwarding(&id, None, event, metadata);
                return Ok(Reply::Forward(planned.map(Arc::new)));
            }
            _ if on_trial => return Ok(Reply::Forward(None)),
            RequestedEvent::Room(word) => ForwardedEvent::RoomEvent(word),
            RequestedEvent::Status(word) => status_event(word)?,
        };
        if room.is_none() && !event.needs_no_address(&metadata) {
            let text = format!(
                "failed to get room {id} from storage: room {id} not found in scheduler {}",
                self.name
            );
            return Err(Refusal::new(RefusalKind::NotFound, text));
        }
        let planned = self.forwarding(&id, room, event, metadata);
        if let Some(planned) = &planned
            && planned.address.is_none()
            && !planned.event.needs_no_address(&planned.metadata)
        {
            let why = ForwardError::NoPort {
                forwarder: first.name.clone(),
                scheduler: self.name.clone(),
            };
            return Err(Refusal::new(RefusalKind::Unavailable, why.to_string()));
        }
        Ok(Reply::Forward(planned.map(Arc::new)))
    }
}

fn player_event(
    word: &str,
    player: Option<String>,
    first: &Forwarder,
    scheduler: &SchedulerName,
) -> Result<ForwardedEvent, Refusal> {
    let invalid = |text: String| Refusal::new(RefusalKind::Invalid, text);
    let joined = match word {
        "playerJoin" => true,
        "playerLeft" => false,
        _ => {
            let text = r#"invalid PlayerEventType. Should be "playerLeft" or "playerJoin""#;
            return Err(invalid(text.to_owned()));
        }
    };
    match player {
        Some(player) => Ok(ForwardedEvent::Player { joined, player }),
        None => Err(invalid(format!(
            "eventAttributes must contain key \"playerId\" in playerEvent events. Forwarder name: \"{}\", Scheduler: \"{scheduler}\"",
            first.name
        ))),
    }
}

/// In any letter case, unlike a ping (contract 3, status).
fn status_event(word: String) -> Result<ForwardedEvent, Refusal> {
    match PingStatus::from_word(&word.to_ascii_lowercase()) {
        Some(status) => Ok(ForwardedEvent::Status { status, word }),
        None => {
            let text =
                format!("{word:?} is no status; say ready, occupied, terminating or terminated");
            Err(Refusal::new(RefusalKind::Invalid, text))
        }
    }
}
