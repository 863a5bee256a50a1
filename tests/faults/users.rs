//! Players, matchmakers and operators. They ask any node, and go on whatever happens.

use crate::nodes::{Api, NODES, Nodes, Outcome};
use crate::promises::{Hold, Open, Promises, Room};
use crate::support::{Answer, fleet_of};
use crate::watch::Seen;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::time::sleep;

pub const FLEETS: [&str; 6] = ["north", "east", "south", "west", "upper", "lower"];
const GUESTS: [&str; 2] = ["guest-a", "guest-b"];

/// Pseudo-random numbers that are the same for the same seed.
pub struct Chance(Mutex<fastrand::Rng>);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
    pub fn below(&self, limit: usize) -> usize {
        self.0.lock().expect("whole").usize(..limit)
    }
    pub fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.0.lock().expect("whole").u64(from..to))
    }
    pub fn shuffle<T>(&self, all: &mut [T]) {
        self.0.lock().expect("whole").shuffle(all);
    }
}

pub struct Users {
    pub nodes: Nodes,
    pub chance: Chance,
    pub seen: Arc<Mutex<Seen>>,
    told: Mutex<Promises>,
    stop: AtomicBool,
    /// No more orders, but pings and looks.
    rest: AtomicBool,
    marks: AtomicU64,
}

