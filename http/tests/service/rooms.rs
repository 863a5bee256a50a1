//! Calls of rooms and matchmakers.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use serde_json::{Value, json};

use crate::fleet::{Fleet, Server, arena};

async fn ping(fleet: &Fleet, path: &str, status: &str) -> Value {
    let body = json!({"status": status, "timestamp": "1", "running_matches": 1});
    let path = format!("/scheduler/{path}/ping");
    fleet.room(Method::PUT, &path, body).await.json()
}

#[actix_web::test]
async fn a_room_that_says_it_is_ready_is_allocated_once() {
    let fleet = Fleet::start(false).await;
    fleet.create(1).await;
    fleet
        .until("the room runs", async |fleet| {
            fleet.runtime.rooms("arena").len() == 1
        })
        .await;
    let room = fleet.runtime.rooms("arena")[0].to_string();
    let path = format!("arena/rooms/{room}");
    fleet
        .until("its ping is taken", async |fleet| {
            ping(fleet, &path, "ready").await == json!({"success": true})
        })
        .await;
    let allocate = "/scheduler/arena/rooms/allocate";
    fleet
        .until("it is ready", async |fleet| {
            fleet.get("/schedulers/info").await.ok()["schedulers"][0]["roomsReady"] == 1
        })
        .await;
    let taken = fleet.room(Method::POST, allocate, json!({})).await.ok();
    assert_eq!(
        (&taken["roomId"], &taken["success"]),
        (&json!(room), &json!(true))
    );
    assert_eq!(taken["ports"][0]["name"], "clientPort");
    let again = fleet.room(Method::POST, allocate, Value::Null).await;
    assert_eq!((again.failure().0, again.failure().1), (503, 14));
    assert_eq!(again.retry_after.as_deref(), Some("1"));
    let address = fleet
        .room(
            Method::GET,
            &format!("/scheduler/{path}/address"),
            Value::Null,
        )
        .await
        .ok();
    assert_eq!(address["ports"], taken["ports"]);
    assert_eq!(address["ipv6Label"], "");
}

#[actix_web::test]
async fn pings_fail_with_an_answer_of_200() {
    let fleet = Fleet::start(false).await;
    fleet.create(0).await;
    let failed = json!({"success": false});
    assert_eq!(ping(&fleet, "nobody/rooms/r", "ready").await, failed);
    assert_eq!(ping(&fleet, "arena/rooms/ghost", "occupied").await, failed);
    let word = ping(&fleet, "arena/rooms/ghost", "Ready").await;
    let text = "cannot convert string Ready to a valid GameRoomStatus representation";
    assert_eq!(word, json!({"code": 3, "message": text, "details": []}));
    fleet.node.shutdown().await;
    assert_eq!(ping(&fleet, "arena/rooms/ghost", "ready").await, failed);
}

#[actix_web::test]
async fn unknown_rooms_have_no_address() {
    let fleet = Fleet::start(false).await;
    fleet.create(0).await;
    for path in ["nobody/rooms/r", "arena/rooms/ghost"] {
        let path = format!("/scheduler/{path}/address");
        let reply = fleet.room(Method::GET, &path, Value::Null).await;
        assert_eq!((reply.failure().0, reply.failure().1), (404, 5), "{path}");
    }
    let path = "/scheduler/nobody/rooms/allocate";
    let reply = fleet.room(Method::POST, path, Value::Null).await;
    assert_eq!((reply.failure().0, reply.failure().1), (503, 14));
    assert_eq!(reply.retry_after, None, "another try would bring the same");
    let late = TestRequest::default()
        .uri("/scheduler/arena/rooms/r/address")
        .insert_header(("grpc-timeout", "-1S"));
    let late = fleet.raw(&Server::Rooms, late).await.failure();
    let text = "error getting instance: context deadline exceeded".to_owned();
    assert_eq!(late, (500, 2, text));
}

#[actix_web::test]
async fn events_go_to_the_enabled_forwarder_and_nowhere_without_one() {
    let fleet = Fleet::start(true).await;
    fleet.create(0).await;
    let mut forwarding = arena(0);
    forwarding["name"] = "loud".into();
    forwarding["forwarders"] = json!([
        {"name": "off", "enable": false, "type": "gRPC", "address": "a:1"},
        {"name": "mm", "enable": true, "type": "gRPC", "address": "b:1"},
    ]);
    fleet
        .send(Method::POST, "/schedulers", forwarding)
        .await
        .ok();
    let event = async |path: &str, body: Value| {
        let path = format!("/scheduler/{path}");
        fleet.room(Method::POST, &path, body).await.ok()
    };
    let done = json!({"success": true, "message": ""});
    let failed = |text: &str| json!({"success": false, "message": text});
    assert_eq!(event("arena/rooms/r/roomevent", json!({})).await, done);
    assert_eq!(
        event("arena/rooms/r/playerevent", json!({"event": "?"})).await,
        done
    );
    let unknown = failed("scheduler nobody not found");
    assert_eq!(event("nobody/rooms/r/roomevent", json!({})).await, unknown);
    let ghost = failed("failed to get room r from storage: room r not found in scheduler loud");
    assert_eq!(
        event("loud/rooms/r/roomevent", json!({"event": "goal"})).await,
        ghost
    );
    let ended = json!({"event": "terminated", "metadata": {"a": [1]}});
    assert_eq!(event("loud/rooms/r/roomevent", ended.clone()).await, done);
    let joined = json!({"event": "playerJoin", "metadata": {"playerId": "p"}});
    assert_eq!(event("loud/rooms/r/playerevent", joined).await, done);
    let told = fleet.forwarders.told();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|told| told.forwarder == "mm"));
    assert_eq!(&*told[0].event.metadata, r#"{"a":[1]}"#);
    fleet.forwarders.fail("mm");
    let down = "failed to forward event room at \"mm\" with code Unavailable: it is down";
    assert_eq!(event("loud/rooms/r/roomevent", ended).await, failed(down));
    let word = failed(r#"invalid PlayerEventType. Should be "playerLeft" or "playerJoin""#);
    assert_eq!(
        event("loud/rooms/r/playerevent", json!({"event": "join"})).await,
        word
    );
    let body = json!({"event": "playerJoin", "metadata": {"playerId": 5}});
    let player = failed(
        r#"eventAttributes must contain key "playerId" in playerEvent events. Forwarder name: "mm", Scheduler: "loud""#,
    );
    assert_eq!(event("loud/rooms/r/playerevent", body).await, player);
    for (name, success) in [("arena", true), ("loud", false), ("nobody", false)] {
        let path = format!("/scheduler/{name}/rooms/r/status");
        let reply = fleet.room(Method::PUT, &path, Value::Null).await.ok();
        assert_eq!(reply, json!({"success": success}), "{name}");
    }
}
