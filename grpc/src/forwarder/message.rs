//! Converts an event to the message that a forwarder receives: which fields are set, and whose metadata takes
//! precedence (contract 6.1, 6.3; D18).

use super::attributes::{self, Attributes};
use crate::events::player_event::PlayerEventType;
use crate::events::room_status::RoomStatusType;
use crate::events::{PlayerEvent, Room, RoomEvent, RoomStatus};
use maestro_core::domain::{Address, Forwarder, PingStatus, Port};
use maestro_core::ports::{ForwardError, ForwardedEvent, Forwarding};
use serde_json::{Map, Value};

/// A call that is ready to be made.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    Resync(RoomStatus),
    Status(RoomStatus),
    Event(RoomEvent),
    Player(PlayerEvent),
}

/// All methods that can be called, for metrics.
pub(super) const METHODS: [&str; 4] = [
    "SendRoomEvent",
    "SendRoomResync",
    "SendRoomStatus",
    "SendPlayerEvent",
];

impl Message {
    pub fn method(&self) -> &'static str {
        match self {
            Self::Event(_) => METHODS[0],
            Self::Resync(_) => METHODS[1],
            Self::Status(_) => METHODS[2],
            Self::Player(_) => METHODS[3],
        }
    }
}

/// The name of the port that players connect to when a room has several (contract 6.2).
const CLIENT_PORT: &str = "clientPort";

/// The message that `forwarder` receives for `event`.
///
/// # Errors
/// Fails when the room has no address and the event needs one, or when its metadata cannot be parsed.
pub(super) fn of(forwarder: &Forwarder, event: &Forwarding) -> Result<Message, ForwardError> {
    if event.address.is_none() && !event.event.needs_no_address(&event.metadata) {
        return Err(ForwardError::NoPort {
            forwarder: forwarder.name.clone(),
            scheduler: event.scheduler.clone(),
        });
    }
    let mut attributes = sent_by_the_room(&event.metadata)?;
    let own = forwarder.options.as_ref().map(|o| &o.metadata);
    Ok(match &event.event {
        ForwardedEvent::Resync(status) => {
            let (word, kind) = status_of(*status);
            control(
                &mut attributes,
                event,
                &[("eventType", "resync"), ("pingType", word)],
            );
            Message::Resync(room_status(event, own, attributes, kind))
        }
        ForwardedEvent::Status { status, word } => {
            let (_, kind) = status_of(*status);
            control(
                &mut attributes,
                event,
                &[("eventType", "status"), ("pingType", word)],
            );
            Message::Status(room_status(event, own, attributes, kind))
        }
        ForwardedEvent::Terminated => {
            let (word, kind) = status_of(PingStatus::Terminated);
            let keys = [
                ("eventType", "status"),
                ("pingType", word),
                ("roomEvent", word),
            ];
            control(&mut attributes, event, &keys);
            Message::Status(room_status(event, own, attributes, kind))
        }
        ForwardedEvent::RoomEvent(word) => {
            control(
                &mut attributes,
                event,
                &[("eventType", "roomEvent"), ("roomEvent", word)],
            );
            // Only here does the forwarder's own metadata take precedence.
            attributes.extend(rendered(own));
            Message::Event(RoomEvent {
                room: Some(room(event, attributes)),
                event_type: word.clone(),
                ..RoomEvent::default()
            })
        }
        ForwardedEvent::Player { joined, player } => {
            Message::Player(player_event(event, own, attributes, *joined, player))
        }
    })
}

fn sent_by_the_room(metadata: &str) -> Result<Attributes, ForwardError> {
    if metadata.is_empty() {
        return Ok(Attributes::new());
    }
    let object: Map<String, Value> =
        serde_json::from_str(metadata).map_err(|why| ForwardError::Metadata(why.to_string()))?;
    Ok(attributes::render(&object))
}

/// Overwrites whatever the room sent under these names.
fn control(attributes: &mut Attributes, event: &Forwarding, keys: &[(&str, &str)]) {
    for (key, value) in keys {
        attributes.insert((*key).to_owned(), (*value).to_owned());
    }
    attributes.insert("ports".to_owned(), ports(event.address.as_deref()));
}

fn rendered(own: Option<&Map<String, Value>>) -> Attributes {
    own.map(attributes::render).unwrap_or_default()
}

fn room_status(
    event: &Forwarding,
    own: Option<&Map<String, Value>>,
    attributes: Attributes,
    kind: RoomStatusType,
) -> RoomStatus {
    let mut metadata = rendered(own);
    metadata.extend(attributes);
    let room_type = own.and_then(|own| own.get("roomType")?.as_str());
    RoomStatus {
        room: Some(Room {
            room_type: room_type.unwrap_or_default().to_owned(),
            ..room(event, metadata)
        }),
        status_type: kind.into(),
    }
}

fn player_event(
    event: &Forwarding,
    own: Option<&Map<String, Value>>,
    attributes: Attributes,
    joined: bool,
    player: &str,
) -> PlayerEvent {
    let (word, kind) = match joined {
        true => ("playerJoin", PlayerEventType::PlayerJoined),
        false => ("playerLeft", PlayerEventType::PlayerLeft),
    };
    let mut metadata = rendered(own);
    metadata.extend(attributes);
    metadata.insert("eventType".to_owned(), word.to_owned());
    metadata.insert("playerId".to_owned(), player.to_owned());
    PlayerEvent {
        player_id: player.to_owned(),
        room: Some(Room {
            game: event.game.to_string(),
            room_id: event.room.to_string(),
            ..Room::default()
        }),
        event_type: kind.into(),
        metadata,
    }
}

fn room(event: &Forwarding, metadata: Attributes) -> Room {
    let address = event.address.as_deref();
    let ports = address.map_or(&[][..], |address| &address.ports);
    let client = ports.iter().find(|port| port.name == CLIENT_PORT);
    Room {
        game: event.game.to_string(),
        room_id: event.room.to_string(),
        host: address.map_or_else(String::new, |address| address.host.clone()),
        port: client.or(ports.first()).map_or(0, |port| port.port),
        metadata,
        room_type: String::new(),
    }
}

/// The ports as JSON, with the keys in this order. A room without an address has one port with empty values.
fn ports(address: Option<&Address>) -> String {
    let nothing = [Port {
        name: String::new(),
        port: 0,
        protocol: String::new(),
    }];
    let ports = address.map_or(&nothing[..], |address| &address.ports);
    // The original escapes these characters in JSON.
    let text = |text: &str| {
        let json = Value::from(text).to_string();
        let json = json.replace('<', "\\u003c").replace('>', "\\u003e");
        json.replace('&', "\\u0026")
    };
    let one = |p: &Port| {
        let (name, protocol) = (text(&p.name), text(&p.protocol));
        format!(
            r#"{{"name":{name},"port":{},"protocol":{protocol}}}"#,
            p.port
        )
    };
    let all: Vec<String> = ports.iter().map(one).collect();
    format!("[{}]", all.join(","))
}

/// The contract has four words for pings; a room that never pinged causes no events.
fn status_of(status: PingStatus) -> (&'static str, RoomStatusType) {
    match status {
        PingStatus::Unknown | PingStatus::Ready => ("ready", RoomStatusType::Ready),
        PingStatus::Occupied => ("occupied", RoomStatusType::Occupied),
        PingStatus::Terminating => ("terminating", RoomStatusType::Terminating),
        PingStatus::Terminated => ("terminated", RoomStatusType::Terminated),
    }
}

#[cfg(test)]
mod tests;
