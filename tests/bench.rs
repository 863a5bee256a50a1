//! Runs each measurement once, with tiny sizes, on the built binary: it runs, ends and leaves
//! nothing behind.

use std::process::Command;

/// Runs a measurement and returns its output.
fn bench(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_maestro"))
        .arg("bench")
        .args(args)
        .output()
        .expect("the binary starts");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{args:?}\n{stdout}\n{stderr}");
    stdout
}

/// The cells of the line whose first cell is this one.
fn line<'a>(report: &'a str, first: &str) -> Vec<&'a str> {
    let cells = |line: &'a str| line.split('|').map(str::trim).skip(1).collect::<Vec<_>>();
    let mut lines = report.lines().map(cells);
    lines
        .find(|cells| cells.first() == Some(&first))
        .unwrap_or_else(|| panic!("no line {first:?} in\n{report}"))
}

#[test]
fn pings_are_measured_in_turn_with_a_bare_handler() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.md");
    let report = bench(&[
        "ping",
        "--rooms=20",
        "--connections=4",
        "--for=400ms",
        "--slice=200ms",
        "--baseline",
        "--markdown",
        file.to_str().expect("a path in UTF-8"),
    ]);
    assert_eq!(line(&report, "server")[8], "0", "{report}");
    assert_ne!(line(&report, "bare handler")[7], "0", "{report}");
    assert!(report.contains("median of the rounds: rate"), "{report}");
    let written = std::fs::read_to_string(file).expect("the report's file");
    assert_eq!(written.trim(), report.trim());
}

#[test]
fn the_open_loop_keeps_its_rate() {
    let report = bench(&[
        "ping",
        "--rooms=20",
        "--connections=4",
        "--for=1s",
        "--slice=1s",
        "--rate=100",
    ]);
    let answered: u32 = line(&report, "server")[7].parse().expect("a number");
    assert!((80..=101).contains(&answered), "{report}");
}

#[test]
fn every_ready_room_is_given_once() {
    let report = bench(&[
        "allocate",
        "--rooms=50,100",
        "--allocations=200",
        "--connections=4",
    ]);
    for rooms in ["50", "100"] {
        let line = line(&report, rooms);
        assert_eq!((line[1], line[9]), ("200", "0"), "{report}");
    }
}

#[test]
fn a_fleet_is_timed_from_nothing_to_ready_and_over_a_restart() {
    let report = bench(&["fleet", "--rooms=50", "--connections=4"]);
    for what in ["POST → all rooms ready, ms", "start → rooms replaced, ms"] {
        let time: f64 = line(&report, what)[1].parse().expect("a number");
        assert!(time > 0.0, "{report}");
    }
}

#[test]
fn crashes_of_real_rooms_are_timed_and_no_room_is_left() {
    let report = bench(&["fleet", "--process=2"]);
    let time = line(&report, "exit → replacement requested, ms")[1];
    assert!(time.parse::<f64>().is_ok(), "{report}");
}

#[test]
fn operations_and_schedulers_are_measured() {
    let report = bench(&[
        "operations",
        "--schedulers=20",
        "--operations=20",
        "--connections=4",
        "--for=200ms",
    ]);
    assert_eq!(line(&report, "creations, up to 20")[7], "20", "{report}");
    assert_eq!(line(&report, "list of 100")[8], "0", "{report}");
}
