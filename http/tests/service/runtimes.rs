//! Runtimes: who may create one, what each wait is answered, and failures.

use std::time::Duration;

use actix_web::http::{Method, header};
use actix_web::test::TestRequest;
use maestro_api::RequestContext;
use maestro_api::codec::decode;
use maestro_api::codec::messages::runtime::Request;
use maestro_core::domain::PlatformFault;
use maestro_core::ports::PlatformError;
use maestro_testkit::fake::Gate;
use serde_json::{Value, json};

use crate::fleet::{Fleet, Reply, Server, TOKEN};

const RUNTIME: &str = "/schedulers/lobby/runtime";

async fn ordered_of(fleet: &Fleet, path: &str, body: &Value) -> Reply {
    let token = (header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    let request = TestRequest::default().method(Method::POST).uri(path);
    let request = request.insert_header(token);
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    fleet
        .raw(&Server::Management, request.set_payload(body))
        .await
}

async fn ordered(fleet: &Fleet, query: &str) -> Reply {
    ordered_of(fleet, &format!("{RUNTIME}{query}"), &Value::Null).await
}

async fn status(fleet: &Fleet, query: &str) -> Reply {
    fleet.get(&format!("{RUNTIME}/status{query}")).await
}

#[actix_web::test]
async fn a_runtime_needs_the_token_and_its_status_does_not() {
    let fleet = Fleet::start(false).await;
    let refused = fleet.send(Method::POST, RUNTIME, Value::Null).await;
    assert_eq!((refused.status, refused.failure().1), (401, 16));
    let unknown = status(&fleet, "").await.failure();
    assert_eq!((unknown.0, unknown.1), (404, 5), "nothing was ordered");
    assert!(fleet.platform.made().is_empty());

    let made = ordered(&fleet, "?wait=10s").await.ok();
    assert_eq!(made["status"], "finished");
    let again = ordered(&fleet, "?wait=10s").await.ok();
    assert_ne!(again["operation_id"], made["operation_id"]);
    assert_eq!(fleet.platform.made(), ["lobby"]);
    let told = status(&fleet, "").await.ok();
    assert_eq!(told["Status"], "STARTED");
    assert_eq!(told["conditions"][0], "Namespace: the namespace lobby");
}

#[actix_web::test]
async fn an_order_is_answered_at_once_or_when_its_wait_is_over() {
    let fleet = Fleet::start(false).await;
    let gate = Gate::closed();
    fleet.platform.hold(&gate);
    let accepted = ordered(&fleet, "").await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let operation = accepted.json()["operation_id"].clone();
    assert!(
        operation.as_str().is_some_and(|id| !id.is_empty()),
        "{accepted:?}"
    );
    // A repeated order refers to the same operation, and says which one goes on.
    let late = ordered(&fleet, "?wait=300ms").await;
    let (code, number, text) = late.failure();
    assert_eq!((code, number), (504, 4));
    assert!(text.contains(operation.as_str().unwrap()), "{text}");
    assert_eq!(late.operation.as_deref(), operation.as_str());
    let told = status(&fleet, "?wait=300ms").await.ok();
    assert_eq!(told["Status"], "CREATING");
    gate.open();
    let told = status(&fleet, "?wait=10s").await.ok();
    assert_eq!(told["Status"], "STARTED", "{told}");
}

/// Calls reach the owner through other nodes, which do not wait for longer than an owner needs.
#[actix_web::test]
async fn an_owner_waits_for_nothing() {
    let fleet = Fleet::start(false).await;
    let gate = Gate::closed();
    fleet.platform.hold(&gate);
    let runtimes = fleet.apis().runtimes;
    let about = || {
        let body = json!({"runtime": {"namespace": "lobby"}, "wait_seconds": 60});
        decode::<Request>(body.to_string().as_bytes()).expect("a message")
    };
    let context = RequestContext::internal();
    let created = async {
        let ordered = runtimes.create(&context, about()).await.expect("an order");
        let seen = runtimes.runtime_status(&context, about()).await;
        (ordered.status, seen.expect("an answer").Status)
    };
    let answers = tokio::time::timeout(Duration::from_secs(5), created).await;
    let (ordered, seen) = answers.expect("no wait");
    assert_eq!((&*ordered, &*seen), ("pending", "CREATING"));
}

#[actix_web::test]
async fn a_wait_ends_when_the_node_shuts_down() {
    let fleet = Fleet::start(false).await;
    let gate = Gate::closed();
    fleet.platform.hold(&gate);
    let closed = async {
        fleet
            .until("the order is there", async |fleet| {
                status(fleet, "").await.status == 200
            })
            .await;
        fleet.waits.close();
    };
    let (told, ()) = tokio::join!(ordered(&fleet, "?wait=60s"), closed);
    let (code, number, text) = told.failure();
    assert_eq!((code, number), (503, 14), "{text}");
    let id = told.operation.expect("the operation is named");
    assert!(
        text.contains("shutting down") && text.contains(&id),
        "{text}"
    );
    let seen = status(&fleet, "?wait=60s").await.ok();
    assert_eq!(seen["Status"], "CREATING");
}

#[actix_web::test]
async fn a_wait_outlives_a_platform_that_is_away_for_a_moment() {
    let fleet = Fleet::start(false).await;
    ordered(&fleet, "?wait=10s").await.ok();
    let away = PlatformError::new(PlatformFault::Unavailable, "away");
    fleet.platform.fail(Some(away));
    assert_eq!(status(&fleet, "").await.status, 503);
    let back = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        fleet.platform.fail(None);
    };
    let (seen, ()) = tokio::join!(status(&fleet, "?wait=30s"), back);
    assert_eq!(seen.ok()["Status"], "STARTED");
}

