//! Nodes beside pools, full disks, other tools and former versions: real processes on one Postgres and one Redis.

mod support;

use maestro_testkit::servers::pgbouncer::PgBouncer;
use maestro_testkit::servers::postgres::PostgresServer;
use maestro_testkit::servers::redis::RedisServer;
use rustix::process::Signal;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::stores::{Stores, migrate, store_variables};
use support::{BINARY, Home, Maestro, eventually, seconds, signal};

const FLEETS: [&str; 3] = ["north", "east", "south"];

fn as_pairs(all: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = all.iter();
    pairs
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

async fn serves_all(node: &Maestro) -> bool {
    for fleet in FLEETS {
        let path = format!("/schedulers/{fleet}/rollout");
        if node.get(&path).await.0 != 200 {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_postgres_through_a_pool_in_transaction_mode() {
    let Some(server) = PostgresServer::start(&[]).await else {
        return;
    };
    let Some(pool) = PgBouncer::start(&server.address()).await else {
        return;
    };
    let Some(redis) = RedisServer::start(&[]).await else {
        return;
    };
    let database = server.database();
    // The lock of migrations spans statements, so they go to the server itself.
    migrate(&store_variables(database.url(), &redis.url()));
    let url = database.url().replace(&server.address(), &pool.address());
    let mut environment = store_variables(&url, &redis.url());
    environment.push(("MAESTRO_RUNTIME_TYPE".into(), "simulated".into()));
    let environment = as_pairs(&environment);
    let (first_home, second_home) = (Home::new(), Home::new());
    let first = first_home.start_with(&environment);
    let second = second_home.start_with(&environment);
    for fleet in FLEETS {
        let fleet = first_home.mute_fleet(fleet, 1);
        let created = first.post("/schedulers", &fleet).await;
        assert_eq!(created.0, 200, "{}", created.1);
    }
    assert!(eventually(seconds(20), || serves_all(&second)).await);
    let edited = second
        .patch("/schedulers/north", &json!({"maxSurge": "7"}))
        .await;
    let ended = second.done("north", edited).await;
    assert_eq!(ended["status"], "finished", "{ended}");
    first.kill();
    assert!(
        eventually(seconds(20), || serves_all(&second)).await,
        "{}",
        second.logged()
    );
    let edited = second
        .patch("/schedulers/east", &json!({"maxSurge": "7"}))
        .await;
    assert_eq!(second.done("east", edited).await["status"], "finished");
    assert!(second.stop().success());
}

/// Redis writes no more once it could not save to its disk (MISCONF).
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_cannot_save_takes_no_changes_and_pings_go_on() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let home = Home::new();
    let node = stores.node(&home);
    let created = node.post("/schedulers", &home.mute_fleet("north", 2)).await;
    assert_eq!(created.0, 200, "{}", created.1);
    let rooms = || async {
        let (_, listed) = node.get("/schedulers/north/rooms").await;
        let rooms = listed["rooms"].as_array().cloned().unwrap_or_default();
        let ids = rooms.iter().filter(|room| room["host"].is_string());
        ids.map(|room| room["id"].as_str().expect("an id").to_owned())
            .collect::<Vec<_>>()
    };
    assert!(eventually(seconds(20), || async { rooms().await.len() == 2 }).await);
    let rooms = rooms().await;
    let ping = async |room: &String, status: &str| {
        let body = json!({"status": status, "timestamp": 1});
        node.ping("north", room, &body).await.1["success"] == true
    };
    assert!(ping(&rooms[0], "ready").await && ping(&rooms[1], "ready").await);
    node.wait_ready("north", 2).await;

    // A folder in the place of its file fails each save, also for root.
    let place = stores.redis.folder().join("dump.rdb");
    std::fs::create_dir(&place).expect("a folder");
    stores.redis.ask(&["CONFIG", "SET", "save", "3600 1"]);
    stores.redis.ask(&["BGSAVE"]);
    let refuses = || async {
        let set = stores.redis.connection().ask(&["SET", "probe", "1"]);
        format!("{set:?}").contains("MISCONF")
    };
    assert!(eventually(seconds(10), refuses).await);
    let refused = || async {
        let (status, told) = node.allocate("north").await;
        status == 503 && told.to_string().contains("MISCONF")
    };
    assert!(eventually(seconds(10), refused).await, "{}", node.logged());
    assert!(ping(&rooms[0], "ready").await && ping(&rooms[1], "occupied").await);
    let (status, told) = node
        .patch("/schedulers/north", &json!({"maxSurge": "7"}))
        .await;
    assert_eq!(status, 503, "{told}");

    std::fs::remove_dir(&place).expect("it is empty");
    stores.redis.ask(&["BGSAVE"]);
    let stored = || async {
        let score = stores
            .redis
            .texts(&["ZSCORE", "scheduler:north:status", &rooms[1]]);
        score == ["4"] || score == ["3"]
    };
    assert!(
        eventually(seconds(20), stored).await,
        "what a room said meanwhile is written"
    );
    let given = || async { node.allocate("north").await.0 == 200 };
    assert!(eventually(seconds(20), given).await, "{}", node.logged());
    let edited = node
        .patch("/schedulers/north", &json!({"maxSurge": "7"}))
        .await;
    assert_eq!(node.done("north", edited).await["status"], "finished");
}

/// What another tool does to order rooms (contract 8.2).
fn push(stores: &Stores, id: &str) {
    let key = format!("operations:north:{id}");
    let now = jiff::Timestamp::now().to_string();
    let hash = [
        "HSET",
        &key,
        "id",
        id,
        "schedulerName",
        "north",
        "status",
        "0",
        "definitionName",
        "add_rooms",
        "createdAt",
        &now,
        "definitionContents",
        r#"{"amount":1}"#,
        "executionHistory",
        "null",
    ];
    stores.redis.ask(&hash);
    stores.redis.ask(&["RPUSH", "pending_operations:north", id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_tools_push_while_nodes_fail_is_carried_out_once() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let (home, second_home) = (Home::new(), Home::new());
    let fixed = [("MAESTRO_WORKERS_HEALTHCONTROLLERINTERVAL", "1h")];
    let first = stores.module("all", &home, &fixed);
    let created = first
        .post("/schedulers", &home.mute_fleet("north", 1))
        .await;
    assert_eq!(created.0, 200, "{}", created.1);
    first
        .until_info("north", "in sync", |info| info["state"] == "in-sync")
        .await;
    let ids = [1, 2, 3].map(|n| format!("00000000-0000-4000-8000-0000000000a{n}"));
    // To an owner that is stopped, to nobody, and to a new owner.
    signal(i32::try_from(first.pid()).expect("a pid"), Signal::STOP);
    push(&stores, &ids[0]);
    first.kill();
    push(&stores, &ids[1]);
    let second = stores.module("all", &second_home, &fixed);
    push(&stores, &ids[2]);
    for id in &ids {
        let ended = second.ended("north", id).await;
        assert_eq!(ended["status"], "finished", "{ended}");
    }
    let (_, history) = second
        .get("/schedulers/north/operations?stage=final&perPage=100")
        .await;
    let all = history["operations"].as_array().expect("a list").iter();
    let pushed = all.filter(|one| ids.iter().any(|id| one["id"] == **id));
    assert_eq!(pushed.count(), ids.len(), "{history}");
    assert_eq!(
        stores.redis.texts(&["LLEN", "pending_operations:north"]),
        ["0"]
    );
}

/// A copy of the program under the version before.
fn former(folder: &Path) -> Option<PathBuf> {
    let copy = folder.join("maestro");
    let mut sed = Command::new("sh");
    let version = env!("CARGO_PKG_VERSION");
    let script = format!(
        "LC_ALL=C sed 's/{}/0.0.9/g' \"$0\" > \"$1\" && chmod +x \"$1\"",
        version.replace('.', "\\.")
    );
    let made = sed.args(["-c", &script, BINARY]).arg(&copy).status();
    assert!(made.expect("a shell").success());
    let said = Command::new(&copy)
        .arg("--version")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    if !said.contains("0.0.9") {
        support::skip("the version is no text of this build's program");
        return None;
    }
    Some(copy)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_renewed_one_after_the_other_and_somebody_answers_always() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let Some(former) = former(folder.path()) else {
        return;
    };
    let homes = [Home::new(), Home::new()];
    let mut environment = stores.environment();
    environment.push(("MAESTRO_RUNTIME_TYPE".into(), "simulated".into()));
    let environment = as_pairs(&environment);
    let prelude = format!("exec '{}' \"$@\"", former.display());
    let start_former = |home: &Home| {
        let started = Maestro::try_start_after(&prelude, home.path(), &environment);
        started.unwrap_or_else(|log| panic!("{log}"))
    };
    let [one, two] = &homes;
    let (first, second) = (start_former(one), start_former(two));
    for fleet in FLEETS {
        let created = first.post("/schedulers", &one.mute_fleet(fleet, 1)).await;
        assert_eq!(created.0, 200, "{}", created.1);
    }
    assert!(eventually(seconds(20), || serves_all(&second)).await);
    let versions = || {
        stores
            .postgres
            .ask("SELECT DISTINCT version FROM maestro_node ORDER BY 1")
    };
    assert_eq!(versions(), ["0.0.9"]);
    // The other one takes over while the first is renewed, and so on.
    assert!(first.stop().success());
    assert!(
        eventually(seconds(20), || serves_all(&second)).await,
        "{}",
        second.logged()
    );
    assert_eq!(stores.owned().len(), FLEETS.len());
    let first = Maestro::start_with(one.path(), &environment);
    let both = || async { versions() == ["0.0.9", env!("CARGO_PKG_VERSION")] };
    assert!(eventually(seconds(20), both).await, "{:?}", versions());
    let edited = first
        .patch("/schedulers/north", &json!({"maxSurge": "7"}))
        .await;
    assert_eq!(first.done("north", edited).await["status"], "finished");
    assert!(second.stop().success());
    assert!(
        eventually(seconds(20), || serves_all(&first)).await,
        "{}",
        first.logged()
    );
    let edited = first
        .patch("/schedulers/east", &json!({"maxSurge": "7"}))
        .await;
    assert_eq!(first.done("east", edited).await["status"], "finished");
    assert_eq!(versions(), [env!("CARGO_PKG_VERSION")]);
}
