//! A recorded installation of the original is loaded, and written back as it was.

use super::support::{open, put, put_room, settings};
use maestro_core::domain::*;
use maestro_core::ports::{Change, Fence, Stage};
use maestro_store::redis::RedisStore;
use maestro_testkit::servers::redis::RedisServer;
use serde_json::Value;
use std::collections::BTreeMap;

const NAMES: [&str; 6] = ["arena-eu", "empty", "lobby", "newborn", "raid", "ranges"];

/// Puts the recording into the server.
fn fill(server: &RedisServer) {
    let recording: Value = serde_json::from_str(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/takeover/busy/redis.json"
    )))
    .unwrap();
    let mut connection = server.connection();
    for row in recording["keys"].as_array().unwrap() {
        let (key, kind) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
        let items = row[3].as_array().cloned().unwrap_or_default();
        let mut items: Vec<&str> = items.iter().map(|item| item.as_str().unwrap()).collect();
        let command = match kind {
            "hash" => "HSET",
            "list" => "RPUSH",
            "zset" => {
                items.chunks_mut(2).for_each(|pair| pair.swap(0, 1));
                "ZADD"
            }
            "string" => {
                items = vec![row[3].as_str().unwrap()];
                "SET"
            }
            other => panic!("{other}"),
        };
        connection
            .ask(&[&[command, key][..], &items].concat())
            .unwrap();
        if let Some(ttl) = row[2].as_i64().filter(|ttl| *ttl > 0) {
            connection.ask(&["PEXPIRE", key, &ttl.to_string()]).unwrap();
        }
    }
}

/// Every value of the server; hashes and texts that are JSON as values, so that the order of fields does not matter.
fn everything(server: &RedisServer) -> BTreeMap<String, Value> {
    let mut connection = server.connection();
    let mut ask = |command: &[&str]| connection.ask(command).unwrap().texts();
    let json = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into());
    let mut all = BTreeMap::new();
    for key in ask(&["KEYS", "*"]) {
        let value = match ask(&["TYPE", &key]).concat().as_str() {
            "hash" => {
                let texts = ask(&["HGETALL", &key]);
                let pairs = texts
                    .chunks(2)
                    .map(|pair| (pair[0].clone(), json(&pair[1])));
                Value::Object(pairs.collect())
            }
            "list" => ask(&["LRANGE", &key, "0", "-1"]).into(),
            "zset" => ask(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]).into(),
            _ => ask(&["GET", &key]).into(),
        };
        all.insert(key, value);
    }
    all
}

fn owned() -> Vec<(SchedulerName, Epoch)> {
    NAMES
        .iter()
        .map(|name| ((*name).into(), Epoch(1)))
        .collect()
}

#[tokio::test]
async fn everything_of_a_recording_is_loaded() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    fill(&server);
    let store = open(&server).await;
    let loaded = store.load(&owned()).await;
    let loaded: BTreeMap<_, _> = NAMES
        .into_iter()
        .zip(loaded.into_iter().map(Result::unwrap))
        .collect();
    let rooms = loaded
        .iter()
        .map(|(name, stored)| (*name, stored.rooms.len()));
    let expected = [5, 0, 4, 0, 4, 2];
    assert_eq!(
        rooms.collect::<Vec<_>>(),
        NAMES.into_iter().zip(expected).collect::<Vec<_>>()
    );
    let open = |name: &str| -> Vec<String> {
        let operations = loaded[name].operations.iter();
        let line = |o: &OperationRecord| {
            let (status, resume) = (o.status.as_str(), &o.resume);
            let leased = o.lease_until.is_some();
            format!(
                "{status} {} {} {} {leased}",
                o.definition.name(),
                resume.foreign,
                resume.pushed
            )
        };
        operations.map(line).collect()
    };
    assert_eq!(
        open("arena-eu"),
        ["pending create_new_scheduler_version false true false"]
    );
    assert_eq!(open("empty"), ["pending delete_scheduler false true false"]);
    assert_eq!(
        open("newborn"),
        ["pending create_scheduler false true false"]
    );
    assert_eq!(
        open("raid"),
        ["in_progress create_new_scheduler_version true false true"]
    );
    let expected = [
        "in_progress test_operation true false true",
        "pending create_new_scheduler_version false true false",
    ];
    assert_eq!(open("ranges"), expected);
    let oddities = loaded.values().flat_map(|stored| &stored.oddities);
    let oddities: Vec<String> = oddities.map(ToString::to_string).collect();
    let [ghost, left] = &oddities[..] else {
        panic!("{oddities:?}");
    };
    assert_eq!(ghost, "lobby-ghost is no room: it is not in the set status");
    assert!(
        left.starts_with("podMap has an instance of raid-"),
        "{left}"
    );
    for (name, stored) in &loaded {
        assert_eq!(stored.fence, None, "{name}");
        let shown = stored.ended.iter().filter(|ended| !ended.no_action).count() as u64;
        let newest = Stage::Final {
            offset: 0,
            limit: 1000,
            ascending: true,
        };
        let page = store.operations(name, newest).await.unwrap();
        assert_eq!((page.total, page.operations.len() as u64), (shown, shown));
        // The kinds decide how long they are kept.
        for record in page.operations {
            let ended = stored
                .ended
                .iter()
                .find(|ended| ended.id == record.id)
                .unwrap();
            assert_eq!(ended.periodic, record.definition.is_periodic());
        }
    }
    let counts = store.room_counts(&NAMES).await.unwrap();
    let of = |name: &str, status| counts[NAMES.iter().position(|n| *n == name).unwrap()].of(status);
    assert_eq!(
        (
            of("arena-eu", RoomStatus::Occupied),
            of("lobby", RoomStatus::Active)
        ),
        (2, 2)
    );
}

