//! Rooms may write anything, as fast as they can, and may reopen their output: their logs stay
//! complete, bounded, and cheap to read.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};
use support::{Home, Maestro, eventually, seconds};

const LOG_BYTES: u64 = 10 * 1024 * 1024;

/// A fleet of one room that runs `script`.
fn of_script(home: &Home, name: &str, script: &str) -> Value {
    home.fleet_of(name, 1, &["sh", "-c", script])
}

/// The log files of a scheduler's rooms.
fn logs(home: &Home, scheduler: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(home.path(), &mut found);
    let is_log = |path: &PathBuf| {
        let name = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("game.log"));
        name && path.components().any(|part| part.as_os_str() == scheduler)
    };
    found.retain(is_log);
    found
}

/// The processes between a scheduler's rooms and their logs.
fn writers(home: &Home, scheduler: &str) -> Vec<i32> {
    let below = home.path().canonicalize().expect("a folder");
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        let log = words
            .get(2)
            .map(|word| String::from_utf8_lossy(word).into_owned());
        let log = log.map(PathBuf::from).unwrap_or_default();
        words.get(1) == Some(&b"room-log".as_slice())
            && log.starts_with(&below)
            && log.components().any(|part| part.as_os_str() == scheduler)
    })
    .collect()
}

async fn start(maestro: &Maestro, home: &Home, fleet: &Value) -> String {
    let (status, body) = maestro.post("/schedulers", fleet).await;
    assert_eq!(status, 200, "{body}");
    let name = fleet["name"].as_str().expect("a name");
    let came = eventually(seconds(20), || async { home.pids(name).len() == 1 });
    assert!(came.await, "no room of {name}");
    home.pids(name)[0].0.clone()
}

