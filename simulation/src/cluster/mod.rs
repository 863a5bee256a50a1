//! Several nodes with several schedulers on one store, in one thread and on one clock. Messages between them are late,
//! lost or duplicated, nodes crash, stand still or are cut off, and the store fails and loses commits: a seed
//! determines all of it. The nodes follow the rules of `core` that the actors follow: the state machine, and
//! [`maestro_core::rules`]`::{lease, placement, writing, grouping}`. After every event [`checks`] look at all of it.

mod checks;
mod faults;
mod node;
mod owner;
mod people;
mod promises;
mod rounds;
mod store;
mod turns;

use crate::documents::spec;
use crate::machine::Machine;
use crate::world::BEGINNING;
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use node::{Node, Purpose, ROUND};
use promises::{Asked, Game, Held};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use store::{Answer, Request, SharedStore};
use uuid::Uuid;

/// How long a node waits for an answer of the store.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What happens at a moment. A node is given by its number, with the session that it is for.
#[derive(Debug)]
enum Event {
    Round(Place),
    ToStore(Place, u64, Box<Member>, Request),
    ToNode(Place, u64, Answer),
    Overdue(Place, u64),
    /// The writer of an owner asks the store again.
    Again(Place, OwnerId),
    Wake(Place, OwnerId),
    Watch(Place, OwnerId, RuntimeEvent),
    Work(Place, OwnerId, WorkId, Work),
    WorkDone(Place, OwnerId, WorkId, WorkResult),
    /// An input that waits while the thread of its owner is blocked, and is lost with that.
    Waits(Place, OwnerId, Input),
    /// An input for whoever owns the scheduler on that node.
    Asked(Place, SchedulerName, Input),
    Pings(SchedulerName),
    Client,
    Fault,
    Begin(usize),
}

type Place = (usize, Uuid);
type OwnerId = (SchedulerName, u64);

/// The simulated cluster.
pub struct Cluster {
    now: Mono,
    /// By time, by number, and by place among those that one event put off to the same moment.
    queue: BTreeMap<(Mono, u64, u32), Event>,
    /// The number of the event that happens now.
    current: u64,
    dice: fastrand::Rng,
    /// Faults happen.
    faulty: bool,
    /// The store may lose commits.
    lossy: bool,
    /// It loses none before.
    safe_at: Mono,
    settings: Arc<CoreSettings>,
    store: SharedStore,
    nodes: Vec<Node>,
    machines: BTreeMap<SchedulerName, Machine>,
    asked: BTreeMap<Caller, Asked>,
    games: BTreeMap<(SchedulerName, RoomId), Game>,
    held: BTreeMap<(SchedulerName, RoomId), Held>,
    /// Numbers of events, requests, sessions, lives of owners, and callers so far.
    count: u64,
    sessions: u128,
    trace: Vec<String>,
    figures: Figures,
    /// Events between two looks at the invariants.
    check_every: u64,
}

/// How often things happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Owners that began.
    pub owners: u64,
    /// Allocations that were acknowledged.
    pub allocations: u64,
    /// Operations that were acknowledged.
    pub operations: u64,
    /// Matches that were begun and ended by their players.
    pub matches: u64,
    /// Stores that were repaired by an owner.
    pub repairs: u64,
    /// Writes of an earlier owner that were refused.
    pub fenced: u64,
    /// Events in all.
    pub events: u64,
    /// From the end of the faults until each scheduler had an owner, in seconds.
    pub owned_after: u64,
}

impl Cluster {
    /// A small cluster of this seed, which nothing has happened to yet.
    pub fn new(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (nodes, schedulers) = (dice.usize(3..6), dice.usize(2..6));
        Self::of(seed, dice, nodes, schedulers)
    }

    /// A cluster of this seed and size. In a large one the invariants are looked at after as many events as it has
    /// schedulers, rather than after each.
    pub fn sized(seed: u64, nodes: usize, schedulers: usize) -> Self {
        let mut cluster = Self::of(seed, fastrand::Rng::with_seed(seed), nodes, schedulers);
        cluster.check_every = schedulers as u64;
        cluster
    }

    fn of(seed: u64, mut dice: fastrand::Rng, nodes: usize, schedulers: usize) -> Self {
        let settings = CoreSettings {
            allocation_hold: promises::HOLD,
            drain_deadline: None,
            periodic_operation_ttl: Duration::ZERO,
            add_batch: 2,
            ..CoreSettings::default()
        };
        let mut cluster = Self {
            now: BEGINNING,
            queue: BTreeMap::new(),
            current: 0,
            faulty: true,
            lossy: seed % 3 == 2,
            safe_at: BEGINNING,
            settings: Arc::new(settings),
            store: SharedStore::default(),
            nodes: Vec::new(),
            machines: BTreeMap::new(),
            asked: BTreeMap::new(),
            games: BTreeMap::new(),
            held: BTreeMap::new(),
            count: 0,
            sessions: 0,
            trace: Vec::new(),
            figures: Figures::default(),
            check_every: 1,
            dice: dice.fork(),
        };
        for number in 0..nodes {
            let skew = dice.i64(-promises::SKEW..=promises::SKEW);
            let node = Node::new(number, &mut cluster.sessions, skew);
            cluster.nodes.push(node);
            cluster.begin_rounds(number);
        }
        for number in 0..schedulers {
            cluster.add_scheduler(&format!("arena-{number}"), dice.i32(0..3));
        }
        cluster.at(0..1, Event::Client);
        cluster.at(500..2_000, Event::Fault);
        cluster
    }

