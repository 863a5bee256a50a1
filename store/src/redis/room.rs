//! A room's record and its values in Redis (contract 8.2). Pure.
//!
//! What the contract has no place for is one member `maestro` of the instance's JSON in `podMap`, which the original
//! ignores. It is left out where it would say nothing, so that rooms of the original are written back as they were.

use super::pod_map::{OurInstance, Ours, Pod, PodAddress, PodStatus};
use jiff::Timestamp;
use maestro_core::domain::{
    Address, Instance, InstanceStatus, OperationId, PingStatus, RoomId, RoomIntent, RoomRecord,
    RoomReport, RoomStatus, SchedulerName, SchedulerVersion,
};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// The operation that made the rooms of the original, which does not remember it: they were made, not found.
const MADE_BY_THE_ORIGINAL: OperationId = OperationId(Uuid::nil());

/// The values of one room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomValues {
    /// Score in the set of statuses.
    pub status: Option<i64>,
    /// Score in the set of last pings, unix seconds.
    pub ping: Option<i64>,
    /// Score in the set of running matches.
    pub occupancy: Option<i64>,
    /// The room's hash.
    pub hash: HashMap<String, String>,
    /// Its field of `podMap`.
    pub instance: Option<String>,
}

/// Why values are no room. They are reported and passed over; nothing is invented for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ghost {
    #[error("it has no hash")]
    NoHash,
    #[error("it is not in the set {0}")]
    NotInSet(&'static str),
    #[error("its hash has no version")]
    NoVersion,
    #[error("its {field} {value:?} cannot be read")]
    Unreadable { field: &'static str, value: String },
}

impl RoomValues {
    /// The values of a record. Its times are stored in whole seconds.
    pub fn of(scheduler: &SchedulerName, record: &RoomRecord) -> Self {
        let RoomRecord {
            id: _,
            intent,
            reported,
            instance: _,
        } = record;
        let metadata = metadata_text(reported.metadata.as_deref());
        let mut hash = HashMap::from([
            ("version".to_owned(), intent.version.to_string()),
            ("metadata".to_owned(), metadata.to_owned()),
            ("ping_status".to_owned(), (reported.ping as u8).to_string()),
            (
                "is_validation_room".to_owned(),
                u8::from(intent.validation).to_string(),
            ),
            (
                "created_at".to_owned(),
                intent.created_at.as_second().to_string(),
            ),
        ]);
        if let Some(at) = intent.allocated_at {
            hash.insert("allocated_at".to_owned(), at.as_second().to_string());
        }
        Self {
            status: Some(reported.status as i64),
            ping: Some(reported.last_ping_at.as_second()),
            occupancy: Some(reported.matches),
            hash,
            instance: pod(scheduler, record),
        }
    }

    /// The record of a room.
    ///
    /// # Errors
    /// If the values are not those of a room: a hash that a late ping or an allocation left, a member of a set whose
    /// hash is gone, or rubbish.
    pub fn record(&self, id: &RoomId) -> Result<RoomRecord, Ghost> {
        if self.hash.is_empty() {
            return Err(Ghost::NoHash);
        }
        let status = self.status.ok_or(Ghost::NotInSet("status"))?;
        let ping_at = self.ping.ok_or(Ghost::NotInSet("ping"))?;
        let matches = self.occupancy.ok_or(Ghost::NotInSet("occupancy"))?;
        let version = self.hash.get("version").ok_or(Ghost::NoVersion)?;
        let version = SchedulerVersion::from(version.as_str());
        let status = usize::try_from(status).ok();
        let status = status.and_then(|number| RoomStatus::ALL.get(number));
        let status = *status.ok_or_else(|| Ghost::Unreadable {
            field: "status",
            value: self.status.unwrap_or_default().to_string(),
        })?;
        let last_ping_at = second("ping", ping_at)?;
        let created_at = self.time("created_at")?.unwrap_or(last_ping_at);
        let validation = self.hash.get("is_validation_room");
        let mut intent = RoomIntent {
            validation: validation.is_some_and(|flag| flag == "1"),
            allocated_at: self.time("allocated_at")?,
            ..RoomIntent::new(version, created_at)
        };
        let metadata = self.hash.get("metadata").map(String::as_str);
        let mut reported = RoomReport {
            status,
            ping: self.ping_status()?,
            matches,
            metadata: metadata.filter(|text| *text != "null").map(Arc::from),
            last_ping_at,
            first_ready_at: None,
            played: false,
        };
        let instance = self.read_pod(id, &mut intent, &mut reported)?;
        Ok(RoomRecord {
            id: id.clone(),
            intent,
            reported,
            instance,
        })
    }

    fn time(&self, field: &'static str) -> Result<Option<Timestamp>, Ghost> {
        let Some(text) = self.hash.get(field) else {
            return Ok(None);
        };
        let seconds = text.parse().map_err(|_| unreadable(field, text))?;
        second(field, seconds).map(Some)
    }

    fn ping_status(&self) -> Result<PingStatus, Ghost> {
        let text = self.hash.get("ping_status").map_or("0", String::as_str);
        Ok(match text {
            "0" => PingStatus::Unknown,
            "1" => PingStatus::Ready,
            "2" => PingStatus::Occupied,
            "3" => PingStatus::Terminating,
            "4" => PingStatus::Terminated,
            other => return Err(unreadable("ping_status", other)),
        })
    }

    fn read_pod(
        &self,
        id: &RoomId,
        intent: &mut RoomIntent,
        reported: &mut RoomReport,
    ) -> Result<Option<Instance>, Ghost> {
        intent.made_by = Some(MADE_BY_THE_ORIGINAL);
        let Some(text) = &self.instance else {
            return Ok(None);
        };
        let pod: Pod = serde_json::from_str(text).map_err(|_| unreadable("podMap", text))?;
        let status = pod.status.known();
        let status =
            status.ok_or_else(|| unreadable("podMap's status", &pod.status.kind.to_string()))?;
        let address = pod.address.map(PodAddress::address);
        intent.host_ports = ports_of(address.as_ref());
        let is_ours = pod.maestro.is_some();
        let mut ours = None;
        if let Some(known) = pod.maestro {
            intent.made_by = known.made_by;
            intent.removal = known.removal;
            intent.config_revision = known.config_revision;
            reported.first_ready_at = known.first_ready_at;
            reported.played = known.played;
            if let Some(ports) = known.host_ports {
                intent.host_ports = ports.into();
            }
            ours = known.instance;
        }
        if is_ours && ours.is_none() {
            return Ok(None);
        }
        let ours = ours.unwrap_or(OurInstance {
            uid: String::new(),
            version: None,
            validation: None,
            restarting: None,
        });
        Ok(Some(Instance {
            room: id.clone(),
            uid: ours.uid,
            version: ours.version.unwrap_or_else(|| intent.version.clone()),
            validation: ours.validation.unwrap_or(intent.validation),
            status,
            description: pod.status.description,
            restarting: ours.restarting,
            // Not stored here: the next list has it.
            trouble: None,
            address: address.map(Arc::new),
            // Opaque in Kubernetes, but a number in every release; what is none counts as the oldest.
            resource_version: pod.resource_version.parse().unwrap_or(0),
        }))
    }
}

/// The field `metadata` (contract 8.2): `null` before the first ping, and what the last one said, which is an object
/// also if it said nothing.
pub fn metadata_text(said: Option<&str>) -> &str {
    match said {
        None => "null",
        Some("") => "{}",
        Some(text) => text,
    }
}

/// The host ports that a room's address shows, in the order of its spec.
fn ports_of(address: Option<&Address>) -> Arc<[u16]> {
    let ports = address.map_or(&[][..], |address| &address.ports);
    let ports = ports
        .iter()
        .filter_map(|port| u16::try_from(port.port).ok());
    ports.collect()
}

/// The JSON for `podMap`; `None` for a room of the original without an instance. Ours get an entry before their
/// instance exists, with the status pending.
fn pod(scheduler: &SchedulerName, record: &RoomRecord) -> Option<String> {
    let (intent, reported) = (&record.intent, &record.reported);
    let known = record.instance.as_ref();
    let shown = ports_of(record.address().map(Arc::as_ref));
    let ours = Ours {
        made_by: intent.made_by,
        host_ports: (intent.host_ports != shown).then(|| intent.host_ports.to_vec()),
        removal: intent.removal,
        config_revision: intent.config_revision,
        first_ready_at: reported.first_ready_at,
        played: reported.played,
        instance: known.map(|instance| OurInstance {
            uid: instance.uid.clone(),
            version: (instance.version != intent.version).then(|| instance.version.clone()),
            validation: (instance.validation != intent.validation).then_some(instance.validation),
            restarting: instance.restarting,
        }),
    };
    let nothing = Ours {
        made_by: Some(MADE_BY_THE_ORIGINAL),
        host_ports: None,
        removal: None,
        config_revision: 0,
        first_ready_at: None,
        played: false,
        instance: known.map(|_| OurInstance {
            uid: String::new(),
            version: None,
            validation: None,
            restarting: None,
        }),
    };
    let says_nothing = ours == nothing;
    if says_nothing && known.is_none() {
        return None;
    }
    let address = record.address().map(|address| PodAddress {
        host: address.host.clone(),
        ports: Some(address.ports.clone()),
    });
    let pod = Pod {
        id: record.id.to_string(),
        scheduler: scheduler.to_string(),
        status: PodStatus {
            kind: known.map_or(InstanceStatus::Pending, |i| i.status) as i64,
            description: known.map_or_else(String::new, |i| i.description.clone()),
        },
        address,
        resource_version: known.map_or(0, |i| i.resource_version).to_string(),
        maestro: (!says_nothing).then_some(ours),
    };
    // It has no maps with keys that are no texts, and no other value that JSON cannot write.
    serde_json::to_string(&pod).ok()
}

fn second(field: &'static str, seconds: i64) -> Result<Timestamp, Ghost> {
    Timestamp::from_second(seconds).map_err(|_| unreadable(field, &seconds.to_string()))
}

fn unreadable(field: &'static str, value: &str) -> Ghost {
    /// Enough to recognize the value, and too short to fill a log.
    const SHOWN: usize = 80;
    let value = value.chars().take(SHOWN).collect();
    Ghost::Unreadable { field, value }
}
