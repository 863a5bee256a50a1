//! Measures the cost of turns of the state machine: `decide_cost ROOMS TURNS` creates this many rooms and runs each
//! kind of turn this often, each kind inside a function of its own. `cargo xtask guard` runs it under callgrind, counts
//! the instructions inside these functions only, and compares them with `core/decide-cost.tsv`.

use maestro_core::domain::*;
use maestro_core::ports::{Loaded, RuntimeEvent};
use maestro_core::settings::{CoreSettings, ProtectionSettings};
use maestro_core::state::*;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// Far beyond all timeouts, so that nothing but the measured turn is due.
const LONG: Duration = Duration::from_secs(86_400);
/// One health check per tick.
const HEALTH: Duration = Duration::from_secs(60);
const CALLER: Caller = Caller(1);

struct Bench {
    state: SchedulerState,
    now: Now,
    rooms: Vec<RoomId>,
    turns: usize,
    entropy: u128,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || -> Result<usize, Box<dyn Error>> {
        Ok(arguments.next().ok_or("decide_cost ROOMS TURNS")?.parse()?)
    };
    let (rooms, turns) = (number()?, number()?);
    let mut bench = Bench::new(rooms, turns, None)?;
    let pings = bench.pings(|_| PingStatus::Ready);
    measured_ping(&mut bench, pings);
    let pings = bench.matches();
    measured_match(&mut bench, pings);
    measured_allocate(&mut bench);
    measured_tick(&mut bench);
    bench.check()?;
    let protection = ProtectionSettings {
        interval: LONG * 365,
        safety: 0.3,
        single: true,
    };
    let mut bench = Bench::new(rooms, turns, Some(protection))?;
    let pings = bench.matches();
    measured_protect(&mut bench, pings);
    bench.check()
}

/// A ping that repeats the previous one.
#[inline(never)]
fn measured_ping(bench: &mut Bench, pings: Vec<Ping>) {
    black_box("ping");
    for ping in pings {
        bench.turn(Input::Ping {
            caller: CALLER,
            ping,
        });
    }
}

/// A ping that begins or ends a match: a change of status, and an evaluation of the fleet.
#[inline(never)]
fn measured_match(bench: &mut Bench, pings: Vec<Ping>) {
    // Without a difference the compiler would merge the two functions.
    black_box("match");
    for ping in pings {
        bench.turn(Input::Ping {
            caller: CALLER,
            ping,
        });
    }
}

/// Like [`measured_match`], in a fleet of which a third is in use and protected: the order that follows, and its end.
#[inline(never)]
fn measured_protect(bench: &mut Bench, pings: Vec<Ping>) {
    for ping in pings {
        let caller = CALLER;
        let decision = bench.turn(Input::Ping { caller, ping });
        bench.carry_out(decision);
    }
}

/// An allocation, after which the room is given back.
#[inline(never)]
fn measured_allocate(bench: &mut Bench) {
    for _ in 0..bench.turns {
        let decision = bench.turn(Input::Command {
            caller: CALLER,
            request: None,
            command: Command::Allocate,
        });
        for effect in decision.effects {
            if let Effect::Reply {
                answer: Ok(Reply::Allocated { room, .. }),
                ..
            } = effect
            {
                bench.turn(Input::AllocationUntaken { room });
            }
        }
    }
}

/// A health check that finds nothing to do.
#[inline(never)]
fn measured_tick(bench: &mut Bench) {
    for _ in 0..bench.turns {
        bench.now.mono = bench.now.mono.plus(HEALTH);
        bench.turn(Input::Wake);
    }
}