impl Users {
    pub fn new(nodes: Nodes, seen: Arc<Mutex<Seen>>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            nodes,
            chance: Chance::new(seed),
            seen,
            told: Mutex::default(),
            stop: AtomicBool::new(false),
            rest: AtomicBool::new(false),
            marks: AtomicU64::new(1),
        })
    }

    pub fn told(&self) -> MutexGuard<'_, Promises> {
        self.told.lock().expect("whole")
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("whole")
    }

    pub fn begin(self: &Arc<Self>) -> Vec<tokio::task::JoinHandle<()>> {
        let mut tasks = Vec::new();
        for fleet in FLEETS {
            tasks.push(tokio::spawn(self.clone().play(fleet)));
            tasks.push(tokio::spawn(self.clone().allocate(fleet)));
            tasks.push(tokio::spawn(self.clone().order(fleet)));
        }
        for guest in GUESTS {
            tasks.push(tokio::spawn(self.clone().come_and_go(guest)));
        }
        tasks.push(tokio::spawn(self.clone().follow()));
        tasks
    }

    /// Orders end; rooms still ping.
    pub fn rest(&self) {
        self.rest.store(true, Relaxed);
    }

    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    fn orders(&self) -> bool {
        !self.rest.load(Relaxed)
    }

    /// Asks any node.
    async fn ask(
        &self,
        what: &'static str,
        route: (&str, Api, &str),
        body: Option<Value>,
    ) -> Outcome {
        let node = self.chance.below(NODES);
        let outcome = self.nodes.call(node, route, body).await;
        self.note(what, &outcome);
        if outcome.answer.is_none() {
            // The process may be away for a while.
            sleep(Duration::from_millis(50)).await;
        }
        outcome
    }

    fn note(&self, what: &'static str, outcome: &Outcome) {
        let mut told = self.told();
        let status = outcome.answer.as_ref().map_or(0, |answer| answer.0);
        *told.answers.entry((what, status)).or_default() += 1;
        if let Some(broken) = &outcome.broken {
            told.wrong(broken.clone());
        }
        // What only reads a store that is away may say so in the words of the contract, with 500.
        if status >= 500 && ![503, 504].contains(&status) && what != "get" {
            told.wrong(format!("{what}: {:?}", outcome.answer));
        }
        if status != 0 {
            let slowest = told.slowest.entry(what).or_default();
            *slowest = outcome.sent.elapsed().max(*slowest);
        }
    }

    pub async fn get(&self, path: &str) -> Option<Answer> {
        self.ask("get", ("GET", Api::Management, path), None)
            .await
            .answer
    }

    /// The rooms of a fleet ping one after the other, with what their players do.
    async fn play(self: Arc<Self>, fleet: &'static str) {
        let path = format!("/schedulers/{fleet}/rooms?perPage=100");
        while !self.stop.load(Relaxed) {
            let (epoch, losses) = self.moment(fleet);
            let outcome = self
                .ask("rooms", ("GET", Api::Management, &path), None)
                .await;
            if let Some((200, body)) = &outcome.answer {
                let rooms = body["rooms"].as_array().expect("a list");
                for room in rooms {
                    let id = room["id"].as_str().expect("an id").to_owned();
                    let room_key = (fleet.to_owned(), id);
                    if room["status"] == "ready" && self.moment(fleet) == (epoch, losses) {
                        self.told()
                            .seen_ready(&room_key, outcome.sent, epoch, losses);
                    }
                    self.ping(room_key).await;
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn moment(&self, fleet: &str) -> (i64, u32) {
        let seen = self.seen();
        (seen.epoch(fleet), seen.losses)
    }

    async fn ping(&self, room: Room) {
        let now = Instant::now();
        let occupied = {
            let mut told = self.told();
            let hold = told.holds.get_mut(&room);
            let game = hold.as_ref().and_then(|hold| hold.game);
            match (hold, game) {
                (Some(hold), Some((begin, end))) if begin <= now && now < end => {
                    hold.has_begun = true;
                    true
                }
                (Some(hold), Some((_, end))) if end <= now && hold.has_begun => {
                    // From here on it may be given to somebody else.
                    told.holds.remove(&room);
                    false
                }
                _ => false,
            }
        };
        let status = if occupied { "occupied" } else { "ready" };
        let body = json!({
            "status": status, "runningMatches": u8::from(occupied), "timestamp": 1, "metadata": {},
        });
        let path = format!("/scheduler/{}/rooms/{}/ping", room.0, room.1);
        let outcome = self
            .ask("ping", ("PUT", Api::Rooms, &path), Some(body))
            .await;
        let known = matches!(&outcome.answer, Some((200, body)) if body["success"] == true);
        if !known {
            self.told().doubt(room);
        }
    }

    async fn allocate(self: Arc<Self>, fleet: &'static str) {
        let path = format!("/scheduler/{fleet}/rooms/allocate");
        while self.orders() {
            let outcome = self
                .ask("allocate", ("POST", Api::Rooms, &path), None)
                .await;
            if let Some((200, body)) = &outcome.answer
                && body["success"] == true
            {
                let id = body["roomId"].as_str().expect("a room").to_owned();
                let now = Instant::now();
                let begin = now + self.chance.millis(0, 500);
                let comes = self.chance.below(4) > 0;
                let game = comes.then(|| (begin, begin + self.chance.millis(300, 2_000)));
                let (epoch, losses) = self.moment(fleet);
                let hold = Hold {
                    asked_at: outcome.sent,
                    told_at: now,
                    epoch,
                    losses,
                    game,
                    has_begun: false,
                };
                self.told()
                    .allocated((fleet.to_owned(), id), hold, outcome.node);
            }
            sleep(self.chance.millis(50, 400)).await;
        }
    }

    /// An operator edits, adds and removes rooms.
    async fn order(self: Arc<Self>, fleet: &'static str) {
        while self.orders() {
            let losses = self.seen().losses;
            let edit = (self.chance.below(2) == 0).then(|| self.marks.fetch_add(1, Relaxed));
            let outcome = match edit {
                Some(mark) => {
                    let replicas = 4 + self.chance.below(5);
                    let body = json!({
                        "roomsReplicas": replicas,
                        "annotations": {"imageregistry": mark.to_string()},
                    });
                    let path = format!("/schedulers/{fleet}");
                    self.ask("edit", ("PATCH", Api::Management, &path), Some(body))
                        .await
                }
                None => {
                    let verb = ["add-rooms", "remove-rooms"][self.chance.below(2)];
                    let body = json!({"amount": 1 + self.chance.below(2)});
                    let path = format!("/schedulers/{fleet}/{verb}");
                    self.ask("order", ("POST", Api::Management, &path), Some(body))
                        .await
                }
            };
            match &outcome.answer {
                Some((200, body)) => {
                    let id = body["operationId"].as_str().expect("an id").to_owned();
                    let scheduler = fleet.to_owned();
                    self.told().operation(Open {
                        scheduler,
                        id,
                        edit,
                        losses,
                    });
                }
                Some((404, body)) => self.told().wrong(format!("{fleet} is not there: {body}")),
                _ => {}
            }
            sleep(self.chance.millis(100, 900)).await;
        }
    }

    /// Looks at acknowledged operations until they have ended.
    async fn follow(self: Arc<Self>) {
        while !self.stop.load(Relaxed) {
            let open = self.told().open.clone();
            for open in open {
                let path = format!("/schedulers/{}/operations/{}", open.scheduler, open.id);
                let losses = self.seen().losses;
                let Some(answer) = self.get(&path).await else {
                    continue;
                };
                if self.seen().losses != losses {
                    continue;
                }
                let mut told = self.told();
                if told.looked(&open, &answer, losses) {
                    told.open.retain(|other| other.id != open.id);
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Creates schedulers and deletes them again. Nobody else touches them.
    async fn come_and_go(self: Arc<Self>, prefix: &'static str) {
        let mut number = 0;
        while self.orders() {
            number += 1;
            let name = format!("{prefix}-{number}");
            let fleet = fleet(&name, 1);
            self.told().maybe.insert(name.clone());
            let outcome = self
                .ask(
                    "create",
                    ("POST", Api::Management, "/schedulers"),
                    Some(fleet),
                )
                .await;
            if let Some((200, _)) = outcome.answer {
                let mut told = self.told();
                told.acknowledged += 1;
                told.maybe.remove(&name);
                told.created.insert(name.clone());
            }
            // A creation that was not answered may still arrive.
            let is_certain = outcome.answer.is_some();
            sleep(self.chance.millis(10, 800)).await;
            self.must_be_there(&name).await;
            self.delete(&name, is_certain).await;
            sleep(self.chance.millis(10, 300)).await;
        }
    }

    /// If its creation was acknowledged.
    async fn must_be_there(&self, name: &str) {
        if !self.told().created.contains(name) {
            return;
        }
        let path = format!("/schedulers/{name}");
        while self.orders() {
            match self.get(&path).await {
                Some((200, _)) => return,
                Some((404, body)) => {
                    return self
                        .told()
                        .wrong(format!("{name} was created, and is gone: {body}"));
                }
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Until it is gone.
    async fn delete(&self, name: &str, is_certain: bool) {
        let path = format!("/schedulers/{name}");
        while self.orders() {
            {
                let mut told = self.told();
                told.created.remove(name);
                told.maybe.insert(name.to_owned());
            }
            let outcome = self
                .ask("delete", ("DELETE", Api::Management, &path), None)
                .await;
            if let Some((404, _)) = outcome.answer {
                if is_certain {
                    let mut told = self.told();
                    told.maybe.remove(name);
                    told.deleted.insert(name.to_owned());
                }
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

pub fn fleet(name: &str, rooms: u32) -> Value {
    fleet_of(name, rooms, &["sleep", "600"])
}
