//! A life: one simulated run of a fleet, as a sequence of steps. The property tests generate lives at random; a failing
//! one is copied into a story.

use crate::calls::Outcome;
use crate::documents::{buffer, major, patch, pending, spec};
use crate::world::World;
use maestro_core::domain::*;
use maestro_core::state::{Caller, Command};
use std::collections::BTreeMap;
use std::time::Duration;

/// One step. Its numbers choose among the things that exist at that moment.
#[derive(Clone, Debug)]
pub enum Step {
    Create(i32),
    Minor,
    Major(u8),
    Switch(usize),
    Delete,
    Replicas(i32),
    Buffer(Option<i32>),
    Add(i32),
    Remove(i32),
    RemoveRoom(usize, bool),
    Runtime,
    Start(usize),
    Stop(usize, bool),
    Publish(usize),
    Unpublish(usize),
    Configure(usize, u8),
    Cancel(usize),
    Sleep(i64),
    Allocate,
    GiveBack,
    Pause(bool),
    Ping(usize, PingStatus, i64),
    PingAll(PingStatus),
    PingUnknown,
    Commit,
    Work(usize, Outcome),
    WorkDone(usize),
    Begin(usize),
    Finish(usize),
    RepeatResult(usize),
    Late(usize),
    Event,
    Relist,
    WrongList(usize),
    Crash(usize),
    Instance(usize, InstanceStatus),
    Namesake(usize, bool),
    Stranger(u8),
    SlowEndings(bool),
    FinishEnding,
    Restart,
    Stuck(u64),
    Pass(u64),
    Push(u8),
    CancelPushed(usize),
}

impl Step {
    /// The step's name without its numbers.
    fn kind(&self) -> String {
        let text = format!("{self:?}");
        text.split('(').next().unwrap_or_default().to_owned()
    }
}

fn pushed(world: &mut World, kind: u8) -> OperationRecord {
    let definition = match kind {
        0 => Definition::AddRooms {
            amount: 1,
            version: None,
        },
        1 => Definition::RemoveRooms {
            amount: 1,
            rooms_ids: None,
            reason: "requested_by_user".into(),
            force: false,
            version: None,
        },
        2 => Definition::TestOperation { sleep_seconds: 5 },
        3 => Definition::HealthController { took_action: None },
        4 => Definition::StorageCleanUp,
        _ => Definition::Unknown {
            name: "make_coffee".into(),
            contents: "{}".into(),
        },
    };
    let number = u128::from(world.caller().0);
    pending(world.clock, number, definition)
}

/// One of `all`, if there is any.
fn one_of<T: Clone>(all: &[T], index: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[index % all.len()].clone())
}

/// Sends the step's command; `None`: the step is no command, or has no target.
fn order(world: &mut World, step: &Step, max_matches: i32) -> Option<Caller> {
    let command = match *step {
        Step::Create(replicas) => {
            let mut document = spec(replicas);
            document.match_allocation = Some(MatchAllocation { max_matches });
            Command::CreateScheduler(Box::new(document))
        }
        Step::Minor => patch(|p| p.max_surge = Some("50%".into())),
        Step::Major(word) => major(&format!("game-{word}")),
        Step::Switch(index) => {
            let versions: Vec<_> = world.written.versions.keys().cloned().collect();
            Command::SwitchVersion(one_of(&versions, index).unwrap_or("v9.9.9".into()))
        }
        Step::Delete => Command::DeleteScheduler,
        Step::Replicas(rooms) => patch(|p| p.rooms_replicas = Some(rooms)),
        Step::Buffer(amount) => buffer(amount),
        Step::Add(amount) => {
            world.allowed += u64::from(amount.unsigned_abs());
            Command::AddRooms {
                amount,
                version: None,
            }
        }
        Step::Remove(amount) => Command::RemoveRooms {
            amount,
            force: amount % 2 == 0,
            version: None,
        },
        Step::RemoveRoom(index, force) => {
            let room = one_of(&world.room_ids(), index)?;
            Command::RemoveRoom { room, force }
        }
        Step::Runtime => Command::CreateRuntime,
        Step::Start(_)
        | Step::Stop(..)
        | Step::Publish(_)
        | Step::Unpublish(_)
        | Step::Configure(..) => live_order(world, step)?,
        Step::Cancel(index) => Command::Cancel(one_of(&world.operation_ids(), index)?),
        Step::Sleep(sleep_seconds) => Command::TestOperation { sleep_seconds },
        Step::Allocate => Command::Allocate,
        Step::Pause(paused) => Command::SetPaused(paused),
        _ => return None,
    };
    Some(world.command(command))
}

