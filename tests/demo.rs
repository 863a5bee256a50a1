//! `maestro demo`, as a first-time user tries it.

mod support;
#[path = "support/terminal.rs"]
mod terminal;

use maestro_store::embedded::EmbeddedStore;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};
use support::{BINARY, signal, variables_of};
use terminal::Terminal;

/// A running demonstration, line by line.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    /// Its temporary folders are made here.
    folder: tempfile::TempDir,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        Self::start_as(Path::new(BINARY), args)
    }

    fn start_as(binary: &Path, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = command(binary, folder.path(), args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            said: Vec::new(),
            folder,
        }
    }

    /// The next line; `None`: the output has ended.
    fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) => {
                self.said.push(line.clone());
                Some(line)
            }
            Err(error) => {
                let timed_out = error == std::sync::mpsc::RecvTimeoutError::Timeout;
                assert!(!timed_out, "it hangs after {:#?}", self.said);
                None
            }
        }
    }

    fn until(&mut self, part: &str) {
        while let Some(line) = self.line() {
            if line.contains(part) {
                return;
            }
        }
        panic!("no {part:?} in {:#?}", self.said);
    }

    /// Waits for its end. Returns whether it succeeded, and its whole output.
    fn end(&mut self) -> (bool, String) {
        while self.line().is_some() {}
        let status = self.child.wait().expect("it ended");
        let mut errors = String::new();
        let mut pipe = self.child.stderr.take().expect("piped");
        pipe.read_to_string(&mut errors).expect("text");
        (
            status.success(),
            format!("{}\n{errors}", self.said.join("\n")),
        )
    }

    /// Processes that were started below its folder.
    fn processes(&self) -> Vec<i32> {
        processes_below(self.folder.path())
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(left_in(self.folder.path()), Left::default());
    }
}

/// A demo with its temporary folders in `folder`, on free ports.
fn command(binary: &Path, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.arg("demo").args(args).env("TMPDIR", folder);
    for name in ["API", "ROOMSAPI", "INTERNALAPI", "GRPC"] {
        command.env(format!("MAESTRO_{name}_PORT"), "0");
    }
    command.stdin(Stdio::null());
    command
}

#[derive(Debug, Default, PartialEq)]
struct Left {
    processes: Vec<i32>,
    files: Vec<std::ffi::OsString>,
}

fn left_in(folder: &Path) -> Left {
    let files = std::fs::read_dir(folder).expect("it is there").flatten();
    Left {
        processes: processes_below(folder),
        files: files.map(|entry| entry.file_name()).collect(),
    }
}

/// Waits until a demo in this folder has left nothing, neither rooms nor files nor a watchdog.
fn wait_until_nothing_is_left(folder: &Path) {
    wait_for("nothing is left", || {
        left_in(folder) == Left::default() && watchdogs_of(folder).is_empty()
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test has its thread for itself"
)]
fn wait_for(what: &str, level: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !level() {
        assert!(Instant::now() < until, "not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn watchdogs_of(folder: &Path) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
    let is = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("demo-watchdog") && line.contains(folder.to_str().expect("a text"))
    };
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(is)
        .collect()
}

fn processes_below(folder: &Path) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            variables_of(*pid)
                .and_then(|variables| variables.get("HOME").cloned())
                .is_some_and(|home| std::path::Path::new(&home).starts_with(folder))
        })
        .collect()
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.processes() {
            signal(pid, Signal::KILL);
        }
    }
}

/// The first number of a line of the summary.
fn number(said: &str, label: &str) -> u64 {
    let line = said.lines().find(|line| line.starts_with(label));
    let word = line.and_then(|line| {
        line[label.len()..]
            .split([' ', ','])
            .find(|w| !w.is_empty())
    });
    word.and_then(|word| word.parse().ok()).expect(label)
}

