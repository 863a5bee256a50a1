//! Files of earlier formats, as the programs of that time wrote them.
//!
//! `formats/2.redb`: schedulers of local processes, with a room in each state, and one that has every field.
//! `formats/3.redb`: one scheduler with two versions, two rooms, an operator's decisions and operations.
//! `formats/4.redb`: the same one, managed, with a published version that has a configuration.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use maestro_core::{
    domain::{
        ConfigPairs, Definition, Instance, LiveVersion, RoomRecord, RoomStatus, RuntimeRecord,
        SchedulerName, VersionPhase,
    },
    ports::{Change, Loaded, OperatorRecord, Reads, SchedulerFilter},
};
use maestro_store::embedded::EmbeddedStore;
use maestro_testkit::contract::store::Owner;
use redb::{Database, Key, ReadableDatabase, ReadableTable, TableDefinition, Value as RedbValue};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

const FORMAT_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats/2.redb");

const FORMAT_3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats/3.redb");

const FORMAT_4: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats/4.redb");

const SCHEDULERS: TableDefinition<&str, (i128, &[u8])> = TableDefinition::new("schedulers");
const VERSIONS: TableDefinition<(&str, &str), (i128, &[u8])> = TableDefinition::new("versions");
const RUNTIMES: TableDefinition<&str, &[u8]> = TableDefinition::new("runtimes");
const ROOMS: TableDefinition<(&str, &str), (u8, &[u8])> = TableDefinition::new("rooms");

/// By scheduler and room: the status of the row, the document.
type RoomRows = BTreeMap<(String, String), (u8, Vec<u8>)>;

async fn loaded(store: &Arc<EmbeddedStore>, name: &SchedulerName) -> Loaded {
    let ports = support::ports(store);
    Owner::of(&ports, name.as_str()).await.load().await
}

fn rows<K, V, Row>(
    file: &Path,
    table: TableDefinition<'static, K, V>,
    read: impl Fn(K::SelfType<'_>, V::SelfType<'_>) -> Row,
) -> Vec<Row>
where
    K: Key + 'static,
    V: RedbValue + 'static,
{
    let db = Database::open(file).unwrap();
    let table = db.begin_read().unwrap().open_table(table).unwrap();
    let rows = table.iter().unwrap().map(|row| {
        let (key, value) = row.unwrap();
        read(key.value(), value.value())
    });
    rows.collect()
}

fn room_rows(file: &Path) -> RoomRows {
    let row = |(scheduler, room): (&str, &str), (status, document): (u8, &[u8])| {
        let key = (scheduler.to_owned(), room.to_owned());
        (key, (status, document.to_vec()))
    };
    rows(file, ROOMS, row).into_iter().collect()
}

/// The room as format 2 wrote it.
fn flat(room: &RoomRecord) -> Value {
    let (intent, reported) = (&room.intent, &room.reported);
    json!({
        "id": room.id, "version": intent.version, "status": reported.status, "ping_status": reported.ping,
        "running_matches": reported.matches, "metadata": reported.metadata, "validation": intent.validation,
        "made_by": intent.made_by, "created_at": intent.created_at, "last_ping_at": reported.last_ping_at,
        "allocated_at": intent.allocated_at, "first_ready_at": reported.first_ready_at, "played": reported.played,
        "host_ports": intent.host_ports, "removal": intent.removal,
        "instance": room.instance.as_ref().map(flat_instance),
    })
}

fn flat_instance(instance: &Instance) -> Value {
    let mut flat = json!({
        "room": instance.room, "uid": instance.uid, "version": instance.version, "validation": instance.validation,
        "status": instance.status, "description": instance.description, "address": instance.address,
        "resource_version": instance.resource_version,
    });
    if let Some(restarting) = instance.restarting {
        flat["restarting"] = json!(restarting);
    }
    flat
}

#[tokio::test]
async fn every_room_of_a_file_of_format_2_is_carried_over() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("maestro.redb");
    fs::copy(FORMAT_2, &file).unwrap();
    let before = room_rows(&file);

    let store = EmbeddedStore::open(dir.path()).unwrap();
    let mut statuses = Vec::new();
    let mut seen = 0;
    for scheduler in store.schedulers(&SchedulerFilter::default()).await.unwrap() {
        let name = scheduler.name.clone();
        for room in loaded(&store, &name).await.rooms {
            let (status, document) = &before[&(name.to_string(), room.id.to_string())];
            let document: Value = serde_json::from_slice(document).unwrap();
            assert_eq!(flat(&room), document);
            assert_eq!(room.reported.status as u8, *status, "{}", room.id);
            statuses.push(room.reported.status);
            seen += 1;
        }
        let counts = store.room_counts(&[name.as_str()]).await.unwrap().remove(0);
        let rooms = before.keys().filter(|(of, _)| of == name.as_str());
        assert_eq!(counts.total(), rooms.count() as u64);
    }
    assert_eq!(seen, before.len());
    // The file is worth looking at.
    for status in [
        RoomStatus::Pending,
        RoomStatus::Unready,
        RoomStatus::Ready,
        RoomStatus::Allocated,
        RoomStatus::Occupied,
        RoomStatus::Active,
        RoomStatus::Error,
    ] {
        assert!(statuses.contains(&status), "no room is {status:?}");
    }
    store.close().await;
    drop(store);

    let after = room_rows(&file);
    assert!(after.keys().eq(before.keys()));
    let bytes = |rows: &RoomRows| {
        rows.values()
            .map(|(_, document)| document.len())
            .sum::<usize>()
    };
    assert!(bytes(&after) < bytes(&before), "rows have grown");
    let copy = dir.path().join("maestro.redb.before-format-5");
    assert_eq!(room_rows(&copy), before);
}