/// An order about one version. `None`: there is no version.
fn live_order(world: &mut World, step: &Step) -> Option<Command> {
    let versions: Vec<_> = world.written.versions.keys().cloned().collect();
    let of = |index: usize| one_of(&versions, index);
    Some(match *step {
        Step::Start(index) => {
            // Its rooms, and the surge of a new configuration.
            world.allowed += 8;
            Command::StartVersion {
                version: of(index)?,
                images: Vec::new(),
                config: None,
            }
        }
        Step::Stop(index, force) => Command::StopVersion {
            version: of(index)?,
            force,
        },
        Step::Publish(index) => Command::PublishVersion(of(index)?),
        Step::Unpublish(index) => Command::UnpublishVersion(of(index)?),
        Step::Configure(index, word) => {
            let pair = ("WORD".to_owned(), word.to_string());
            Command::UpdateConfig {
                version: of(index)?,
                config: ConfigPairs::new([pair]).ok()?,
                restart: match word % 3 {
                    0 => ConfigRestart::Rolling,
                    1 => ConfigRestart::All,
                    _ => ConfigRestart::None,
                },
            }
        }
        _ => return None,
    })
}

/// Carries out a step that is no command. False: it has no target.
fn happen(world: &mut World, step: &Step) -> bool {
    let running = |world: &World, index: usize| {
        let known = one_of(&world.room_ids(), index);
        known.filter(|room| world.machine.running.contains_key(room))
    };
    match *step {
        Step::GiveBack => world.untaken(),
        Step::Ping(index, status, matches) => match one_of(&world.room_ids(), index) {
            Some(room) => {
                world.ping(&room, status, matches);
                true
            }
            None => false,
        },
        Step::PingAll(status) => {
            let rooms = world.room_ids();
            for room in &rooms {
                world.ping(room, status, i64::from(status == PingStatus::Occupied));
            }
            !rooms.is_empty()
        }
        Step::PingUnknown => {
            world.ping(&"arena-nobody".into(), PingStatus::Ready, 0);
            true
        }
        Step::Commit => world.commit(),
        Step::Work(index, outcome) => world.work(index, outcome),
        Step::WorkDone(index) => world.work(index, Outcome::Works),
        Step::Begin(index) => world.begin(index),
        Step::Finish(index) => world.finish(index),
        Step::RepeatResult(index) => world.repeat_result(index),
        Step::Late(index) => world.late(index),
        Step::Event => world.event(),
        Step::Crash(index) => match running(world, index) {
            Some(room) => {
                world.machine.gone(&room, Some(Exit::default()));
                true
            }
            None => false,
        },
        Step::Instance(index, status) => match running(world, index) {
            Some(room) => {
                world.machine.change(&room, status);
                true
            }
            None => false,
        },
        Step::Namesake(index, heard) => match running(world, index) {
            Some(room) => {
                world.replace_by_namesake(&room, heard);
                true
            }
            None => false,
        },
        Step::FinishEnding => world.machine.finish_ending(),
        Step::CancelPushed(index) => match one_of(&world.operation_ids(), index) {
            Some(id) => {
                world.cancel_requested(id);
                true
            }
            None => false,
        },
        _ => happen_anyway(world, step),
    }
}

