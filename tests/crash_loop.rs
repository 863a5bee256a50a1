//! Rooms that keep crashing: they are reported with their last output, retried ever more rarely, and healed by a better
//! version.

mod support;

use serde_json::{Value, json};
use support::{Home, Maestro, eventually, history, seconds};

/// Histories of all ended operations of a scheduler, in one text.
async fn told(maestro: &Maestro, scheduler: &str) -> String {
    let mut text = String::new();
    for operation in maestro.operations(scheduler, "final").await {
        let id = operation["id"].as_str().expect("an id");
        let path = format!("/schedulers/{scheduler}/operations/{id}");
        text.push_str(&history(&maestro.get(&path).await.1["operation"]));
        text.push('\n');
    }
    text
}

async fn additions(maestro: &Maestro, scheduler: &str) -> Vec<Value> {
    let all = maestro.operations(scheduler, "final").await;
    let of = all
        .into_iter()
        .filter(|o| o["definitionName"] == "add_rooms");
    of.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_exits_at_once_is_on_record_with_its_last_words_and_tried_seldom() {
    let home = Home::new();
    let maestro = home.start();
    let script = "echo first line; echo no licence found >&2; exit 7";
    let fleet = home.fleet_of("exits", 2, &["sh", "-c", script]);
    let (status, body) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{body}");
    let on_record = eventually(seconds(20), || async {
        let text = told(&maestro, "exits").await;
        text.contains("exit code 7") && text.contains("no licence found")
    });
    assert!(on_record.await, "{}", told(&maestro, "exits").await);
    // 1 + 2 + 4 + 8 s lie between five failures; then the scheduler is on-error.
    let on_error = eventually(seconds(60), || async {
        maestro.state("exits").await == "on-error"
    });
    assert!(on_error.await, "{}", maestro.state("exits").await);
    let tried = additions(&maestro, "exits").await.len();
    assert!(tried <= 12, "{tried} operations: a hot loop");

    // The first version whose rooms stay up brings it back in sync.
    let command = ["maestro", "room", "--ping-interval", "300ms"];
    let patch = json!({"spec": {"containers": [{"command": command}]}});
    let answer = maestro.patch("/schedulers/exits", &patch).await;
    let better = maestro.done("exits", answer).await;
    assert_eq!(better["status"], "finished", "{}", history(&better));
    maestro.wait_ready("exits", 2).await;
    let back = eventually(seconds(10), || async {
        maestro.state("exits").await == "in-sync"
    });
    assert!(back.await, "{}", maestro.state("exits").await);
    maestro.remove("exits").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_range_that_is_used_up_is_told_and_not_tried_without_end() {
    let home = Home::new();
    let maestro = home.start();
    let mut fleet = home.fleet("ports", 5);
    let start = fleet["portRange"]["start"].as_u64().unwrap();
    // The range includes both ends, so it has three ports.
    fleet["portRange"] = json!({"start": start, "end": start + 2});
    let (status, body) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{body}");
    let said = eventually(seconds(20), || async {
        let text = told(&maestro, "ports").await;
        text.contains(&start.to_string()) && text.contains("could not be created")
    });
    assert!(said.await, "{}", told(&maestro, "ports").await);
    maestro.wait_ready("ports", 3).await;
    assert_eq!(home.pids("ports").len(), 3, "what fits is there");
    let first = additions(&maestro, "ports").await.len();
    // Ten more attempts would be a loop; the back-off allows for about three in this time.
    let looped = eventually(seconds(6), || async {
        additions(&maestro, "ports").await.len() >= first + 10
    });
    assert!(!looped.await, "a hot loop");
    // A user's own order fails as a whole: no room of it is kept.
    let answer = maestro
        .post("/schedulers/ports/add-rooms", &json!({"amount": 2}))
        .await;
    let added = maestro.done("ports", answer).await;
    assert_eq!(added["status"], "error", "{}", history(&added));
    assert_eq!(home.pids("ports").len(), 3);
    // With more ports, the fleet is filled up.
    let wider = json!({"portRange": {"start": start, "end": start + 100}});
    let answer = maestro.patch("/schedulers/ports", &wider).await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    let filled = eventually(seconds(60), || async {
        maestro.ready_rooms("ports").await == 5
    });
    assert!(filled.await, "{}", told(&maestro, "ports").await);
    maestro.remove("ports").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_cannot_live_does_not_hold_up_another() {
    let home = Home::new();
    let maestro = home.start();
    let fleet = home.fleet_of("broken", 20, &["false"]);
    maestro.post("/schedulers", &fleet).await;
    maestro.bring_up(&home.fleet("well", 3)).await;
    maestro.remove("broken").await;
    assert_eq!(maestro.ready_rooms("well").await, 3);
    maestro.remove("well").await;
    assert!(home.processes().is_empty());
}
