//! What operators see and steer of the nodes of a cluster: two processes on one Postgres and one Redis.

#[path = "support/command.rs"]
mod command;
#[path = "support/schema.rs"]
mod schema;
mod support;

use command::{bad, good};
use maestro_testkit::servers::postgres::PostgresServer;
use maestro_testkit::servers::redis::RedisServer;
use serde_json::{Value, json};
use std::time::Instant;
use support::stores::{Stores, migrate};
use support::{Home, Maestro, eventually, seconds};

const FLEETS: [&str; 4] = ["north", "east", "south", "west"];

/// Checked against its schema.
async fn seen(node: &Maestro) -> Value {
    let (status, page) = node.internal("GET", "/debug/nodes", None).await;
    assert_eq!(status, 200, "{page}");
    described(&page);
    page
}

fn described(page: &Value) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/debug-nodes.schema.json");
    let text = std::fs::read_to_string(path).expect("the schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(schema::undescribed(&schema), Vec::<String>::new());
    assert_eq!(schema::violations(&schema, page), Vec::<String>::new());
}

/// What both nodes say, without the moment and the node that they say it at.
fn shared(mut page: Value) -> Value {
    for member in ["at", "me"] {
        page[member] = Value::Null;
    }
    for node in page["nodes"].as_array_mut().expect("nodes") {
        node["me"] = Value::Null;
        node["lease_left_ms"] = Value::Null;
    }
    page
}

/// The row of the node that answers.
async fn me(node: &Maestro) -> Value {
    let page = seen(node).await;
    let rows = page["nodes"].as_array().expect("nodes").iter();
    let mine: Vec<_> = rows.filter(|row| row["me"] == true).collect();
    assert!(
        mine.len() == 1 && mine[0]["session"] == page["me"],
        "{page}"
    );
    mine[0].clone()
}

async fn has_samples(node: &Maestro, samples: &[&str]) -> bool {
    let (_, page) = node.internal("GET", "/metrics", None).await;
    let page = page.as_str().expect("a text");
    let has = |sample: &&str| page.lines().any(|line| line == *sample);
    samples.iter().all(has)
}