impl Bench {
    fn new(
        rooms: usize,
        turns: usize,
        protection: Option<ProtectionSettings>,
    ) -> Result<Self, Box<dyn Error>> {
        let in_use = protection.map_or(0, |_| rooms / 3);
        let now = Now {
            wall: "2026-01-02T03:04:05Z".parse()?,
            mono: Mono(LONG),
        };
        let settings = CoreSettings {
            ping_timeout: LONG * 365,
            cleanup_interval: LONG * 365,
            health_interval: HEALTH,
            touch_interval: LONG * 365,
            rooms_limit: rooms,
            protection,
            ..CoreSettings::default()
        };
        let scheduler = Scheduler {
            name: "arena".into(),
            game: "arena".into(),
            state: SchedulerPhase::InSync,
            max_surge: "10%".into(),
            rooms_replicas: i32::try_from(rooms)?,
            match_allocation: Some(MatchAllocation { max_matches: 1 }),
            ..Scheduler::default()
        };
        let version = scheduler.version().clone();
        let mut records: Vec<RoomRecord> =
            (0..rooms).map(|n| ready_room(n, &version, now)).collect();
        for record in &mut records[..in_use] {
            record.reported.status = RoomStatus::Occupied;
            record.reported.ping = PingStatus::Occupied;
            record.reported.matches = 1;
        }
        let instances = records.iter().filter_map(|r| r.instance.clone()).collect();
        let idle = records.iter().skip(in_use);
        let ids = idle.map(|r| r.id.clone()).collect();
        let scheduler = Arc::new(scheduler);
        let loaded = Loaded {
            scheduler: Some(scheduler.clone()),
            versions: vec![scheduler],
            rooms: records,
            ..Loaded::default()
        };
        let state = SchedulerState::load("arena".into(), loaded, Arc::new(settings), now, 1);
        let mut bench = Self {
            state,
            now,
            rooms: ids,
            turns,
            entropy: 1,
        };
        let mut decision = bench.turn(Input::Runtime(RuntimeEvent::Listed(instances)));
        loop {
            let more = decision.more;
            bench.carry_out(decision);
            if !more {
                return Ok(bench);
            }
            decision = bench.turn(Input::Continue);
        }
    }

    /// The turns must leave the fleet unchanged, with no work in flight.
    fn check(&self) -> Result<(), Box<dyn Error>> {
        let ready = self.state.room_counts().of(RoomStatus::Ready);
        if ready != self.rooms.len() as u64 || self.state.view().work_in_flight != 0 {
            return Err(format!("not the turns that were meant: {:?}", self.state.view()).into());
        }
        Ok(())
    }

    /// The runtime does what is ordered, at once.
    fn carry_out(&mut self, decision: Decision) {
        for effect in decision.effects {
            if let Effect::Run { id, .. } = effect {
                let result = WorkResult::Done;
                let next = self.turn(Input::WorkDone { id, result });
                self.carry_out(next);
            }
        }
    }

    /// Pings that begin and end matches.
    fn matches(&self) -> Vec<Ping> {
        self.pings(|turn| match turn % 2 {
            0 => PingStatus::Occupied,
            _ => PingStatus::Ready,
        })
    }

    /// Pings of rooms that are far apart; two consecutive ones are from the same room.
    fn pings(&self, status: impl Fn(usize) -> PingStatus) -> Vec<Ping> {
        let ping = |turn: usize| Ping {
            room: self.rooms[(turn / 2 * 7919) % self.rooms.len()].clone(),
            status: status(turn),
            running_matches: i64::from(status(turn) == PingStatus::Occupied),
            metadata: "{}".into(),
        };
        (0..self.turns / 2 * 2).map(ping).collect()
    }

    /// Everything that the actor asks of the state machine in one turn.
    fn turn(&mut self, input: Input) -> Decision {
        self.entropy += 1;
        self.now.mono = self.now.mono.plus(Duration::from_micros(1));
        let decision = self.state.decide(input, self.now, self.entropy);
        black_box(self.state.next_wake());
        black_box(decision)
    }
}

fn ready_room(number: usize, version: &SchedulerVersion, now: Now) -> RoomRecord {
    let id: RoomId = format!("arena-{number:06}").as_str().into();
    let address = Address {
        host: "127.0.0.1".into(),
        ports: vec![Port {
            name: "clientPort".into(),
            port: 20_000,
            protocol: "udp".into(),
        }],
    };
    let intent = RoomIntent {
        made_by: Some(OperationId(uuid::Uuid::nil())),
        host_ports: Arc::from([20_000]),
        ..RoomIntent::new(version.clone(), now.wall)
    };
    let mut record = RoomRecord::new(id.clone(), intent);
    record.reported.status = RoomStatus::Ready;
    record.reported.ping = PingStatus::Ready;
    record.reported.metadata = Some("{}".into());
    record.instance = Some(Instance {
        room: id,
        uid: "1".into(),
        version: version.clone(),
        validation: false,
        status: InstanceStatus::Ready,
        description: String::new(),
        restarting: None,
        trouble: None,
        address: Some(Arc::new(address)),
        resource_version: 1,
    });
    record
}
