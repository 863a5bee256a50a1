//! Round trips of rooms and operations through their values in Redis, made up and recorded.

use super::operation::{OperationValues, operation_id};
use super::room::{Ghost, RoomValues};
use jiff::Timestamp;
use maestro_core::domain::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

const RECORDED: &str = include_str!("../../../tests/takeover/busy/redis.json");

fn time() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000_i64).prop_map(|second| Timestamp::from_second(second).unwrap())
}

fn fine_time() -> impl Strategy<Value = Timestamp> {
    let parts = (0..4_000_000_000_i64, 0..1_000_000_000_i32);
    parts.prop_map(|(second, nano)| Timestamp::new(second, nano).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    "[ -~äЖ\n\"]{0,12}"
}

fn id() -> impl Strategy<Value = OperationId> {
    any::<u128>().prop_map(|bits| OperationId(Uuid::from_u128(bits)))
}

prop_compose! {
    fn intent()(
        version in text(),
        validation in any::<bool>(),
        made_by in option::of(id()),
        (created_at, allocated_at) in (time(), option::of(time())),
        host_ports in vec(any::<u16>(), 0..3),
        removal in option::of((fine_time(), any::<bool>())),
    ) -> RoomIntent {
        let removal = removal.map(|(at, drain)| Removal { reason: RemovalReason::ScaleDown, at, drain });
        RoomIntent {
            validation,
            made_by,
            allocated_at,
            host_ports: host_ports.into(),
            removal,
            ..RoomIntent::new(version.into(), created_at)
        }
    }
}

prop_compose! {
    fn instance()(
        (uid, version, description) in (text(), text(), text()),
        (validation, status) in (any::<bool>(), 0..5_usize),
        restarting in option::of((any::<u32>(), option::of(any::<i32>()), option::of(any::<i32>()))),
        address in option::of((text(), vec((text(), 0..70_000), 0..3))),
        resource_version in any::<u64>(),
    ) -> Instance {
        use InstanceStatus::*;
        let port = |(name, port)| Port { name, port, protocol: "UDP".into() };
        Instance {
            room: "room-1".into(),
            uid,
            version: version.into(),
            validation,
            status: [Unknown, Pending, Ready, Terminating, Error][status],
            description,
            restarting: restarting.map(|(count, code, signal)| Restart { count, code, signal }),
            trouble: None,
            address: address.map(|(host, ports)| {
                Arc::new(Address { host, ports: ports.into_iter().map(port).collect() })
            }),
            resource_version,
        }
    }
}

prop_compose! {
    fn room()(
        intent in intent(),
        (status, ping, matches) in (0..9_usize, 0..5_usize, 0..1_000_000_i64),
        metadata in option::of(text()),
        (last_ping_at, first_ready_at, played) in (time(), option::of(fine_time()), any::<bool>()),
        instance in option::of(instance()),
    ) -> RoomRecord {
        use PingStatus::*;
        RoomRecord {
            id: "room-1".into(),
            intent,
            reported: RoomReport {
                status: RoomStatus::ALL[status],
                ping: [Unknown, Ready, Occupied, Terminating, Terminated][ping],
                matches,
                metadata: metadata
                    .filter(|text| text != "null" && !text.is_empty())
                    .map(Arc::from),
                last_ping_at,
                first_ready_at,
                played,
            },
            instance,
        }
    }
}

prop_compose! {
    fn operation()(
        (id, created_at, status_at) in (id(), fine_time(), fine_time()),
        (status, priority, lease) in (0..6_usize, any::<bool>(), option::of(time())),
        history in vec((fine_time(), text()), 0..4),
        (attempt, step, rooms) in (any::<u32>(), text(), vec(text(), 0..3)),
        (name, contents) in (text(), text()),
        amount in any::<i32>(),
    ) -> OperationRecord {
        use OperationStatus::*;
        let status = [Pending, InProgress, Canceled, Finished, Evicted, Error][status];
        let definition = if attempt % 2 == 0 {
            Definition::AddRooms { amount, version: None }
        } else {
            Definition::Unknown { name, contents }
        };
        let resume = ResumeState {
            attempt,
            step,
            rooms: rooms.into_iter().map(RoomId::from).collect(),
            foreign: priority,
            ..ResumeState::default()
        };
        let mut record = OperationRecord {
            id,
            scheduler: "arena".into(),
            definition,
            status,
            created_at,
            status_at,
            history: history.into_iter().map(|(created_at, event)| OperationEvent { created_at, event }).collect(),
            priority,
            lease_until: lease,
            resume,
        };
        if status.is_final() {
            // What nobody asks for once it has ended is not stored.
            record.status_at = Timestamp::from_second(status_at.as_second()).unwrap();
            record.priority = false;
            record.lease_until = None;
            record.resume = ResumeState::default();
        }
        record
    }
}

proptest! {
    #[test]
    fn rooms_are_read_as_they_are_written(room in room()) {
        let values = RoomValues::of(&"arena".into(), &room);
        prop_assert_eq!(values.record(&room.id).unwrap(), room);
    }

    #[test]
    fn operations_are_read_as_they_are_written(operation in operation()) {
        let values = OperationValues::of(&operation);
        let read = values.record(&operation.scheduler, operation.id).unwrap();
        prop_assert_eq!(read, operation);
    }

    #[test]
    fn rubbish_is_refused_without_a_panic(
        fields in vec((0..8_usize, text()), 0..8),
        scores in (any::<i64>(), any::<i64>(), any::<i64>()),
        other in option::of(text()),
    ) {
        let names = ["version", "metadata", "ping_status", "created_at", "status", "createdAt", "executionHistory", "id"];
        let hash: HashMap<_, _> = fields.into_iter().map(|(name, text)| (names[name].to_owned(), text)).collect();
        let room = RoomValues {
            status: Some(scores.0), ping: Some(scores.1), occupancy: Some(scores.2),
            hash: hash.clone(), instance: other.clone(),
        };
        let _ = room.record(&"room-1".into());
        let operation = OperationValues { hash, journal: other, since: Some(scores.0), lease: Some(scores.1) };
        let _ = operation.record(&"arena".into(), OperationId(Uuid::nil()));
    }
}

/// Every value of the recording by its key.
fn recorded() -> BTreeMap<String, Vec<String>> {
    let file: Value = serde_json::from_str(RECORDED).unwrap();
    let keys = file["keys"].as_array().unwrap().iter();
    let values = |row: &Value| -> Vec<String> {
        let list = row[3].as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    };
    keys.map(|row| (row[0].as_str().unwrap().to_owned(), values(row)))
        .collect()
}

fn pairs(values: Option<&Vec<String>>) -> HashMap<String, String> {
    let values = values.map_or(&[][..], Vec::as_slice);
    let pair = |pair: &[String]| (pair[0].clone(), pair[1].clone());
    values.chunks(2).map(pair).collect()
}

/// Texts that are JSON, as values.
fn parsed(hash: &HashMap<String, String>) -> BTreeMap<&str, Value> {
    let read = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into());
    hash.iter()
        .map(|(name, text)| (name.as_str(), read(text)))
        .collect()
}

