//! Runs the rooms of `docs/writing-a-room.md` unchanged as rooms of the built binary.

mod support;

use serde_json::{Value, json};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use support::{Home, Maestro, eventually, seconds, skip};

const PAGE: &str = "docs/writing-a-room.md";
const LINES_MAX: usize = 30;

/// The one fenced block of a language on the page.
fn block(language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(path).expect(PAGE);
    let fence = format!("```{language}\n");
    let mut found = page.split(&fence).skip(1);
    let (Some(rest), None) = (found.next(), found.next()) else {
        panic!("{PAGE} has not one block of {language}");
    };
    rest.split("```").next().expect("a block ends").to_owned()
}

/// The absolute path of an interpreter: rooms do not get the `PATH` of this test.
fn interpreter(program: &str, says_its_path: &[&str]) -> Option<String> {
    let output = Command::new(program).args(says_its_path).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && Path::new(&path).is_absolute()).then_some(path)
}

async fn room(maestro: &Maestro, id: &str) -> Value {
    let (_, body) = maestro.get(&format!("/schedulers/page/rooms/{id}")).await;
    body["room"].clone()
}

async fn until_room(
    maestro: &Maestro,
    id: &str,
    what: &str,
    level: impl Fn(&Value) -> bool,
) -> Value {
    let came = eventually(seconds(30), || async { level(&room(maestro, id).await) }).await;
    let now = room(maestro, id).await;
    assert!(came, "not {what}: {now}\n{}", log(maestro, id).await);
    now
}

async fn log(maestro: &Maestro, id: &str) -> String {
    let path = format!("/schedulers/page/rooms/{id}/log");
    let (_, text) = maestro.get(&path).await;
    text.as_str().unwrap_or_default().to_owned()
}

/// Joins the room's match; the match ends when the player is dropped.
fn join(room: &Value) -> TcpStream {
    let host = room["host"].as_str().expect("a host");
    let port = room["ports"][0]["port"].as_u64().expect("a port");
    TcpStream::connect((host, port as u16)).expect("the room listens on its host port")
}

/// Checks a room: ready, occupied, ready again, and a clean end that waits for the match.
async fn lives_as_the_page_says(source: &str, file: &str, interpreter: &str) {
    let lines = source.trim().lines().count();
    assert!(lines <= LINES_MAX, "{lines} lines are no short client");
    let home = Home::new();
    let script = home.path().join(file);
    std::fs::write(&script, source).expect("a file");
    let maestro = home.start();
    let command = [interpreter, script.to_str().expect("a path")];
    let mut fleet = home.fleet_of("page", 1, &command);
    fleet["spec"]["terminationGracePeriod"] = json!("60s");
    maestro.bring_up(&fleet).await;
    let (id, _) = home.pids("page").remove(0);

    let occupied = |room: &Value| room["status"] == "occupied" && room["runningMatches"] == 1;
    let ready = |room: &Value| room["status"] == "ready" && room["runningMatches"] == 0;
    let idle = until_room(&maestro, &id, "ready", ready).await;
    let player = join(&idle);
    until_room(&maestro, &id, "occupied", occupied).await;
    drop(player);
    until_room(&maestro, &id, "ready again", ready).await;

    let player = join(&idle);
    until_room(&maestro, &id, "occupied again", occupied).await;
    let path = format!("/schedulers/page/rooms/{id}?force=true");
    let (status, body) = maestro.delete(&path).await;
    assert_eq!(status, 200, "{body}");
    until_room(&maestro, &id, "terminating", |room| {
        room["status"] == "terminating" && room["ended"].is_null()
    })
    .await;
    let said = |word: &'static str| {
        let (maestro, id) = (&maestro, id.as_str());
        move || async move { log(maestro, id).await.contains(word) }
    };
    assert!(
        eventually(seconds(20), said("terminating {")).await,
        "it heard no SIGTERM:\n{}",
        log(&maestro, &id).await
    );
    drop(player);
    let gone = until_room(&maestro, &id, "ended", |room| !room["ended"].is_null()).await;
    assert_eq!(gone["ended"]["exitCode"], 0, "{gone}");
    let words = gone["ended"]["lastLogLines"].to_string();
    assert!(words.contains("terminated {"), "{words}");
    maestro.remove("page").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_in_python_lives_as_the_page_says() {
    let Some(python) = interpreter("python3", &["-c", "import sys; print(sys.executable)"]) else {
        return skip("python3 is not here");
    };
    lives_as_the_page_says(&block("python"), "room.py", &python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_in_javascript_lives_as_the_page_says() {
    let Some(node) = interpreter("node", &["-p", "process.execPath"]) else {
        return skip("node is not here");
    };
    lives_as_the_page_says(&block("js"), "room.js", &node).await;
}
