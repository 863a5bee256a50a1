//! One event as one line, for people or for programs.

use std::collections::BTreeMap;

use maestro_core::text::{escaped_json, is_unprintable};
use maestro_grpc::events::{PlayerEvent, Room, RoomEvent, RoomStatus};
use serde_json::{Value, json};

/// The content of an event, whatever its message.
pub struct Line {
    /// `resync`, `status`, `event` or `player`.
    kind: &'static str,
    /// The status, the event's name as the game gives it, or `joined` and `left`.
    word: String,
    player: Option<String>,
    room: Room,
    metadata: BTreeMap<String, String>,
}

impl Line {
    pub fn of_status(kind: &'static str, message: RoomStatus) -> Self {
        let word = format!("{:?}", message.status_type()).to_lowercase();
        let room = message.room.unwrap_or_default();
        Self {
            kind,
            word,
            player: None,
            metadata: room.metadata.clone(),
            room,
        }
    }

    pub fn of_event(message: RoomEvent) -> Self {
        let room = message.room.unwrap_or_default();
        Self {
            kind: "event",
            word: message.event_type,
            player: None,
            metadata: room.metadata.clone(),
            room,
        }
    }

    pub fn of_player(message: PlayerEvent) -> Self {
        use maestro_grpc::events::player_event::PlayerEventType;
        let word = match message.event_type() {
            PlayerEventType::PlayerJoined => "joined",
            PlayerEventType::PlayerLeft => "left",
        };
        Self {
            kind: "player",
            word: word.to_owned(),
            player: Some(message.player_id),
            room: message.room.unwrap_or_default(),
            metadata: message.metadata,
        }
    }

    /// `resync ready room=arena-abcde game=arena at=10.0.0.7:40123 {"pingType":"ready"}`
    pub fn plain(&self) -> String {
        let Room {
            room_id,
            game,
            host,
            port,
            ..
        } = &self.room;
        let mut line = format!("{} {}", self.kind, self.word);
        if let Some(player) = &self.player {
            line.push_str(&format!(" player={player}"));
        }
        line.push_str(&format!(" room={room_id} game={game}"));
        if !host.is_empty() {
            line.push_str(&format!(" at={host}:{port}"));
        }
        // The room's data may contain anything, including line breaks: as JSON it stays on one
        // line.
        let line: String = line
            .chars()
            .map(|c| if is_unprintable(c) { ' ' } else { c })
            .collect();
        format!("{line} {}", escaped_json(&json!(self.metadata).to_string()))
    }

    pub fn json(&self) -> String {
        let Room {
            room_id,
            game,
            host,
            port,
            room_type,
            ..
        } = &self.room;
        let mut object = json!({
            "event": self.kind, "word": self.word, "room": room_id, "game": game,
            "host": host, "port": port, "roomType": room_type, "metadata": self.metadata,
        });
        if let Some(player) = &self.player {
            object["player"] = Value::from(player.as_str());
        }
        escaped_json(&object.to_string()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_on_its_line() {
        let room = Room {
            game: "arena".into(),
            room_id: "r1".into(),
            host: "10.0.0.7".into(),
            port: 40123,
            metadata: BTreeMap::from([("a".into(), "1\n2\u{202e}".into())]),
            room_type: "duel".into(),
        };
        let line = Line::of_event(RoomEvent {
            room: Some(room),
            event_type: "goal\nresync ready".into(),
            ..RoomEvent::default()
        });
        let expected =
            r#"event goal resync ready room=r1 game=arena at=10.0.0.7:40123 {"a":"1\n2\u202e"}"#;
        assert_eq!(line.plain(), expected);
        let json: Value = serde_json::from_str(&line.json()).unwrap();
        assert_eq!(
            (&json["word"], &json["roomType"]),
            (&json!("goal\nresync ready"), &json!("duel"))
        );
        assert_eq!(json["metadata"]["a"], "1\n2\u{202e}");
    }
}
