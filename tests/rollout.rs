//! Rolling updates as operators see and control them, request ids, and the limits of rooms.

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use support::{Answer, Home, Maestro, eventually, history, seconds};

async fn rollout(maestro: &Maestro, scheduler: &str) -> Value {
    let path = format!("/schedulers/{scheduler}/rollout");
    let (status, body) = maestro.get(&path).await;
    assert_eq!(status, 200, "{body}");
    body["rollout"].clone()
}

async fn until_rollout(
    maestro: &Maestro,
    scheduler: &str,
    what: &str,
    level: impl Fn(&Value) -> bool,
) -> Value {
    let came = eventually(seconds(30), || async {
        level(&rollout(maestro, scheduler).await)
    });
    let came = came.await;
    let now = rollout(maestro, scheduler).await;
    assert!(came, "not {what}: {now}");
    now
}

async fn steer(maestro: &Maestro, scheduler: &str, order: &str) -> Answer {
    let path = format!("/schedulers/{scheduler}/rollout/{order}");
    maestro.post(&path, &json!({})).await
}

/// A major change: another value in the environment.
fn another(value: &str) -> Value {
    json!({"spec": {"containers": [{"environment": [{"name": "BUILD", "value": value}]}]}})
}

async fn patch_done(maestro: &Maestro, scheduler: &str, patch: &Value) -> Value {
    let path = format!("/schedulers/{scheduler}");
    let answer = maestro.patch(&path, patch).await;
    let operation = maestro.done(scheduler, answer).await;
    assert_eq!(operation["status"], "finished", "{}", history(&operation));
    operation
}

/// Sends a line to the game port of a sample room, and reads its answer.
fn say(game: (&str, u16), line: &str) -> String {
    let mut stream = TcpStream::connect(game).expect("the room listens");
    stream
        .set_read_timeout(Some(seconds(20)))
        .expect("it can wait");
    writeln!(stream, "{line}").expect("the room reads");
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .expect("the room answers");
    answer
}

/// Rooms with their game ports.
async fn rooms(maestro: &Maestro, scheduler: &str, query: &str) -> Vec<(String, u16)> {
    let path = format!("/schedulers/{scheduler}/rooms{query}");
    let (status, body) = maestro.get(&path).await;
    assert_eq!(status, 200, "{body}");
    let all = body["rooms"].as_array().expect("a list").iter();
    all.map(|room| {
        let id = room["id"].as_str().expect("an id").to_owned();
        let port = room["ports"][0]["port"].as_u64().unwrap_or_default();
        (id, u16::try_from(port).expect("a port"))
    })
    .collect()
}

/// Starts long matches in all rooms, and waits until that is known.
async fn occupy(maestro: &Maestro, scheduler: &str, rooms: &[(String, u16)]) {
    for (_, port) in rooms {
        let answer = say(("127.0.0.1", *port), "match 600 2");
        assert!(answer.starts_with("ok"), "{answer}");
    }
    let count = rooms.len();
    maestro
        .until_info(scheduler, "occupied", |i| i["roomsOccupied"] == count)
        .await;
}

fn end_match(port: u16) {
    let answer = say(("127.0.0.1", port), "end");
    assert!(answer.starts_with("ok"), "{answer}");
}

fn lives(home: &Home, scheduler: &str, room: &str) -> bool {
    home.pids(scheduler).iter().any(|(id, _)| id == room)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_waits_for_matches_is_held_by_a_pause_and_goes_on_after_it() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("steer", 3)).await;
    let view = rollout(&maestro, "steer").await;
    assert_eq!(
        (
            &view["inProgress"],
            &view["old"],
            &view["new"],
            &view["waitingFor"]
        ),
        (&json!(false), &json!(0), &json!(3), &Value::Null),
        "{view}"
    );
    let old = rooms(&maestro, "steer", "").await;
    occupy(&maestro, "steer", &old).await;
    it_waits_for_matches(&maestro, &home, &old).await;
    a_pause_holds_it(&maestro, &home, &old).await;

    let (status, body) = steer(&maestro, "steer", "resume").await;
    assert_eq!(
        (status, &body["rollout"]["paused"]),
        (200, &json!(false)),
        "{body}"
    );
    let view = until_rollout(&maestro, "steer", "over", |v| v["inProgress"] == false).await;
    assert_eq!(
        (&view["old"], &view["waitingFor"]),
        (&json!(0), &Value::Null)
    );
    maestro.wait_ready("steer", 3).await;
    assert_eq!(rooms(&maestro, "steer", "?version=v2.0.0").await.len(), 3);
    maestro.remove("steer").await;
}

async fn it_waits_for_matches(maestro: &Maestro, home: &Home, old: &[(String, u16)]) {
    patch_done(maestro, "steer", &another("2")).await;
    // There is one new room in addition to the three, and one old room drains.
    let view = until_rollout(maestro, "steer", "waiting for a match", |view| {
        view["draining"] == 1
            && view["new"] == 1
            && view["starting"] == 0
            && view["waitingFor"]
                .as_str()
                .is_some_and(|w| w.contains("match"))
    })
    .await;
    assert_eq!(
        (
            &view["inProgress"],
            &view["old"],
            &view["surge"],
            &view["paused"]
        ),
        (&json!(true), &json!(3), &json!(1), &json!(false)),
        "{view}"
    );
    assert_eq!(
        (&view["activeVersion"], &view["previousVersion"]),
        (&json!("v2.0.0"), &json!("v1.0.0")),
        "{view}"
    );
    assert!(old.iter().all(|(id, _)| lives(home, "steer", id)));
}