#[test]
fn every_room_of_a_recording_is_read_and_written_back_as_it_was() {
    let recorded = recorded();
    let mut rooms = 0;
    let mut ghosts = Vec::new();
    for (key, values) in &recorded {
        let Some((scheduler, id)) = key
            .strip_prefix("scheduler:")
            .and_then(|k| k.split_once(":rooms:"))
        else {
            continue;
        };
        let score = |set: &str| {
            let set = pairs(recorded.get(&format!("scheduler:{scheduler}:{set}")));
            set.get(id).map(|score| score.parse().unwrap())
        };
        let instances = pairs(recorded.get(&format!("scheduler:{scheduler}:podMap")));
        let found = RoomValues {
            status: score("status"),
            ping: score("ping"),
            occupancy: score("occupancy"),
            hash: pairs(Some(values)),
            instance: instances.get(id).cloned(),
        };
        let record = match found.record(&id.into()) {
            Ok(record) => record,
            Err(ghost) => {
                ghosts.push((id, ghost));
                continue;
            }
        };
        rooms += 1;
        assert!(record.intent.made_by.is_some(), "{id} was made, not found");
        let written = RoomValues::of(&scheduler.into(), &record);
        assert_eq!((written.status, written.ping), (found.status, found.ping));
        assert_eq!(written.occupancy, found.occupancy);
        assert_eq!(written.hash, found.hash);
        let json = |text: &Option<String>| {
            text.as_ref()
                .map(|t| serde_json::from_str::<Value>(t).unwrap())
        };
        assert_eq!(json(&written.instance), json(&found.instance), "{id}");
    }
    assert_eq!(rooms, 15);
    assert_eq!(ghosts, [("lobby-ghost", Ghost::NotInSet("status"))]);
}

