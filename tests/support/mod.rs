//! The built binary as a user has it: started in a folder of its own, on free ports.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const BINARY: &str = env!("CARGO_BIN_EXE_maestro");

/// Waits for a level: true when it came in time.
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

    /// `Err`: what it said before it ended.
    pub fn try_start(folder: &Path, environment: &[(&str, &str)]) -> Result<Self, String> {
        let mut command = Command::new(BINARY);
        command.args(["start", "all", "--data-dir"]).arg(folder);
        for name in [
            "MAESTRO_API_PORT",
            "MAESTRO_ROOMSAPI_PORT",
            "MAESTRO_INTERNALAPI_PORT",
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
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let ready = loop {
            match lines.next() {
                Some(Ok(line)) => {
                    let record: Value = serde_json::from_str(&line).unwrap_or_default();
                    log.lock().unwrap().push(line);
                    if record["fields"]["message"] == "ready" {
                        break record["fields"].clone();
                    }
                }
                _ => {
                    let status = child.wait().expect("it ended");
                    return Err(format!("{}\n{status}", log.lock().unwrap().join("\n")));
                }
            }
        };
        let more = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                more.lock().unwrap().push(line);
            }
        });
        let url = |name: &str| ready[name].as_str().expect("an address").to_owned();
        Ok(Self {
            child,
            management: url("management"),
            rooms: url("rooms"),
            internal: url("internal"),
            log,
            http: reqwest::Client::builder()
                .timeout(seconds(20))
                .build()
                .unwrap(),
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
        self.child.wait().expect("it ended")
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

    /// Waits until an operation has ended; its whole record.
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
        // A test that failed: nothing of it may be left.
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

/// Room folders of a scheduler that have a living process: room id and pid of its first process.
pub fn room_pids(folder: &Path, scheduler: &str) -> Vec<(String, u64)> {
    let Ok(entries) = std::fs::read_dir(folder.join("rooms").join(scheduler)) else {
        return Vec::new();
    };
    let mut rooms: Vec<(String, u64)> = entries
        .flatten()
        .filter_map(|entry| {
            let text = std::fs::read_to_string(entry.path().join("room.json")).ok()?;
            let record: Value = serde_json::from_str(&text).ok()?;
            let pid = find_pid(&record)?;
            let alive = Path::new("/proc").join(pid.to_string()).exists();
            alive.then(|| (entry.file_name().to_string_lossy().into_owned(), pid))
        })
        .collect();
    rooms.sort();
    rooms
}

fn find_pid(value: &Value) -> Option<u64> {
    match value {
        Value::Object(map) => map
            .get("pid")
            .and_then(Value::as_u64)
            .or_else(|| map.values().find_map(find_pid)),
        Value::Array(items) => items.iter().find_map(find_pid),
        _ => None,
    }
}
