//! The built binary as a user runs it, in its own folder and on free ports.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test file uses its own part of this"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test has its threads for itself"
)]

mod home;
pub mod stores;
pub use home::*;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long it may be silent before it is ready.
const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take to end.
const STOP_MAX: Duration = Duration::from_secs(40);

pub const BINARY: &str = env!("CARGO_BIN_EXE_maestro");

/// Waits for a condition; true if it holds in time.
pub async fn eventually<F: Future<Output = bool>>(
    within: Duration,
    mut level: impl FnMut() -> F,
) -> bool {
    let until = Instant::now() + within;
    loop {
        if level().await {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A running orchestrator.
pub struct Maestro {
    child: Child,
    pub management: String,
    pub rooms: String,
    pub internal: String,
    pub grpc: String,
    /// Everything it logged so far.
    pub log: Arc<Mutex<Vec<String>>>,
    pub http: reqwest::Client,
}

/// An answer: status and JSON body (or its text as a JSON string).
pub type Answer = (u16, Value);

impl Maestro {
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    pub fn start_with(folder: &Path, environment: &[(&str, &str)]) -> Self {
        match Self::try_start(folder, environment) {
            Ok(maestro) => maestro,
            Err(log) => panic!("it did not start:\n{log}"),
        }
    }

    /// `Err`: its output before it ended.
    pub fn try_start(folder: &Path, environment: &[(&str, &str)]) -> Result<Self, String> {
        Self::try_start_after(":", folder, environment)
    }

    /// One module; the addresses that it does not serve are empty.
    pub fn module(module: &str, folder: &Path, environment: &[(&str, &str)]) -> Self {
        let started = Self::start_after(":", module, folder, environment);
        started.unwrap_or_else(|log| panic!("{module} did not start:\n{log}"))
    }

    /// Starts from a shell that runs `prelude` first, which can set limits or signals.
    pub fn try_start_after(
        prelude: &str,
        folder: &Path,
        environment: &[(&str, &str)],
    ) -> Result<Self, String> {
        Self::start_after(prelude, "all", folder, environment)
    }

    fn start_after(
        prelude: &str,
        module: &str,
        folder: &Path,
        environment: &[(&str, &str)],
    ) -> Result<Self, String> {
        let mut command = match prelude {
            ":" => Command::new(BINARY),
            _ => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!(r#"{prelude}; exec "$0" "$@""#), BINARY]);
                shell
            }
        };
        command.args(["start", module, "--data-dir"]).arg(folder);
        for name in [
            "MAESTRO_API_PORT",
            "MAESTRO_ROOMSAPI_PORT",
            "MAESTRO_INTERNALAPI_PORT",
            "MAESTRO_GRPC_PORT",
        ] {
            command.env(name, "0");
        }
        command.envs(environment.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, said) = std::sync::mpsc::channel();
        let (lines, all) = (
            BufReader::new(child.stderr.take().expect("piped")),
            log.clone(),
        );
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                all.lock().expect("whole").push(line.clone());
                // Nobody receives lines any more once it is up.
                let _ = sender.send(line);
            }
        });
        let ready = loop {
            match said.recv_timeout(START_MAX) {
                Ok(line) => {
                    let record: Value = serde_json::from_str(&line).unwrap_or_default();
                    if record["message"] == "ready" {
                        break record;
                    }
                }
                Err(error) => {
                    // Its output has ended, or it hangs.
                    let _ = child.kill();
                    let status = child.wait().expect("it ended");
                    let log = log.lock().expect("whole").join("\n");
                    return Err(format!("{log}\n{status} ({error})"));
                }
            }
        };
        let url = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            child,
            management: url("management"),
            rooms: url("rooms"),
            internal: url("internal"),
            grpc: url("grpc"),
            log,
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(seconds(20))
                .build()
                .expect("a client"),
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`: nothing is flushed.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ended");
    }

    /// TERM, as a service manager would; rooms stay.
    pub fn stop(mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .expect("it can be signalled");
        let until = Instant::now() + STOP_MAX;
        loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => return status,
                None => assert!(
                    Instant::now() < until,
                    "it does not end:\n{}",
                    self.logged()
                ),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn logged(&self) -> String {
        self.log.lock().expect("whole").join("\n")
    }

    pub async fn call(&self, method: &str, url: &str, body: Option<&Value>) -> Answer {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", &format!("{}{path}", self.management), None)
            .await
    }
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", &format!("{}{path}", self.management), Some(body))
            .await
    }
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", &format!("{}{path}", self.management), Some(body))
            .await
    }
    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", &format!("{}{path}", self.management), None)
            .await
    }
    pub async fn ping(&self, scheduler: &str, room: &str, body: &Value) -> Answer {
        let url = format!("{}/scheduler/{scheduler}/rooms/{room}/ping", self.rooms);
        self.call("PUT", &url, Some(body)).await
    }
    pub async fn allocate(&self, scheduler: &str) -> Answer {
        self.call(
            "POST",
            &format!("{}/scheduler/{scheduler}/rooms/allocate", self.rooms),
            None,
        )
        .await
    }

    /// The counts of one scheduler, as `/schedulers/info` has them.
    pub async fn info(&self, scheduler: &str) -> Value {
        let (_, body) = self.get("/schedulers/info").await;
        let all = body["schedulers"].as_array().cloned().unwrap_or_default();
        all.into_iter()
            .find(|s| s["name"] == scheduler)
            .unwrap_or(Value::Null)
    }

    pub async fn ready_rooms(&self, scheduler: &str) -> u64 {
        self.info(scheduler).await["roomsReady"]
            .as_u64()
            .unwrap_or(0)
    }

    pub async fn wait_ready(&self, scheduler: &str, rooms: u64) {
        let came = eventually(seconds(30), || async {
            self.ready_rooms(scheduler).await == rooms
        })
        .await;
        assert!(
            came,
            "not {rooms} ready rooms: {}",
            self.info(scheduler).await
        );
    }

    /// Waits until an operation has ended; returns its whole record.
    pub async fn ended(&self, scheduler: &str, operation: &str) -> Value {
        let path = format!("/schedulers/{scheduler}/operations/{operation}");
        let is_open = |o: &Value| o["status"] == "pending" || o["status"] == "in_progress";
        let came = eventually(seconds(30), || async {
            let (status, body) = self.get(&path).await;
            status == 200 && !is_open(&body["operation"])
        })
        .await;
        let (_, body) = self.get(&path).await;
        assert!(came, "operation {operation} did not end: {body}");
        body["operation"].clone()
    }

    /// The id of an operation that was just created.
    pub fn id(answer: &Answer) -> String {
        let (status, body) = answer;
        assert_eq!(*status, 200, "{body}");
        body["operationId"].as_str().expect("an id").to_owned()
    }

    /// Waits until the operation of an answer has ended.
    pub async fn done(&self, scheduler: &str, answer: Answer) -> Value {
        self.ended(scheduler, &Self::id(&answer)).await
    }

    /// Creates a scheduler and waits for its rooms.
    pub async fn bring_up(&self, fleet: &Value) {
        let (status, body) = self.post("/schedulers", fleet).await;
        assert_eq!(status, 200, "{body}");
        let rooms = fleet["roomsReplicas"].as_u64().expect("a number");
        self.wait_ready(fleet["name"].as_str().expect("a name"), rooms)
            .await;
    }

    /// The operations of a stage, newest first.
    pub async fn operations(&self, scheduler: &str, stage: &str) -> Vec<Value> {
        let pages = if stage == "final" { "&perPage=100" } else { "" };
        let path = format!("/schedulers/{scheduler}/operations?stage={stage}{pages}");
        let (status, body) = self.get(&path).await;
        assert_eq!(status, 200, "{body}");
        body["operations"].as_array().expect("a list").clone()
    }

    /// Waits until one scheduler's counts satisfy a condition.
    pub async fn until_info(&self, scheduler: &str, what: &str, level: impl Fn(&Value) -> bool) {
        let came = eventually(seconds(30), || async { level(&self.info(scheduler).await) }).await;
        assert!(came, "not {what}: {}", self.info(scheduler).await);
    }

    pub async fn state(&self, scheduler: &str) -> String {
        let info = self.info(scheduler).await;
        info["state"].as_str().unwrap_or("gone").to_owned()
    }

    pub async fn internal(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.call(method, &format!("{}{path}", self.internal), body)
            .await
    }

    /// Enqueues an operation that only takes time.
    pub async fn test_operation(&self, scheduler: &str, sleep_seconds: i64) -> String {
        let path = format!("/debug/actors/{scheduler}/test-operation");
        let body = json!({ "sleepSeconds": sleep_seconds });
        Self::id(&self.internal("POST", &path, Some(&body)).await)
    }

    /// Deletes a scheduler and waits until it and its rooms are gone.
    pub async fn remove(&self, scheduler: &str) {
        let (status, body) = self.delete(&format!("/schedulers/{scheduler}")).await;
        assert_eq!(status, 200, "{body}");
        let gone = eventually(seconds(30), || async {
            self.get(&format!("/schedulers/{scheduler}")).await.0 == 404
        })
        .await;
        assert!(gone, "{scheduler} is still there");
    }
}

impl Drop for Maestro {
    fn drop(&mut self) {
        // A failed test must leave nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A fleet of sample rooms.
pub fn fleet(name: &str, rooms: u32) -> Value {
    fleet_of(
        name,
        rooms,
        &["maestro", "room", "--ping-interval", "500ms"],
    )
}

/// A fleet of rooms that run `command`.
pub fn fleet_of(name: &str, rooms: u32, command: &[&str]) -> Value {
    json!({
        "name": name, "game": "tests", "maxSurge": "1", "roomsReplicas": rooms,
        "portRange": {"start": 21000, "end": 29000},
        "spec": {"terminationGracePeriod": "1s", "containers": [{
            "name": "game", "image": "maestro/room", "imagePullPolicy": "Always",
            "command": command,
            "requests": {"memory": "20Mi", "cpu": "10m"}, "limits": {"memory": "100Mi", "cpu": "100m"},
            "ports": [{"name": "game", "protocol": "tcp", "port": 7777}],
        }]},
    })
}

/// All events of an operation's history in one text.
pub fn history(operation: &Value) -> String {
    let events = operation["executionHistory"].as_array();
    let events = events
        .into_iter()
        .flatten()
        .filter_map(|e| e["event"].as_str());
    events.collect::<Vec<_>>().join("\n")
}

/// Prints why a test is skipped.
pub fn skip(because: impl std::fmt::Display) {
    eprintln!("skipped, because {because}");
}