async fn owner(node: &Maestro, fleet: &str) -> Value {
    let path = format!("/debug/nodes?scheduler={fleet}");
    let (status, page) = node.internal("GET", &path, None).await;
    assert_eq!(status, 200, "{page}");
    described(&page);
    page["scheduler"]["owner"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_seen_from_each_and_drained_while_they_answer() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let (first_home, second_home) = (Home::new(), Home::new());
    let first = stores.node(&first_home);
    for fleet in FLEETS {
        let fleet = first_home.mute_fleet(fleet, 1);
        assert_eq!(first.post("/schedulers", &fleet).await.0, 200);
    }
    let second = stores.node(&second_home);
    let agreed = || async {
        let both = [shared(seen(&first).await), shared(seen(&second).await)];
        both[0]["nodes"].as_array().map(Vec::len) == Some(2) && both[0] == both[1]
    };
    assert!(
        eventually(seconds(20), agreed).await,
        "{}",
        seen(&first).await
    );
    let (one, two) = (me(&first).await, me(&second).await);
    assert_eq!((&one["owned"], &two["owned"]), (&json!(4), &json!(0)));
    let north = owner(&second, "north").await;
    assert_eq!(
        (&north["session"], &north["epoch"]),
        (&one["session"], &json!(1))
    );
    let nobody = second.internal("GET", "/debug/nodes?scheduler=nobody", None);
    assert_eq!(nobody.await.0, 404);
    as_commands_show(&second, &one, &two);
    drained(&first, &second, &one).await;
    // What is created through the drained node is not its own.
    let fleet = first_home.mute_fleet("new", 1);
    assert_eq!(first.post("/schedulers", &fleet).await.0, 200);
    assert_eq!(owner(&first, "new").await["session"], two["session"]);
    let said = good(&["node", "undrain", "--url", &first.internal]);
    assert!(said.contains("takes its share again"), "{said}");
    assert_eq!(me(&first).await["draining"], false);
}

fn as_commands_show(second: &Maestro, one: &Value, two: &Value) {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let table = good(&["nodes", "--url", &second.grpc, "--scheduler", "north"]);
    for shown in [
        &one["session"],
        &two["session"],
        &one["address"],
        &one["version"],
    ] {
        assert!(table.contains(&text(shown)), "{shown}: {table}");
    }
    assert!(
        table.contains("hosting") && table.contains("store: postgres"),
        "{table}"
    );
    assert!(table.contains("north: owned by"), "{table}");
    let page = good(&["nodes", "--json", "--url", &second.grpc]);
    described(&serde_json::from_str(&page).expect("JSON"));
    // Both run on this machine, so its name is not enough.
    let sessions = [text(&one["session"]), text(&two["session"])];
    let order = [
        "node",
        "drain",
        &text(&one["name"]),
        "--url",
        &second.internal,
    ];
    bad(&order, &["several nodes", &sessions[0], &sessions[1]]);
}

/// The order is given at the other node. No other one can see simulated rooms, so at first all schedulers stay.
async fn drained(first: &Maestro, second: &Maestro, one: &Value) {
    let address = one["address"].as_str().expect("an address");
    let order = ["node", "drain", address, "--url", &second.internal];
    let said = good(&order);
    assert!(
        said.contains("drains: it owns 4 schedulers\n4 of them stay"),
        "{said}"
    );
    assert_eq!(me(first).await["draining"], true);
    let begun = Instant::now();
    let said = good(&[&order[..], &["--leave-rooms"]].concat());
    assert!(!said.contains("stay"), "{said}");
    let gone = || async {
        for fleet in FLEETS {
            let (status, answer) = first.get(&format!("/schedulers/{fleet}/rollout")).await;
            // A caller that waited for a second repeats its call.
            assert!([200, 503].contains(&status), "{fleet}: {status} {answer}");
        }
        me(second).await["owned"] == 4
    };
    assert!(
        eventually(seconds(20), gone).await,
        "{}",
        seen(second).await
    );
    println!("all are owned elsewhere after {:?}", begun.elapsed());
    let answered = || async {
        let mut all = true;
        for fleet in FLEETS {
            let path = format!("/schedulers/{fleet}/rollout");
            all &= first.get(&path).await.0 == 200;
        }
        all
    };
    assert!(eventually(seconds(20), answered).await, "it routes");
    let counted = || async {
        let taken = [
            "maestro_cluster_nodes 2",
            "maestro_cluster_owned_schedulers 4",
            "maestro_cluster_takeovers_total{cause=\"hand_over\"} 4",
            "maestro_cluster_unowned_seconds_count 4",
            "maestro_cluster_outbox_batches 0",
        ];
        has_samples(second, &taken).await
            && has_samples(first, &["maestro_cluster_owned_schedulers 0"]).await
    };
    assert!(
        eventually(seconds(20), counted).await,
        "metrics of ownership"
    );
    let method = "grpc_service=\"maestro.v1.ControlService\",grpc_type=\"unary\"";
    let sample = format!(
        "maestro_node_grpc_server_handled_total{{grpc_code=\"OK\",grpc_method=\"DrainNode\",{method}}} 2"
    );
    assert!(has_samples(first, &[&sample]).await, "{sample}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_away_each_node_tells_what_it_saw_last() {
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
    let (first_home, second_home) = (Home::new(), Home::new());
    let first = stores.node(&first_home);
    let fleet = first_home.mute_fleet("north", 1);
    assert_eq!(first.post("/schedulers", &fleet).await.0, 200);
    let second = stores.node(&second_home);
    let both = || async {
        let owned = owner(&second, "north").await;
        let nodes = seen(&second).await["nodes"].as_array().map(Vec::len);
        nodes == Some(2) && owned["session"] == me(&first).await["session"]
    };
    assert!(eventually(seconds(20), both).await);
    let session = me(&first).await["session"].clone();
    // It has listed the schedulers since.
    let path = "/schedulers/north/rollout";
    assert!(eventually(seconds(20), || async { second.get(path).await.0 == 200 }).await);
    assert!(seen(&second).await.get("remembered").is_none());

    server.kill();
    let remembers = || async { seen(&second).await["remembered"]["age_ms"].is_u64() };
    assert!(eventually(seconds(20), remembers).await);
    let page = seen(&second).await;
    assert_eq!(page["nodes"].as_array().map(Vec::len), Some(2), "{page}");
    assert_eq!(owner(&second, "north").await["session"], session);
    let row = me(&second).await;
    assert_eq!(
        (&row["owned"], &row["lease_left_ms"]),
        (&json!(0), &Value::Null)
    );
    let table = good(&["nodes", "--url", &second.grpc]);
    assert!(table.contains("the store cannot be read"), "{table}");
    let (status, told) = second.internal("GET", "/debug/actors", None).await;
    assert_eq!(status, 200, "{told}");
    let asked = Instant::now();
    seen(&second).await;
    assert!(asked.elapsed() < seconds(3), "{:?}", asked.elapsed());

    server.again().await;
    let fresh = || async { seen(&second).await.get("remembered").is_none() };
    assert!(eventually(seconds(20), fresh).await);
}
