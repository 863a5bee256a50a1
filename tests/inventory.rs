//! The inventory, an addition to the contract: the rooms of a scheduler, one by one and in pages.

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Home, Maestro, eventually, history, seconds, signal};

async fn rooms(maestro: &Maestro, scheduler: &str, query: &str) -> Value {
    let path = format!("/schedulers/{scheduler}/rooms{query}");
    let (status, body) = maestro.get(&path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

fn ids(page: &Value) -> Vec<String> {
    let all = page["rooms"].as_array().expect("a list").iter();
    all.map(|room| room["id"].as_str().expect("an id").to_owned())
        .collect()
}

async fn room(maestro: &Maestro, scheduler: &str, room: &str) -> Value {
    let path = format!("/schedulers/{scheduler}/rooms/{room}");
    maestro.get(&path).await.1["room"].clone()
}

/// Waits until a room satisfies a condition; returns the room.
async fn until_room(
    maestro: &Maestro,
    (scheduler, id): (&str, &str),
    what: &str,
    level: impl Fn(&Value) -> bool,
) -> Value {
    let came = eventually(seconds(30), || async {
        level(&room(maestro, scheduler, id).await)
    });
    let came = came.await;
    let now = room(maestro, scheduler, id).await;
    assert!(came, "not {what}: {now}");
    now
}

/// Pings for a mute room that a match runs in it (or has ended), until that is visible.
async fn occupy(maestro: &Maestro, scheduler: &str, room: &str, occupied: bool) {
    let (status, matches) = if occupied {
        ("occupied", 1)
    } else {
        ("ready", 0)
    };
    let body = json!({"status": status, "runningMatches": matches});
    let (answer, said) = maestro.ping(scheduler, room, &body).await;
    assert_eq!(answer, 200, "{said}");
}

/// A fleet of mute rooms that were all pinged ready.
async fn mute(maestro: &Maestro, home: &Home, name: &str, count: u32) -> Vec<String> {
    let (status, body) = maestro
        .post("/schedulers", &home.mute_fleet(name, count))
        .await;
    assert_eq!(status, 200, "{body}");
    let ready = eventually(seconds(30), || async {
        for (room, _) in home.pids(name) {
            let body = json!({"status": "ready"});
            maestro.ping(name, &room, &body).await;
        }
        maestro.ready_rooms(name).await == u64::from(count)
    });
    assert!(ready.await, "{}", maestro.info(name).await);
    home.pids(name).into_iter().map(|(room, _)| room).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_listed_in_pages_and_by_status_and_version() {
    let home = Home::new();
    let maestro = home.start();
    let mut all = mute(&maestro, &home, "list", 5).await;
    occupy(&maestro, "list", &all[0], true).await;
    let occupied = until_room(&maestro, ("list", &all[0]), "occupied", |room| {
        room["status"] == "occupied"
    });
    assert_eq!(occupied.await["runningMatches"], 1);

    let mut seen = Vec::new();
    for (page, there) in [(1, 2), (2, 2), (3, 1), (4, 0)] {
        let body = rooms(&maestro, "list", &format!("?page={page}&perPage=2")).await;
        let head = (&body["total"], &body["page"], &body["pageSize"]);
        assert_eq!(head, (&json!(5), &json!(page), &json!(2)), "{body}");
        assert_eq!(ids(&body).len(), there, "{body}");
        seen.extend(ids(&body));
    }
    seen.sort();
    all.sort();
    assert_eq!(seen, all);
    for (query, total) in [
        ("", 5),
        ("?status=occupied", 1),
        ("?status=ready", 4),
        ("?status=error", 0),
        ("?version=v1.0.0", 5),
        ("?version=v9.0.0", 0),
        ("?status=ready&version=v1.0.0&perPage=1", 4),
    ] {
        let body = rooms(&maestro, "list", query).await;
        assert_eq!(body["total"], total, "{query}: {body}");
    }
    for wrong in [
        "status=busy",
        "page=0",
        "perPage=0",
        "perPage=501",
        "page=-1",
        "page=x",
        "colour=red",
    ] {
        let (status, body) = maestro
            .get(&format!("/schedulers/list/rooms?{wrong}"))
            .await;
        assert_eq!((status, &body["code"]), (400, &json!(3)), "{wrong}: {body}");
    }
    maestro.remove("list").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_404_and_a_wrong_method_501() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("here", 1)).await;
    for (method, path) in [
        ("GET", "/schedulers/nobody/rooms"),
        ("GET", "/schedulers/nobody/rooms/x"),
        ("DELETE", "/schedulers/nobody/rooms/x"),
        ("GET", "/schedulers/nobody/rooms/x/log"),
        ("GET", "/schedulers/nobody/rollout"),
        ("POST", "/schedulers/nobody/rollout/pause"),
        ("GET", "/schedulers/here/rooms/x"),
        ("DELETE", "/schedulers/here/rooms/x"),
        ("GET", "/schedulers/here/rooms/x/log"),
        ("POST", "/schedulers/here/rollout/hurry"),
    ] {
        let url = format!("{}{path}", maestro.management);
        let (status, body) = maestro.call(method, &url, None).await;
        assert_eq!(
            (status, &body["code"]),
            (404, &json!(5)),
            "{method} {path}: {body}"
        );
    }
    for (method, path) in [
        ("POST", "/schedulers/here/rooms"),
        ("DELETE", "/schedulers/here/rooms"),
        ("PUT", "/schedulers/here/rooms/x"),
        ("POST", "/schedulers/here/rooms/x/log"),
        ("POST", "/schedulers/here/rollout"),
        ("GET", "/schedulers/here/rollout/pause"),
    ] {
        let url = format!("{}{path}", maestro.management);
        let (status, body) = maestro.call(method, &url, None).await;
        assert_eq!(
            (status, &body["code"]),
            (501, &json!(12)),
            "{method} {path}: {body}"
        );
    }
    maestro.remove("here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_tells_of_itself_of_its_log_and_of_its_end() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("tell", 2)).await;
    let (id, pid) = home.pids("tell").remove(0);
    let one = until_room(&maestro, ("tell", &id), "ready", |room| {
        room["status"] == "ready" && room["instance"] == "ready"
    });
    let one = one.await;
    assert_eq!(
        (&one["id"], &one["version"], &one["ended"], &one["draining"]),
        (&json!(id), &json!("v1.0.0"), &Value::Null, &json!(false))
    );
    let processes = json!([{"container": "game", "pid": pid}]);
    assert_eq!(one["processes"], processes, "who wants to attach to it");
    let url = format!("{}/scheduler/tell/rooms/{id}/address", maestro.rooms);
    let (_, address) = maestro.call("GET", &url, None).await;
    assert_eq!(one["host"], address["host"], "{one}");
    assert_eq!(
        one["ports"][0]["port"], address["ports"][0]["port"],
        "{one}"
    );
    for time in ["createdAt", "lastPingAt"] {
        let text = one[time].as_str().expect(time);
        assert!(text.parse::<jiff::Timestamp>().is_ok(), "{time}: {text}");
    }
    assert!(
        one["events"].as_array().is_some_and(|e| e.len() >= 2),
        "{one}"
    );

    let log = format!("/schedulers/tell/rooms/{id}/log");
    let (status, text) = maestro.get(&log).await;
    assert_eq!(status, 200, "{text}");
    let whole = text.as_str().expect("plain text").lines().count();
    assert!(whole > 0);
    let (_, text) = maestro.get(&format!("{log}?tail=1")).await;
    assert_eq!(text.as_str().map(|text| text.lines().count()), Some(1));
    for wrong in ["tail=10001", "tail=-1", "tail=all"] {
        let (status, body) = maestro.get(&format!("{log}?{wrong}")).await;
        assert_eq!(status, 400, "{wrong}: {body}");
    }

    signal(pid, Signal::KILL);
    let gone = until_room(&maestro, ("tell", &id), "ended", |room| {
        !room["ended"].is_null()
    });
    let gone = gone.await;
    assert_eq!(gone["status"], "terminated", "{gone}");
    assert_eq!(gone["ended"]["signal"], 9, "{gone}");
    assert_eq!(gone.get("processes"), None, "{gone}");
    assert!(
        gone["ended"]["reason"]
            .as_str()
            .is_some_and(|r| !r.is_empty()),
        "{gone}"
    );
    let lines = gone["ended"]["lastLogLines"].as_array();
    assert!(lines.is_some_and(|lines| !lines.is_empty()), "{gone}");
    let listed = ids(&rooms(&maestro, "tell", "").await);
    assert!(!listed.contains(&id), "{listed:?}");
    maestro.remove("tell").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_crashed_keeps_its_exit_code_and_last_words() {
    let home = Home::new();
    let maestro = home.start();
    let command = ["sh", "-c", "echo out of cheese; sleep 1; exit 7"];
    let (status, body) = maestro
        .post("/schedulers", &home.fleet_of("crash", 1, &command))
        .await;
    assert_eq!(status, 200, "{body}");
    let there = eventually(seconds(20), || async { home.pids("crash").len() == 1 });
    assert!(there.await, "{:?}", home.pids("crash"));
    let (id, _) = home.pids("crash").remove(0);
    let end = until_room(&maestro, ("crash", &id), "ended", |room| {
        !room["ended"].is_null()
    });
    let end = end.await;
    assert_eq!(end["ended"]["exitCode"], 7, "{end}");
    let words = end["ended"]["lastLogLines"].to_string();
    assert!(words.contains("out of cheese"), "{end}");
    maestro.remove("crash").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_occupied_room_is_removed_when_its_match_ends_or_at_once_by_force() {
    let home = Home::new();
    let maestro = home.start();
    let all = mute(&maestro, &home, "prune", 2).await;
    for id in &all {
        occupy(&maestro, "prune", id, true).await;
    }
    maestro
        .until_info("prune", "occupied", |info| info["roomsOccupied"] == 2)
        .await;
    let (patient, forced) = (&all[0], &all[1]);
    let (status, body) = maestro
        .delete(&format!("/schedulers/prune/rooms/{patient}"))
        .await;
    assert_eq!(status, 200, "{body}");
    let answer = maestro
        .delete(&format!("/schedulers/prune/rooms/{forced}?force=true"))
        .await;
    let operation = maestro.done("prune", answer).await;
    assert_eq!(operation["status"], "finished", "{}", history(&operation));
    let pids = || home.pids("prune").into_iter().map(|(room, _)| room);
    let gone = eventually(seconds(10), || async { pids().all(|room| room != *forced) });
    assert!(gone.await, "{forced} is still there");
    // The other room plays on, although a whole removal has finished.
    let draining = room(&maestro, "prune", patient).await;
    assert_eq!(
        (&draining["draining"], &draining["status"]),
        (&json!(true), &json!("occupied")),
        "{draining}"
    );
    assert!(pids().any(|room| room == *patient));
    occupy(&maestro, "prune", patient, false).await;
    until_room(&maestro, ("prune", patient), "ended", |room| {
        !room["ended"].is_null()
    })
    .await;
    let wrong = format!("/schedulers/prune/rooms/{patient}?force=perhaps");
    assert_eq!(maestro.delete(&wrong).await.0, 400);
    maestro.remove("prune").await;
}
