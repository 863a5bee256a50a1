//! Output in a terminal: the log is text, and foreign text cannot control the terminal.

#[path = "support/scripted.rs"]
mod scripted;
mod support;
#[path = "support/terminal.rs"]
mod terminal;

use maestro_api::Status;
use maestro_core::text::is_unprintable;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use support::{BINARY, Home, eventually, seconds, signal};
use terminal::Terminal;

/// Every kind of character that controls a terminal or is invisible.
const HOSTILE: &str = "x\u{1b}[2J\u{9b}31m\u{7f}\r\u{202e}evil\u{2066}\u{2028}";

fn acts(c: char) -> bool {
    is_unprintable(c) && c != '\n'
}

fn assert_harmless(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8(said).expect("text");
    assert!(!said.contains(acts), "{said:?}");
    said
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The output of a server on a terminal, from its start to its end.
async fn said_on_a_terminal(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let terminal = Terminal::new(200, 50);
    let mut command = Command::new(BINARY);
    command
        .arg("start")
        .args(arguments)
        .args(["--data-dir", "relative"])
        .current_dir(home.path());
    command
        .envs(home.environment())
        .env("MAESTRO_GRPC_PORT", "0");
    command
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .env_remove("RUST_LOG")
        .envs(variables.iter().copied());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(terminal.stdio());
    let mut child = Ended(command.spawn().expect("the binary starts"));
    drop(command);
    let ready = eventually(seconds(60), || async {
        terminal.seen().contains("management")
    });
    assert!(ready.await, "never ready: {}", terminal.seen());
    signal(child.0.id() as i32, Signal::TERM);
    let status = child.0.wait().expect("it ends");
    assert!(status.success(), "{}", terminal.seen());
    let over = eventually(seconds(10), || async {
        terminal.seen().contains("shutting down")
    });
    assert!(over.await, "{}", terminal.seen());
    terminal.seen()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_terminal_is_told_in_text_and_ends_with_the_addresses() {
    let home = Home::new();
    let said = said_on_a_terminal(&home, &[], &[]).await;
    assert!(said.contains("\u{1b}["), "no colours: {said:?}");
    let plain = said_on_a_terminal(&home, &[], &[("NO_COLOR", "1")]).await;
    let dumb = said_on_a_terminal(&home, &[], &[("TERM", "dumb"), ("RUST_LOG", "info")]).await;
    for said in [&plain, &dumb] {
        assert!(!said.contains(acts), "{said:?}");
        assert!(!said.contains("actix") && !said.contains("DEBUG"), "{said}");
    }
    let lines: Vec<&str> = plain.lines().collect();
    let last = lines
        .iter()
        .position(|line| line.contains("management=http://"))
        .expect("addresses");
    let ready = lines[last];
    for part in [
        " INFO ",
        "ready",
        "rooms=http://",
        "internal=http://",
        "grpc=http://",
    ] {
        assert!(ready.contains(part), "no {part:?} in {ready}");
    }
    // Only the message about the shutdown follows.
    assert!(lines[last + 1].contains("shutting down"), "{plain}");
    let folder = home.path().join("relative");
    let folder = folder.to_str().expect("a text");
    assert!(plain.contains(&format!("data_dir={folder}")), "{plain}");
    // JSON is printed on request.
    let asked = said_on_a_terminal(&home, &["-l", "production"], &[]).await;
    for line in asked.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(record["level"] != "DEBUG", "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn request_lines_carry_the_scheduler_and_the_path_as_it_was() {
    let home = Home::new();
    let maestro = home.start();
    maestro.post("/schedulers", &home.fleet("arena", 0)).await;
    let patch = json!({"maxSurge": "40%"});
    maestro
        .done("arena", maestro.patch("/schedulers/arena", &patch).await)
        .await;
    maestro.delete("/schedulers/no%20body").await;
    maestro
        .internal("POST", "/debug/actors/arena/pause", None)
        .await;
    let yaml = "name: dome\ngame: tests\nspec:\n  terminationGracePeriod: 10\n  containers:\n    - name: [a]\n";
    let url = format!("{}/schedulers", maestro.management);
    let refused = maestro
        .http
        .post(url)
        .header("content-type", "application/yaml")
        .body(yaml)
        .send();
    let refused = refused.await.expect("an answer");
    assert_eq!(refused.status().as_u16(), 400);
    let refused = refused.text().await.expect("a body");
    assert!(refused.contains("line 6:13"), "{refused}");
    for (method, path, scheduler) in [
        ("POST", "/schedulers", json!("arena")),
        ("PATCH", "/schedulers/arena", json!("arena")),
        ("DELETE", "/schedulers/no%20body", json!("no body")),
    ] {
        let found = eventually(seconds(10), || async {
            let records = maestro.logged();
            let records = records
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let is = |record: &Value| {
                record["message"] == "request"
                    && record["method"] == method
                    && record["path"] == path
            };
            records
                .filter(is)
                .any(|record| record["scheduler_name"] == scheduler)
        });
        assert!(found.await, "no {method} {path} in\n{}", maestro.logged());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_write_stays_on_its_line_of_the_log() {
    let home = Home::new();
    let port = &home.environment()[0].1;
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = Command::new(BINARY);
    command
        .args(["start", "-l", "development", "--data-dir"])
        .arg(home.path());
    command
        .envs(home.environment())
        .env("MAESTRO_GRPC_PORT", "0")
        .env_remove("RUST_LOG");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer);
    let mut child = Ended(command.spawn().expect("the binary starts"));
    drop(command);
    let log = std::thread::spawn(move || {
        let mut all = String::new();
        let _ = reader.read_to_string(&mut all);
        all
    });
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let name = format!("{HOSTILE}\nforged");
    let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let url = format!("http://127.0.0.1:{port}/schedulers/{encoded}");
    let asked = eventually(seconds(60), || async {
        http.delete(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 404)
    });
    assert!(asked.await, "it does not answer");
    signal(child.0.id() as i32, Signal::TERM);
    assert!(child.0.wait().expect("it ends").success());
    let log = log.join().expect("read");
    assert!(!log.contains(acts), "{log:?}");
    assert!(
        log.contains(r"x\u{1b}[2J\u{9b}31m\u{7f}\r\u{202e}evil\u{2066}\u{2028}\nforged"),
        "{log}"
    );
    assert!(!log.lines().any(|line| line.starts_with("forged")), "{log}");
}

/// A gRPC server with hostile answers.
fn hostile_server() -> scripted::Scripted {
    scripted::start(|rpc, _| {
        let name = format!("{HOSTILE}\nforged");
        match rpc {
            "get_actors" => {
                let actor = json!({"kind": name, "name": name, "state": "degraded", "degraded_because": name,
                    "restarts": {"total": 1, "last_cause": name},
                    "scheduler": {"rooms": {name.clone(): 1}, "crash_failures": 1, "crash_cause": name}});
                Ok(json!({"view": json!({"actors": [actor]}).to_string()}))
            }
            "list_schedulers" => Ok(json!({"schedulers": [{"name": "s"}]})),
            _ => Err(Status::unknown(name)),
        }
    })
}

/// A hostile HTTP server: it says that it is there, and refuses the next request.
fn hostile_http_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let name = format!("{HOSTILE}\nforged");
        let refusal = json!({"code": 6, "message": name}).to_string();
        for (status, body) in [("200 OK", "{}"), ("409 Conflict", &refusal)] {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let _ = stream.read(&mut [0; 2048]);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    format!("http://{address}")
}

#[test]
fn tools_show_what_a_server_says_and_do_not_act_it_out() {
    let (server, http) = (hostile_server(), hostile_http_server());
    let run_at = |url: &str, arguments: &[&str]| {
        let all = [arguments, &["--url", url]].concat();
        assert_harmless(&support::run(&all))
    };
    let run = |arguments: &[&str]| run_at(&server.url, arguments);
    let table = run(&["actors"]);
    assert!(
        table.contains(r"x\u{1b}[2J\u{9b}31m") && table.contains("degraded: x"),
        "{table}"
    );
    assert!(
        !table.lines().any(|line| line.starts_with("forged")),
        "{table}"
    );
    let document: Value = serde_json::from_str(&run(&["actors", "--json"])).expect("JSON");
    assert_eq!(document["actors"][0]["name"], format!("{HOSTILE}\nforged"));
    for refused in [run_at(&http, &["backup", "x"]), run(&["export", "-"])] {
        assert!(refused.contains("evil"), "{refused}");
        assert!(
            !refused.lines().any(|line| line.starts_with("forged")),
            "{refused}"
        );
    }
}

#[test]
fn settings_are_shown_without_what_acts_on_a_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.yaml");
    let quoted = serde_json::Value::from(HOSTILE).to_string();
    let run = |content: &str, arguments: &[&str]| {
        std::fs::write(&file, content).expect("written");
        let mut command = Command::new(BINARY);
        command
            .arg("check-config")
            .arg("-c")
            .arg(&file)
            .args(arguments);
        command.env("MAESTRO_\u{1b}[2J\u{202e}", "1");
        assert_harmless(&command.output().expect("the binary starts"))
    };
    let host = format!("runtime.process.host: {quoted}\n");
    for format in ["table", "yaml", "json", "markdown"] {
        let said = run(&host, &["--format", format]);
        assert!(said.contains("evil") || format == "markdown", "{said}");
        assert!(said.contains(r"MAESTRO_\u{1b}[2J"), "{said}");
    }
    for wrong in [
        format!("api.port: {quoted}\n"),
        format!("{quoted}: 1\n"),
        format!("api: [\n{HOSTILE}"),
    ] {
        let said = run(&wrong, &[]);
        assert!(said.contains("Error: "), "{said}");
    }
    let said = assert_harmless(&support::run(&[HOSTILE]));
    assert!(said.contains("evil"), "{said}");
}
