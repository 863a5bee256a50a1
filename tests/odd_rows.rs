//! What the original's weaknesses leave in Postgres and Redis (contract 11): a node opens it, heals it and serves the
//! fleet, on real stores.

mod support;

use serde_json::{Value, json};
use support::stores::Stores;
use support::{Home, Maestro, eventually, history, seconds};

/// As the original writes it; two rooms.
const DOCUMENT: &str = include_str!("takeover/odd/document.yaml");

/// The fleets, by what is odd about them.
const FLEETS: [&str; 6] = [
    "half-expired",
    "no-lease",
    "no-operation",
    "no-version-row",
    "null-options",
    "orphan-rows",
];

fn scheduler(stores: &Stores, name: &str, document: &str, state: &str, has_version: bool) {
    stores.postgres.ask(&format!(
        "INSERT INTO schedulers (name, game, yaml, state, state_last_changed_at, version)
         VALUES ('{name}', 'game', '{document}', '{state}', 1, 'v1.0.0')"
    ));
    if has_version {
        stores.postgres.ask(&format!(
            "INSERT INTO scheduler_versions (name, version, yaml) VALUES ('{name}', 'v1.0.0', '{document}')"
        ));
    }
}

/// The original's hash of an operation.
fn operation(stores: &Stores, scheduler: &str, id: &str, status: &str) {
    let key = format!("operations:{scheduler}:{id}");
    let words = [
        "HSET",
        &key,
        "id",
        id,
        "schedulerName",
        scheduler,
        "status",
        status,
        "definitionName",
        "add_rooms",
        "createdAt",
        "2026-11-27T23:30:09.969880138Z",
        "definitionContents",
        r#"{"amount":1}"#,
        "executionHistory",
        "null",
    ];
    stores.redis.ask(&words);
}

const RUNNING: &str = "00000000-0000-4000-8000-0000000000a1";
const HALF: [&str; 3] = [
    "00000000-0000-4000-8000-0000000000b1",
    "00000000-0000-4000-8000-0000000000b2",
    "00000000-0000-4000-8000-0000000000b3",
];

fn fill(stores: &Stores) {
    let redis = |words: &[&str]| drop(stores.redis.ask(words));
    // A crash between the row and its operation (11.7), and one before the row of the version.
    scheduler(stores, "no-operation", DOCUMENT, "creating", true);
    scheduler(stores, "no-version-row", DOCUMENT, "in-sync", false);
    // A killed worker: in progress for ever, and it blocks all edits (11.1).
    scheduler(stores, "no-lease", DOCUMENT, "creating", true);
    operation(stores, "no-lease", RUNNING, "1");
    redis(&[
        "ZADD",
        "operations:no-lease:lists:active",
        "1795822347",
        RUNNING,
    ]);
    // Hashes that have expired, or came back in part with a late write (11.13, 11.14).
    scheduler(stores, "half-expired", DOCUMENT, "in-sync", true);
    let [queued, ended, running] = HALF;
    redis(&["RPUSH", "pending_operations:half-expired", queued]);
    redis(&[
        "ZADD",
        "operations:half-expired:lists:history",
        "1795822347",
        ended,
    ]);
    redis(&[
        "HSET",
        &format!("operations:half-expired:{ended}"),
        "status",
        "3",
    ]);
    redis(&[
        "ZADD",
        "operations:half-expired:lists:active",
        "1795822347",
        running,
    ]);
    redis(&[
        "HSET",
        &format!("operations:half-expired:{running}"),
        "executionHistory",
        "null",
    ]);
    let forwarder = "Forwarders:\n- Address: 127.0.0.1:1\n  Enabled: false\n  ForwardType: gRPC\n  Name: mm\n  Options: null\n";
    let document = DOCUMENT.replace("Forwarders: null\n", forwarder);
    scheduler(stores, "null-options", &document, "in-sync", true);
    // What is left of rooms: a late ping's hash, an index without hashes, an instance of nothing (11.20, 11.21).
    scheduler(stores, "orphan-rows", DOCUMENT, "in-sync", true);
    redis(&[
        "HSET",
        "scheduler:orphan-rows:rooms:late",
        "ping_status",
        "1",
    ]);
    for set in ["status", "ping", "occupancy"] {
        redis(&[
            "ZADD",
            &format!("scheduler:orphan-rows:{set}"),
            "2",
            "hollow",
        ]);
    }
    redis(&[
        "HSET",
        "scheduler:orphan-rows:podMap",
        "nothing",
        r#"{"id":"nothing","status":{"type":2}}"#,
    ]);
    // Rooms of a scheduler that has no row.
    redis(&["ZADD", "scheduler:nobody:status", "2", "r-1"]);
    redis(&["HSET", "scheduler:nobody:rooms:r-1", "version", "v1.0.0"]);
}

