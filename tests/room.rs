//! The sample room as a process, with a fake rooms API that only records.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// One request as the fake rooms API saw it.
#[derive(Debug)]
struct Ping {
    line: String,
    connection: usize,
    body: Value,
}

/// Answers every request alike, and passes it on.
struct RoomsApi {
    address: SocketAddr,
    pings: Receiver<Ping>,
}

impl RoomsApi {
    fn start() -> Self {
        Self::on(
            TcpListener::bind("127.0.0.1:0").expect("a free port"),
            "{\"success\":true}",
        )
    }

    fn on(listener: TcpListener, answer: &'static str) -> Self {
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let (sender, pings) = channel();
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (Ok(stream), sender) = (stream, sender.clone()) else {
                    return;
                };
                thread::spawn(move || answer_all(&stream, connection, answer, &sender));
            }
        });
        Self { address, pings }
    }

    fn next(&self) -> Ping {
        self.pings.recv_timeout(PATIENCE).expect("a ping in time")
    }

    /// Waits until no ping has come for many intervals.
    fn until_silent(&self) {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(ping) = self.pings.recv_timeout(Duration::from_millis(500)) {
            assert!(Instant::now() < deadline, "still pinging: {ping:?}");
        }
    }

    /// Waits for a ping with this status.
    fn until(&self, status: &str) -> Ping {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ping = self.next();
            if ping.body["status"] == status {
                return ping;
            }
            assert!(Instant::now() < deadline, "no ping {status}, last {ping:?}");
        }
    }
}

/// Reads requests from a connection until it ends.
fn answer_all(
    stream: &TcpStream,
    connection: usize,
    answer: &str,
    sender: &Sender<Ping>,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if line.trim_end().is_empty() {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let length = lines.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        })?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let ping = Ping {
            line: lines.remove(0),
            connection,
            body: serde_json::from_slice(&body).ok()?,
        };
        let mut writer = stream;
        write!(
            writer,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        )
        .ok()?;
        sender.send(ping).ok()?;
    }
}

