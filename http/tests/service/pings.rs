//! Pings in every form, and their effects (contract 3, 4.4).

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::fleet::{Fleet, arena};

/// A fleet with one running room, and the path of the room's ping.
async fn one_room(max_matches: i32) -> (Fleet, String) {
    let fleet = Fleet::start(false).await;
    let mut wanted = arena(1);
    wanted["matchAllocation"] = json!({ "maxMatches": max_matches });
    fleet.send(Method::POST, "/schedulers", wanted).await.ok();
    fleet
        .until("the room runs", async |fleet| {
            fleet.runtime.rooms("arena").len() == 1
        })
        .await;
    let room = fleet.runtime.rooms("arena")[0].to_string();
    let path = format!("/scheduler/arena/rooms/{room}/ping");
    fleet
        .until("its ping is taken", async |fleet| {
            said(fleet, &path, json!({"status": "ready"})).await
        })
        .await;
    counts(&fleet, (1, 0)).await;
    (fleet, path)
}

async fn said(fleet: &Fleet, path: &str, body: Value) -> bool {
    let answer = fleet.room(Method::PUT, path, body).await.ok();
    assert_eq!(
        answer.as_object().map(serde_json::Map::len),
        Some(1),
        "{answer}"
    );
    answer["success"].as_bool().expect("a boolean")
}

/// Waits for these numbers of ready and occupied rooms.
async fn counts(fleet: &Fleet, (ready, occupied): (u64, u64)) {
    fleet
        .until(
            &format!("{ready} ready, {occupied} occupied"),
            async |fleet| {
                let info = fleet.get("/schedulers/info").await.ok()["schedulers"][0].clone();
                (&info["roomsReady"], &info["roomsOccupied"]) == (&json!(ready), &json!(occupied))
            },
        )
        .await;
}

#[actix_web::test]
async fn a_ping_is_read_in_every_form_that_clients_send() {
    let (fleet, path) = one_room(1).await;
    for body in [
        // Bodies as the seed's curl, the official client and others send them.
        json!({"status": "ready", "timestamp": "12312312313"}),
        json!({"timestamp": 1.5e9, "status": "ready", "metadata": {"a": {"b": [1, null]}}, "running_matches": 0}),
        json!({"status": "ready", "runningMatches": "0", "metadata": null, "timestamp": null}),
        json!({"status": "ready", "runningMatches": 0.0, "unknown": {"status": "x"}}),
        // The path takes precedence over the body.
        json!({"status": "ready", "schedulerName": "other", "room_name": "other"}),
    ] {
        assert!(said(&fleet, &path, body.clone()).await, "{body}");
    }
    for (body, text) in [
        (
            json!({}),
            "cannot convert string  to a valid GameRoomStatus representation",
        ),
        (
            json!({"status": "pending"}),
            "cannot convert string pending to a valid GameRoomStatus representation",
        ),
        (json!({"status": 1}), "proto: "),
        (json!({"status": "ready", "metadata": []}), "proto: "),
        (json!({"status": "ready", "runningMatches": "x"}), "proto: "),
        (json!({"status": "ready", "runningMatches": 0.5}), "proto: "),
        (
            json!({"status": "ready", "runningMatches": 1, "running_matches": 1}),
            "proto: ",
        ),
        (
            json!({"status": "ready", "timestamp": 9_223_372_036_854_775_808_u64}),
            "proto: ",
        ),
    ] {
        let reply = fleet.room(Method::PUT, &path, body.clone()).await;
        let (status, code, message) = reply.failure();
        assert_eq!((status, code), (400, 3), "{body}");
        assert!(message.starts_with(text), "{body}: {message}");
    }
    // None of these pings changed the room.
    counts(&fleet, (1, 0)).await;
}

#[actix_web::test]
async fn a_room_goes_only_where_the_contract_lets_it() {
    let (fleet, path) = one_room(1).await;
    let ping = async |status: &str| said(&fleet, &path, json!({ "status": status })).await;
    // A room can report `terminated` only after `terminating`.
    assert!(!ping("terminated").await);
    assert!(ping("occupied").await);
    counts(&fleet, (0, 1)).await;
    assert!(!ping("terminated").await);
    assert!(ping("ready").await);
    counts(&fleet, (1, 0)).await;
    assert!(ping("terminating").await);
    counts(&fleet, (0, 0)).await;
    assert!(ping("terminated").await);
    // From then on it stays so until the room is gone.
    assert!(!ping("ready").await);
    assert!(!ping("occupied").await);
}

#[actix_web::test]
async fn a_room_of_many_matches_is_counted_by_them() {
    let (fleet, path) = one_room(3).await;
    let ping = async |status: &str, matches: i64| {
        let body = json!({"status": status, "runningMatches": matches});
        assert!(said(&fleet, &path, body).await, "{status} {matches}");
    };
    // A partly full room is active, whatever word it sends; this listing does not count active rooms.
    ping("occupied", 0).await;
    counts(&fleet, (0, 0)).await;
    ping("ready", 2).await;
    counts(&fleet, (0, 0)).await;
    ping("ready", 3).await;
    counts(&fleet, (0, 1)).await;
    ping("ready", 0).await;
    counts(&fleet, (1, 0)).await;
    ping("occupied", 4).await;
    counts(&fleet, (0, 1)).await;
}

#[actix_web::test]
async fn an_allocated_room_is_its_takers_until_it_is_occupied() {
    let (fleet, path) = one_room(1).await;
    let allocate = "/scheduler/arena/rooms/allocate";
    let taken = fleet.room(Method::POST, allocate, Value::Null).await;
    let expected = taken.ok();
    let room = path.split('/').nth(4).expect("a room");
    assert_eq!(expected["roomId"], room);
    // The fields in order, with the protocol in upper case and the host's port.
    let begin = format!(
        r#"{{"roomId":"{room}","success":true,"message":"","ports":[{{"name":"clientPort","protocol":"UDP","port":"#
    );
    assert!(taken.text.starts_with(&begin), "{}", taken.text);
    let address = path.replace("/ping", "/address");
    let address = fleet.room(Method::GET, &address, Value::Null).await;
    let (port, host) = (&expected["ports"][0]["port"], &expected["host"]);
    let text = format!(
        r#"{{"ports":[{{"name":"clientPort","protocol":"UDP","port":{port}}}],"host":{host},"ipv6Label":""}}"#
    );
    assert_eq!((address.status, address.text), (200, text));
    let ready = || said(&fleet, &path, json!({"status": "ready"}));
    assert!(ready().await);
    counts(&fleet, (0, 0)).await;
    let none = fleet.room(Method::POST, allocate, json!({})).await;
    assert_eq!((none.failure().0, none.failure().1), (503, 14));
    assert!(said(&fleet, &path, json!({"status": "occupied"})).await);
    counts(&fleet, (0, 1)).await;
    assert!(ready().await);
    counts(&fleet, (1, 0)).await;
    assert_eq!(
        fleet.room(Method::POST, allocate, Value::Null).await.ok()["roomId"],
        room
    );
}
