//! Rooms of several containers, restarts in place, and rooms that keep ending: what is kept, what is retried ever more
//! rarely, and where their ends are visible.

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::{Home, Maestro, eventually, history, seconds, signal};

/// A fleet whose rooms have a second container.
fn with(mut fleet: Value, name: &str, command: &[&str]) -> Value {
    let mut other = fleet["spec"]["containers"][0].clone();
    other["name"] = name.into();
    other["command"] = command.into();
    other["ports"] = json!([]);
    let containers = fleet["spec"]["containers"].as_array_mut();
    containers.expect("a list").push(other);
    fleet
}

fn restarting(mut fleet: Value, policy: &str) -> Value {
    fleet["spec"]["restartPolicy"] = policy.into();
    fleet
}

async fn summary(maestro: &Maestro, scheduler: &str) -> Value {
    let path = format!("/schedulers/{scheduler}/rooms/summary");
    let (status, body) = maestro.get(&path).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn ended(maestro: &Maestro, scheduler: &str) -> Vec<Value> {
    let path = format!("/schedulers/{scheduler}/rooms?status=ended");
    let (status, body) = maestro.get(&path).await;
    assert_eq!(status, 200, "{body}");
    body["rooms"].as_array().expect("a list").clone()
}

async fn rooms(maestro: &Maestro, scheduler: &str) -> BTreeSet<String> {
    let (_, body) = maestro.get(&format!("/schedulers/{scheduler}/rooms")).await;
    let rooms = body["rooms"].as_array().expect("a list").iter();
    rooms
        .map(|room| room["id"].as_str().expect("an id").to_owned())
        .collect()
}

async fn metrics(maestro: &Maestro) -> String {
    let (_, page) = maestro.internal("GET", "/metrics", None).await;
    page.as_str().expect("a page").to_owned()
}

fn logged(maestro: &Maestro, level: &str, scheduler: &str) -> Vec<Value> {
    let log = maestro.log.lock().expect("whole").clone();
    let lines = log
        .iter()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok());
    lines
        .filter(|line| line["scheduler_name"] == scheduler)
        .filter(|line| {
            line["level"]
                .as_str()
                .is_some_and(|l| l.eq_ignore_ascii_case(level))
        })
        .collect()
}