#[test]
fn every_operation_of_a_recording_is_read_and_written_back_as_it_was() {
    let recorded = recorded();
    let (mut operations, mut foreign) = (0, Vec::new());
    for (key, values) in &recorded {
        let parts: Vec<&str> = key.split(':').collect();
        let ["operations", scheduler, id] = parts[..] else {
            continue;
        };
        let Some(id) = operation_id(id) else {
            assert_eq!(id, "operationsLease");
            continue;
        };
        let score = |set: &str| {
            let set = pairs(recorded.get(&format!("operations:{scheduler}:{set}")));
            set.get(&id.to_string()).map(|score| score.parse().unwrap())
        };
        let sets = ["lists:active", "lists:history", "lists:noaction"];
        let found = OperationValues {
            hash: pairs(Some(values)),
            journal: None,
            since: sets.iter().find_map(|set| score(set)),
            lease: score("operationsLease"),
        };
        let record = found.record(&scheduler.into(), id).unwrap();
        let written = OperationValues::of(&record);
        assert_eq!(parsed(&written.hash), parsed(&found.hash), "{id}");
        assert_eq!((written.since, written.lease), (found.since, found.lease));
        operations += 1;
        if record.resume.foreign {
            foreign.push(record.definition.name().to_owned());
        }
        let pending = record.status == OperationStatus::Pending;
        assert_eq!(record.resume.pushed, pending);
    }
    assert_eq!(operations, 357);
    foreign.sort();
    assert_eq!(foreign, ["create_new_scheduler_version", "test_operation"]);
}

#[test]
fn a_room_is_stored_as_the_contract_shows() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let port = Port {
        name: "clientPort".into(),
        port: 40123,
        protocol: "UDP".into(),
    };
    let id = RoomId::from("arena-eu-x2v4k");
    let intent = RoomIntent {
        made_by: Some(OperationId(Uuid::nil())),
        host_ports: [40123].into(),
        ..RoomIntent::new("v1.0.0".into(), at(1767323090))
    };
    let mut room = RoomRecord::new(id.clone(), intent);
    room.reported.status = RoomStatus::Ready;
    room.reported.ping = PingStatus::Ready;
    room.reported.metadata = Some("{}".into());
    room.reported.last_ping_at = at(1767323100);
    room.instance = Some(Instance {
        room: id,
        uid: String::new(),
        version: "v1.0.0".into(),
        validation: false,
        status: InstanceStatus::Ready,
        description: String::new(),
        restarting: None,
        trouble: None,
        address: Some(Arc::new(Address {
            host: "10.0.0.7".into(),
            ports: vec![port],
        })),
        resource_version: 812,
    });
    let values = RoomValues::of(&"arena-eu".into(), &room);
    let expected = concat!(
        r#"{"id":"arena-eu-x2v4k","schedulerId":"arena-eu","status":{"type":2,"description":""},"#,
        r#""address":{"host":"10.0.0.7","ports":[{"name":"clientPort","port":40123,"protocol":"UDP"}]},"#,
        r#""resourceVersion":"812"}"#,
    );
    assert_eq!(values.instance.as_deref(), Some(expected));
    let mut hash: Vec<_> = values
        .hash
        .iter()
        .map(|(k, v)| format!("{k} {v}"))
        .collect();
    hash.sort();
    let expected = [
        "created_at 1767323090",
        "is_validation_room 0",
        "metadata {}",
        "ping_status 1",
        "version v1.0.0",
    ];
    assert_eq!(hash, expected);
    // What only we know is one more member.
    room.intent.made_by = Some(OperationId(Uuid::from_u128(1)));
    let values = RoomValues::of(&"arena-eu".into(), &room);
    assert!(
        values
            .instance
            .unwrap()
            .contains(r#""maestro":{"made_by":"#)
    );
}

#[test]
fn a_ping_without_metadata_has_an_empty_object_of_it() {
    let mut room = RoomRecord::new(
        "room-1".into(),
        RoomIntent::new("v1.0.0".into(), Timestamp::UNIX_EPOCH),
    );
    let stored = |room: &RoomRecord| RoomValues::of(&"fleet".into(), room).hash["metadata"].clone();
    assert_eq!(stored(&room), "null", "before the first ping");
    room.reported.metadata = Some("".into());
    assert_eq!(stored(&room), "{}");
}
