//! Allocations and events for matchmakers, and the effect of removals on their matches, on the
//! built binary.

mod support;

use maestro_grpc::testing::TestForwarder;
use serde_json::{Value, json};
use support::{Home, Maestro, eventually, history, seconds};

async fn rooms(maestro: &Maestro, scheduler: &str) -> Vec<Value> {
    let (_, body) = maestro.get(&format!("/schedulers/{scheduler}/rooms")).await;
    body["rooms"].as_array().cloned().unwrap_or_default()
}

async fn ids(maestro: &Maestro, scheduler: &str) -> Vec<String> {
    let rooms = rooms(maestro, scheduler).await;
    let mut ids: Vec<String> = rooms
        .iter()
        .filter_map(|room| room["id"].as_str().map(str::to_owned))
        .collect();
    ids.sort();
    ids
}

/// Creates mute rooms and pings them ready; returns their ids in order.
async fn mute(home: &Home, maestro: &Maestro, name: &str, count: u32) -> Vec<String> {
    let answer = maestro
        .post("/schedulers", &home.mute_fleet(name, count))
        .await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    let ready = eventually(seconds(30), || async {
        for id in ids(maestro, name).await {
            say(maestro, name, &id, "ready").await;
        }
        maestro.ready_rooms(name).await == u64::from(count)
    });
    assert!(ready.await, "{}", maestro.info(name).await);
    ids(maestro, name).await
}

async fn say(maestro: &Maestro, scheduler: &str, room: &str, status: &str) {
    maestro
        .ping(scheduler, room, &json!({ "status": status }))
        .await;
}

async fn remove(maestro: &Maestro, scheduler: &str, body: Value) -> Value {
    let path = format!("/schedulers/{scheduler}/remove-rooms");
    maestro
        .done(scheduler, maestro.post(&path, &body).await)
        .await
}

