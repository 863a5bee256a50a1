//! A server that is started with few descriptors, with ignored signals, or as the first process of
//! a container: rooms work as usual, and their exits are known.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};
use support::{BINARY, Home, Maestro, eventually, seconds, skip};

fn leaders(home: &Home, scheduler: &str) -> BTreeSet<i32> {
    let pids = home.pids(scheduler).into_iter();
    pids.map(|(_, pid)| pid).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_of_descriptors_no_living_room_is_taken_for_ended() {
    const ROOMS: usize = 100;
    let home = Home::new();
    let maestro = home.start_after("ulimit -n 128");
    let fleet = home.mute_fleet("many", ROOMS as u32);
    let (status, body) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{body}");
    let full = || async { leaders(&home, "many").len() == ROOMS };
    let came = eventually(seconds(60), full).await;
    let before = leaders(&home, "many");
    assert!(came, "{} rooms:\n{}", before.len(), maestro.logged());
    // Ended rooms are noticed and replaced, and no others are.
    let victims: Vec<_> = before.iter().step_by(25).copied().collect();
    for pid in &victims {
        support::signal(*pid, Signal::KILL);
    }
    let mended = eventually(seconds(30), || async {
        let now = leaders(&home, "many");
        now.len() == ROOMS && victims.iter().all(|pid| !now.contains(pid))
    });
    let mended = mended.await;
    let now = leaders(&home, "many");
    assert!(mended, "{} rooms:\n{}", now.len(), maestro.logged());
    let same = now.intersection(&before).count();
    assert_eq!(same, ROOMS - victims.len(), "living rooms were replaced");
    // The next server finds the rooms too, and a deletion leaves nothing behind.
    maestro.kill();
    let maestro = home.start_after("ulimit -n 128");
    let listed = eventually(seconds(20), || async {
        let (_, page) = maestro.get("/schedulers/many/rooms?perPage=100").await;
        page["rooms"]
            .as_array()
            .is_some_and(|rooms| rooms.len() == ROOMS)
    });
    assert!(
        listed.await,
        "{}",
        maestro.get("/schedulers/many/rooms?perPage=100").await.1
    );
    assert_eq!(leaders(&home, "many"), now, "adopted");
    assert_eq!(maestro.delete("/schedulers/many").await.0, 200);
    let gone = eventually(seconds(40), || async {
        maestro.get("/schedulers/many").await.0 == 404
    });
    let left = if gone.await { "" } else { &maestro.logged() };
    assert_eq!(left, "", "{} rooms are left", leaders(&home, "many").len());
    assert_eq!(leaders(&home, "many").len(), 0, "rooms are left behind");
}

/// The first room of a scheduler, which exits after a moment.
async fn room_of(home: &Home, scheduler: &str) -> String {
    let came = eventually(seconds(30), || async { !home.pids(scheduler).is_empty() });
    assert!(came.await, "no room of {scheduler}");
    home.pids(scheduler).remove(0).0
}

/// How a room ended, once that is known.
async fn end_of(http: &reqwest::Client, room: &str) -> Value {
    let ask = async || -> Value {
        let answer = http.get(room).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        serde_json::from_str::<Value>(&text).expect("JSON")["room"]["ended"].clone()
    };
    let ended = eventually(seconds(20), || async { !ask().await.is_null() });
    assert!(ended.await, "the end of {room} is not known");
    ask().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_get_limits_and_signals_as_if_we_had_not_been_there() {
    let home = Home::new();
    let maestro = home.start_after("ulimit -Sn 300; trap '' CHLD HUP INT USR1 PIPE");
    let script = "ulimit -Sn; grep SigIgn /proc/self/status; grep SigBlk /proc/self/status; sleep 1; exit 42";
    let fleet = home.fleet_of("plain", 1, &["sh", "-c", script]);
    let (status, body) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{body}");
    let room = room_of(&home, "plain").await;
    let room = format!("{}/schedulers/plain/rooms/{room}", maestro.management);
    let end = end_of(&maestro.http, &room).await;
    assert_eq!(end["exitCode"], 42, "{end}");
    let lines = end["lastLogLines"].as_array().cloned().unwrap_or_default();
    let said: Vec<_> = lines.iter().filter_map(Value::as_str).collect();
    assert_eq!(said[0], "300");
    // Signals 32 and 33 belong to the C library and cannot be set.
    const OF_LIBRARY: u64 = 0b11 << 31;
    for line in &said[1..] {
        let mask = line.split_whitespace().last().unwrap_or_default();
        let mask = u64::from_str_radix(mask, 16).expect("a mask");
        assert_eq!(mask & !OF_LIBRARY, 0, "{line}");
    }
    assert_eq!(said.len(), 3, "{said:?}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", maestro.pid())).expect("it runs");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().nth(3));
    assert_ne!(soft, Some("300"), "we ourselves have all that we may");
    maestro.remove("plain").await;
}