async fn create(maestro: &Maestro, fleet: &Value) {
    let (status, body) = maestro.post("/schedulers", fleet).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_complete_end_nothing_and_one_that_restarts_keeps_its_place() {
    let home = Home::new();
    let maestro = home.start();
    create(&maestro, &with(home.fleet("setup", 2), "setup", &["true"])).await;
    let waits = "while [ ! -e stop ]; do sleep 0.05; done";
    let helped = with(home.mute_fleet("helped", 1), "helper", &["sh", "-c", waits]);
    create(&maestro, &helped).await;
    create(&maestro, &restarting(home.fleet("again", 2), "OnFailure")).await;
    maestro.wait_ready("setup", 2).await;
    maestro.wait_ready("again", 2).await;
    // A match begins, and the helper has done its work.
    let both = eventually(seconds(10), || async { home.pids("helped").len() == 2 });
    assert!(both.await);
    let room = home.pids("helped")[0].0.clone();
    let body = json!({"status": "occupied", "runningMatches": 1});
    maestro.ping("helped", &room, &body).await;
    std::fs::write(home.room_folder("helped", &room).join("work/stop"), "").expect("a file");
    // One room's process ends and is restarted in place.
    let kept = rooms(&maestro, "again").await;
    let operations = maestro.operations("again", "final").await.len();
    let (crashed, pid) = home.pids("again")[0].clone();
    signal(pid, Signal::KILL);
    let waits = eventually(seconds(10), || async {
        summary(&maestro, "again").await["roomsRestarting"] == 1
    });
    assert!(waits.await, "{}", summary(&maestro, "again").await);
    assert_eq!(summary(&maestro, "again").await["roomsAvailable"], 2);
    maestro.wait_ready("again", 2).await;
    assert_eq!(rooms(&maestro, "again").await, kept);
    assert!(
        home.pids("again")
            .iter()
            .any(|(r, p)| *r == crashed && *p != pid)
    );
    // For four seconds no room ends, none is created, and no operation begins.
    let setup = home.pids("setup");
    assert_eq!(setup.len(), 2, "{setup:?}");
    let trouble = eventually(seconds(4), || async {
        let strays = home.pids("setup") != setup || home.pids("helped").len() > 2;
        let gone = [
            ended(&maestro, "setup").await,
            ended(&maestro, "helped").await,
        ]
        .concat();
        strays || !gone.is_empty() || rooms(&maestro, "setup").await.len() != 2
    });
    assert!(!trouble.await, "{:?}", ended(&maestro, "setup").await);
    assert_eq!(home.pids("helped").len(), 1, "the helper has ended");
    let helped = summary(&maestro, "helped").await;
    assert_eq!(
        (&helped["roomsOccupied"], &helped["roomsTotal"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(maestro.operations("again", "final").await.len(), operations);
    assert_eq!(ended(&maestro, "again").await, [] as [Value; 0]);
    paused(&maestro, "setup").await;
    for fleet in ["setup", "helped", "again"] {
        maestro.remove(fleet).await;
    }
}

/// Checks that a pause is visible in the rollout, in the summary and in the metrics.
async fn paused(maestro: &Maestro, scheduler: &str) {
    let order = |what: &str| format!("/debug/actors/{scheduler}/{what}");
    let gauge =
        |value: u8| format!("maestro_scheduler_paused{{scheduler=\"{scheduler}\"}} {value}\n");
    maestro.internal("POST", &order("pause"), None).await;
    let (_, rollout) = maestro
        .get(&format!("/schedulers/{scheduler}/rollout"))
        .await;
    let waits = rollout["rollout"]["waitingFor"]
        .as_str()
        .unwrap_or_default();
    assert!(waits.contains("to be resumed"), "{rollout}");
    assert_eq!(summary(maestro, scheduler).await["paused"], true);
    let seen = eventually(seconds(5), || async {
        metrics(maestro).await.contains(&gauge(1))
    });
    assert!(seen.await);
    maestro.internal("POST", &order("resume"), None).await;
    let seen = eventually(seconds(5), || async {
        metrics(maestro).await.contains(&gauge(0))
    });
    assert!(seen.await);
    let (_, rollout) = maestro
        .get(&format!("/schedulers/{scheduler}/rollout"))
        .await;
    assert_eq!(rollout["rollout"]["waitingFor"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_end_again_and_again_are_tried_seldom_and_their_ends_are_seen() {
    let home = Home::new();
    let maestro = home.start_with(&[("MAESTRO_SERVICES_ROOMMANAGER_ROOMMINUPTIMEMILLIS", "3000")]);
    let fails = ["sh", "-c", "echo no licence found >&2; exit 3"];
    create(
        &maestro,
        &restarting(home.fleet_of("failing", 2, &fails), "OnFailure"),
    )
    .await;
    create(
        &maestro,
        &restarting(home.fleet_of("always", 2, &fails), "Always"),
    )
    .await;
    // The room becomes ready and then crashes, until a file exists.
    let well = home.path().join("well");
    let script = format!(
        "[ -e {} ] && exec maestro room --ping-interval 100ms; \
         exec maestro room --ping-interval 100ms --crash-after 700ms --exit-code 42",
        well.display()
    );
    create(
        &maestro,
        &home.fleet_of("flapping", 1, &["sh", "-c", &script]),
    )
    .await;
    let fleets = ["failing", "always", "flapping"];
    let (on_error, most) = until_on_error(&maestro, fleets).await;
    assert_eq!(on_error, fleets.into(), "after five failures");
    assert_eq!(most, [2, 2, 1], "no more rooms than wanted at any time");
    for fleet in ["failing", "always"] {
        they_keep_their_places(&maestro, fleet).await;
    }
    let operations = maestro.operations("flapping", "final").await;
    assert!(operations.len() <= 8, "{operations:?}");
    ends_are_seen(&maestro, "flapping").await;
    // The next try stays up, which counts as a success.
    std::fs::write(&well, "").expect("a file");
    let back = eventually(seconds(40), || async {
        maestro.state("flapping").await == "in-sync"
    });
    assert!(back.await, "{}", maestro.state("flapping").await);
    let told = eventually(seconds(5), || async {
        let lines = logged(&maestro, "INFO", "flapping");
        lines.iter().any(|l| {
            l["message"]
                .as_str()
                .is_some_and(|m| m.contains("in-sync again"))
        })
    });
    assert!(told.await);
    for fleet in fleets {
        maestro.remove(fleet).await;
    }
}

/// The fleets that became on-error within a minute, and the highest number of rooms that each had meanwhile.
async fn until_on_error<'a>(
    maestro: &Maestro,
    fleets: [&'a str; 3],
) -> (BTreeSet<&'a str>, [usize; 3]) {
    let mut most = [0; 3];
    let mut on_error = BTreeSet::new();
    let until = std::time::Instant::now() + seconds(60);
    while on_error.len() < 3 && std::time::Instant::now() < until {
        for (fleet, most) in fleets.iter().zip(&mut most) {
            *most = rooms(maestro, fleet).await.len().max(*most);
            if maestro.state(fleet).await == "on-error" {
                on_error.insert(*fleet);
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    (on_error, most)
}

async fn they_keep_their_places(maestro: &Maestro, fleet: &str) {
    let operations = maestro.operations(fleet, "final").await;
    assert!(operations.len() <= 3, "{operations:?}");
    assert_eq!(
        ended(maestro, fleet).await.len(),
        0,
        "they keep their places"
    );
    let page = metrics(maestro).await;
    let begin = format!("maestro_rooms_ended_total{{scheduler=\"{fleet}\",reason=\"restarted\"}} ");
    assert!(page.contains(&begin), "{page}");
}

/// Checks that ends are visible in the log, the metrics, the inventory and the history.
async fn ends_are_seen(maestro: &Maestro, scheduler: &str) {
    let warned = eventually(seconds(5), || async {
        let lines = logged(maestro, "WARN", scheduler);
        let became = |l: &Value| {
            l["message"]
                .as_str()
                .is_some_and(|m| m.contains("on-error"))
        };
        lines.iter().any(became)
    });
    assert!(warned.await, "{}", maestro.logged());
    let warnings = logged(maestro, "WARN", scheduler);
    let ends: Vec<&Value> = warnings
        .iter()
        .filter(|l| l["room_id"].is_string())
        .collect();
    assert!(ends.len() >= 5, "{warnings:?}");
    assert_eq!(ends[0]["exit_code"], 42, "{}", ends[0]);
    assert_eq!(ends[0]["version"], "v1.0.0", "{}", ends[0]);
    assert_eq!(ends[0]["in_match"], false, "{}", ends[0]);
    assert!(
        ends[0]["last_line"]
            .as_str()
            .is_some_and(|l| l.contains("status 42")),
        "{}",
        ends[0]
    );
    let gone = ended(maestro, scheduler).await;
    assert!(gone.len() >= 5, "{gone:?}");
    assert_eq!(gone[0]["ended"]["exitCode"], 42, "{}", gone[0]);
    assert_eq!(gone[0]["status"], "terminated", "{}", gone[0]);
    // The published state is at most 100 ms old.
    for (state, value) in [("on-error", 1), ("in-sync", 0)] {
        let line = format!(
            "maestro_scheduler_state{{scheduler=\"{scheduler}\",state=\"{state}\"}} {value}\n"
        );
        let shown = eventually(seconds(5), || async {
            metrics(maestro).await.contains(&line)
        });
        assert!(shown.await, "{line}{}", metrics(maestro).await);
    }
    let page = metrics(maestro).await;
    let count =
        format!("maestro_rooms_ended_total{{scheduler=\"{scheduler}\",reason=\"failed\"}} ");
    let value = page
        .split(&count)
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let value: f64 = value.and_then(|v| v.parse().ok()).unwrap_or_default();
    assert!(value >= 5.0, "{page}");
    let oldest = gone.last().expect("one")["id"].as_str().expect("an id");
    let line = format!("replaces room {oldest} (exit code 42)");
    let mut told = Vec::new();
    for operation in maestro.operations(scheduler, "final").await {
        let id = operation["id"].as_str().expect("an id");
        let path = format!("/schedulers/{scheduler}/operations/{id}");
        told.push(history(&maestro.get(&path).await.1["operation"]));
    }
    assert!(
        told.iter().any(|text| text.contains(&line)),
        "{line} in {told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_and_ended_rooms_have_their_own_addresses() {
    let home = Home::new();
    let maestro = home.start();
    let (status, body) = maestro.get("/schedulers/nobody/rooms/summary").await;
    assert_eq!((status, &body["code"]), (404, &json!(5)), "{body}");
    create(&maestro, &home.mute_fleet("few", 1)).await;
    let (status, body) = maestro.get("/schedulers/few/rooms?status=gone").await;
    assert_eq!(status, 400, "{body}");
    assert!(
        body["message"]
            .as_str()
            .is_some_and(|m| m.contains("ended")),
        "{body}"
    );
    let up = eventually(seconds(10), || async {
        summary(&maestro, "few").await["roomsUnready"] == 1
    });
    assert!(up.await, "{}", summary(&maestro, "few").await);
    let room = home.pids("few")[0].0.clone();
    maestro
        .ping("few", &room, &json!({"status": "ready"}))
        .await;
    let (status, body) = maestro.allocate("few").await;
    assert_eq!(status, 200, "{body}");
    let few = summary(&maestro, "few").await;
    assert_eq!(
        (&few["roomsAllocated"], &few["roomsReady"]),
        (&json!(1), &json!(0)),
        "{few}"
    );
    assert_eq!(few["state"], "in-sync");
    // A room that ends by an order causes no warning.
    let path = format!("/schedulers/few/rooms/{room}?force=true");
    maestro.delete(&path).await;
    let listed = eventually(seconds(10), || async {
        ended(&maestro, "few").await.len() == 1
    });
    assert!(listed.await);
    let warnings = logged(&maestro, "WARN", "few");
    assert!(
        warnings.iter().all(|l| l["room_id"].is_null()),
        "{warnings:?}"
    );
    let count = "maestro_rooms_ended_total{scheduler=\"few\",reason=\"requested_by_user\"} 1\n";
    let counted = eventually(seconds(5), || async {
        metrics(&maestro).await.contains(count)
    });
    assert!(counted.await, "{}", metrics(&maestro).await);
    maestro.remove("few").await;
}