    fn add_scheduler(&mut self, name: &str, replicas: i32) {
        let mut scheduler = spec(replicas);
        scheduler.name = name.into();
        scheduler.spec.version = SchedulerVersion::initial();
        scheduler.state = SchedulerPhase::InSync;
        self.store.insert(scheduler);
        self.machines.insert(name.into(), Machine::default());
        self.at(0..3_000, Event::Pings(name.into()));
    }

    /// Lets this time pass, with everything that happens in it.
    fn run(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= end) {
            self.now = self.now.max(entry.key().0);
            self.current = entry.key().1;
            let event = entry.remove();
            self.figures.events += 1;
            if let Some(event) = self.unless_stopped(event) {
                self.happen(event);
                if self.figures.events.is_multiple_of(self.check_every) {
                    self.check();
                }
            }
        }
        self.now = end;
    }

    /// An event for a process that is stopped comes later, one for a process that has ended never.
    fn unless_stopped(&mut self, event: Event) -> Option<Event> {
        let place = match &event {
            Event::Round(place)
            | Event::ToNode(place, ..)
            | Event::Overdue(place, ..)
            | Event::Again(place, ..)
            | Event::Wake(place, ..)
            | Event::Watch(place, ..)
            | Event::Work(place, ..)
            | Event::WorkDone(place, ..)
            | Event::Waits(place, ..)
            | Event::Asked(place, ..) => place,
            _ => return Some(event),
        };
        let node = &self.nodes[place.0];
        if !node.up || node.member.session != place.1 {
            return None;
        }
        if node.frozen_until > self.now {
            let until = node.frozen_until;
            self.put_off(until, event);
            return None;
        }
        Some(event)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Round(place) => self.round(place),
            Event::ToStore(place, number, by, request) => self.ask(place, number, &by, &request),
            Event::ToNode(place, number, answer) => self.answer(place, number, answer),
            Event::Overdue(place, number) => self.overdue(place, number),
            Event::Again(place, id) => self.write_again(place, id),
            Event::Wake(place, id) => self.wake(place, id),
            Event::Watch(place, id, event) => self.turn(place, id, Input::Runtime(event)),
            Event::Work(place, id, number, work) => self.work(place, id, number, work),
            Event::WorkDone(place, (name, life), id, result) => {
                let abandoned = |owner: &mut owner::Owner| owner.abandoned.remove(&id);
                let owner = self.nodes[place.0].owner(&name, life);
                if !owner.is_some_and(abandoned) {
                    self.turn(place, (name, life), Input::WorkDone { id, result });
                }
            }
            Event::Waits(place, id, input) => self.turn(place, id, input),
            Event::Asked(place, name, input) => {
                let life = self.nodes[place.0]
                    .owners
                    .get(&name)
                    .map(|owner| owner.life);
                if let Some(life) = life {
                    self.turn(place, (name, life), input);
                }
            }
            Event::Pings(name) => self.rooms_ping(name),
            Event::Client => self.client(),
            Event::Fault => self.fault(),
            Event::Begin(number) => self.begin(number),
        }
    }

    fn schedule(&mut self, at: Mono, event: Event) {
        self.count += 1;
        self.queue.insert((at, self.count, 0), event);
    }

    /// What happens now happens later, and still before whatever comes after it: a mailbox keeps the order.
    fn put_off(&mut self, until: Mono, event: Event) {
        let mut key = (until, self.current, 0);
        while self.queue.contains_key(&key) {
            key.2 += 1;
        }
        self.queue.insert(key, event);
    }

    /// Schedules an event after some milliseconds of this range.
    fn at(&mut self, millis: Range<u64>, event: Event) {
        let after = Duration::from_micros(self.dice.u64(millis.start * 1_000..millis.end * 1_000));
        self.schedule(self.now.plus(after), event);
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.dice.u32(..n) == 0
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        let since = self.now.since(BEGINNING);
        self.trace.push(format!("{since:>12.3?} {}", text()));
    }

    fn place(&self, number: usize) -> Place {
        (number, self.nodes[number].member.session)
    }

    /// Whether it could act as the owner of a scheduler.
    fn is_leased(&self, (number, _): Place, name: &SchedulerName, left: Duration) -> bool {
        let owner = self.nodes[number].owners.get(name);
        owner.is_some_and(|owner| owner.lease_until.since(self.now) > left)
    }

    /// What happened, for the one who looks for a fault.
    pub fn trace(&self) -> &[String] {
        &self.trace
    }

    /// How often things happened until now.
    pub fn figures(&self) -> Figures {
        let repairs = self.store.rows.values().map(|row| u64::from(row.repairs));
        Figures {
            repairs: repairs.sum(),
            ..self.figures
        }
    }

    fn begin_rounds(&mut self, number: usize) {
        let place = self.place(number);
        self.at(0..ROUND.as_millis() as u64, Event::Round(place));
    }

    /// Sends a request to the store.
    fn send(&mut self, place: Place, purpose: Purpose, request: Request) {
        self.count += 1;
        let number = self.count;
        let node = &mut self.nodes[place.0];
        node.open.insert(number, (purpose, self.now));
        let by = Box::new(node.member.clone());
        self.schedule(self.now.plus(ANSWER_MAX), Event::Overdue(place, number));
        let sent = move || Event::ToStore(place, number, by.clone(), request.clone());
        self.transmit(place.0, sent);
    }

    /// Between a node and the store messages are lost, late, or come twice.
    fn transmit(&mut self, number: usize, message: impl Fn() -> Event) {
        let cut_off = self.nodes[number].cut_off_until > self.now;
        if cut_off || (self.faulty && self.one_in(60)) {
            return;
        }
        let copies = 1 + u32::from(self.faulty && self.one_in(40));
        for _ in 0..copies {
            let late = self.faulty && self.one_in(40);
            self.at(if late { 500..3_500 } else { 1..20 }, message());
        }
    }
}
