//! Runs the matchmaker of `docs/writing-a-matchmaker.md` unchanged against the built binary.

mod support;

use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::{Home, Maestro, skip};

const PAGE: &str = "docs/writing-a-matchmaker.md";
const LINES_MAX: usize = 40;

/// The one fenced block of Python on the page.
fn source() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(path).expect(PAGE);
    let mut found = page.split("```python\n").skip(1);
    let (Some(rest), None) = (found.next(), found.next()) else {
        panic!("{PAGE} has not one block of Python");
    };
    rest.split("```").next().expect("a block ends").to_owned()
}

struct Matchmaker {
    script: PathBuf,
    rooms: String,
}

impl Matchmaker {
    fn start(&self, scheduler: &str, patience: &str) -> Child {
        let mut command = Command::new("python3");
        let script = self.script.as_os_str();
        command.arg(script).args([&self.rooms, scheduler, patience]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    }

    /// Runs it; returns its stdout, its stderr, and whether it succeeded.
    fn run(&self, scheduler: &str, patience: &str) -> (String, String, bool) {
        let child = self.start(scheduler, patience);
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let success = output.status.success();
        (text(output.stdout), text(output.stderr), success)
    }
}

fn assert_is_room(line: &str, maestro: &[String]) {
    let id = line.strip_prefix("room ").and_then(|l| l.split(' ').next());
    let known = id.is_some_and(|id| maestro.iter().any(|room| room == id));
    assert!(known && line.contains(" at 127.0.0.1:"), "{line}");
}

async fn ids(maestro: &Maestro) -> Vec<String> {
    let (_, body) = maestro.get("/schedulers/page/rooms").await;
    let rooms = body["rooms"].as_array().cloned().unwrap_or_default();
    let ids = rooms.iter().filter_map(|room| room["id"].as_str());
    ids.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matchmaker_in_python_takes_rooms_as_the_page_says() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("python3 is not here");
    }
    let source = source();
    let lines = source.trim().lines().count();
    assert!(lines <= LINES_MAX, "{lines} lines are no short client");
    let home = Home::new();
    let script = home.path().join("matchmaker.py");
    std::fs::write(&script, source).expect("a file");
    let maestro = home.start();
    maestro.bring_up(&home.fleet("page", 1)).await;
    let matchmaker = Matchmaker {
        script,
        rooms: maestro.rooms.clone(),
    };

    let (said, why, well) = matchmaker.run("page", "5");
    assert!(well, "{why}");
    assert_is_room(said.trim(), &ids(&maestro).await);

    // The only room is taken: it waits until there is another one.
    let mut waits = matchmaker.start("page", "60");
    let mut lines = BufReader::new(waits.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    let first = line();
    assert!(
        first.starts_with("not yet: no ready rooms available"),
        "{first}"
    );
    let order = json!({"amount": 1});
    let added = maestro.post("/schedulers/page/add-rooms", &order).await;
    maestro.done("page", added).await;
    let last = loop {
        let next = line();
        if !next.starts_with("not yet: ") {
            break next;
        }
    };
    assert_is_room(&last, &ids(&maestro).await);
    assert!(waits.wait().expect("it ends").success());

    // It gives up in time, and at once if waiting is useless.
    let (said, why, well) = matchmaker.run("page", "0.5");
    assert_eq!((said.as_str(), well), ("", false));
    assert!(
        why.starts_with("no room after 0.5 s: no ready rooms"),
        "{why}"
    );
    let (said, why, well) = matchmaker.run("nobody", "60");
    assert_eq!((said.as_str(), well), ("", false));
    assert!(why.starts_with("no room, and none later: "), "{why}");
    maestro.remove("page").await;
}
