//! Versions that are started, published and stopped one by one, on the built binary with rooms that are processes: over
//! HTTP, and over gRPC with a client that knows only what reflection reports.

#[path = "support/grpc.rs"]
mod grpc;
mod support;

#[path = "versions/far.rs"]
mod far;
#[path = "versions/orders.rs"]
mod orders;
#[path = "versions/waits.rs"]
mod waits;
#[path = "versions/watches.rs"]
mod watches;

use serde_json::{Value, json};
use support::{Answer, Home, Maestro, eventually, history, seconds};

const V1: &str = "v1.0.0";
const V2: &str = "v2.0.0";

fn path(version: &str, what: &str) -> String {
    format!("/schedulers/arena/versions/{version}/{what}")
}

/// Gives an order, and waits for it.
async fn order(maestro: &Maestro, version: &str, what: &str) -> Answer {
    let wait = match what.contains('?') {
        true => "&wait=30s",
        false => "?wait=30s",
    };
    maestro
        .post(&path(version, &format!("{what}{wait}")), &json!({}))
        .await
}

/// An order that succeeds; what it says.
async fn done(maestro: &Maestro, version: &str, what: &str) -> Value {
    let (status, answer) = order(maestro, version, what).await;
    assert_eq!(status, 200, "{what} of {version}: {answer}");
    answer
}

async fn configure(maestro: &Maestro, version: &str, query: &str, config: Value) -> Answer {
    let url = format!("{}{}{query}", maestro.management, path(version, "config"));
    maestro
        .call("PUT", &url, Some(&json!({"config": config})))
        .await
}

async fn state(maestro: &Maestro, version: &str) -> String {
    let (status, answer) = maestro.get(&path(version, "status")).await;
    assert_eq!(status, 200, "{answer}");
    answer["state"].as_str().expect("a word").to_owned()
}

async fn until_state(maestro: &Maestro, version: &str, wanted: &str) {
    let came = eventually(seconds(30), async || {
        state(maestro, version).await == wanted
    })
    .await;
    let (_, now) = maestro.get(&path(version, "status")).await;
    assert!(came, "{version} is not {wanted}: {now}");
}

/// The ids of a version's rooms, in order.
async fn rooms(maestro: &Maestro, version: &str) -> Vec<String> {
    let (status, answer) = maestro
        .get(&format!("/schedulers/arena/rooms?version={version}"))
        .await;
    assert_eq!(status, 200, "{answer}");
    let all = answer["rooms"].as_array().expect("rooms").iter();
    all.map(|room| room["id"].as_str().expect("an id").to_owned())
        .collect()
}

async fn ping(maestro: &Maestro, room: &str, status: &str) {
    let body = json!({"status": status, "timestamp": 1});
    let (code, answer) = maestro.ping("arena", room, &body).await;
    assert_eq!((code, &answer["success"]), (200, &json!(true)), "{room}");
}

/// Pings for all rooms of a version until it is in a state.
async fn ping_until(maestro: &Maestro, version: &str, wanted: &str) {
    let came = eventually(seconds(30), async || {
        for room in rooms(maestro, version).await {
            let body = json!({"status": "ready", "timestamp": 1});
            maestro.ping("arena", &room, &body).await;
        }
        state(maestro, version).await == wanted
    });
    assert!(came.await, "{version} is {}", state(maestro, version).await);
}

/// Stores `v2.0.0` beside a version that is published: it differs in the environment of its rooms.
async fn store_second(maestro: &Maestro) {
    let patch =
        json!({"spec": {"containers": [{"environment": [{"name": "BUILD", "value": "2"}]}]}});
    let answer = maestro.patch("/schedulers/arena", &patch).await;
    let operation = maestro.done("arena", answer).await;
    assert_eq!(operation["status"], "finished", "{}", history(&operation));
}

/// Two rooms of `v1.0.0`, which is published, and `v2.0.0`, which is stored.
async fn two_versions(home: &Home) -> Maestro {
    let maestro = home.start();
    maestro.bring_up(&home.fleet("arena", 2)).await;
    done(&maestro, V1, "start").await;
    done(&maestro, V1, "publish").await;
    store_second(&maestro).await;
    assert_eq!(state(&maestro, V2).await, "STOPPED");
    maestro
}