/// The matches end, and only the room that was draining goes.
async fn a_pause_holds_it(maestro: &Maestro, home: &Home, old: &[(String, u16)]) {
    let (status, body) = steer(maestro, "steer", "pause").await;
    assert_eq!(
        (status, &body["rollout"]["paused"]),
        (200, &json!(true)),
        "{body}"
    );
    for (_, port) in old {
        end_match(*port);
    }
    // The draining room goes; the others stay, however often the rollout is examined.
    let view = until_rollout(maestro, "steer", "two old rooms", |v| v["old"] == 2).await;
    assert!(
        view["waitingFor"]
            .as_str()
            .is_some_and(|w| w.contains("resume")),
        "{view}"
    );
    maestro.wait_ready("steer", 3).await;
    for _ in 0..3 {
        let operation = maestro.test_operation("steer", 0).await;
        maestro.ended("steer", &operation).await;
    }
    let view = rollout(maestro, "steer").await;
    assert_eq!(
        (&view["inProgress"], &view["old"], &view["draining"]),
        (&json!(true), &json!(2), &json!(0)),
        "{view}"
    );
    // The process of the third may take a moment to go.
    let left = || {
        old.iter()
            .filter(|(id, _)| lives(home, "steer", id))
            .count()
    };
    assert!(
        eventually(seconds(5), async || left() == 2).await,
        "{}",
        left()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_goes_back_to_the_version_before_and_ends_no_match() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("back", 2)).await;
    let (status, body) = steer(&maestro, "back", "abort").await;
    assert_eq!((status, &body["code"]), (400, &json!(9)), "{body}");
    let old = rooms(&maestro, "back", "").await;
    occupy(&maestro, "back", &old[..1]).await;
    let (id, port) = old[0].clone();
    patch_done(&maestro, "back", &another("2")).await;
    until_rollout(&maestro, "back", "waiting for the match", |view| {
        view["old"] == 1 && view["new"].as_u64() >= Some(1) && view["starting"] == 0
    })
    .await;
    assert!(lives(&home, "back", &id));

    let answer = steer(&maestro, "back", "abort").await;
    let operation = maestro.done("back", answer).await;
    assert_eq!(operation["status"], "finished", "{}", history(&operation));
    let view = until_rollout(&maestro, "back", "back at v1.0.0", |view| {
        view["activeVersion"] == "v1.0.0" && view["inProgress"] == false
    })
    .await;
    assert_eq!(view["old"], 0, "{view}");
    assert!(lives(&home, "back", &id), "its match was ended");
    end_match(port);
    maestro
        .until_info("back", "two rooms", |i| {
            i["roomsReady"] == 2 && i["roomsOccupied"] == 0 && i["roomsTerminating"] == 0
        })
        .await;
    let back = eventually(seconds(30), || async {
        rooms(&maestro, "back", "?version=v2.0.0").await.is_empty()
            && rooms(&maestro, "back", "?version=v1.0.0").await.len() == 2
    });
    let back = back.await;
    let (_, all) = maestro.get("/schedulers/back/rooms").await;
    assert!(back, "{} {all}", rollout(&maestro, "back").await);
    maestro.remove("back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_named_in_its_answer_and_in_what_it_ordered() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("named", 1)).await;
    let (room, _) = rooms(&maestro, "named", "").await.remove(0);
    let room = format!("/schedulers/named/rooms/{room}?force=true");
    for (method, path, body) in [
        (
            "PATCH",
            "/schedulers/named",
            json!({"roomsReplicas": 2}).to_string(),
        ),
        ("DELETE", &room, String::new()),
    ] {
        let name = format!("ticket-{method}.42");
        let url = format!("{}{path}", maestro.management);
        let request = maestro.http.request(method.parse().expect("a method"), url);
        let request = request.header("X-Request-Id", &name).body(body);
        let answer = request.send().await.expect("an answer");
        let echoed = answer.headers().get("x-request-id");
        let echoed = echoed.map(|id| id.to_str().expect("text").to_owned());
        assert_eq!(echoed.as_ref(), Some(&name), "{method}");
        let status = answer.status().as_u16();
        let body = answer.json().await.expect("JSON");
        let operation = maestro.done("named", (status, body)).await;
        let told = history(&operation);
        assert!(
            told.contains(&format!("ordered by request {name}")),
            "{told}"
        );
    }
    maestro.remove("named").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_at_its_cap_is_given_no_more_rooms() {
    let home = Home::new();
    let maestro = home.start_with(&[("MAESTRO_LIMITS_ROOMS_PERSCHEDULER", "2")]);
    maestro.bring_up(&home.fleet("cap", 2)).await;
    let (status, body) = maestro
        .post("/schedulers/cap/add-rooms", &json!({"amount": 1}))
        .await;
    assert_eq!((status, &body["code"]), (429, &json!(8)), "{body}");
    let text = body["message"].as_str().expect("words");
    assert!(
        text.contains("remove some") && text.contains("limits.rooms.perScheduler"),
        "{text}"
    );
    assert_eq!(home.pids("cap").len(), 2);
    maestro.remove("cap").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_starts_no_more_rooms_and_says_so() {
    let home = Home::new();
    let maestro = home.start_with(&[("MAESTRO_LIMITS_ROOMS_PERNODE", "2")]);
    let (status, body) = maestro.post("/schedulers", &home.fleet("full", 4)).await;
    assert_eq!(status, 200, "{body}");
    maestro.wait_ready("full", 2).await;
    let told = || async {
        for operation in maestro.operations("full", "final").await {
            if operation["definitionName"] != "add_rooms" {
                continue;
            }
            let id = operation["id"].as_str().expect("an id");
            let whole = maestro.ended("full", id).await;
            if history(&whole).contains("limits.rooms.perNode") {
                return true;
            }
        }
        false
    };
    assert!(eventually(seconds(20), told).await, "nothing says why");
    assert_eq!(home.pids("full").len(), 2);
    maestro.remove("full").await;
}
