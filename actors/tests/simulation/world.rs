//! What is there beside the owner: store, runtime, callers, the games in the rooms, time.

use super::owner::{NAME, Owner, Waiting};
use super::rng::Rng;
use futures_util::{FutureExt, StreamExt};
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_testkit::build;
use maestro_testkit::fake::{FakeRuntime, FakeStore, ManualClock, StoreCall, StoreFault};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The program in a room, as its players see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Game {
    pub uid: String,
    pub playing: bool,
    /// What Maestro has said that it knows.
    pub acknowledged: PingStatus,
    /// The turn in which its last match ended.
    pub ended: u64,
}

pub struct World {
    pub rng: Rng,
    pub clock: Arc<ManualClock>,
    pub settings: Arc<CoreSettings>,
    pub store: Arc<FakeStore>,
    pub runtime: Arc<FakeRuntime>,
    pub owner: Option<Owner>,
    pub games: BTreeMap<RoomId, Game>,
    /// Rooms that a caller has been told of, and since when they are held for it.
    pub held: BTreeMap<RoomId, Mono>,
    pub ordered: BTreeSet<OperationId>,
    pub faulty: bool,
    /// The store may lose what it had acknowledged: then nobody can keep promises.
    pub forgetful: bool,
    pub turn: u64,
    pub lives: u32,
    pub allocations: u32,
    pub trace: Vec<String>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let replicas = i32::try_from(rng.below(6)).unwrap_or(0);
        let scheduler = build::scheduler(NAME).replicas(replicas).max_surge("50%");
        let store = FakeStore::new();
        store.insert(scheduler.build(), [], []);
        let settings = CoreSettings {
            drain_deadline: None,
            periodic_operation_ttl: Duration::ZERO,
            add_batch: 1 + rng.below(4),
            ..CoreSettings::default()
        };
        Self {
            clock: ManualClock::seeded(seed),
            settings: Arc::new(settings),
            store,
            runtime: FakeRuntime::new(),
            owner: None,
            games: BTreeMap::new(),
            held: BTreeMap::new(),
            ordered: BTreeSet::new(),
            faulty: true,
            forgetful: seed % 5 == 4,
            turn: 0,
            lives: 0,
            allocations: 0,
            trace: Vec::new(),
            rng,
        }
    }

    pub fn note(&mut self, text: impl FnOnce() -> String) {
        let at = self.clock.now().wall;
        self.trace.push(format!("{at} {}", text()));
    }

    /// A new owner takes over what is stored, as after a kill -9.
    pub fn take_over(&mut self) {
        let name = SchedulerName::from(NAME);
        let names = [name.clone()];
        let claims = self.store.acquire(&names).now_or_never();
        let claims = claims.expect("no fault").expect("no fault");
        let Claim::Owned { epoch, .. } = claims[0] else {
            panic!("there is one node");
        };
        let loaded = self.store.load(&name).now_or_never();
        let loaded = loaded.expect("no fault").expect("no fault");
        let seq = loaded.seq;
        let (now, entropy) = (self.clock.now(), self.clock.entropy());
        let state = SchedulerState::load(name.clone(), loaded, self.settings.clone(), now, entropy);
        self.lives += 1;
        let watch = self.runtime.watch(&name);
        self.note(|| format!("an owner begins with epoch {}", epoch.0));
        self.owner = Some(Owner {
            state,
            epoch,
            seq,
            orders: Default::default(),
            touches: BTreeMap::new(),
            work: Vec::new(),
            results: Vec::new(),
            callers: Default::default(),
            given: Default::default(),
            last_caller: 0,
            watch,
        });
        self.promises_hold();
    }

    pub fn decide(&mut self, input: Input) {
        let Some(mut owner) = self.owner.take() else {
            return;
        };
        self.turn += 1;
        self.note(|| format!("{input:?}"));
        let (now, entropy) = (self.clock.now(), self.clock.entropy());
        let decision = owner.state.decide(input, now, entropy);
        self.removals_are_fair(&decision);
        owner.enqueue(decision);
        self.owner = Some(owner);
    }

    pub fn next_event(&mut self) -> bool {
        let Some(owner) = &mut self.owner else {
            return false;
        };
        let Some(Some(event)) = owner.watch.next().now_or_never() else {
            return false;
        };
        self.decide(Input::Runtime(event));
        true
    }

    /// The writer's turn: some of what waits, in one commit.
    pub fn commit(&mut self) -> bool {
        let Some(owner) = &self.owner else {
            return false;
        };
        let waiting = owner.orders.len();
        if waiting == 0 {
            return self.commit_touches();
        }
        let take = 1 + self.rng.below(waiting);
        let Some(owner) = &self.owner else {
            return false;
        };
        let changes: Vec<Change> = owner
            .orders
            .iter()
            .take(take)
            .flat_map(|b| b.changes.clone())
            .collect();
        if !changes.is_empty() && !self.write(changes) {
            return true;
        }
        let Some(owner) = &mut self.owner else {
            return true;
        };
        let effects: Vec<Effect> = owner.orders.drain(..take).flat_map(|b| b.effects).collect();
        for effect in effects {
            self.carry_out(effect);
        }
        true
    }

    fn commit_touches(&mut self) -> bool {
        let Some(owner) = &mut self.owner else {
            return false;
        };
        let chunk: Vec<RoomTouch> = std::mem::take(&mut owner.touches).into_values().collect();
        if chunk.is_empty() {
            return false;
        }
        if !self.write(vec![Change::TouchRooms(chunk.clone())])
            && let Some(owner) = &mut self.owner
        {
            for touch in chunk {
                owner.touches.entry(touch.room.clone()).or_insert(touch);
            }
        }
        true
    }

    /// True: it is durable. False: again later, or the owner has ended.
    fn write(&mut self, changes: Vec<Change>) -> bool {
        let Some(owner) = &self.owner else {
            return false;
        };
        let fence = owner.fence();
        if self.faulty && self.rng.one_in(4) {
            let mut faults = vec![
                StoreFault::NotApplied,
                StoreFault::NotAppliedUnknown,
                StoreFault::AppliedUnknown,
                StoreFault::LostAcknowledgement,
            ];
            if self.forgetful {
                faults.push(StoreFault::Behind);
            }
            if let Some(fault) = self.rng.pick(&faults) {
                self.note(|| format!("commit {:?} meets {fault:?}", fence.seq));
                self.store.fail(StoreCall::Commit, fault);
            }
        }
        let tried = self.store.commit(fence.clone(), changes).now_or_never();
        let outcome = tried.unwrap_or_else(|| Err(CommitError::Unknown("silent".into())));
        let stored = match outcome {
            Ok(()) => fence.seq,
            Err(CommitError::NotApplied(_)) => fence.previous,
            Err(CommitError::Behind { stored }) => stored,
            Err(CommitError::Unknown(_)) => self.store.seq_of(NAME),
            Err(error) => panic!("the only owner is told: {error}"),
        };
        if stored == fence.seq {
            if let Some(owner) = &mut self.owner {
                owner.seq = stored;
            }
            return true;
        }
        if stored != fence.previous {
            self.note(|| format!("the store is at {stored:?}: the owner ends"));
            self.die();
        }
        false
    }

    fn carry_out(&mut self, effect: Effect) {
        let Some(owner) = &mut self.owner else { return };
        match effect {
            Effect::Run { id, work, .. } => owner.work.push((id, work)),
            Effect::Abandon(ids) => {
                let gone = |id: &WorkId| ids.contains(id);
                owner.work.retain(|(id, _)| !gone(id));
                let late = ids
                    .iter()
                    .map(|id| (*id, WorkResult::Unknown("given up".into())));
                owner.results.extend(late);
            }
            Effect::Ended | Effect::Forward(_) => {}
            Effect::Reply { caller, answer } => self.reply(caller, answer),
        }
    }

    fn reply(&mut self, caller: Caller, answer: Answer) {
        let Some(owner) = &mut self.owner else { return };
        let Some(waiting) = owner.callers.remove(&caller) else {
            panic!("{caller:?} is answered twice");
        };
        let Ok(reply) = answer else { return };
        match (waiting, reply) {
            (Waiting::Allocation { since, turn }, Reply::Allocated { room, .. }) => {
                if self.rng.one_in(5) {
                    if owner.given.get(&room) == Some(&caller) {
                        owner.given.remove(&room);
                        self.decide(Input::AllocationUntaken { room });
                    }
                    return;
                }
                self.given_to_one(&room);
                self.allocations += 1;
                // A whole match may have passed before the caller was told.
                if self.games.get(&room).is_none_or(|g| g.ended < turn) {
                    self.held.insert(room, since);
                }
            }
            (Waiting::Ping { room, status }, _) => {
                // A room that the runtime has not shown yet stays pending, whatever it says.
                let stored = self.store.stored_room(NAME, room.as_str());
                let pending = stored.is_none_or(|r| r.status == RoomStatus::Pending);
                if let Some(game) = self.games.get_mut(&room)
                    && !pending
                {
                    game.acknowledged = status;
                }
            }
            (Waiting::Order, Reply::Operation(id)) => drop(self.ordered.insert(id)),
            _ => {}
        }
    }

    /// Its memory is gone, calls that were out may have happened. The runtime's book of ports
    /// is not lost with it: that is for the tests of the runtime that keeps it in memory.
    pub fn die(&mut self) {
        let Some(owner) = self.owner.take() else {
            return;
        };
        self.note(|| "the owner dies".into());
        for (_, work) in owner.work {
            if self.rng.one_in(2) {
                drop(self.call(&work));
            }
        }
    }

    /// Does the work on the runtime. `None`: no answer.
    pub fn call(&self, work: &Work) -> Option<WorkResult> {
        let name = SchedulerName::from(NAME);
        let done = |result: Result<(), RuntimeError>| match result {
            Ok(()) => WorkResult::Done,
            Err(why) => WorkResult::Failed(why),
        };
        let runtime = &self.runtime;
        Some(match work {
            Work::Prepare(scheduler) => done(runtime.prepare(scheduler).now_or_never()?),
            Work::RemovePlace => done(runtime.remove(&name).now_or_never()?),
            Work::ReservePorts { room, scheduler } => {
                match runtime.reserve_ports(room, scheduler).now_or_never()? {
                    Ok(ports) => WorkResult::Ports(ports),
                    Err(why) => WorkResult::Failed(why),
                }
            }
            Work::ReleasePorts { room } => {
                runtime.release_ports(room).now_or_never()?;
                WorkResult::Done
            }
            Work::CreateRoom(order) => match runtime.create(order).now_or_never()? {
                Ok(instance) => WorkResult::Created(instance),
                Err(why) => WorkResult::Failed(why),
            },
            Work::TerminateRoom {
                room,
                uid,
                grace,
                reason,
            } => done(
                runtime
                    .terminate(&name, room, uid.as_deref(), *grace, *reason)
                    .now_or_never()?,
            ),
        })
    }
}