/// A room process, which is killed on drop.
struct Room {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Room {
    fn start(api: SocketAddr, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_maestro"))
            .arg("room")
            .args(["--ping-interval", "50ms"])
            .args(flags)
            .env_clear()
            .env("MAESTRO_SCHEDULER_NAME", "arena")
            .env("MAESTRO_ROOM_ID", "arena-x2v4k")
            .env("MAESTRO_ROOMS_API_URL", format!("http://{api}/"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let output = child.stdout.take().map(BufReader::new);
        Self { child, output }
    }

    /// Reads the log up to a line that contains `text`.
    fn line(&mut self, text: &str) -> String {
        let output = self.output.as_mut().expect("stdout is piped");
        loop {
            let mut line = String::new();
            assert!(
                output.read_line(&mut line).expect("a log of text") > 0,
                "log ended before {text:?}"
            );
            if line.contains(text) {
                return line;
            }
        }
    }

    fn connect(&mut self) -> Client {
        let line = self.line("listening on ");
        let address = line
            .trim_end()
            .rsplit(' ')
            .next()
            .expect("an address at the end");
        let stream = TcpStream::connect(address).expect("the game port is open");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout above zero");
        Client(BufReader::new(stream))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a pid");
        kill_process(pid, signal).expect("the room lives");
    }

    /// Waits for the end, which closes stdout.
    fn end(mut self) -> (ExitStatus, String) {
        let (sender, ended) = channel();
        let mut output = self.output.take().expect("stdout is piped");
        thread::spawn(move || {
            let mut rest = String::new();
            let _ = output.read_to_string(&mut rest);
            let _ = sender.send(rest);
        });
        let rest = ended.recv_timeout(PATIENCE).expect("the room ends in time");
        (self.child.wait().expect("our own child"), rest)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn say(&mut self, line: &str) -> String {
        writeln!(self.0.get_mut(), "{line}").expect("the room listens");
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("an answer in time");
        answer.trim_end().to_owned()
    }
}

#[test]
fn a_room_pings_ready_over_one_connection() {
    let api = RoomsApi::start();
    let _room = Room::start(api.address, &[]);
    for _ in 0..5 {
        let ping = api.next();
        assert_eq!(
            ping.line,
            "PUT /scheduler/arena/rooms/arena-x2v4k/ping HTTP/1.1"
        );
        assert_eq!(ping.connection, 0);
        assert_eq!(ping.body["status"], "ready");
        assert_eq!(ping.body["runningMatches"], 0);
        assert!(
            ping.body["timestamp"]
                .as_i64()
                .is_some_and(|at| at > 1_700_000_000)
        );
        assert!(ping.body["metadata"].is_object());
    }
}

#[test]
fn a_match_makes_the_room_occupied_at_once_until_it_ends() {
    let api = RoomsApi::start();
    let mut room = Room::start(
        api.address,
        &["--port", "0", "--ping-interval", "1h", "--players", "4"],
    );
    let mut client = room.connect();
    api.until("ready");
    assert_eq!(client.say("match 3600 4"), "ok 1");
    let ping = api.until("occupied");
    assert_eq!(ping.body["runningMatches"], 1);
    assert_eq!(ping.body["metadata"]["players"], 4);
    assert_eq!(client.say("match 1 1"), "full");
    assert_eq!(client.say("status"), "occupied matches 1/1 players 4");
    assert_eq!(client.say("end"), "ok 1");
    api.until("ready");
    assert_eq!(client.say("match 0.1 5"), "full");
    assert_eq!(client.say("match 1 4"), "ok 2");
    api.until("occupied");
    api.until("ready");
    assert!(client.say("dance").starts_with("error unknown command"));
}

#[test]
fn matches_start_by_themselves_when_asked() {
    let api = RoomsApi::start();
    let flags = [
        "--matches",
        "auto",
        "--match-every",
        "100ms",
        "--match-length",
        "20ms",
    ];
    let _room = Room::start(api.address, &flags);
    for _ in 0..3 {
        api.until("occupied");
        api.until("ready");
    }
}

#[test]
fn term_says_terminating_then_terminated_then_exits_well() {
    let api = RoomsApi::start();
    let room = Room::start(api.address, &["--ping-interval", "1h"]);
    api.until("ready");
    room.signal(Signal::TERM);
    assert_eq!(api.next().body["status"], "terminating");
    assert_eq!(api.next().body["status"], "terminated");
    assert_eq!(room.end().0.code(), Some(0));
}

#[test]
fn a_term_delay_keeps_the_room_terminating() {
    let api = RoomsApi::start();
    let mut room = Room::start(api.address, &["--port", "0", "--term-delay", "300ms"]);
    let mut client = room.connect();
    api.until("ready");
    room.signal(Signal::TERM);
    api.until("terminating");
    assert_eq!(client.say("match 1 1"), "full");
    api.until("terminated");
    assert_eq!(room.end().0.code(), Some(0));
}

#[test]
fn term_is_ignored_when_asked() {
    let api = RoomsApi::start();
    let mut room = Room::start(api.address, &["--ignore-term"]);
    api.until("ready");
    room.signal(Signal::TERM);
    room.line("TERM ignored");
    while api.pings.try_recv().is_ok() {}
    assert_eq!(api.next().body["status"], "ready");
}

#[test]
fn a_slow_room_is_pending_before_it_is_ready() {
    let api = RoomsApi::start();
    let _room = Room::start(api.address, &["--slow-start", "200ms"]);
    assert_eq!(api.next().body["status"], "pending");
    api.until("ready");
}

#[test]
fn exiting_at_once_gives_the_status_asked_for() {
    let api = RoomsApi::start();
    let (status, log) = Room::start(api.address, &["--exit-at-once", "--exit-code", "3"]).end();
    assert_eq!(status.code(), Some(3));
    assert!(log.contains("exiting at once with status 3"), "{log}");
}

#[test]
fn a_crash_comes_after_its_time_or_on_a_clients_word() {
    let api = RoomsApi::start();
    let room = Room::start(api.address, &["--crash-after", "100ms", "--exit-code", "7"]);
    assert_eq!(room.end().0.code(), Some(7));
    let mut room = Room::start(api.address, &["--port", "0"]);
    let mut client = room.connect();
    assert_eq!(client.say("crash"), "");
    assert_eq!(room.end().0.code(), Some(1));
}

#[test]
fn a_room_that_stops_pinging_plays_on() {
    let api = RoomsApi::start();
    let mut room = Room::start(
        api.address,
        &["--port", "0", "--stop-pinging-after", "200ms"],
    );
    let mut client = room.connect();
    api.until("ready");
    api.until_silent();
    assert_eq!(client.say("status"), "ready matches 0/1 players 0");
}

#[test]
fn a_hanging_room_neither_answers_nor_ends() {
    let api = RoomsApi::start();
    let mut room = Room::start(api.address, &["--hang-after", "100ms"]);
    room.line("hanging");
    room.signal(Signal::TERM);
    api.until_silent();
    assert!(room.child.try_wait().expect("our own child").is_none());
}

#[test]
fn a_room_waits_for_an_orchestrator_that_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    drop(listener);
    let mut room = Room::start(address, &[]);
    room.line("not delivered");
    let listener = TcpListener::bind(address).expect("the port is free again");
    RoomsApi::on(listener, "{\"success\":true}").until("ready");
    room.line("accepted after");
}

#[test]
fn a_room_that_is_refused_goes_on_trying() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let api = RoomsApi::on(listener, "{\"success\":false}");
    let mut room = Room::start(api.address, &[]);
    room.line("refused");
    for _ in 0..3 {
        api.until("ready");
    }
}

#[test]
fn a_room_without_a_name_says_what_is_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_maestro"))
        .arg("room")
        .env_clear()
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("MAESTRO_SCHEDULER_NAME"));
}
