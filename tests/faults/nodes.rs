//! Three real processes, each behind its own network to the stores.

use crate::stores::Stores;
use crate::support::{Answer, Home, Maestro, seconds, signal};
use maestro_testkit::proxy::{Network, Proxy};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const NODES: usize = 3;
/// How long a room is held for whom it was allocated to.
pub const HOLD: Duration = Duration::from_secs(15);
/// What callers grant, and how much later the answer may be here on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(5);
pub const SLACK: Duration = Duration::from_secs(4);
/// How long a process may take to start, over several attempts.
const START_MAX: Duration = Duration::from_secs(90);

const SETTINGS: [(&str, &str); 7] = [
    ("MAESTRO_RUNTIME_TYPE", "simulated"),
    // Each edit is looked for at the end.
    ("MAESTRO_LIMITS_VERSIONS", "10000"),
    ("MAESTRO_RUNTIME_SIMULATED_STARTUP", "50ms"),
    ("MAESTRO_WORKERS_HEALTHCONTROLLERINTERVAL", "1s"),
    ("MAESTRO_WORKERS_STORAGECLENUPINTERVAL", "5s"),
    ("MAESTRO_OPERATIONS_ROOMS_DRAINDEADLINE", "2s"),
    (
        "MAESTRO_SERVICES_ROOMMANAGER_ROOMALLOCATIONTTLMILLIS",
        "15000",
    ),
];

#[derive(Clone, Copy)]
pub enum Api {
    Management,
    Rooms,
}

/// A process under a service manager: it is started again on the same ports.
pub struct Node {
    home: Home,
    urls: [String; 2],
    environment: Vec<(String, String)>,
    pub postgres: Proxy,
    pub redis: Proxy,
    process: Mutex<Option<Maestro>>,
    /// Since when it has been running undisturbed.
    since: Mutex<Option<Instant>>,
    session: Mutex<String>,
    log: PathBuf,
}

impl Node {
    async fn new(number: usize, stores: &Stores) -> Self {
        let home = Home::new();
        let postgres = Proxy::start(&stores.postgres.address()).await;
        let redis = Proxy::start(stores.redis.address()).await;
        let mut environment = stores.environment(&postgres.address(), &redis.address());
        let ports = home.environment();
        let url = |at: usize| format!("http://127.0.0.1:{}", ports[at].1);
        let urls = [url(0), url(1)];
        let own = SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        environment.extend(own);
        let list = home.path().join("rooms.list").display().to_string();
        environment.push(("MAESTRO_RUNTIME_SIMULATED_ROOMLIST".into(), list));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let log = folder.join(format!("faults-node-{number}.log"));
        let _ = fs::remove_file(&log);
        Self {
            home,
            urls,
            environment,
            postgres,
            redis,
            process: Mutex::default(),
            since: Mutex::default(),
            session: Mutex::default(),
            log,
        }
    }

    /// Since when it has been running undisturbed; a request is excused if that changes while it is under way.
    pub fn undisturbed(&self) -> Option<Instant> {
        *self.since.lock().expect("whole")
    }

    /// Its session, of the last start.
    pub fn session(&self) -> String {
        self.session.lock().expect("whole").clone()
    }