/// Carries out a step that needs no target.
fn happen_anyway(world: &mut World, step: &Step) -> bool {
    match *step {
        Step::Relist => world.machine.relist(),
        Step::WrongList(index) => world.wrong_list(index),
        Step::Stranger(number) => drop(world.stranger(number)),
        Step::SlowEndings(slow) => world.machine.slow_endings = slow,
        Step::Restart => world.restart(),
        Step::Stuck(millis) => return world.stuck(Duration::from_millis(millis)),
        Step::Pass(millis) => world.pass(Duration::from_millis(millis)),
        Step::Push(kind) => {
            let record = pushed(world, kind);
            world.allowed += 1;
            world.pushed(record);
        }
        _ => return false,
    }
    true
}

/// The time within which a fleet must recover once the faults end.
const MENDED_WITHIN: Duration = Duration::from_secs(3 * 3600);

/// A fleet to which steps happen, one by one.
pub struct Life {
    pub world: World,
    max_matches: i32,
    /// Callers that wait for an answer, by the kind of their step.
    ordered: Vec<(String, Caller)>,
    /// How often each kind of step had an effect: something happened, or a command was accepted.
    pub effects: BTreeMap<String, u64>,
}

impl Life {
    /// A life that begins with the command to create a scheduler with three rooms.
    pub fn new(max_matches: i32, event_driven: bool) -> Self {
        // Lists and wake-ups take several turns, so that everything else can come between them.
        let mut world = World::in_pieces(max_matches, event_driven, 2);
        // The limits of replicas and buffer, and the surge.
        world.allowed += 4 + 4 + 2;
        world.commit_all();
        Self {
            world,
            max_matches,
            ordered: Vec::new(),
            effects: BTreeMap::new(),
        }
    }

    /// A life that begins with running rooms.
    pub fn up(max_matches: i32, event_driven: bool) -> Self {
        let mut life = Self::new(max_matches, event_driven);
        life.heal();
        life
    }

    /// A life that begins with two started versions, the first of which is published.
    ///
    /// # Panics
    /// If a fleet without faults does not come to that.
    pub fn managed(max_matches: i32, event_driven: bool) -> Self {
        let mut life = Self::up(max_matches, event_driven);
        let begin = [
            Step::Start(0),
            Step::Publish(0),
            Step::Major(0),
            Step::Start(1),
        ];
        for step in begin {
            life.take(&step, true);
            life.heal();
        }
        let live = life.world.stored.live.values();
        let phases: Vec<_> = live.map(|live| live.phase).collect();
        assert_eq!(phases, [VersionPhase::Published, VersionPhase::Started]);
        life
    }

    /// Takes one step; with `commit`, all writes become durable after it. False: the step had no target.
    pub fn take(&mut self, step: &Step, commit: bool) -> bool {
        let given = order(&mut self.world, step, self.max_matches);
        let taken = match given {
            Some(caller) => {
                self.ordered.push((step.kind(), caller));
                true
            }
            None => {
                let happened = happen(&mut self.world, step);
                *self.effects.entry(step.kind()).or_default() += u64::from(happened);
                happened
            }
        };
        if commit {
            self.world.commit_all();
        }
        taken
    }

    /// Ends all faults, and waits until the fleet has its wanted state.
    fn heal(&mut self) {
        let world = &mut self.world;
        world.heal();
        let begun = world.clock.mono;
        while let Some(why) = world.unsettled() {
            let waited = world.clock.mono.since(begun);
            assert!(waited < MENDED_WITHIN, "does not mend: {why}");
            world.quiet_moment();
        }
    }

    /// Ends all faults. The fleet must reach its wanted state and stay in it.
    pub fn mend(&mut self) {
        self.heal();
        let world = &mut self.world;
        let rooms = world.room_ids();
        for _ in 0..5 {
            world.quiet_moment();
        }
        assert_eq!(world.unsettled(), None, "does not rest");
        assert_eq!(world.room_ids(), rooms, "replaces rooms without need");
        for (kind, caller) in self.ordered.drain(..) {
            let accepted = matches!(world.answers.get(&caller), Some(Ok(_)));
            *self.effects.entry(kind).or_default() += u64::from(accepted);
        }
    }
}
