//! A scheduler under faults: its writes lag, its calls fail, hang and take effect late, its watch
//! has gaps, its rooms crash, and its owner dies at any moment.

use crate::batch::{Batch, Group};
use crate::documents::{NAME, spec};
use crate::machine::Machine;
use crate::stored::Stored;
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::rules::writing::PendingTouches;
use maestro_core::settings::{CoreSettings, ProtectionSettings};
use maestro_core::state::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Maximum decisions in one world, so that a loop that never ends is noticed.
const DECISIONS_MAX: usize = 100_000;

/// Maximum turns in a row, and steps until a world settles; far more than a small fleet needs.
pub(crate) const TURNS_MAX: usize = 20_000;

/// The monotonic time at which every world begins. It is far from zero, so that ages are not
/// truncated.
pub(crate) const BEGINNING: Mono = Mono(Duration::from_secs(1_000_000));

/// Maximum wake-ups in one period; far more than the timers of a small fleet need.
pub(crate) const WAKES_MAX: usize = 5_000;

/// An allocation that was decided.
pub(crate) struct Held {
    pub caller: Caller,
    /// The allocated instance: another one of the same name is another room.
    pub uid: Option<String>,
    pub at: Mono,
    /// Its caller knows of it, or will: the reply's change is durable.
    pub acknowledged: bool,
}

pub struct World {
    pub state: SchedulerState,
    pub settings: Arc<CoreSettings>,
    pub clock: Now,
    pub machine: Machine,
    /// The durable state.
    pub stored: Stored,
    /// The durable state once all pending writes are committed.
    pub written: Stored,
    /// Calls on the runtime that were issued and have not begun.
    pub works: VecDeque<(WorkId, Work)>,
    /// Calls that were carried out and whose answer has not been delivered.
    pub begun: VecDeque<(WorkId, Work, WorkResult)>,
    /// Calls that the owner abandoned before their answer was delivered.
    pub abandoned: Vec<Work>,
    /// Replies to callers, sent once durable.
    pub answers: BTreeMap<Caller, CommandResult>,
    /// Events sent to forwarders, in order.
    pub forwarded: Vec<Arc<Forwarding>>,
    pub reports: Vec<Report>,
    /// The scheduler is deleted, and its owner has ended.
    pub ended: bool,
    /// A new owner starts whenever the last one has ended.
    pub revives: bool,
    /// The number of owners so far.
    pub lives: u32,
    /// An owner died before it could repair a store whose loss its successor cannot see. From then on nobody can keep
    /// what was promised, so it is not checked.
    pub forgetful: bool,
    /// The store may lose acknowledged commits.
    pub lossy: bool,
    /// The number of repairs of the store so far.
    pub repairs: u32,
    /// The maximum number of rooms, from all numbers that were ever wanted.
    pub allowed: u64,
    /// Another tool has pushed a removal with one of our reasons, which ends the rooms that it
    /// picks (D27).
    pub(crate) foreign: bool,
    pub(crate) epoch: Epoch,
    pub(crate) seq: Seq,
    /// The durable states before the last commits, for a store that may lose these.
    pub(crate) past: VecDeque<Stored>,
    /// What a store that lost changes refused, and the fence of the batch that repairs it.
    pub(crate) refused: Option<(Vec<Change>, Group, Fence)>,
    /// The fence of the next attempt, if it repairs the store.
    pub(crate) repair: Option<Fence>,
    pub(crate) batches: VecDeque<Batch>,
    /// The group that the store did not accept, and its changes; it is retried unchanged.
    pub(crate) tried: Option<(Vec<Change>, Group)>,
    /// Decisions that arrived since then, folded.
    pub(crate) folded: Group,
    /// The changes of the commit whose effects are being carried out.
    pub(crate) committed: Vec<Change>,
    pub(crate) touches: PendingTouches,
    pub(crate) answered: VecDeque<(WorkId, WorkResult)>,
    /// Calls without an answer that may take effect later.
    pub(crate) late: Vec<Work>,
    pub(crate) held: BTreeMap<RoomId, Held>,
    /// Operations whose ids callers know and that no durable change removed.
    pub(crate) promised: BTreeSet<OperationId>,
    /// Pings that the shell may answer by itself; `pinged` has those it has not reported yet.
    pub(crate) board: BTreeMap<RoomId, Steady>,
    pub(crate) pinged: Vec<SteadyPing>,
    /// The last decision was not complete.
    pub(crate) more: bool,
    entropy: u128,
    pub(crate) callers: u64,
    pub(crate) decisions: usize,
}

impl World {
    /// A world with a command to create three rooms. The settings are small, so that bounds are
    /// reached.
    pub fn new(max_matches: i32, event_driven: bool) -> Self {
        Self::in_pieces(max_matches, event_driven, 256)
    }

    /// Like [`World::new`], with lists and wake-ups that take several turns.
    pub fn in_pieces(max_matches: i32, event_driven: bool, rooms_per_turn: usize) -> Self {
        let mut world = Self::of(
            Stored::default(),
            CoreSettings {
                event_driven,
                drain_deadline: Some(Duration::from_secs(600)),
                add_batch: 2,
                history_limit: 12,
                queue_limit: 8,
                rooms_per_turn,
                protection: Some(ProtectionSettings {
                    interval: Duration::from_secs(5),
                    safety: 0.3,
                    single: true,
                }),
                ..CoreSettings::default()
            },
        );
        world.allowed = 0;
        world.machine.relist();
        world.create(3, max_matches);
        world
    }

