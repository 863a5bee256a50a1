//! A room as it is stored: what was decided about it, what it reported, and its instance.

use super::ids::{OperationId, RoomId};
use super::reason::RemovalReason;
use super::room::{Address, Instance, InstanceStatus, PingStatus, RoomStatus};
use super::version::SchedulerVersion;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::Not;
use std::sync::Arc;

/// A room as it is stored: everything a restart needs, in three parts by who writes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomRecord {
    /// Id, which is also the key of its row.
    pub id: RoomId,
    /// Written by decisions only.
    pub intent: RoomIntent,
    /// Written by the room's pings.
    pub reported: RoomReport,
    /// Written from the runtime's reports; `None` until the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
}

/// What was decided about a room. The owner makes the runtime follow it, also after a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomIntent {
    /// The version of the scheduler from whose document it is created.
    pub version: SchedulerVersion,
    /// Whether it only tests its version: it is then not allocated, not counted, and causes no events (architecture 7).
    #[serde(default, skip_serializing_if = "Not::not")]
    pub validation: bool,
    /// The operation that ordered it; `None` if the row was rebuilt from the runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<OperationId>,
    /// When its creation was ordered, or when it was found in the runtime.
    pub created_at: Timestamp,
    /// When it was last allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_at: Option<Timestamp>,
    /// Host ports in the order of the spec's ports, reserved before creation.
    pub host_ports: Arc<[u16]>,
    /// The revision of the version's configuration that it was created with ([`super::LiveVersion::revision`]).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub config_revision: u64,
    /// Set once it was decided to end it, now or after its match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a room reports about itself, and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomReport {
    /// Derived from its pings, the status of its instance and an unexpired allocation ([`crate::rules::status`]).
    pub status: RoomStatus,
    /// The status in its last ping.
    pub ping: PingStatus,
    /// Matches in progress, according to its last ping.
    pub matches: i64,
    /// JSON text of the last ping's metadata; `None` before the first ping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Arc<str>>,
    /// When it last pinged; until the first ping, the time of its creation. Stored up to a second late.
    pub last_ping_at: Timestamp,
    /// When it was first up (ready, occupied or active) since its start or its last restart in place (D30).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ready_at: Option<Timestamp>,
    /// Whether it has had a match since then (D30).
    #[serde(default, skip_serializing_if = "Not::not")]
    pub played: bool,
}

/// The decision to remove a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Why it is removed.
    pub reason: RemovalReason,
    /// When that was decided.
    pub at: Timestamp,
    /// Waits for the room's match to end first (D22).
    pub drain: bool,
}

impl RoomRecord {
    /// A room of which only the decision is known yet. Its silence is measured from its creation.
    pub fn new(id: RoomId, intent: RoomIntent) -> Self {
        let reported = RoomReport {
            status: RoomStatus::Pending,
            ping: PingStatus::Unknown,
            matches: 0,
            metadata: None,
            last_ping_at: intent.created_at,
            first_ready_at: None,
            played: false,
        };
        Self {
            id,
            intent,
            reported,
            instance: None,
        }
    }

    /// The status that the runtime reports; unknown while there is no instance.
    pub fn instance_status(&self) -> InstanceStatus {
        let instance = self.instance.as_ref();
        instance.map_or(InstanceStatus::Unknown, |instance| instance.status)
    }

    /// The room's address for players; `None` until it is placed.
    pub fn address(&self) -> Option<&Arc<Address>> {
        self.instance.as_ref()?.address.as_ref()
    }
}

impl RoomIntent {
    /// The intent for a room of this version, without host ports and without an operation that ordered it.
    pub fn new(version: SchedulerVersion, created_at: Timestamp) -> Self {
        Self {
            version,
            validation: false,
            made_by: None,
            created_at,
            allocated_at: None,
            host_ports: Arc::default(),
            config_revision: 0,
            removal: None,
        }
    }

    /// The removal, unless it waits for the room's match.
    pub fn end(&self) -> Option<Removal> {
        self.removal.filter(|removal| !removal.drain)
    }
}

impl RoomReport {
    /// Applies a steady ping; the status is unchanged.
    pub fn touch(&mut self, touch: &RoomTouch) {
        self.last_ping_at = touch.last_ping_at;
        self.matches = touch.matches;
        self.ping = touch.ping;
        self.metadata.clone_from(&touch.metadata);
    }
}

/// The effect of a steady ping: coalesced and written later (architecture 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomTouch {
    /// The room that pinged.
    pub room: RoomId,
    /// As [`RoomReport::last_ping_at`].
    pub last_ping_at: Timestamp,
    /// As [`RoomReport::matches`].
    pub matches: i64,
    /// As [`RoomReport::ping`].
    pub ping: PingStatus,
    /// As [`RoomReport::metadata`].
    pub metadata: Option<Arc<str>>,
}

impl RoomTouch {
    /// The present values of a record.
    pub fn of(record: &RoomRecord) -> Self {
        Self {
            room: record.id.clone(),
            last_ping_at: record.reported.last_ping_at,
            matches: record.reported.matches,
            ping: record.reported.ping,
            metadata: record.reported.metadata.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_takes_no_place_in_a_row() {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let intent = RoomIntent::new(SchedulerVersion::initial(), at);
        let record = RoomRecord::new("arena-1".into(), intent);
        let text = serde_json::to_string(&record).unwrap();
        let expected = concat!(
            r#"{"id":"arena-1","intent":{"version":"v1.0.0","created_at":"2026-01-02T03:04:05Z","host_ports":[]},"#,
            r#""reported":{"status":"pending","ping":"unknown","matches":0,"last_ping_at":"2026-01-02T03:04:05Z"}}"#,
        );
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<RoomRecord>(&text).unwrap(), record);
    }

    #[test]
    fn a_touch_is_taken_over_as_it_was_said() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let intent = RoomIntent::new(SchedulerVersion::initial(), at("2026-01-02T03:04:05Z"));
        let mut record = RoomRecord::new("arena-1".into(), intent);
        let touch = RoomTouch {
            room: record.id.clone(),
            last_ping_at: at("2026-01-02T03:04:06Z"),
            matches: 2,
            ping: PingStatus::Occupied,
            metadata: Some("{}".into()),
        };
        record.reported.touch(&touch);
        assert_eq!(RoomTouch::of(&record), touch);
        assert_eq!(record.reported.status, RoomStatus::Pending);
    }
}
