//! A disk that fills up under a running orchestrator: the answers to callers, and what continues.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;
use support::{Home, Maestro, Mounted, eventually, run, seconds, skip};

const CAUSE: &str = "no space left on device";

/// Fills a small disk to the last byte.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("ballast");
    let mut file = fs::File::create(&path).expect("a file");
    for size in [65_536, 4_096, 512, 1] {
        let bytes = vec![1_u8; size];
        while file.write_all(&bytes).is_ok() {}
    }
    path
}

async fn ping_each(maestro: &Maestro, home: &Home) -> bool {
    for (room, _) in home.pids("full") {
        let body = json!({"status": "ready", "runningMatches": 0});
        let answer = maestro.ping("full", &room, &body).await;
        if answer != (200, json!({"success": true})) {
            return false;
        }
    }
    true
}

/// Sends a change that is too large for the free pages, until it is refused. Returns its operation if it was accepted
/// before the store knew that the disk is full.
async fn run_into_it(maestro: &Maestro, cause: &str) -> Option<String> {
    let until = Instant::now() + seconds(60);
    loop {
        let metadata = json!({"note": "x".repeat(200_000)});
        let patch = json!({"forwarders": [{
            "name": "far", "enable": false, "type": "gRPC", "address": "far:80",
            "options": {"timeout": "1000", "metadata": metadata},
        }]});
        let began = Instant::now();
        let (status, body) = maestro.patch("/schedulers/full", &patch).await;
        // A change that still fits may be accepted, and conflicts with the next one for a moment.
        if status == 200 || body["code"] == 9 {
            assert!(Instant::now() < until, "the disk does not run full: {body}");
            continue;
        }
        let text = body["message"].as_str().unwrap_or_default();
        assert!(status == 503 && text.contains(cause), "{status} {body}");
        assert!(
            began.elapsed() < seconds(4),
            "not at once: {:?}",
            began.elapsed()
        );
        let named = text.split("operation ").nth(1);
        return named
            .and_then(|rest| rest.split(' ').next())
            .map(str::to_owned);
    }
}

fn records(maestro: &Maestro) -> Vec<Value> {
    let log = maestro.logged();
    let records = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_default());
    records.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_at_once_and_reads_pings_and_rooms_go_on() {
    let home = Home::below("data");
    let _mounted = match Mounted::new(home.path(), "size=16m") {
        Ok(mounted) => mounted,
        Err(why) => return skip(format!("nothing can be mounted here: {why}")),
    };
    let maestro = home.start();
    let (status, body) = maestro
        .post("/schedulers", &home.mute_fleet("full", 2))
        .await;
    assert_eq!(status, 200, "{body}");
    let there = eventually(seconds(20), || async {
        home.pids("full").len() == 2 && ping_each(&maestro, &home).await
    });
    assert!(there.await);
    maestro.wait_ready("full", 2).await;
    let rooms = home.pids("full");
    let ballast = fill(home.path());
    let accepted = run_into_it(&maestro, CAUSE).await;

    changes_are_refused_with_the_cause(&maestro, &home).await;
    what_is_known_is_answered(&maestro, &home, &rooms[0].0).await;
    who_is_on_call_sees_it(&maestro).await;
    assert_eq!(home.pids("full"), rooms, "rooms go on");

    fs::remove_file(ballast).unwrap();
    it_goes_on(&maestro).await;
    if let Some(id) = accepted {
        assert_eq!(maestro.ended("full", &id).await["status"], "finished");
    }
    assert_eq!(
        maestro.get("/schedulers/another").await.0,
        404,
        "it was refused"
    );
    assert_eq!(maestro.allocate("full").await.0, 200);
    it_is_logged_once(&maestro);
    maestro.remove("full").await;
}

/// Changes and allocations are refused at once, with the cause, and have no effect.
async fn changes_are_refused_with_the_cause(maestro: &Maestro, home: &Home) {
    let fleet = home.mute_fleet("another", 1);
    for (what, answer) in [
        ("an allocation", refused(maestro.allocate("full")).await),
        (
            "a scheduler",
            refused(maestro.post("/schedulers", &fleet)).await,
        ),
        (
            "rooms",
            refused(maestro.post("/schedulers/full/add-rooms", &json!({"amount": 1}))).await,
        ),
        (
            "a deletion",
            refused(maestro.delete("/schedulers/full")).await,
        ),
    ] {
        let text = answer["message"].as_str().unwrap_or_default();
        assert!(
            text.contains(CAUSE) && answer["code"] == 14,
            "{what}: {answer}"
        );
    }
}

