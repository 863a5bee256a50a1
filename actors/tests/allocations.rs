//! No room is given to two callers (invariant 12), over many allocations of one fleet:
//! `ALLOCATIONS=10000000 cargo test --release -p maestro-actors --test allocations -- --nocapture`

use maestro_core::domain::{Mono, Now, PingStatus, RoomId, RoomStatus};
use maestro_core::ports::{Loaded, RuntimeEvent};
use maestro_core::settings::CoreSettings;
use maestro_core::state::{
    Caller, Command, Decision, Effect, Input, Ping, RefusalKind, Reply, SchedulerState,
};
use maestro_testkit::build;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const ROOMS: usize = 1000;
/// Number of concurrent callers; a few more than there are rooms.
const HELD_MAX: usize = ROOMS + 3;
const HOLD: Duration = Duration::from_secs(30);

struct Fleet {
    state: SchedulerState,
    now: Now,
    turns: u128,
}

impl Fleet {
    fn ready() -> Self {
        let id = |n: usize| format!("r-{n:05}");
        let rooms: Vec<_> = (0..ROOMS)
            .map(|n| build::room(&id(n)).ready().build())
            .collect();
        let scheduler = build::scheduler("fleet").replicas(ROOMS as i32).arc();
        let settings = CoreSettings {
            allocation_hold: HOLD,
            ping_timeout: HOLD * 1_000_000,
            ..CoreSettings::default()
        };
        let now = Now {
            wall: build::moment(1_000_000_000),
            mono: Mono(HOLD * 1000),
        };
        let loaded = Loaded {
            scheduler: Some(scheduler.clone()),
            versions: vec![scheduler],
            rooms,
            ..Loaded::default()
        };
        let state = SchedulerState::load("fleet".into(), loaded, Arc::new(settings), now, 1);
        let mut fleet = Self {
            state,
            now,
            turns: 0,
        };
        let instances = (0..ROOMS).map(|n| build::instance(&id(n))).collect();
        let mut more = fleet
            .turn(Input::Runtime(RuntimeEvent::Listed(instances)))
            .more;
        while more {
            more = fleet.turn(Input::Continue).more;
        }
        fleet
    }

    fn turn(&mut self, input: Input) -> Decision {
        self.turns += 1;
        self.now.mono = self.now.mono.plus(Duration::from_micros(1));
        self.state.decide(input, self.now, self.turns)
    }

    fn allocate(&mut self) -> Option<RoomId> {
        let (caller, command) = (Caller(1), Command::Allocate);
        let decision = self.turn(Input::Command {
            caller,
            request: None,
            command,
        });
        let mut answers = decision
            .effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Reply { answer, .. } => Some(answer),
                _ => None,
            });
        match answers.next().expect("every command is answered") {
            Ok(Reply::Allocated { room, .. }) => Some(room),
            Err(refusal) if refusal.kind == RefusalKind::Unavailable => None,
            other => panic!("an allocation answered {other:?}"),
        }
    }

    fn ping(&mut self, room: &RoomId, status: PingStatus) {
        let ping = Ping {
            room: room.clone(),
            status,
            running_matches: i64::from(status == PingStatus::Occupied),
            metadata: "{}".into(),
        };
        let caller = Caller(2);
        self.turn(Input::Ping { caller, ping });
    }

    /// Gives a room back, in one of several ways.
    fn give_back(&mut self, room: RoomId, given: Mono, way: u128) {
        match way % 4 {
            0 => drop(self.turn(Input::AllocationUntaken { room })),
            // It reports ready before a match began: it stays allocated until the allocation expires.
            1 => {
                self.ping(&room, PingStatus::Ready);
                let fresh = self.now.mono.since(given) <= HOLD;
                assert!(
                    !fresh || self.is_held(&room),
                    "{room} was taken back too early"
                );
                self.now.mono = self.now.mono.plus(HOLD);
                self.ping(&room, PingStatus::Ready);
            }
            _ => {
                self.ping(&room, PingStatus::Occupied);
                self.ping(&room, PingStatus::Ready);
            }
        }
    }

    fn is_held(&self, room: &RoomId) -> bool {
        let room = self.state.rooms().get(room.as_str());
        room.is_some_and(|room| room.status() == RoomStatus::Allocated)
    }
}

#[test]
fn no_room_is_given_to_two_callers() {
    let wanted = std::env::var("ALLOCATIONS").map_or(20_000, |n| n.parse().expect("a number"));
    let mut fleet = Fleet::ready();
    let (mut held, mut order) = (HashSet::new(), VecDeque::new());
    let (mut given, mut refused) = (0_u64, 0_u64);
    let began = Instant::now();
    while given < wanted {
        match fleet.allocate() {
            Some(room) => {
                assert!(held.insert(room.clone()), "{room} was given twice");
                order.push_back((room, fleet.now.mono));
                given += 1;
            }
            None => {
                assert_eq!(held.len(), ROOMS, "refused although a room is free");
                refused += 1;
            }
        }
        // The fleet runs out of rooms repeatedly, and half of them are given back each time.
        if refused % 2 == 1 || order.len() == HELD_MAX {
            while order.len() > ROOMS / 2 {
                let Some((room, at)) = order.pop_front() else {
                    break;
                };
                held.remove(&room);
                let turns = fleet.turns;
                fleet.give_back(room, at, turns);
            }
            refused += 1;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{given} allocations, none twice, {refused} refused, in {seconds:.1} s");
}