/// Its rooms, once there are two that have been made.
async fn rooms(node: &Maestro, fleet: &str) -> Vec<String> {
    let path = format!("/schedulers/{fleet}/rooms");
    let two = || async {
        let (_, rooms) = node.get(&path).await;
        let rooms = rooms["rooms"].as_array().cloned().unwrap_or_default();
        rooms.len() == 2 && rooms.iter().all(|room| room["host"].is_string())
    };
    let came = eventually(seconds(30), two).await;
    let (_, listed) = node.get(&path).await;
    assert!(came, "{fleet}: {listed}\n{}", node.logged());
    let all = listed["rooms"].as_array().expect("a list").iter();
    all.map(|room| room["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// Rooms are made, one is given, and an edit is carried out.
async fn served(node: &Maestro, fleet: &str) {
    let rooms = rooms(node, fleet).await;
    let ping = json!({"status": "ready", "timestamp": 1});
    for room in &rooms {
        let pinged = || async { node.ping(fleet, room, &ping).await.1["success"] == true };
        assert!(eventually(seconds(30), pinged).await, "{fleet}: {room}");
    }
    node.wait_ready(fleet, 2).await;
    let (status, given) = node.allocate(fleet).await;
    assert_eq!(status, 200, "{fleet}: {given}");
    let path = format!("/schedulers/{fleet}");
    let edited = node.patch(&path, &json!({"maxSurge": "7"})).await;
    let ended = node.done(fleet, edited).await;
    assert_eq!(ended["status"], "finished", "{fleet}: {}", history(&ended));
    node.until_info(fleet, "in sync", |info| info["state"] == "in-sync")
        .await;
    for stage in ["pending", "active", "final"] {
        node.operations(fleet, stage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_originals_weaknesses_leave_is_opened_healed_and_served() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    fill(&stores);
    let home = Home::new();
    let node = stores.node(&home);
    let (_, listed) = node.get("/schedulers").await;
    let names = listed["schedulers"].as_array().expect("a list").iter();
    let names: Vec<&str> = names.filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, FLEETS);
    for fleet in FLEETS {
        served(&node, fleet).await;
    }
    let operation = node.ended("no-lease", RUNNING).await;
    assert_eq!(operation["status"], "error", "{}", history(&operation));
    let (_, shown) = node.get("/schedulers/null-options").await;
    let options = &shown["scheduler"]["forwarders"][0]["options"];
    assert!(
        options.is_null() || options["timeout"] == 0 || options["timeout"] == "0",
        "{options}"
    );

    let left = stores
        .redis
        .texts(&["HKEYS", "scheduler:orphan-rows:podMap"]);
    assert!(!left.contains(&"nothing".to_owned()), "{left:?}");
    let left = stores
        .redis
        .texts(&["ZRANGE", "scheduler:orphan-rows:status", "0", "-1"]);
    assert!(!left.contains(&"hollow".to_owned()), "{left:?}");
    // Nobody's rooms are left for people to look at.
    let left: Value = json!(
        stores
            .redis
            .texts(&["ZRANGE", "scheduler:nobody:status", "0", "-1"])
    );
    assert_eq!(left, json!(["r-1"]));
    assert!(node.stop().success());
}
