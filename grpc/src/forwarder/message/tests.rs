//! The messages against those recorded from the original.

use super::*;
use maestro_core::domain::ForwarderOptions;
use serde_json::json;
use std::sync::Arc;

const PORTS: &str = r#"[{"name":"clientPort","port":40123,"protocol":"UDP"}]"#;
const ALL_TYPES: &str = r#"{"s":"text","i":245,"f":1.5,"big":1000000,"huge":1e21,"small":1e-7,"neg":-3,"zero":0,
    "t":true,"n":null,"l":[1,"x",null,[2.5,false]],"o":{"b":1,"a":{"c":"d"}},"e":"","u":"café ☃"}"#;

fn port(name: &str, port: i32, protocol: &str) -> Port {
    Port {
        name: name.into(),
        port,
        protocol: protocol.into(),
    }
}

fn at(ports: Vec<Port>) -> Option<Arc<Address>> {
    let host = "10.0.0.7".into();
    Some(Arc::new(Address { host, ports }))
}

fn event(event: ForwardedEvent, metadata: &str) -> Forwarding {
    Forwarding {
        scheduler: "s".into(),
        game: "g".into(),
        to: Arc::new([]),
        room: "r1".into(),
        address: at(vec![port("clientPort", 40123, "UDP")]),
        event,
        metadata: metadata.into(),
    }
}

fn forwarder(metadata: Value) -> Forwarder {
    let metadata = metadata.as_object().cloned().unwrap_or_default();
    Forwarder {
        name: "mm".into(),
        options: Some(ForwarderOptions {
            timeout: 3000,
            metadata,
        }),
        ..Forwarder::default()
    }
}

/// Room, kind and metadata of a status or a resync.
fn status(message: Message) -> (Room, RoomStatusType, Attributes) {
    match message {
        Message::Resync(m) | Message::Status(m) => {
            let kind = m.status_type();
            let room = m.room.unwrap();
            let metadata = room.metadata.clone();
            (room, kind, metadata)
        }
        other => panic!("{other:?}"),
    }
}

fn room_event(message: Message) -> (RoomEvent, Attributes) {
    match message {
        Message::Event(event) => {
            let metadata = event.room.clone().unwrap().metadata;
            (event, metadata)
        }
        other => panic!("{other:?}"),
    }
}

fn player_event(message: Message) -> PlayerEvent {
    match message {
        Message::Player(event) => event,
        other => panic!("{other:?}"),
    }
}

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    let pairs = pairs.iter();
    pairs
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn resync(word: PingStatus) -> ForwardedEvent {
    ForwardedEvent::Resync(word)
}

#[test]
fn a_resync_has_the_room_and_what_its_ping_said() {
    let none = forwarder(json!({}));
    let message = of(&none, &event(resync(PingStatus::Occupied), "{}")).unwrap();
    assert_eq!(message.method(), "SendRoomResync");
    let (room, kind, metadata) = status(message);
    assert_eq!(kind, RoomStatusType::Occupied);
    let expected = [
        ("eventType", "resync"),
        ("pingType", "occupied"),
        ("ports", PORTS),
    ];
    assert_eq!(metadata, attributes(&expected));
    let place = (
        room.game.as_str(),
        room.room_id.as_str(),
        room.host.as_str(),
        room.port,
    );
    assert_eq!(place, ("g", "r1", "10.0.0.7", 40123));
    assert_eq!(room.room_type, "");
    // Absent metadata is treated like an empty object.
    let empty = of(&none, &event(resync(PingStatus::Occupied), "")).unwrap();
    assert_eq!(status(empty).2, attributes(&expected));
}