    /// Starts the process, again and again until it runs.
    pub async fn start(self: &Arc<Self>, stores: &Mutex<BTreeSet<String>>, url: &str) {
        let until = Instant::now() + START_MAX;
        let started = loop {
            let node = self.clone();
            let attempt = tokio::task::spawn_blocking(move || {
                let pairs = node.environment.iter();
                let pairs: Vec<_> = pairs.map(|(k, v)| (k.as_str(), v.as_str())).collect();
                node.home.try_start(&pairs)
            });
            match attempt.await.expect("it does not panic") {
                Ok(maestro) => break maestro,
                Err(log) if Instant::now() > until => panic!("it does not start:\n{log}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        };
        *self.process.lock().expect("whole") = Some(started);
        *self.since.lock().expect("whole") = Some(Instant::now());
        let session = new_session(stores, url).await;
        *self.session.lock().expect("whole") = session;
    }

    /// `kill -9`.
    pub fn kill(&self) {
        *self.since.lock().expect("whole") = None;
        let process = self.process.lock().expect("whole").take();
        if let Some(process) = process {
            self.keep(&process);
            process.kill();
        }
    }

    /// A signal to the process: STOP or CONT.
    pub fn freeze(&self) {
        *self.since.lock().expect("whole") = None;
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
        *self.since.lock().expect("whole") = Some(Instant::now());
    }

    fn signal(&self, what: Signal) {
        let process = self.process.lock().expect("whole");
        let pid = process.as_ref().expect("it runs").pid();
        signal(i32::try_from(pid).expect("a pid"), what);
    }

    fn keep(&self, process: &Maestro) {
        let file = File::options().append(true).create(true).open(&self.log);
        let mut file = file.expect("a file");
        let text = process.logged();
        writeln!(file, "{text}\n--- ended").expect("it is written");
    }

    /// Writes its log to a file, and answers where.
    pub fn keep_log(&self) -> PathBuf {
        if let Some(process) = &*self.process.lock().expect("whole") {
            self.keep(process);
        }
        self.log.clone()
    }

    pub fn network(&self, network: Network, postgres: bool, redis: bool) {
        if postgres {
            self.postgres.set(network);
        }
        if redis {
            self.redis.set(network);
        }
    }

    /// The rooms that its runtime has ever created.
    pub fn rooms(&self) -> BTreeSet<String> {
        let list = fs::read_to_string(self.home.path().join("rooms.list"));
        list.unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// The session that is new in the table of nodes. Starts follow one another.
async fn new_session(known: &Mutex<BTreeSet<String>>, url: &str) -> String {
    let until = Instant::now() + seconds(60);
    loop {
        if let Ok(rows) = crate::watch::query(url, "SELECT session::text FROM maestro_node").await {
            let mut known = known.lock().expect("whole");
            let fresh = rows.into_iter().map(|row| row.get::<_, String>(0));
            if let Some(session) = fresh.into_iter().find(|session| !known.contains(session)) {
                known.insert(session.clone());
                return session;
            }
        }
        assert!(Instant::now() < until, "a started node has no session");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub struct Nodes {
    pub all: Vec<Arc<Node>>,
    http: reqwest::Client,
    sessions: Mutex<BTreeSet<String>>,
    starting: tokio::sync::Mutex<()>,
    url: String,
}

/// What came of a request.
pub struct Outcome {
    /// `None`: unknown.
    pub answer: Option<Answer>,
    pub sent: Instant,
    pub node: usize,
    /// Why a node that ran undisturbed did not keep the caller's deadline.
    pub broken: Option<String>,
}

impl Nodes {
    pub async fn start(stores: &Stores) -> Self {
        let mut all = Vec::new();
        for number in 0..NODES {
            all.push(Arc::new(Node::new(number, stores).await));
        }
        let client = reqwest::Client::builder().no_proxy();
        // A connection of before a restart must not be taken for an answer of the process of today.
        let client = client.pool_max_idle_per_host(0).timeout(DEADLINE + SLACK);
        let nodes = Self {
            all,
            http: client.build().expect("a client"),
            sessions: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            url: stores.database.url().to_owned(),
        };
        for number in 0..NODES {
            nodes.restart(number).await;
        }
        nodes
    }

    pub async fn restart(&self, number: usize) {
        let _one_by_one = self.starting.lock().await;
        self.all[number].start(&self.sessions, &self.url).await;
    }

    pub fn up(&self) -> Vec<usize> {
        let up = |number: &usize| self.all[*number].undisturbed().is_some();
        (0..NODES).filter(up).collect()
    }

    pub async fn call(
        &self,
        node: usize,
        (method, api, path): (&str, Api, &str),
        body: Option<Value>,
    ) -> Outcome {
        let entry = &self.all[node];
        let before = entry.undisturbed();
        let sent = Instant::now();
        let url = format!("{}{path}", entry.urls[api as usize]);
        let mut request = self.http.request(method.parse().expect("a method"), url);
        request = request.header("Grpc-Timeout", format!("{}S", DEADLINE.as_secs()));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answered = async {
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, answer.text().await?))
        };
        let answer = answered.await;
        let excused = before.is_none() || before != entry.undisturbed();
        let took = sent.elapsed();
        let broken = answer.as_ref().err().filter(|_| !excused).map(|error| {
            format!("{method} {path} at node {node}: no answer after {took:?}: {error:?}")
        });
        let answer = answer.ok().map(|(status, text)| {
            (
                status,
                serde_json::from_str(&text).unwrap_or(Value::String(text)),
            )
        });
        Outcome {
            answer,
            sent,
            node,
            broken,
        }
    }
}