#[tokio::test]
async fn everything_of_a_recording_is_written_back_as_it_was() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    fill(&server);
    let mut before = everything(&server);
    let store = open(&server).await;
    let loaded = store.load(&owned()).await;
    for (name, stored) in NAMES.into_iter().zip(loaded) {
        let stored = stored.unwrap();
        let rooms = stored.rooms.iter().map(put_room);
        let open = stored.operations.iter().map(put);
        let mut changes: Vec<Change> = rooms.chain(open).collect();
        for ended in &stored.ended {
            let record = store.operation(name, ended.id).await.unwrap().unwrap();
            changes.push(put(&record));
        }
        let fence = Fence {
            scheduler: name.into(),
            epoch: Epoch(1),
            previous: Seq(0),
            seq: Seq(1),
        };
        store.commit(&fence, &changes).await.unwrap();
    }
    let mut after = everything(&server);
    after.retain(|key, _| !key.starts_with("maestro:"));
    // What was no room is cleaned away.
    before.remove("scheduler:lobby:rooms:lobby-ghost");
    let pings = before
        .get_mut("scheduler:lobby:ping")
        .and_then(Value::as_array_mut)
        .unwrap();
    let ghost = pings
        .iter()
        .position(|member| member == "lobby-ghost")
        .unwrap();
    pings.drain(ghost..ghost + 2);
    let instances = before
        .get_mut("scheduler:raid:podMap")
        .and_then(Value::as_object_mut)
        .unwrap();
    let statuses = after["scheduler:raid:status"].as_array().unwrap();
    instances.retain(|room, _| statuses.iter().any(|member| member == room));
    for (key, value) in &before {
        assert_eq!(after.get(key), Some(value), "{key}");
    }
    assert_eq!(after.len(), before.len());
}

#[tokio::test]
async fn a_user_who_may_not_see_all_keys_loads_too() {
    let Some(server) = RedisServer::start(&[]).await else {
        return;
    };
    fill(&server);
    let keys = [
        "~scheduler:*",
        "~operations:*",
        "~pending_operations:*",
        "~maestro:*",
    ];
    let user = [
        "ACL",
        "SETUSER",
        "ann",
        "on",
        ">secret",
        "&scheduler:*",
        "+@all",
    ];
    server.ask(&[&user[..], &keys].concat());
    let url = format!("redis://ann:secret@{}/0", server.address());
    let store = RedisStore::connect(&settings(&url)).await.unwrap();
    let loaded = store.load(&owned()).await;
    let ended: usize = loaded
        .iter()
        .map(|stored| stored.as_ref().unwrap().ended.len())
        .sum();
    assert_eq!(ended, 351);
}

#[tokio::test]
async fn the_figures_of_all_fleets_are_those_of_the_recording() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    fill(&server);
    let store = open(&server).await;
    // So many instances are not one page, whatever the size of a page.
    for room in 0..1000 {
        let instance = r#"{"status":{"type":3}}"#;
        let room = format!("made-up-{room}");
        let added = server.ask(&["HSET", "scheduler:empty:podMap", &room, instance]);
        assert!(!added.texts().is_empty());
    }
    server.ask(&["SET", "scheduler:other:podMap", "no hash"]);
    let names = [&NAMES[..], &["other", "unknown"]].concat();
    let figures = store.figures(&names, 10).await.unwrap();
    let counts = store.room_counts(&names).await.unwrap();
    let of = |name: &str| {
        let at = names.iter().position(|n| *n == name).unwrap();
        let figures = figures[at].unwrap();
        assert_eq!(figures.rooms, counts[at]);
        (figures.instances, figures.running_matches)
    };
    assert_eq!(of("arena-eu"), ([0, 0, 5, 0, 0], 2));
    assert_eq!(of("empty"), ([0, 0, 0, 1000, 0], 0));
    assert_eq!(of("unknown"), ([0; 5], 0));
    assert!(figures[6].is_none(), "its keys have other types");
}