async fn tail(maestro: &Maestro, scheduler: &str, room: &str, lines: u32) -> String {
    let path = format!("/schedulers/{scheduler}/rooms/{room}/log?tail={lines}");
    let (status, body) = maestro.get(&path).await;
    assert_eq!(status, 200, "{body}");
    match body {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

async fn until_said(maestro: &Maestro, scheduler: &str, room: &str, words: &str) -> String {
    let said = eventually(seconds(30), || async {
        tail(maestro, scheduler, room, 100).await.contains(words)
    });
    let said = said.await;
    let text = tail(maestro, scheduler, room, 100).await;
    assert!(said, "no {words:?} in {text:?}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_reopened_and_a_flood_leave_the_log_whole_and_bounded() {
    let home = Home::new();
    let maestro = home.start();
    // The targets of /dev/stdout and /dev/stderr.
    let script = "echo before; echo between > /proc/self/fd/1; echo error > /proc/self/fd/2; \
                  exec > /proc/self/fd/1; echo after; exec sleep 600";
    let room = start(&maestro, &home, &of_script(&home, "reopens", script)).await;
    let text = until_said(&maestro, "reopens", &room, "after").await;
    assert_eq!(text, "before\nbetween\nerror\nafter\n");

    // 80 MB as fast as they can be written.
    let script = "yes 'a line of the flood' | head -n 4000000; echo it is over; exec sleep 600";
    let room = start(&maestro, &home, &of_script(&home, "floods", script)).await;
    let bytes = || -> u64 {
        let sizes = logs(&home, "floods").into_iter();
        sizes
            .map(|log| fs::metadata(log).map_or(0, |m| m.len()))
            .sum()
    };
    let mut most = 0;
    let over = eventually(seconds(60), || {
        most = most.max(bytes());
        let (maestro, room) = (&maestro, &room);
        async move { tail(maestro, "floods", room, 1).await == "it is over\n" }
    });
    assert!(over.await, "{}", tail(&maestro, "floods", &room, 3).await);
    assert!(most > LOG_BYTES / 2, "{most}: there was no flood");
    assert!(most <= 3 * LOG_BYTES + 1_000, "{most} bytes of logs");
    assert_eq!(logs(&home, "floods").len(), 3);
    // No line is torn, not even between two files.
    let newest = tail(&maestro, "floods", &room, 10_000).await;
    let mut lines = newest.lines().rev();
    assert_eq!(lines.next(), Some("it is over"));
    assert!(lines.all(|line| line == "a line of the flood"));
    for scheduler in ["reopens", "floods"] {
        maestro.remove(scheduler).await;
        let gone = eventually(seconds(10), || async {
            writers(&home, scheduler).is_empty()
        });
        assert!(gone.await, "writers end with their rooms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_outlives_the_server_and_its_own_writer() {
    let home = Home::new();
    let maestro = home.start();
    let script = "echo up; n=0; while :; do while [ ! -e go$n ]; do sleep 0.05; done; n=$((n+1)); \
                  echo said $n; done";
    let room = start(&maestro, &home, &of_script(&home, "talks", script)).await;
    let work = fs::read_link(format!("/proc/{}/cwd", home.pids("talks")[0].1)).expect("it runs");
    let go = |n: u32| fs::write(work.join(format!("go{n}")), "").expect("written");
    until_said(&maestro, "talks", &room, "up").await;
    let [writer] = writers(&home, "talks")[..] else {
        panic!("not one writer");
    };
    // TERM to the writer, as from a kill by name, does not silence the room.
    support::signal(writer, Signal::TERM);
    maestro.kill();
    go(0);
    let log = home.path();
    let in_log = |words: &str| {
        let texts = logs(&home, "talks")
            .into_iter()
            .filter_map(|log| fs::read_to_string(log).ok());
        texts.collect::<String>().contains(words)
    };
    let written = eventually(seconds(10), || async { in_log("said 1") });
    assert!(
        written.await,
        "nothing is written in {} without the server",
        log.display()
    );

    let maestro = home.start();
    assert_eq!(writers(&home, "talks"), [writer]);
    support::signal(writer, Signal::KILL);
    go(1);
    let text = until_said(&maestro, "talks", &room, "said 2").await;
    assert_eq!(
        text, "up\nsaid 1\nsaid 2\n",
        "nothing is lost with its writer"
    );
    assert_ne!(writers(&home, "talks"), [writer]);

    // The log is moved away: the next lines go to a new file.
    let [log] = &logs(&home, "talks")[..] else {
        panic!("not one log");
    };
    let kept = home.path().join("kept.log");
    fs::rename(log, &kept).expect("moved");
    go(2);
    let text = until_said(&maestro, "talks", &room, "said 3").await;
    assert_eq!(text, "said 3\n");
    let before = fs::read_to_string(kept).expect("kept");
    assert_eq!(before, "up\nsaid 1\nsaid 2\n");
    // The pipe has lost its name: its next writer finds it through the room's process.
    fs::remove_file(log.with_extension("pipe")).expect("a pipe");
    for writer in writers(&home, "talks") {
        support::signal(writer, Signal::KILL);
    }
    go(3);
    until_said(&maestro, "talks", &room, "said 4").await;
    // The folder of all rooms is moved: the writer stays in its own.
    maestro.kill();
    let (rooms, elsewhere) = (home.path().join("rooms"), home.path().join("elsewhere"));
    let moved = |path: &Path| elsewhere.join(path.strip_prefix(&rooms).expect("below it"));
    fs::rename(&rooms, &elsewhere).expect("moved");
    fs::write(moved(&work).join("go4"), "").expect("written");
    let written = eventually(seconds(10), || async {
        fs::read_to_string(moved(log)).is_ok_and(|text| text.contains("said 5"))
    });
    assert!(
        written.await,
        "nothing is written in {}",
        elsewhere.display()
    );
    fs::rename(&elsewhere, &rooms).expect("moved back");
    let maestro = home.start();
    assert_eq!(home.pids("talks").len(), 1);
    maestro.remove("talks").await;
}

fn memory_peak_kib(maestro: &Maestro) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", maestro.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|n| n.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_in_a_log_reading_it_costs_little() {
    let home = Home::new();
    let maestro = home.start();
    let fleet = of_script(&home, "strange", "echo up; exec sleep 600");
    let room = start(&maestro, &home, &fleet).await;
    until_said(&maestro, "strange", &room, "up").await;
    let [log] = &logs(&home, "strange")[..] else {
        panic!("not one log");
    };
    // One line of 1 GiB, and other files that a room may create next to it.
    File::options()
        .write(true)
        .open(log)
        .and_then(|log| log.set_len(1 << 30))
        .expect("a sparse file");
    for number in 1..2_000 {
        let path = PathBuf::from(format!("{}.{number}", log.display()));
        File::create(&path)
            .and_then(|file| file.set_len(1 << 30))
            .expect("a sparse file");
    }
    let before = memory_peak_kib(&maestro);
    for _ in 0..5 {
        let text = tail(&maestro, "strange", &room, 10_000).await;
        assert!(text.len() < 64 * 1024, "{}", text.len());
        assert!(text.contains("[line cut"), "a cut line says so");
    }
    let grown = memory_peak_kib(&maestro).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more");
    // The last lines of a room go into histories and into the inventory.
    let room_says = "head -c 3000000 /dev/zero; echo; echo last words; exit 3";
    let (status, body) = maestro
        .post("/schedulers", &of_script(&home, "shouts", room_says))
        .await;
    assert_eq!(status, 200, "{body}");
    let histories = async || {
        let mut histories = Vec::new();
        for stage in ["final", "active"] {
            for operation in maestro.operations("shouts", stage).await {
                let id = operation["id"].as_str().unwrap_or_default();
                let path = format!("/schedulers/shouts/operations/{id}");
                histories.push(support::history(&maestro.get(&path).await.1["operation"]));
            }
        }
        histories
    };
    let told = eventually(seconds(30), || async {
        histories().await.iter().any(|h| h.contains("last words"))
    });
    assert!(told.await, "{:?}", histories().await);
    for history in histories().await {
        assert!(history.len() <= 64 * 1024, "{} bytes", history.len());
    }
    maestro.remove("shouts").await;
    maestro.remove("strange").await;
}