    /// A world whose owner begins with this stored state; its watch has reported nothing yet.
    pub fn of(stored: Stored, settings: CoreSettings) -> Self {
        let clock = Now {
            wall: "2026-01-02T03:04:05Z".parse().expect("a moment"),
            mono: BEGINNING,
        };
        let settings = Arc::new(settings);
        let loaded = stored.loaded();
        Self {
            state: SchedulerState::load(NAME.into(), loaded, settings.clone(), clock, 7),
            settings,
            clock,
            machine: Machine::default(),
            written: stored.clone(),
            epoch: Epoch(1),
            seq: stored.seq,
            stored,
            works: VecDeque::new(),
            begun: VecDeque::new(),
            abandoned: Vec::new(),
            answers: BTreeMap::new(),
            forwarded: Vec::new(),
            reports: Vec::new(),
            ended: false,
            revives: true,
            lives: 1,
            forgetful: false,
            lossy: false,
            repairs: 0,
            allowed: u64::MAX,
            foreign: false,
            past: VecDeque::new(),
            refused: None,
            repair: None,
            batches: VecDeque::new(),
            tried: None,
            folded: Group::default(),
            committed: Vec::new(),
            touches: PendingTouches::default(),
            answered: VecDeque::new(),
            late: Vec::new(),
            held: BTreeMap::new(),
            promised: BTreeSet::new(),
            board: BTreeMap::new(),
            pinged: Vec::new(),
            more: false,
            entropy: 1,
            callers: 0,
            decisions: 0,
        }
    }

    /// Creates the scheduler with this number of rooms.
    pub fn create(&mut self, replicas: i32, max_matches: i32) {
        let mut document = spec(replicas);
        document.match_allocation = Some(MatchAllocation { max_matches });
        self.command(Command::CreateScheduler(Box::new(document)));
    }

    /// Continues work that was too long for one turn. False: there is none.
    pub fn go_on(&mut self) -> bool {
        let more = std::mem::take(&mut self.more);
        if more {
            self.decide(Input::Continue);
        }
        more
    }

    /// Continues until no work is left over from a turn.
    pub fn go_on_to_the_end(&mut self) {
        for _ in 0..TURNS_MAX {
            if !self.go_on() {
                return;
            }
        }
        panic!("goes on without end: {:?}", self.state.view());
    }

    /// Takes one input, and checks what must hold after every decision.
    pub fn decide(&mut self, input: Input) {
        self.decisions += 1;
        assert!(self.decisions < DECISIONS_MAX, "a story without end");
        match &input {
            Input::Runtime(event) => self.heard(event),
            Input::Pushed(record) => self.foreign |= is_ours(&record.definition),
            _ => {}
        }
        let before = self.removals();
        self.entropy += 1;
        let what = format!("{input:?}");
        let decision = self.state.decide(input, self.clock, self.entropy);
        for change in &decision.changes {
            self.written.apply(change);
        }
        decision.touches.iter().for_each(|t| self.written.touch(t));
        for effect in &decision.effects {
            if let Effect::Reply {
                caller,
                answer: Ok(Reply::Allocated { room, .. }),
                ..
            } = effect
            {
                self.allocated(room, *caller);
            }
        }
        self.check_removals(before, &what);
        for change in decision.ping_cache {
            match change {
                PingCacheChange::Post(room, steady, _) => drop(self.board.insert(room, steady)),
                PingCacheChange::TakeOff(room) => drop(self.board.remove(&room)),
                PingCacheChange::Clear => self.board.clear(),
            }
        }
        self.more = decision.more;
        self.reports.extend(decision.reports);
        self.batches.push_back(Batch {
            changes: decision.changes,
            touches: decision.touches,
            effects: decision.effects,
        });
        self.check();
    }

    /// The owner dies: what was not durable is lost, and its calls may still be done
    /// ([`World::late`]). The next owner loads what is stored, and its watch begins with a list.
    pub fn restart(&mut self) {
        self.owner_lost_what_was_lost();
        self.batches.clear();
        self.tried = None;
        self.folded = Group::default();
        self.touches = PendingTouches::default();
        self.held.retain(|_, held| held.acknowledged);
        self.answered.clear();
        self.begun.clear();
        self.late.extend(self.works.drain(..).map(|(_, work)| work));
        self.late.truncate(8);
        self.written = self.stored.clone();
        self.entropy += 1;
        self.epoch.0 += 1;
        self.seq = self.stored.seq;
        self.lives += 1;
        let (settings, loaded) = (self.settings.clone(), self.stored.loaded());
        self.state = SchedulerState::load(NAME.into(), loaded, settings, self.clock, self.entropy);
        self.board.clear();
        self.pinged.clear();
        self.more = false;
        self.machine.relist();
        self.check_promises();
        self.check();
    }

    /// Lets time pass, waking the state machine when it asks for it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.clock.mono.plus(time);
        let mut wakes = 0;
        self.go_on_to_the_end();
        self.tell_pings();
        while let Some(wake) = self.state.next_wake().filter(|wake| *wake <= end) {
            self.advance_to(wake.max(self.clock.mono));
            self.decide(Input::Wake);
            self.go_on_to_the_end();
            // If one turn is not enough, the state machine is woken again at once.
            wakes += 1;
            assert!(wakes < WAKES_MAX, "wakes without end");
        }
        self.advance_to(end);
    }

    /// Advances both clocks without waking the state machine.
    pub fn advance_to(&mut self, moment: Mono) {
        let step = moment.since(self.clock.mono);
        self.clock.mono = self.clock.mono.plus(step);
        self.clock.wall = self.clock.wall.saturating_add(step).expect("a near moment");
    }
}

/// Whether it is a removal whose reason promises to wait for matches.
fn is_ours(definition: &Definition) -> bool {
    matches!(definition, Definition::RemoveRooms { reason, .. }
        if *reason != RemovalReason::RequestedByUser.into())
}