/// Rewritten rows equal those that were read, byte for byte, because another program may read them.
#[tokio::test]
async fn documents_of_a_file_of_format_2_are_written_as_they_were_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("maestro.redb");
    fs::copy(FORMAT_2, &file).unwrap();
    let text = |document: &[u8]| String::from_utf8(document.to_vec()).unwrap();
    let active = rows(&file, SCHEDULERS, |name, (_, document)| {
        (SchedulerName::from(name), text(document))
    });
    let versions = rows(&file, VERSIONS, |(name, version), (_, document)| {
        (name.to_owned(), version.to_owned(), text(document))
    });
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let mut written = Vec::new();
    for (name, document) in &active {
        let loaded = loaded(&store, name).await;
        let active = serde_json::to_string(&loaded.scheduler).unwrap();
        assert_eq!(&active, document);
        written.extend(loaded.versions.iter().map(|of| {
            let document = serde_json::to_string(of).unwrap();
            (name.to_string(), of.version().to_string(), document)
        }));
    }
    assert_eq!(written, versions);
    assert_eq!(active.len(), 7);
}

#[tokio::test]
async fn a_scheduler_of_a_file_of_format_3_is_not_managed_and_can_become_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(FORMAT_3, dir.path().join("maestro.redb")).unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let mut owner = Owner::of(&support::ports(&store), "arena").await;
    let loaded = owner.load().await;
    let operator = OperatorRecord {
        rollout_paused: true,
        held: Some(false),
        managed: false,
    };
    assert_eq!(loaded.operator, operator);
    assert!(loaded.live.is_empty());
    assert_eq!((loaded.versions.len(), loaded.rooms.len()), (2, 2));
    assert!(
        loaded
            .rooms
            .iter()
            .all(|room| room.intent.config_revision == 0)
    );
    let definitions: Vec<_> = loaded
        .operations
        .into_iter()
        .map(|o| o.definition)
        .collect();
    let expected = [
        Definition::AddRooms {
            amount: 2,
            version: None,
        },
        Definition::RemoveRooms {
            amount: 3,
            rooms_ids: None,
            reason: "requested_by_user".into(),
            force: true,
            version: None,
        },
        Definition::SwitchActiveVersion {
            new_active_version: "v1.1.0".into(),
        },
    ];
    assert_eq!(definitions, expected);
    assert_eq!(loaded.ended.len(), 1);
    let live = LiveVersion::stopped("v1.0.0".into());
    let runtime = RuntimeRecord {
        made_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        failure: String::new(),
    };
    owner
        .put(vec![
            Change::PutLiveVersion(Box::new(live.clone())),
            Change::PutRuntime(Box::new(runtime.clone())),
        ])
        .await;
    assert_eq!(owner.load().await.live, [live]);
    assert_eq!(owner.load().await.runtime, Some(runtime));
    store.close().await;
    assert!(dir.path().join("maestro.redb.before-format-5").is_file());
}

/// Two kinds of files have format 4: those with a table of runtimes, and those without.
#[tokio::test]
async fn a_file_of_format_4_keeps_its_versions_and_can_have_runtimes() {
    for has_table in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("maestro.redb");
        fs::copy(FORMAT_4, &file).unwrap();
        let runtime = RuntimeRecord {
            made_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            failure: "no rights".into(),
        };
        if has_table {
            let db = Database::open(&file).unwrap();
            let txn = db.begin_write().unwrap();
            let document = serde_json::to_vec(&runtime).unwrap();
            let mut table = txn.open_table(RUNTIMES).unwrap();
            table.insert("arena", document.as_slice()).unwrap();
            drop(table);
            txn.commit().unwrap();
        }
        let store = EmbeddedStore::open(dir.path()).unwrap();
        let mut owner = Owner::of(&support::ports(&store), "arena").await;
        let loaded = owner.load().await;
        assert!(loaded.operator.managed && loaded.operator.rollout_paused);
        let published = LiveVersion {
            phase: VersionPhase::Published,
            config: ConfigPairs::new([("A".to_owned(), "1".to_owned())]).unwrap(),
            revision: 2,
            ..LiveVersion::stopped("v1.0.0".into())
        };
        let stopped = LiveVersion::stopped("v1.1.0".into());
        assert_eq!(loaded.live, [published, stopped]);
        assert_eq!((loaded.rooms.len(), loaded.operations.len()), (2, 3));
        assert_eq!(loaded.runtime, has_table.then(|| runtime.clone()));
        let put = Change::PutRuntime(Box::new(runtime.clone()));
        owner.put(vec![put]).await;
        assert_eq!(owner.load().await.runtime, Some(runtime));
        store.close().await;
        assert!(dir.path().join("maestro.redb.before-format-5").is_file());
    }
}
