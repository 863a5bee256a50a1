//! The orchestrator is killed again and again while its users edit: acknowledged changes survive.
//!
//! `KILL_COUNT` sets how often (20), `KILL_SEED` repeats a run.

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Home, Maestro, eventually, history, seconds};

const MAIN: &str = "main";
const GUEST: &str = "guest";

/// Pseudo-random numbers that are the same for the same seed.
struct Chance(Mutex<fastrand::Rng>);

impl Chance {
    fn below(&self, limit: u64) -> u64 {
        self.0.lock().expect("whole").u64(..limit)
    }
    fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The acknowledgements that users got.
#[derive(Default)]
struct Acknowledged {
    operations: Vec<String>,
    /// Marks of edits, with the operations that make them.
    edits: Vec<(u64, String)>,
    allocated: Vec<String>,
    creations: u64,
    deletions: u64,
}

/// Users that know one address and continue whatever happens.
struct Users {
    http: reqwest::Client,
    management: String,
    rooms: String,
    guest: Value,
    chance: Arc<Chance>,
    told: Mutex<Acknowledged>,
    stop: AtomicBool,
}

impl Users {
    /// `None`: its outcome is unknown.
    async fn call(&self, method: &str, url: String, body: Value) -> Option<(u16, Value)> {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, url).body(body.to_string());
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((
            status,
            serde_json::from_str(&answer.text().await.ok()?).ok()?,
        ))
    }

    async fn manage(&self, method: &str, path: &str, body: Value) -> Option<(u16, Value)> {
        let url = format!("{}/schedulers{path}", self.management);
        self.call(method, url, body).await
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(SeqCst)
    }