/// Reads and pings are answered as before, including a ping with a new status.
async fn what_is_known_is_answered(maestro: &Maestro, home: &Home, room: &str) {
    for path in [
        "/schedulers".to_owned(),
        "/schedulers/full".to_owned(),
        "/schedulers/full/versions".to_owned(),
        "/schedulers/full?version=v1.0.0".to_owned(),
        "/schedulers/info".to_owned(),
        "/schedulers/full/operations?stage=final".to_owned(),
        "/schedulers/full/rooms".to_owned(),
        format!("/schedulers/full/rooms/{room}"),
    ] {
        let (status, body) = maestro.get(&path).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    assert!(ping_each(maestro, home).await, "pings go on");
    // A new status is accepted too, and is visible.
    let began = Instant::now();
    let occupied = json!({"status": "occupied", "runningMatches": 1});
    let told = maestro.ping("full", room, &occupied).await;
    assert_eq!(told, (200, json!({"success": true})));
    assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
    let (_, shown) = maestro.get(&format!("/schedulers/full/rooms/{room}")).await;
    assert_eq!(shown["room"]["status"], "occupied", "{shown}");
    let ready = json!({"status": "ready", "runningMatches": 0});
    let told = maestro.ping("full", room, &ready).await;
    assert_eq!(told, (200, json!({"success": true})));
}

/// Whether the metric of a failing store has this value.
async fn failing(maestro: &Maestro, value: &str) -> bool {
    let (_, page) = maestro.internal("GET", "/metrics", None).await;
    let line = format!("maestro_store_failing {value}");
    page.as_str().unwrap_or_default().lines().any(|l| l == line)
}

async fn who_is_on_call_sees_it(maestro: &Maestro) {
    assert_eq!(maestro.internal("GET", "/healthz", None).await.0, 200);
    let ready = reqwest::get(format!("{}/readyz", maestro.internal)).await;
    let ready = ready.expect("an answer");
    let why = ready.headers()["x-reason"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(ready.status() == 503 && why.contains(CAUSE), "{why}");
    assert_eq!(ready.text().await.expect("text"), "Service Unavailable");
    let (_, view) = maestro.internal("GET", "/debug/actors", None).await;
    assert_eq!(view["store"]["cause"], CAUSE, "{view}");
    let shown = run(&["actors", "--url", &maestro.grpc]).stdout;
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(
        shown.contains("store: takes no changes since") && shown.contains(CAUSE),
        "{shown}"
    );
    assert!(failing(maestro, "1").await);
    // Waits for several retries, to see that the log does not report each of them.
    let retries = async || {
        let (_, view) = maestro
            .internal("GET", "/debug/actors?scheduler=full", None)
            .await;
        view["actors"][0]["scheduler"]["writer"]["retries"].as_u64()
    };
    let tried = eventually(seconds(30), || async { retries().await >= Some(4) });
    assert!(tried.await, "it is tried again and again");
}

/// Checks that everything continues once there is space again.
async fn it_goes_on(maestro: &Maestro) {
    let ready = eventually(seconds(20), || async {
        maestro.internal("GET", "/readyz", None).await.0 == 200
    });
    assert!(ready.await, "{}", maestro.logged());
    assert!(failing(maestro, "0").await);
    let (_, view) = maestro.internal("GET", "/debug/actors", None).await;
    assert!(view.get("store").is_none(), "{view}");
}

fn it_is_logged_once(maestro: &Maestro) {
    let records = records(maestro);
    let about_it = |record: &&Value| record.to_string().contains(CAUSE) && record["path"].is_null();
    let about_it: Vec<_> = records.iter().filter(about_it).collect();
    let told: Vec<_> = about_it
        .iter()
        .map(|record| (record["level"].as_str(), record["message"].as_str()))
        .collect();
    let begins = "the store takes no changes: reads, pings and rooms continue; fix the cause, no restart is needed";
    let told_once = [
        (Some("ERROR"), Some(begins)),
        (Some("INFO"), Some("the store takes changes again")),
    ];
    assert_eq!(told, told_once, "{about_it:#?}");
    let errors = records.iter().filter(|record| record["level"] == "ERROR");
    assert_eq!(errors.count(), 1, "{}", maestro.logged());
}

/// This needs no privileges: a store file that may not grow fails like one on a full disk. The signal that comes with
/// it (SIGXFSZ) once killed the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_file_sizes_is_a_full_disk_and_nothing_else() {
    let home = Home::new();
    // The shell's blocks have 512 bytes or 1 KiB.
    let maestro = home.start_after("ulimit -f 8192");
    let (status, body) = maestro
        .post("/schedulers", &home.mute_fleet("full", 1))
        .await;
    assert_eq!(status, 200, "{body}");
    let there = eventually(seconds(20), || async {
        home.pids("full").len() == 1 && ping_each(&maestro, &home).await
    });
    assert!(there.await);
    maestro.wait_ready("full", 1).await;
    let rooms = home.pids("full");
    // Smaller changes still fit, so the readiness varies and is not checked.
    run_into_it(&maestro, "file too large").await;
    assert!(ping_each(&maestro, &home).await, "pings go on");
    assert_eq!(maestro.internal("GET", "/healthz", None).await.0, 200);
    // Without the limit everything continues, with the same rooms.
    maestro.kill();
    let maestro = home.start();
    assert_eq!(home.pids("full"), rooms);
    maestro.remove("full").await;
}

/// The body of an answer that must come at once and be a temporary refusal.
async fn refused(answer: impl Future<Output = support::Answer>) -> Value {
    let began = Instant::now();
    let (status, body) = answer.await;
    assert_eq!(status, 503, "{body}");
    assert!(
        began.elapsed() < seconds(1),
        "{:?}: {body}",
        began.elapsed()
    );
    body
}
