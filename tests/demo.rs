//! `maestro demo`, as somebody tries it who has just built the program.

mod support;

use rustix::process::Signal;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use support::{BINARY, signal, variables_of};

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
        let mut command = Command::new(binary);
        command.arg("demo").args(args).env("TMPDIR", folder.path());
        for name in ["API", "ROOMSAPI", "INTERNALAPI"] {
            command.env(format!("MAESTRO_{name}_PORT"), "0");
        }
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

    /// The next line; `None`: it ended.
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

    /// Waits for its end: whether all was well, and everything it said.
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
        let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                variables_of(*pid)
                    .and_then(|variables| variables.get("HOME").cloned())
                    .is_some_and(|home| std::path::Path::new(&home).starts_with(self.folder.path()))
            })
            .collect()
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(self.processes(), [] as [i32; 0]);
        let files: Vec<_> = std::fs::read_dir(self.folder.path())
            .expect("it is there")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert!(files.is_empty(), "{files:?}");
    }
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
    // Its rooms are this program, whatever its file is called.
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
