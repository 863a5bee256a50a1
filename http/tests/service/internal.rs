//! The pages for operators.

use std::time::Duration;

use actix_web::http::Method;
use maestro_testkit::fake::{Gate, StoreCall, StoreFault};
use serde_json::{Value, json};

use crate::fleet::{Fleet, Server};

#[actix_web::test]
async fn health_pages_answer_any_method() {
    let fleet = Fleet::start(false).await;
    let text = "text/plain; charset=utf-8";
    for path in ["/health", "/healthz", "/readyz"] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let reply = fleet
                .call(Server::Internal, method, path, Value::Null)
                .await;
            assert_eq!((reply.status, reply.text.as_str()), (200, "OK"), "{path}");
            assert_eq!(reply.kind, text);
        }
    }
    let reply = fleet
        .call(Server::Internal, Method::GET, "/", Value::Null)
        .await;
    assert_eq!(
        (reply.status, reply.text.as_str()),
        (404, "404 page not found\n")
    );
    assert_eq!(reply.kind, text);
    let reply = fleet
        .call(Server::Internal, Method::GET, "/metrics", Value::Null)
        .await;
    assert_eq!((reply.status, reply.text.as_str()), (200, "a_metric 1\n"));
    fleet.store.set_down(true);
    let reply = fleet
        .call(Server::Internal, Method::GET, "/readyz", Value::Null)
        .await;
    assert_eq!(
        (reply.status, reply.text.as_str()),
        (503, "Service Unavailable")
    );
    let reply = fleet
        .call(Server::Internal, Method::GET, "/healthz", Value::Null)
        .await;
    assert_eq!(reply.status, 200);
    let unasked = Server::InternalWithoutStoreCheck;
    let reply = fleet
        .call(unasked, Method::GET, "/readyz", Value::Null)
        .await;
    assert_eq!((reply.status, reply.text.as_str()), (200, "OK"));
}

/// The contract's limit is two seconds (1.2); a probe gives up soon after that.
#[actix_web::test]
async fn a_silent_store_is_not_waited_for() {
    let fleet = Fleet::start(false).await;
    let silent = StoreFault::Held(Gate::closed());
    fleet.store.fail_always(StoreCall::Check, silent);
    let ask = fleet.call(Server::Internal, Method::GET, "/readyz", Value::Null);
    let reply = tokio::time::timeout(Duration::from_secs(4), ask);
    let reply = reply.await.expect("it answers though the store does not");
    assert_eq!(
        (reply.status, reply.text.as_str()),
        (503, "Service Unavailable")
    );
}

#[actix_web::test]
async fn operators_look_at_pause_and_reload_actors() {
    let fleet = Fleet::start(true).await;
    fleet.create(0).await;
    let post = async |path: &str, body: Value| {
        let path = format!("/debug/actors/{path}");
        fleet
            .call(Server::Internal, Method::POST, &path, body)
            .await
    };
    for server in [Server::Internal, Server::Management] {
        let view = fleet
            .call(server, Method::GET, "/debug/actors", Value::Null)
            .await
            .ok();
        assert_eq!(view["actors"].as_array().unwrap().len(), 3);
        assert_eq!(view["actors"][2]["name"], "arena");
    }
    let path = "/debug/actors?scheduler=nobody";
    let none = fleet
        .call(Server::Internal, Method::GET, path, Value::Null)
        .await
        .ok();
    assert_eq!(none["actors"], json!([]));

    let order = post("arena/test-operation", json!({"sleepSeconds": 0}))
        .await
        .ok();
    let path = format!(
        "/schedulers/arena/operations/{}",
        order["operationId"].as_str().unwrap()
    );
    let input = &fleet.get(&path).await.ok()["operation"]["input"];
    assert_eq!(*input, json!({"sleepSeconds": 0}));
    assert_eq!(post("arena/test-operation", json!([])).await.failure().1, 3);
    assert_eq!(post("arena/resume", Value::Null).await.ok(), json!({}));
    assert_eq!(
        fleet.operation_ends(&order["operationId"]).await,
        "finished"
    );
    assert_eq!(post("arena/pause", Value::Null).await.ok(), json!({}));
    assert_eq!(post("arena/reload", Value::Null).await.ok(), json!({}));
    for path in ["reload", "pause", "resume"] {
        let reply = post(&format!("nobody/{path}"), Value::Null).await;
        assert_eq!(reply.failure().0, 404, "{path}");
    }
}