    async fn rest(&self, from: u64, to: u64) {
        tokio::time::sleep(self.chance.millis(from, to)).await;
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Acknowledged> {
        self.told.lock().expect("whole")
    }

    fn sum_up(&self) {
        let told = self.told();
        println!(
            "{} operations, {} edits, {} allocations, {} creations, {} deletions",
            told.operations.len(),
            told.edits.len(),
            told.allocated.len(),
            told.creations,
            told.deletions
        );
    }

    fn note_operation(&self, answer: &Value) -> String {
        let id = answer["operationId"].as_str().expect("an id").to_owned();
        self.told().operations.push(id.clone());
        id
    }

    async fn edit(self: Arc<Self>) {
        let mut mark = 0;
        while self.goes_on() {
            mark += 1;
            let body = json!({
                "roomsReplicas": 2 + self.chance.below(6),
                "annotations": {"imageregistry": mark.to_string()},
            });
            if let Some((200, answer)) = self.manage("PATCH", &format!("/{MAIN}"), body).await {
                let id = self.note_operation(&answer);
                self.told().edits.push((mark, id));
            }
            self.rest(10, 400).await;
        }
    }

    async fn add_and_remove(self: Arc<Self>) {
        while self.goes_on() {
            let verb = ["add-rooms", "remove-rooms"][self.chance.below(2) as usize];
            let body = json!({"amount": 1 + self.chance.below(3)});
            let path = format!("/{MAIN}/{verb}");
            if let Some((200, answer)) = self.manage("POST", &path, body).await {
                self.note_operation(&answer);
            }
            self.rest(50, 600).await;
        }
    }

    async fn allocate(self: Arc<Self>) {
        while self.goes_on() {
            let url = format!("{}/scheduler/{MAIN}/rooms/allocate", self.rooms);
            if let Some((200, answer)) = self.call("POST", url, json!({})).await {
                let room = answer["roomId"].as_str().expect("a room").to_owned();
                self.told().allocated.push(room);
            }
            self.rest(50, 400).await;
        }
    }

    /// Creates and deletes a second scheduler again and again; only this user touches it.
    async fn come_and_go(self: Arc<Self>) {
        while self.goes_on() {
            if let Some((200, _)) = self.manage("POST", "", self.guest.clone()).await {
                self.told().creations += 1;
                self.rest(10, 800).await;
                self.must_be_there().await;
            }
            let path = format!("/{GUEST}");
            if let Some((200, answer)) = self.manage("DELETE", &path, json!({})).await {
                self.told().deletions += 1;
                let id = answer["operationId"].as_str().expect("an id").to_owned();
                self.must_go(&id).await;
            }
            self.rest(10, 300).await;
        }
    }

    async fn must_be_there(&self) {
        loop {
            match self.manage("GET", &format!("/{GUEST}"), Value::Null).await {
                Some((200, _)) => return,
                Some((404, body)) => panic!("an acknowledged scheduler is gone: {body}"),
                _ => self.rest(20, 21).await,
            }
        }
    }

    async fn must_go(&self, operation: &str) {
        let (path, name) = (
            format!("/{GUEST}/operations/{operation}"),
            format!("/{GUEST}"),
        );
        let gone = eventually(seconds(60), || async {
            match self.manage("GET", &path, Value::Null).await {
                Some((200, body)) => body["operation"]["status"] == "finished",
                // An earlier, unacknowledged deletion removed the scheduler with its operations.
                Some((404, body)) => match self.manage("GET", &name, Value::Null).await {
                    Some((200, _)) => panic!("an acknowledged deletion is not known: {body}"),
                    Some((404, _)) => true,
                    _ => false,
                },
                _ => false,
            }
        });
        assert!(
            gone.await,
            "{:?}",
            self.manage("GET", &path, Value::Null).await
        );
    }
}

/// All rooms that were ever seen: a room's id belongs to one process only.
#[derive(Default)]
struct Sightings(BTreeMap<String, i32>);

impl Sightings {
    fn look(&mut self, home: &Home) {
        let mut now = BTreeMap::new();
        for process in home.processes().into_iter().filter(|p| p.leader) {
            assert!(
                [MAIN, GUEST].contains(&process.scheduler.as_str()),
                "{process:?}"
            );
            let twice = now.insert(process.room.clone(), process.pid);
            assert_eq!(twice, None, "a room twice: {process:?}");
            let before = self.0.insert(process.room.clone(), process.pid);
            assert!(
                before.is_none_or(|pid| pid == process.pid),
                "room {} was {before:?} and is {}",
                process.room,
                process.pid
            );
        }
    }
}

const SETTINGS: [(&str, &str); 3] = [
    ("MAESTRO_WORKERS_HEALTHCONTROLLERINTERVAL", "1s"),
    ("MAESTRO_WORKERS_STORAGECLENUPINTERVAL", "2s"),
    ("MAESTRO_OPERATIONS_ROOMS_DRAINDEADLINE", "1s"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost_by_twenty_kills() {
    let now = || jiff::Timestamp::now().as_nanosecond() as u64;
    let seed = number("KILL_SEED").unwrap_or_else(now);
    let kills = number("KILL_COUNT").unwrap_or(20);
    println!("KILL_SEED={seed} KILL_COUNT={kills}");
    let chance = Arc::new(Chance(Mutex::new(fastrand::Rng::with_seed(seed))));
    let home = Home::new();
    let mut maestro = home.start_with(&SETTINGS);
    maestro.bring_up(&home.fleet(MAIN, 4)).await;
    let users = Arc::new(Users {
        http: reqwest::Client::builder()
            .no_proxy()
            .timeout(seconds(8))
            .build()
            .expect("a client"),
        management: maestro.management.clone(),
        rooms: maestro.rooms.clone(),
        guest: home.fleet(GUEST, 2),
        chance: chance.clone(),
        told: Mutex::default(),
        stop: AtomicBool::new(false),
    });
    let tasks = [
        tokio::spawn(users.clone().edit()),
        tokio::spawn(users.clone().add_and_remove()),
        tokio::spawn(users.clone().allocate()),
        tokio::spawn(users.clone().come_and_go()),
    ];
    let mut seen = Sightings::default();
    for round in 0..kills {
        tokio::time::sleep(chance.millis(50, 1_500)).await;
        seen.look(&home);
        maestro.kill();
        seen.look(&home);
        // Does not wait until it is ready: the next kill may come during the take-over.
        maestro = home.start_only(&SETTINGS);
        seen.look(&home);
        assert_eq!(
            maestro.get(&format!("/schedulers/{MAIN}")).await.0,
            200,
            "after kill {round}"
        );
    }
    users.stop.store(true, SeqCst);
    for task in tasks {
        if let Err(error) = task.await {
            panic!("a user gave up: {error}\n{}", maestro.logged());
        }
    }
    settle(&maestro).await;
    seen.look(&home);
    users.sum_up();
    check_promises(&maestro, &users).await;
    check_rooms(&maestro, &home).await;

    // Once more without edits: no process changes.
    let before = home.pids(MAIN);
    maestro.kill();
    let maestro = home.start_with(&SETTINGS);
    settle(&maestro).await;
    assert_eq!(home.pids(MAIN), before);
    for name in [GUEST, MAIN] {
        if maestro.get(&format!("/schedulers/{name}")).await.0 == 200 {
            maestro.remove(name).await;
        }
    }
    assert!(home.processes().is_empty(), "{:?}", home.processes());
}

/// Waits until every operation has ended and every fleet has its size.
async fn settle(maestro: &Maestro) {
    let settled = eventually(seconds(60), || async {
        for name in [MAIN, GUEST] {
            // Periodic operations do not count as open work.
            for stage in ["active", "pending"] {
                let open = maestro.operations(name, stage).await;
                if open.iter().any(|o| !is_periodic(o)) {
                    return false;
                }
            }
        }
        true
    });
    assert!(
        settled.await,
        "not ended: {:?} {:?}",
        maestro.operations(MAIN, "active").await,
        maestro.operations(MAIN, "pending").await
    );
}

fn is_periodic(operation: &Value) -> bool {
    ["health_controller", "storage_clean_up"]
        .contains(&operation["definitionName"].as_str().unwrap_or_default())
}

async fn check_promises(maestro: &Maestro, users: &Users) {
    let (operations, edits, allocated) = {
        let told = users.told();
        (
            told.operations.clone(),
            told.edits.clone(),
            told.allocated.clone(),
        )
    };
    assert!(!operations.is_empty() && !edits.is_empty() && !allocated.is_empty());
    let mut last_mark = 0;
    for id in &operations {
        let path = format!("/schedulers/{MAIN}/operations/{id}");
        let (status, body) = maestro.get(&path).await;
        assert_eq!(status, 200, "an acknowledged operation is lost: {body}");
        let operation = &body["operation"];
        let word = operation["status"].as_str().expect("a word");
        assert!(
            ["finished", "error", "canceled"].contains(&word),
            "{operation}"
        );
        if let Some((mark, _)) = edits.iter().find(|(_, edit)| edit == id) {
            // Only a kill can disturb an edit, and it only delays the edit.
            assert_eq!(word, "finished", "edit {mark}: {}", history(operation));
            last_mark = last_mark.max(*mark);
        }
    }
    let (_, body) = maestro.get(&format!("/schedulers/{MAIN}")).await;
    let mark = body["scheduler"]["annotations"]["imageregistry"]
        .as_str()
        .and_then(|mark| mark.parse::<u64>().ok());
    assert!(
        mark >= Some(last_mark),
        "{mark:?}, but {last_mark} was done"
    );
    let (_, body) = maestro.get(&format!("/schedulers/{MAIN}/versions")).await;
    let versions = body["versions"].as_array().expect("a list").len();
    assert!(versions > edits.len(), "{versions} of {}", edits.len());
    let once: BTreeSet<_> = allocated.iter().collect();
    assert_eq!(once.len(), allocated.len(), "given twice: {allocated:?}");
}

/// Every running process belongs to a known room, and their number is the wanted one.
async fn check_rooms(maestro: &Maestro, home: &Home) {
    let sized = eventually(seconds(60), || async {
        let wanted = maestro.info(MAIN).await["roomsReplicas"].as_u64();
        wanted == Some(home.pids(MAIN).len() as u64)
    });
    assert!(
        sized.await,
        "{} {:?}",
        maestro.info(MAIN).await,
        home.pids(MAIN)
    );
    for process in home.processes() {
        let url = format!(
            "{}/scheduler/{}/rooms/{}/address",
            maestro.rooms, process.scheduler, process.room
        );
        let (status, body) = maestro.call("GET", &url, None).await;
        assert_eq!(status, 200, "an orphan: {process:?}: {body}");
    }
}