#[actix_web::test]
async fn a_wait_sees_what_happens_until_its_end() {
    let fleet = Fleet::start(false).await;
    fleet.platform.unready(true);
    ordered(&fleet, "?wait=10s").await.ok();
    // The pauses alone would end after 0.5 and 1.5 s; those of the short wait, never.
    for (wait, ready) in [("3s", 2_000), ("500ms", 100)] {
        let query = format!("?wait={wait}");
        let sees = async || {
            fleet.platform.unready(true);
            let gets_ready = async {
                tokio::time::sleep(Duration::from_millis(ready)).await;
                fleet.platform.unready(false);
            };
            let (seen, ()) = tokio::join!(status(&fleet, &query), gets_ready);
            seen.ok()["Status"] == "STARTED"
        };
        // On a busy machine the last look may not be back in time.
        let mut tries = 0..5;
        let mut is_seen = false;
        while !is_seen && tries.next().is_some() {
            is_seen = sees().await;
        }
        assert!(is_seen, "{wait}");
    }
}

#[actix_web::test]
async fn a_runtime_that_is_never_ready_is_in_error_after_its_time() {
    let fleet = Fleet::start(false).await;
    fleet.platform.unready(true);
    ordered(&fleet, "?wait=10s").await.ok();
    assert_eq!(status(&fleet, "").await.ok()["Status"], "CREATING");
    let told = status(&fleet, "?wait=30s").await.ok();
    assert_eq!(told["Status"], "ERROR");
    assert_eq!(told["conditions"][1], "Operator: not ready: its pod");
}

#[actix_web::test]
async fn a_platform_that_refuses_has_its_statuses() {
    let fleet = Fleet::start(false).await;
    for (fault, code, number) in [
        (PlatformFault::Foreign, 409, 6),
        (PlatformFault::Invalid, 400, 3),
        (PlatformFault::Forbidden, 403, 7),
        (PlatformFault::Unavailable, 503, 14),
    ] {
        fleet.platform.fail(Some(PlatformError::new(fault, "why")));
        let refused = ordered(&fleet, "?wait=10s").await;
        let (status, told, text) = refused.failure();
        assert_eq!((status, told), (code, number), "{fault:?}: {text}");
        assert!(text.contains("why"), "{text}");
        assert!(refused.operation.is_some(), "{fault:?}");
    }
    let told = status(&fleet, "").await.ok();
    assert_eq!(told["Status"], "ERROR", "{told}");
}

#[actix_web::test]
async fn nothing_is_ordered_of_what_cannot_be() {
    let fleet = Fleet::start(false).await;
    let named = |namespace: &str| json!({"runtime": {"namespace": namespace}});
    for (path, body, part) in [
        ("/schedulers/No%20Name/runtime", Value::Null, "No Name"),
        (RUNTIME, named("arena"), "arena"),
        (RUNTIME, json!({"runtime": 7}), "unexpected token 7"),
        (
            "/schedulers/lobby/runtime?wait=soon",
            Value::Null,
            "30s, 500ms or 5m",
        ),
        ("/schedulers/lobby/runtime?weit=5s", Value::Null, "weit"),
    ] {
        let (status, number, text) = ordered_of(&fleet, path, &body).await.failure();
        assert_eq!((status, number), (400, 3), "{path} {body}");
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(status(&fleet, "").await.status, 404);
    // What the original needs is taken, and not used.
    let minio = json!({"accessKey": "a", "secretKey": "s"});
    let body = json!({"runtime": {"name": "The Lobby", "namespace": "lobby", "minio": minio}});
    let made = ordered_of(&fleet, &format!("{RUNTIME}?wait=10s"), &body).await;
    assert_eq!(made.ok()["status"], "finished");
    let wrong = fleet.send(Method::DELETE, RUNTIME, Value::Null).await;
    assert_eq!(wrong.failure().1, 12);
}

#[actix_web::test]
async fn a_publication_is_done_when_the_platform_shows_the_version() {
    let fleet = Fleet::start(false).await;
    fleet.create(0).await;
    let version = "/schedulers/arena/versions/v1.0.0";
    let there = async |fleet: &Fleet| fleet.get(&format!("{version}/status")).await.status == 200;
    fleet.until("the version is there", there).await;
    let start = format!("{version}/start?wait=10s");
    ordered_of(&fleet, &start, &Value::Null).await.ok();
    let gate = Gate::closed();
    fleet.platform.hold(&gate);
    let publish = format!("{version}/publish?wait=500ms");
    let late = ordered_of(&fleet, &publish, &Value::Null).await;
    assert_eq!(late.failure().0, 504, "{late:?}");
    assert_eq!(fleet.platform.shown().published, None);
    gate.open();
    let id = json!(late.operation.expect("it goes on"));
    assert_eq!(fleet.operation_ends(&id).await, "finished");
    let shown = fleet.platform.shown();
    let published = shown.published.as_ref().expect("it is shown");
    assert_eq!(published.version.as_str(), "v1.0.0");
    let ports: Vec<u16> = published.ports.iter().map(|port| port.port).collect();
    assert_eq!(ports, [7777]);
    tokio::time::timeout(Duration::from_secs(5), fleet.node.shutdown())
        .await
        .expect("nothing is left under way");
}