/// The children of a process that have not been reaped.
fn zombies_of(parent: i32) -> Vec<i32> {
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut fields = fields.split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(&parent.to_string())
    })
    .collect()
}

fn child_of(parent: u32) -> Option<i32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    fs::read_to_string(path)
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// The options of `unshare` for a new process namespace.
const CONTAINER: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];

/// The server as the first process of its namespace.
fn contained(home: &Home) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(CONTAINER)
        .arg(BINARY)
        .args(["start", "all", "--data-dir"])
        .arg(home.path());
    command
        .envs(home.environment())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn as_the_first_process_of_a_container_it_reaps_what_lost_its_parent() {
    let possible = Command::new("unshare")
        .args(CONTAINER)
        .arg("true")
        .stderr(Stdio::null())
        .status();
    if !possible.is_ok_and(|status| status.success()) {
        return skip("no pid namespace can be made");
    }
    let home = Home::new();
    let mut container = contained(&home).spawn().expect("unshare");
    let ports = home.environment();
    let url = |name: &str| {
        let port = ports
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, port)| port.clone());
        format!("http://127.0.0.1:{}", port.expect("a port"))
    };
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let healthy = format!("{}/readyz", url("MAESTRO_INTERNALAPI_PORT"));
    let up = eventually(seconds(60), || async {
        http.get(&healthy)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
    });
    assert!(up.await, "it does not start");
    let first = child_of(container.id()).expect("maestro");
    // Each round leaves a process without a parent, which then ends.
    let script = "for n in 1 2 3 4 5; do (setsid sleep 0.1 &); done; sleep 2; exit 42";
    let fleet = home.fleet_of("orphans", 1, &["sh", "-c", script]);
    let schedulers = format!("{}/schedulers", url("MAESTRO_API_PORT"));
    let made = http
        .post(&schedulers)
        .body(fleet.to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(made.status(), 200);
    let room = room_of(&home, "orphans").await;
    let left = eventually(seconds(20), || async { !zombies_of(first).is_empty() });
    assert!(left.await, "there is nothing to reap");
    let end = end_of(&http, &format!("{schedulers}/orphans/rooms/{room}")).await;
    assert_eq!(
        end["exitCode"], 42,
        "the end of our own is not taken: {end}"
    );
    let deleted = http
        .delete(format!("{schedulers}/orphans"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(deleted.status(), 200);
    let reaped = eventually(seconds(30), || async { zombies_of(first).is_empty() });
    assert!(reaped.await, "{:?} are left", zombies_of(first));
    container.kill().expect("it runs");
    container.wait().expect("it ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_far_too_few_descriptors_it_says_so_and_ends() {
    let home = Home::new();
    for prelude in ["ulimit -n 40", "ulimit -n 56"] {
        let started = tokio::task::block_in_place(|| {
            Maestro::try_start_after(prelude, &home.path().join("data"), &[])
        });
        let said = started.err().expect("it ends");
        assert!(said.contains("files may be open at a time"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// Signals that the parent had blocked are inherited.
#[tokio::test(flavor = "multi_thread")]
async fn an_inherited_mask_of_signals_keeps_nobody_from_ending_it() {
    const BLOCKS: &str = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); \
                          os.execv(sys.argv[1], sys.argv[1:])";
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("python3, which blocks the signals, is not there");
    }
    let home = Home::new();
    let mut command = Command::new("python3");
    command
        .args(["-c", BLOCKS, BINARY, "start", "all", "--data-dir"])
        .arg(home.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for of in ["API", "ROOMSAPI", "INTERNALAPI", "GRPC"] {
        command.env(format!("MAESTRO_{of}_PORT"), "0");
    }
    let mut child = command.spawn().expect("the binary starts");
    let said = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut said = said.map_while(Result::ok);
    assert!(said.any(|line| line.contains("\"ready\"")));
    support::signal(child.id() as i32, Signal::TERM);
    let gone = || std::future::ready(child.try_wait().is_ok_and(|ended| ended.is_some()));
    let ended = eventually(seconds(30), gone).await;
    let _ = child.kill();
    assert!(ended, "TERM did nothing");
}