#[test]
fn metadata_of_all_types_arrives_as_text() {
    let expected = [
        ("s", "text"),
        ("i", "245"),
        ("f", "1.5"),
        ("big", "1e+06"),
        ("huge", "1e+21"),
        ("small", "1e-07"),
        ("neg", "-3"),
        ("zero", "0"),
        ("t", "true"),
        ("n", "<nil>"),
        ("l", "[1 x <nil> [2.5 false]]"),
        ("o", "map[a:map[c:d] b:1]"),
        ("e", ""),
        ("u", "café ☃"),
    ];
    let none = forwarder(json!({}));
    let with = |more: &[(&'static str, &'static str)]| attributes(&[&expected[..], more].concat());
    let message = of(&none, &event(resync(PingStatus::Ready), ALL_TYPES)).unwrap();
    let more = [
        ("eventType", "resync"),
        ("pingType", "ready"),
        ("ports", PORTS),
    ];
    assert_eq!(status(message).2, with(&more));
    let goal = ForwardedEvent::RoomEvent("goal".into());
    let (message, metadata) = room_event(of(&none, &event(goal, ALL_TYPES)).unwrap());
    let more = [
        ("eventType", "roomEvent"),
        ("roomEvent", "goal"),
        ("ports", PORTS),
    ];
    assert_eq!(
        (metadata, message.metadata),
        (with(&more), Attributes::new())
    );
}

#[test]
fn a_ping_cannot_replace_the_control_keys() {
    let metadata = r#"{"eventType":"x","pingType":"y","ports":"z","roomEvent":"w"}"#;
    let none = forwarder(json!({}));
    let message = of(&none, &event(resync(PingStatus::Ready), metadata)).unwrap();
    let expected = [
        ("eventType", "resync"),
        ("pingType", "ready"),
        ("ports", PORTS),
        ("roomEvent", "w"),
    ];
    assert_eq!(status(message).2, attributes(&expected));
}

#[test]
fn of_a_status_the_event_wins_and_of_a_room_event_the_forwarder() {
    let own = json!({"b": "fwd", "c": 2, "eventType": "fwd", "roomEvent": "fwd", "ports": "fwd"});
    let metadata = r#"{"a": "ev", "b": "ev"}"#;
    let to = forwarder(own);
    let message = of(&to, &event(resync(PingStatus::Ready), metadata)).unwrap();
    let expected = [
        ("a", "ev"),
        ("b", "ev"),
        ("c", "2"),
        ("eventType", "resync"),
        ("pingType", "ready"),
        ("ports", PORTS),
        ("roomEvent", "fwd"),
    ];
    assert_eq!(status(message).2, attributes(&expected));
    let goal = ForwardedEvent::RoomEvent("goal".into());
    let (message, metadata) = room_event(of(&to, &event(goal, metadata)).unwrap());
    let expected = [
        ("a", "ev"),
        ("b", "fwd"),
        ("c", "2"),
        ("eventType", "fwd"),
        ("roomEvent", "fwd"),
        ("ports", "fwd"),
    ];
    assert_eq!(metadata, attributes(&expected));
    assert_eq!(message.event_type, "goal");
}