async fn until_rooms(maestro: &Maestro, scheduler: &str, expected: &[&String]) {
    let left = || async {
        ids(maestro, scheduler)
            .await
            .iter()
            .eq(expected.iter().copied())
    };
    let came = eventually(seconds(30), left).await;
    assert!(came, "{:?}", ids(maestro, scheduler).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_remove_waits_for_matches_unless_it_is_forced() {
    let home = Home::new();
    let maestro = home.start();
    let all = mute(&home, &maestro, "count", 3).await;
    say(&maestro, "count", &all[0], "occupied").await;
    say(&maestro, "count", &all[1], "occupied").await;

    let one = remove(&maestro, "count", json!({"amount": 1})).await;
    assert_eq!(one["status"], "finished");
    assert_eq!(one["input"].get("force"), None, "{one}");
    until_rooms(&maestro, "count", &[&all[0], &all[1]]).await;

    // Only rooms with a match are left: the removal finishes at once, and names the rooms that will
    // go.
    let drained = remove(&maestro, "count", json!({"amount": 1})).await;
    let text = history(&drained);
    let goes = all[..2].iter().find(|id| text.contains(id.as_str()));
    let goes = goes.unwrap_or_else(|| panic!("it names none: {text}"));
    assert!(
        text.contains("1 rooms go when their matches end: "),
        "{text}"
    );
    let shown = rooms(&maestro, "count").await;
    let draining = |room: &&Value| room["draining"] == true;
    assert_eq!(shown.iter().filter(draining).count(), 1, "{shown:?}");
    say(&maestro, "count", goes, "ready").await;
    let stays = all[..2].iter().find(|id| *id != goes).expect("another");
    until_rooms(&maestro, "count", &[stays]).await;

    let forced = remove(&maestro, "count", json!({"amount": 1, "force": true})).await;
    assert_eq!(forced["input"]["force"], true, "{forced}");
    until_rooms(&maestro, "count", &[]).await;

    // The version's own document was updated too, so a switch to the active version changes
    // nothing.
    let added = maestro
        .post("/schedulers/count/add-rooms", &json!({"amount": 1}))
        .await;
    maestro.done("count", added).await;
    let body = json!({"version": "v1.0.0"});
    let path = format!("{}/schedulers/count", maestro.management);
    let switched = maestro.call("PUT", &path, Some(&body)).await;
    let switched = maestro.done("count", switched).await;
    assert_eq!(switched["status"], "finished");
    let text = history(&switched);
    assert!(text.contains("is the active version already"), "{text}");
    for query in ["", "?version=v1.0.0"] {
        let (_, body) = maestro.get(&format!("/schedulers/count{query}")).await;
        assert_eq!(body["scheduler"]["roomsReplicas"], 1, "{query}: {body}");
    }
    maestro.remove("count").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_room_is_given_when_no_other_is_there() {
    let home = Home::new();
    let fresh = ("MAESTRO_SERVICES_ROOMMANAGER_ALLOCATIONFRESHMILLIS", "1000");
    let maestro = home.start_with(&[fresh]);
    let all = mute(&home, &maestro, "arena", 2).await;
    // The smaller id falls silent while the other one pings on.
    let silent = || async {
        say(&maestro, "arena", &all[1], "ready").await;
        let rooms = rooms(&maestro, "arena").await;
        let pinged = |id: &String| {
            let room = rooms.iter().find(|room| room["id"] == id.as_str());
            let at = room.and_then(|room| room["lastPingAt"].as_str());
            at.and_then(|at| at.parse::<jiff::Timestamp>().ok())
        };
        let (Some(first), Some(second)) = (pinged(&all[0]), pinged(&all[1])) else {
            return false;
        };
        second.duration_since(first).as_millis() > 2500
    };
    assert!(eventually(seconds(30), silent).await);
    say(&maestro, "arena", &all[1], "ready").await;
    for expected in [&all[1], &all[0]] {
        let (status, body) = maestro.allocate("arena").await;
        assert_eq!(
            (status, body["roomId"].as_str()),
            (200, Some(expected.as_str()))
        );
    }
    // An unknown scheduler will not have a room a second later either, so there is no
    // `Retry-After`.
    let client = reqwest::Client::new();
    for (scheduler, retry) in [("arena", Some("1")), ("nobody", None)] {
        let url = format!("{}/scheduler/{scheduler}/rooms/allocate", maestro.rooms);
        let answer = client.post(url).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 503);
        let after = answer.headers().get("retry-after");
        assert_eq!(after.and_then(|v| v.to_str().ok()), retry, "{scheduler}");
    }
    let url = format!("{}/schedulers?game=x", maestro.management);
    let late = client.get(url).header("grpc-timeout", "-1S");
    let late = late.send().await.expect("an answer");
    assert_eq!(late.status().as_u16(), 500);
    let body = late.text().await.expect("a body");
    let text =
        "error getting schedulers (operation: GetSchedulersWithFilter): context deadline exceeded";
    let expected = json!({"code": 2, "message": text, "details": []});
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    // Our own endpoints need not keep the contract's texts.
    for (given, expected) in [("-1S", 504), ("soon", 400), ("20S", 200)] {
        let url = format!("{}/schedulers/arena/rooms/summary", maestro.management);
        let asked = client.get(url).header("grpc-timeout", given);
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), expected, "{given}");
    }
    let mut document = home.mute_fleet("ports", 0);
    document.as_object_mut().unwrap().remove("portRange");
    let (status, body) = maestro.post("/schedulers", &document).await;
    let text = "must configure HostPortRange for all scheduler.Spec.Container.Ports";
    assert_eq!((status, &body["message"]), (400, &json!(text)));
    maestro.remove("arena").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_made_together_are_all_told_at_once_and_their_ends_last() {
    let (home, mm) = (Home::new(), TestForwarder::start());
    let maestro = home.start();
    // Their first ping is the only one for an hour.
    let command = ["maestro", "room", "--ping-interval", "1h"];
    let mut fleet = home.fleet_of("arena", 6, &command);
    fleet["forwarders"] = json!([
        {"name": "mm", "enable": true, "type": "gRPC", "address": mm.address()},
    ]);
    maestro.bring_up(&fleet).await;
    let all = ids(&maestro, "arena").await;
    assert_eq!(all.len(), 6);
    for id in &all {
        let heard = || async { mm.words(id) == ["resync:ready"] };
        assert!(
            eventually(seconds(10), heard).await,
            "{id}: {:?}",
            mm.words(id)
        );
    }
    // Each room pings that it ends before it does, so its own events come first.
    maestro.remove("arena").await;
    for id in &all {
        let ended = || async {
            mm.words(id)
                .last()
                .is_some_and(|w| w == "status:terminated")
        };
        assert!(
            eventually(seconds(10), ended).await,
            "{id}: {:?}",
            mm.words(id)
        );
        let words = mm.words(id);
        let ends = words.iter().filter(|word| *word == "status:terminated");
        assert_eq!(ends.count(), 1, "{words:?}");
        assert!(
            words.contains(&"resync:terminating".to_owned()),
            "{words:?}"
        );
    }
}
