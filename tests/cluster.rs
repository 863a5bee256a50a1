//! Several processes on one Postgres and one Redis: each scheduler has one owner, and any of them answers.

mod support;

use maestro_testkit::servers::postgres::PostgresServer;
use maestro_testkit::servers::redis::RedisServer;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::stores::{Stores, migrate};
use support::{Home, Maestro, eventually, seconds};

const FLEETS: [&str; 4] = ["north", "east", "south", "west"];

/// A session lasts three seconds.
const LONGER_THAN_A_SESSION: Duration = Duration::from_secs(4);

async fn serves(node: &Maestro, fleet: &str) -> bool {
    let path = format!("/schedulers/{fleet}/rollout");
    node.get(&path).await.0 == 200
}

async fn serves_all(node: &Maestro) -> bool {
    for fleet in FLEETS {
        if !serves(node, fleet).await {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_answers_and_what_a_killed_one_owned_goes_on() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let (first_home, second_home) = (Home::new(), Home::new());
    let first = stores.node(&first_home);
    let second = stores.node(&second_home);
    for fleet in FLEETS {
        let created = first
            .post("/schedulers", &first_home.mute_fleet(fleet, 2))
            .await;
        assert_eq!(created.0, 200, "{}", created.1);
    }
    assert!(eventually(seconds(30), || serves_all(&second)).await);
    let owned = stores.owned();
    assert_eq!(owned, ["east", "north", "south", "west"]);
    // An order to a node that owns none of them reaches the owner.
    let edited = second
        .patch("/schedulers/north", &json!({"roomsReplicas": 3}))
        .await;
    assert_eq!(edited.0, 200, "{}", edited.1);
    let has_grown = || async {
        let (_, rooms) = second.get("/schedulers/north/rooms").await;
        rooms["rooms"].as_array().map(Vec::len) == Some(3)
    };
    assert!(eventually(seconds(30), has_grown).await);
    let url = format!("{}/debug/actors", second.internal);
    let (_, actors) = second.call("GET", &url, None).await;
    let named = actors["actors"].as_array().cloned().unwrap_or_default();
    let shown = |fleet: &&str| named.iter().any(|actor: &Value| actor["name"] == **fleet);
    assert!(FLEETS.iter().all(shown), "{actors}");

    let killed = Instant::now();
    first.kill();
    assert!(eventually(seconds(30), || serves_all(&second)).await);
    println!("served again after {:?}", killed.elapsed());
    assert_eq!(stores.owned().len(), FLEETS.len());
    assert!(second.stop().success());
    assert!(
        stores.owned().is_empty(),
        "a planned stop frees them at once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn schedulers_stay_where_they_are_when_postgres_was_away() {
    let (Some(mut server), Some(redis)) = (
        PostgresServer::start(&[]).await,
        RedisServer::start(&[]).await,
    ) else {
        return;
    };
    let stores = Stores {
        postgres: server.database(),
        redis,
    };
    migrate(&stores.environment());
    let homes = [Home::new(), Home::new()];
    let nodes = homes.each_ref().map(|home| stores.node(home));
    // Neither node sees the rooms of the other.
    for (fleet, (node, home)) in FLEETS.iter().zip(nodes.iter().zip(&homes).cycle()) {
        let created = node.post("/schedulers", &home.mute_fleet(fleet, 1)).await;
        assert_eq!(created.0, 200, "{}", created.1);
    }
    let owners = || {
        stores
            .postgres
            .ask("SELECT scheduler, session, epoch FROM maestro_owner ORDER BY 1")
    };
    let sessions = "SELECT DISTINCT session FROM maestro_owner";
    let on_both = || async {
        stores.postgres.ask(sessions).len() == 2 && stores.owned().len() == FLEETS.len()
    };
    assert!(eventually(seconds(30), on_both).await, "{:?}", owners());
    let before = owners();

    server.kill();
    tokio::time::sleep(LONGER_THAN_A_SESSION).await;
    server.again().await;
    let all_owned = || async { stores.owned().len() == FLEETS.len() };
    assert!(eventually(seconds(30), all_owned).await);
    // Each node has renewed its own, so that nobody takes them any more.
    tokio::time::sleep(LONGER_THAN_A_SESSION).await;
    assert_eq!(stores.owned().len(), FLEETS.len());
    assert_eq!(owners(), before);
    for fleet in FLEETS {
        assert!(serves(&nodes[0], fleet).await && serves(&nodes[1], fleet).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_secret_does_not_start_beside_the_others() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let homes = [Home::new(), Home::new()];
    let environment = stores.environment();
    let with = |home: &Home, secret: &str| {
        let shared = environment
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let own = [
            ("MAESTRO_RUNTIME_TYPE", "simulated"),
            ("MAESTRO_CLUSTER_SECRET", secret),
        ];
        home.try_start(&shared.chain(own).collect::<Vec<_>>())
    };
    let one = with(&homes[0], "correct-horse-battery").expect("it is the first");
    for other in ["incorrect-horse-battery", ""] {
        let log = with(&homes[1], other).err().expect("it is refused");
        assert!(log.contains("cluster.secret is another one"), "{log}");
        assert!(!log.contains("horse"), "{log}");
    }
    let same = with(&homes[1], "correct-horse-battery").expect("it is the same");
    let created = same
        .post("/schedulers", &homes[1].mute_fleet("north", 1))
        .await;
    assert_eq!(created.0, 200, "{}", created.1);
    assert!(eventually(seconds(10), || serves(&one, "north")).await);
    // Once no node runs, any secret is as good as any other.
    assert!(same.stop().success() && one.stop().success());
    with(&homes[0], "incorrect-horse-battery").expect("it is the first again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_room_that_nobody_owns_is_read_from_the_store() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let home = Home::new();
    let node = stores.node(&home);
    let address =
        json!({"host": "10.0.0.7", "ports": [{"name": "game", "port": 40123, "protocol": "UDP"}]});
    for (room, pod) in [
        ("placed", json!({"id": "placed", "address": address})),
        ("waiting", json!({"id": "waiting"})),
    ] {
        let pod = pod.to_string();
        stores
            .redis
            .ask(&["HSET", "scheduler:stray:podMap", room, &pod]);
    }
    let address_of = async |room: &str| {
        let path = format!("/scheduler/stray/rooms/{room}/address");
        let url = format!("{}{path}", node.rooms);
        node.call("GET", &url, None).await
    };
    let (status, told) = address_of("placed").await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["host"], "10.0.0.7", "{told}");
    assert_eq!(told["ports"][0]["port"], 40123, "{told}");
    let (status, told) = address_of("waiting").await;
    assert_eq!((status, &told["code"]), (503, &json!(14)), "{told}");
    let (status, told) = address_of("unheard-of").await;
    assert_eq!((status, &told["code"]), (404, &json!(5)), "{told}");
}

/// Requests over one connection for each client, until the node takes no more. Each answer must be a good one.
async fn asks_until_the_end(url: String, asked: Arc<AtomicU64>) -> Vec<String> {
    let client = reqwest::Client::new();
    let mut bad = Vec::new();
    // An error is a connection that the node did not take, or ended between two requests.
    while let Ok(answer) = client.get(&url).send().await {
        asked.fetch_add(1, Relaxed);
        let status = answer.status();
        let text = answer
            .text()
            .await
            .unwrap_or_else(|why| format!("cut: {why}"));
        if status != 200 || text.starts_with("cut") {
            bad.push(format!("{status} {text}"));
        }
    }
    bad
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_answers_all_that_it_accepted() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let homes = [Home::new(), Home::new()];
    let nodes = homes.each_ref().map(|home| stores.node(home));
    for fleet in FLEETS {
        let created = nodes[0]
            .post("/schedulers", &homes[0].mute_fleet(fleet, 1))
            .await;
        assert_eq!(created.0, 200, "{}", created.1);
    }
    assert!(eventually(seconds(30), || serves_all(&nodes[1])).await);
    let [other, stopped] = nodes;
    let asked = Arc::new(AtomicU64::new(0));
    // Some of these it owns, others are routed.
    let clients = FLEETS.iter().cycle().take(16).map(|fleet| {
        let url = format!("{}/schedulers/{fleet}/rollout", stopped.management);
        tokio::spawn(asks_until_the_end(url, asked.clone()))
    });
    let clients: Vec<_> = clients.collect();
    let busy = || async { asked.load(Relaxed) > 200 };
    assert!(eventually(seconds(20), busy).await);
    let ended = tokio::task::spawn_blocking(move || stopped.stop());
    for client in clients {
        let bad = client.await.expect("no panic");
        assert!(bad.is_empty(), "{} answers, such as {}", bad.len(), bad[0]);
    }
    assert!(ended.await.expect("no panic").success());
    assert!(eventually(seconds(30), || serves_all(&other)).await);
}