#[test]
fn the_room_type_is_the_forwarders_and_a_field_of_a_status_only() {
    let to = forwarder(json!({"roomType": "arena"}));
    let message = of(
        &to,
        &event(resync(PingStatus::Ready), r#"{"roomType":"x"}"#),
    )
    .unwrap();
    let (room, _, metadata) = status(message);
    assert_eq!(
        (room.room_type.as_str(), metadata["roomType"].as_str()),
        ("arena", "x")
    );
    let goal = ForwardedEvent::RoomEvent("goal".into());
    let (message, metadata) = room_event(of(&to, &event(goal, "")).unwrap());
    assert_eq!(metadata["roomType"], "arena");
    assert_eq!(message.room.unwrap().room_type, "");
    // Only a string counts as a room type.
    let to = forwarder(json!({"roomType": 5}));
    let message = of(&to, &event(resync(PingStatus::Ready), "")).unwrap();
    let (room, _, metadata) = status(message);
    assert_eq!(
        (room.room_type.as_str(), metadata["roomType"].as_str()),
        ("", "5")
    );
}

#[test]
fn the_port_is_the_one_called_client_port_or_the_first() {
    let none = forwarder(json!({}));
    let mut ping = event(resync(PingStatus::Ready), "");
    ping.address = at(vec![port("a<", 1, "TCP"), port("clientPort", 2, "UDP")]);
    let (room, _, metadata) = status(of(&none, &ping).unwrap());
    assert_eq!(room.port, 2);
    let expected = r#"[{"name":"a\u003c","port":1,"protocol":"TCP"},{"name":"clientPort","port":2,"protocol":"UDP"}]"#;
    assert_eq!(metadata["ports"], expected);
    ping.address = at(vec![port("a", 1, "TCP"), port("clientport", 2, "UDP")]);
    assert_eq!(status(of(&none, &ping).unwrap()).0.port, 1);
}

#[test]
fn a_status_keeps_the_word_as_it_was_written() {
    let kind = ForwardedEvent::Status {
        status: PingStatus::Terminating,
        word: "TERMINATING".into(),
    };
    let message = of(
        &forwarder(json!({})),
        &event(kind, r#"{"a":1,"pingType":"x"}"#),
    )
    .unwrap();
    assert_eq!(message.method(), "SendRoomStatus");
    let (_, kind, metadata) = status(message);
    assert_eq!(kind, RoomStatusType::Terminating);
    let expected = [
        ("a", "1"),
        ("eventType", "status"),
        ("pingType", "TERMINATING"),
        ("ports", PORTS),
    ];
    assert_eq!(metadata, attributes(&expected));
}

#[test]
fn the_end_of_a_room_is_a_status_with_two_words() {
    let message = of(
        &forwarder(json!({})),
        &event(ForwardedEvent::Terminated, ""),
    )
    .unwrap();
    assert_eq!(message.method(), "SendRoomStatus");
    let (_, kind, metadata) = status(message);
    assert_eq!(kind, RoomStatusType::Terminated);
    let expected = [
        ("eventType", "status"),
        ("pingType", "terminated"),
        ("roomEvent", "terminated"),
        ("ports", PORTS),
    ];
    assert_eq!(metadata, attributes(&expected));
}

#[test]
fn of_a_room_that_is_gone_there_is_one_port_of_nothing() {
    let none = forwarder(json!({}));
    let mut gone = event(ForwardedEvent::RoomEvent("terminated".into()), "");
    gone.address = None;
    let (message, metadata) = room_event(of(&none, &gone).unwrap());
    let room = message.room.unwrap();
    assert_eq!((room.host.as_str(), room.port), ("", 0));
    assert_eq!(metadata["ports"], r#"[{"name":"","port":0,"protocol":""}]"#);
    // Every other event needs the room's port.
    gone.event = ForwardedEvent::RoomEvent("goal".into());
    let scheduler = "s".into();
    let forwarder_name = "mm".to_owned();
    let expected = ForwardError::NoPort {
        forwarder: forwarder_name,
        scheduler,
    };
    assert_eq!(of(&none, &gone), Err(expected));
}

#[test]
fn an_event_of_a_player_has_the_forwarders_metadata_and_the_events_wins() {
    let kind = ForwardedEvent::Player {
        joined: false,
        player: "p1".into(),
    };
    let to = forwarder(json!({"roomType": "arena", "k": "fwd", "x": "fwd"}));
    let metadata = r#"{"playerId":"p1","x":1.5,"eventType":"no"}"#;
    let mut joined = event(kind, metadata);
    joined.address = None;
    let message = of(&to, &joined).unwrap();
    assert_eq!(message.method(), "SendPlayerEvent");
    let message = player_event(message);
    assert_eq!(message.event_type(), PlayerEventType::PlayerLeft);
    assert_eq!(message.player_id, "p1");
    let expected = [
        ("roomType", "arena"),
        ("k", "fwd"),
        ("x", "1.5"),
        ("eventType", "playerLeft"),
        ("playerId", "p1"),
    ];
    assert_eq!(message.metadata, attributes(&expected));
    let room = Room {
        game: "g".into(),
        room_id: "r1".into(),
        ..Room::default()
    };
    assert_eq!(message.room, Some(room));
}