#[test]
fn the_demo_plays_for_its_time_and_sums_up() {
    // Its rooms run this program, whatever its file is called.
    let folder = tempfile::tempdir().expect("a folder");
    let binary = folder.path().join("orchestrator");
    std::fs::copy(BINARY, &binary).expect("a copy");
    let mut demo = Demo::start_as(&binary, &["--rooms", "3", "--for", "6s"]);
    let (well, said) = demo.end();
    assert!(well, "{said}");
    for expected in [
        "3 rooms ready",
        "/schedulers/info",
        "was made to crash",
        "rooms started:",
        "rooms at the peak:",
        "scale-ups, -downs:",
        "matches played:",
        "matches cut short:    0",
        "rolling update:       none",
        "crash to replacement:",
        "allocated twice:      0",
        "operations not ended: 0",
        "processes left:       0",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    let number = |label: &str| number(&said, label);
    assert!(number("matches played:") > 0, "{said}");
    assert!(number("rooms started:") >= 4, "{said}");
    assert!(!said.contains('\x1b'), "plain lines only: {said}");
    demo.assert_nothing_is_left();
}

#[test]
fn with_more_time_the_fleet_grows_and_is_replaced() {
    let mut demo = Demo::start(&["--rooms", "4", "--for", "14s"]);
    let (well, said) = demo.end();
    assert!(well, "{said}");
    for expected in [
        "a rolling update began",
        "the crashed room was replaced",
        "rolling update:       finished in ",
        "allocated twice:      0",
        "operations not ended: 0",
        "processes left:       0",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    assert!(number(&said, "rooms at the peak:") > 4, "{said}");
    assert!(number(&said, "scale-ups, -downs:") > 0, "{said}");
    demo.assert_nothing_is_left();
}

#[test]
fn ctrl_c_ends_the_demo_and_leaves_nothing() {
    let mut demo = Demo::start(&["--rooms", "2"]);
    demo.until("  0 s  ready");
    assert_eq!(demo.processes().len(), 2);
    signal(demo.child.id() as i32, Signal::INT);
    let (well, said) = demo.end();
    assert!(well, "{said}");
    assert!(said.contains("processes left:       0"), "{said}");
    demo.assert_nothing_is_left();
}

#[test]
fn term_before_the_rooms_are_ready_leaves_nothing_either() {
    let mut demo = Demo::start(&["--rooms", "20"]);
    demo.until("Ctrl-C ends it");
    signal(demo.child.id() as i32, Signal::TERM);
    let (_, said) = demo.end();
    assert!(said.contains("processes left:       0"), "{said}");
    demo.assert_nothing_is_left();
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_starts() {
    for args in [
        &["demo", "--rooms", "0"][..],
        &["demo", "--rooms", "many"],
        &["demo", "--for", "soon"],
    ] {
        let output = support::run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
}

#[test]
fn the_end_of_the_terminal_ends_the_demo_and_leaves_nothing() {
    let mut demo = Demo::start(&["--rooms", "2"]);
    demo.until("  0 s  ready");
    signal(demo.child.id() as i32, Signal::HUP);
    let (well, said) = demo.end();
    assert!(well && said.contains("processes left:       0"), "{said}");
    demo.assert_nothing_is_left();
}

#[test]
fn a_kill_leaves_nothing() {
    let mut demo = Demo::start(&["--rooms", "3"]);
    demo.until("  0 s  ready");
    assert_eq!(demo.processes().len(), 3);
    // Neither the signals of a terminal nor TERM end the watchdog.
    let watchdogs = watchdogs_of(demo.folder.path());
    assert_eq!(watchdogs.len(), 1);
    for unheard in [Signal::INT, Signal::TERM, Signal::HUP] {
        signal(watchdogs[0], unheard);
    }
    demo.child.kill().expect("it can be killed");
    wait_until_nothing_is_left(demo.folder.path());
}

#[test]
fn without_its_watchdog_the_demo_cleans_up_itself() {
    let mut demo = Demo::start(&["--rooms", "2"]);
    demo.until("  0 s  ready");
    for watchdog in watchdogs_of(demo.folder.path()) {
        signal(watchdog, Signal::KILL);
    }
    signal(demo.child.id() as i32, Signal::INT);
    let (well, said) = demo.end();
    assert!(well, "{said}");
    assert!(said.contains("processes left:       0"), "{said}");
    demo.assert_nothing_is_left();
}

#[tokio::test]
async fn ctrl_c_before_the_crashed_room_is_replaced_is_no_fault() {
    let mut demo = Demo::start(&["--rooms", "2"]);
    demo.until("  0 s  ready");
    let said = demo.said.iter().find(|line| line.contains("/debug/actors"));
    let actors = said.and_then(|line| line.trim().strip_prefix("curl "));
    let actors = actors.expect("its URL").to_owned();
    let tell = async |what: &str| {
        let told = reqwest::Client::new().post(format!("{actors}/demo/{what}"));
        let answer = told.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
    };
    // While the scheduler is paused, no room is replaced.
    tell("pause").await;
    demo.until("was made to crash");
    signal(demo.child.id() as i32, Signal::INT);
    demo.until("ended before the crashed room was replaced");
    tell("resume").await;
    let (well, said) = demo.end();
    assert!(well, "{said}");
    assert!(said.contains("crash to replacement: interrupted"), "{said}");
    demo.assert_nothing_is_left();
}

/// Kills a demo together with its watchdog while its rooms run. Returns the temporary folder and the demo's folder in
/// it.
fn killed_with_all(demo: &mut Demo) -> (PathBuf, PathBuf) {
    let folder = demo.folder.path().to_owned();
    for watchdog in watchdogs_of(&folder) {
        signal(watchdog, Signal::KILL);
    }
    demo.child.kill().expect("it can be killed");
    demo.child.wait().expect("it ended");
    let left = left_in(&folder);
    assert_eq!((left.processes.len(), left.files.len()), (2, 1));
    let data = folder.join(&left.files[0]);
    (folder, data)
}

const SHORT: [&str; 4] = ["--rooms", "1", "--for", "1s"];

fn next_demo(folder: &Path) {
    let mut next = command(Path::new(BINARY), folder, &SHORT);
    let output = next.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_a_kill_of_all_left_is_swept_by_the_next_demo() {
    let mut demo = Demo::start(&["--rooms", "2"]);
    demo.until("  0 s  ready");
    // Another demo at the same time does not touch a running one.
    next_demo(demo.folder.path());
    assert_eq!(demo.processes().len(), 2);
    let (folder, data) = killed_with_all(&mut demo);
    // The marker names the installation whose rooms must be ended, so the store may be broken.
    std::fs::write(data.join("maestro.redb"), "redb, and then nothing").expect("written");
    next_demo(&folder);
    wait_until_nothing_is_left(&folder);
}

#[test]
fn folders_of_demos_without_a_marker_are_swept_for_what_is_in_their_store() {
    let mut demo = Demo::start(&["--rooms", "2"]);
    demo.until("  0 s  ready");
    let (folder, data) = killed_with_all(&mut demo);
    // The folder looks as earlier versions left it.
    std::fs::remove_file(data.join("MAESTRO-DEMO")).expect("removed");
    let notes = data.join("notes");
    std::fs::write(&notes, "what I saw").expect("written");
    next_demo(&folder);
    assert_eq!(demo.processes().len(), 2, "something of somebody is in it");
    std::fs::remove_file(&notes).expect("removed");
    next_demo(&folder);
    wait_until_nothing_is_left(&folder);
}

/// All paths below a folder, with the content of files.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("it is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(content(&path));
            all.insert(path, Vec::new());
        } else {
            let bytes = std::fs::read(&path).expect("it can be read");
            all.insert(path, bytes);
        }
    }
    all
}

#[test]
fn folders_that_only_look_like_a_demos_stay_as_they_are() {
    let mut demo = Demo::start(&["--rooms", "1"]);
    demo.until("  0 s  ready");
    let folder = demo.folder.path().to_owned();
    let living = folder.join(&left_in(&folder).files[0]);
    for (name, files) in [
        ("clone", &[".git/HEAD", "main.rs"][..]),
        ("a1b2c3", &["LOCK", "notes"]),
        ("d4e5f6", &["LOCK"]),
        ("copied", &["MAESTRO-DEMO", "LOCK", "maestro.redb"]),
        ("broken", &["LOCK", "maestro.redb"]),
        ("empty1", &[]),
        ("mine", &["MAESTRO-DEMO"]),
    ] {
        let mine = folder.join(format!("maestro-demo-{name}"));
        std::fs::create_dir(&mine).expect("made");
        for file in files {
            let path = mine.join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            match name {
                "copied" => drop(std::fs::copy(living.join(file), path).expect("copied")),
                _ => std::fs::write(path, "maestro demo: redb").expect("written"),
            }
        }
    }
    // A user's own fleet in a folder with such a name.
    let fleet = folder.join("maestro-demo-fleet1");
    drop(EmbeddedStore::open(&fleet).expect("a store"));
    demo.child.kill().expect("it can be killed");
    wait_for("its own folder is gone", || !living.exists());
    let old = SystemTime::from(jiff::Timestamp::now()) - Duration::from_secs(3600);
    for mine in std::fs::read_dir(&folder).expect("it is there").flatten() {
        let mine = std::fs::File::open(mine.path()).expect("it is there");
        mine.set_modified(old).expect("it is ours");
    }
    let names = |all: &BTreeMap<PathBuf, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
    let before = content(&folder);
    next_demo(&folder);
    // A watchdog that a user starts does not touch them either.
    for mine in left_in(&folder).files {
        let mut watchdog = Command::new(BINARY);
        watchdog.arg("demo-watchdog").arg(folder.join(mine));
        let output = watchdog.stdin(Stdio::null()).output().expect("it runs");
        assert!(!output.status.success(), "{output:?}");
    }
    let mut after = content(&folder);
    assert_eq!(names(&after), names(&before));
    // The fleet's store was opened to look at it, which changed its lock file.
    after.extend(
        before
            .iter()
            .filter(|(path, _)| path.starts_with(&fleet))
            .map(|(p, b)| (p.clone(), b.clone())),
    );
    let broken = folder.join("maestro-demo-broken/LOCK");
    after.insert(broken.clone(), before[&broken].clone());
    assert!(after == before, "something was written");
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_demo_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = command(Path::new(BINARY), folder.path(), &["--rooms", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    // Like `head`: the reader closes the pipe after ten lines.
    assert!(out.lines().take(10).all(|line| line.is_ok()));
    let output = child.wait_with_output().expect("it ended");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    wait_until_nothing_is_left(folder.path());
    // A full disk is reported.
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("it is there");
    let output = command(Path::new(BINARY), folder.path(), &["--rooms", "1"])
        .stdout(full)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("No space left") && !said.contains("panicked"),
        "{said}"
    );
    wait_until_nothing_is_left(folder.path());
}

/// The tables in a terminal's output, each as its lines.
fn tables(seen: &str) -> Vec<Vec<String>> {
    let frames = seen.split("\u{1b}[J").skip(1);
    // A line that begins with an escape belongs to the next frame.
    let lines = |frame: &str| {
        let lines = frame.lines().filter(|line| !line.starts_with('\u{1b}'));
        lines.map(str::to_owned).collect()
    };
    let is_table = |frame: &Vec<String>| frame.iter().any(|line| line.contains(" s   load"));
    frames.map(lines).filter(is_table).collect()
}

#[test]
fn the_table_fits_into_the_terminal_whatever_its_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let terminal = Terminal::new(60, 24);
    let mut starting = command(Path::new(BINARY), folder.path(), &["--rooms", "2"]);
    starting
        .env("TERM", "xterm")
        .stdout(terminal.stdio())
        .stderr(Stdio::null());
    let mut child = starting.spawn().expect("the binary starts");
    drop(starting);
    let widest = |frames: &[Vec<String>]| {
        let lines = frames.iter().flatten().map(|line| line.chars().count());
        lines.max().unwrap_or(0)
    };
    wait_for("some tables", || tables(&terminal.seen()).len() > 3);
    let before = tables(&terminal.seen());
    assert!(before.iter().all(|table| table.len() > 9), "{before:?}");
    terminal.resize(20, 6);
    let anew = |terminal: &Terminal| {
        let seen = terminal.seen();
        let (_, behind) = seen.split_once("\u{1b}[H\u{1b}[J")?;
        Some(format!("\u{1b}[J{behind}"))
    };
    wait_for("tables of the new size", || {
        anew(&terminal).is_some_and(|seen| tables(&seen).len() > 3)
    });
    let after = tables(&anew(&terminal).expect("seen"));
    // The last one may be incomplete.
    assert!(widest(&after) <= 20, "{after:?}");
    assert!(after.iter().all(|table| table.len() <= 5), "{after:?}");
    // The terminal goes away, as when its window is closed.
    drop(terminal);
    signal(child.id() as i32, Signal::HUP);
    child.wait().expect("it ended");
    wait_until_nothing_is_left(folder.path());
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let terminal = Terminal::new(80, 24);
    let mut starting = command(
        Path::new(BINARY),
        folder.path(),
        &["--rooms", "1", "--for", "2s"],
    );
    starting
        .env("TERM", "dumb")
        .stdout(terminal.stdio())
        .stderr(Stdio::null());
    let status = starting.status().expect("it runs");
    drop(starting);
    wait_for("the summary", || {
        terminal.seen().contains("processes left:       0")
    });
    assert!(
        status.success() && !terminal.seen().contains('\u{1b}'),
        "{}",
        terminal.seen()
    );
}
