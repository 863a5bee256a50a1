//! Random lives of one fleet: whatever happens and in whatever order, the invariants hold
//! after every decision, and once the faults end the fleet becomes what it should be.

use super::world::{Outcome, World};
use crate::domain::*;
use crate::rules::patch::{AutoscalingPatch, ContainerPatch, Patch, SpecPatch};
use crate::state::Command;
use proptest::prelude::*;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) enum Step {
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
    Pass(u64),
    Push(u8),
    CancelPushed(usize),
}

fn pings() -> impl Strategy<Value = PingStatus> {
    prop_oneof![
        6 => Just(PingStatus::Ready),
        4 => Just(PingStatus::Occupied),
        1 => Just(PingStatus::Terminating),
        1 => Just(PingStatus::Terminated),
    ]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Works),
        1 => Just(Outcome::Invalid),
        1 => Just(Outcome::Exhausted),
        1 => Just(Outcome::Unavailable),
        1 => Just(Outcome::DoneUnavailable),
        1 => Just(Outcome::Unknown),
        1 => Just(Outcome::DoneUnknown),
        1 => Just(Outcome::LateUnknown),
    ]
}

fn instances() -> impl Strategy<Value = InstanceStatus> {
    prop_oneof![
        3 => Just(InstanceStatus::Ready),
        1 => Just(InstanceStatus::Pending),
        1 => Just(InstanceStatus::Error),
        1 => Just(InstanceStatus::Terminating),
        1 => Just(InstanceStatus::Unknown),
    ]
}

fn orders() -> impl Strategy<Value = Step> {
    let which = || 0_usize..64;
    prop_oneof![
        1 => (0..4).prop_map(Step::Create),
        2 => Just(Step::Minor),
        3 => (0_u8..4).prop_map(Step::Major),
        2 => which().prop_map(Step::Switch),
        1 => Just(Step::Delete),
        3 => (0..5).prop_map(Step::Replicas),
        2 => proptest::option::of(0..4).prop_map(Step::Buffer),
        2 => (1..4).prop_map(Step::Add),
        2 => (1..4).prop_map(Step::Remove),
        2 => (which(), any::<bool>()).prop_map(|(room, force)| Step::RemoveRoom(room, force)),
        4 => which().prop_map(Step::Cancel),
        1 => (0_i64..30).prop_map(Step::Sleep),
        10 => Just(Step::Allocate),
        1 => Just(Step::GiveBack),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => (0_u8..6).prop_map(Step::Push),
        1 => which().prop_map(Step::CancelPushed),
    ]
}

fn events() -> impl Strategy<Value = Step> {
    let which = || 0_usize..64;
    prop_oneof![
        10 => (which(), pings(), 0_i64..4).prop_map(|(room, status, n)| Step::Ping(room, status, n)),
        6 => Just(Step::PingAll(PingStatus::Ready)),
        2 => Just(Step::PingAll(PingStatus::Occupied)),
        1 => Just(Step::PingUnknown),
        12 => Just(Step::Commit),
        10 => (which(), outcomes()).prop_map(|(work, outcome)| Step::Work(work, outcome)),
        8 => which().prop_map(Step::WorkDone),
        1 => which().prop_map(Step::RepeatResult),
        2 => which().prop_map(Step::Late),
        10 => Just(Step::Event),
        1 => Just(Step::Relist),
        1 => which().prop_map(Step::WrongList),
        2 => which().prop_map(Step::Crash),
        2 => (which(), instances()).prop_map(|(room, status)| Step::Instance(room, status)),
        1 => (which(), any::<bool>()).prop_map(|(room, heard)| Step::Namesake(room, heard)),
        1 => (0_u8..8).prop_map(Step::Stranger),
        1 => any::<bool>().prop_map(Step::SlowEndings),
        2 => Just(Step::FinishEnding),
        2 => Just(Step::Restart),
        8 => (1_u64..400_000).prop_map(Step::Pass),
    ]
}

/// What happens, and whether writes arrive at once after it. Shown in one line: a failure
/// can be copied into a story.
#[derive(Clone)]
struct Life(Vec<(Step, bool)>);

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn life() -> impl Strategy<Value = Life> {
    let step = prop_oneof![1 => orders(), 3 => events()];
    prop::collection::vec((step, prop::bool::weighted(0.8)), 1..120).prop_map(Life)
}

pub(super) fn patch(edit: impl FnOnce(&mut Patch)) -> Command {
    let mut patch = Patch::default();
    edit(&mut patch);
    Command::Patch(Box::new(patch))
}

pub(super) fn major(word: u8) -> Command {
    let container = ContainerPatch {
        command: vec![format!("game-{word}")],
        ..ContainerPatch::default()
    };
    let spec = SpecPatch {
        containers: vec![container],
        ..SpecPatch::default()
    };
    patch(|p| p.spec = Some(spec))
}

fn buffer(amount: Option<i32>) -> Command {
    let parameters = PolicyParameters {
        fixed_buffer: Some(FixedBuffer {
            amount: amount.unwrap_or(1).max(1),
        }),
        ..PolicyParameters::default()
    };
    let autoscaling = AutoscalingPatch {
        enabled: Some(amount.is_some()),
        min: Some(1),
        max: Some(4),
        cooldown: Some(20),
        policy: Some(Policy {
            kind: "fixedBuffer".into(),
            parameters,
        }),
    };
    patch(|p| p.autoscaling = Some(autoscaling))
}

fn pushed(world: &mut World, kind: u8) -> OperationRecord {
    let definition = match kind {
        0 => Definition::AddRooms { amount: 1 },
        1 => Definition::RemoveRooms {
            amount: 1,
            rooms_ids: None,
            reason: "requested_by_user".into(),
            force: false,
        },
        2 => Definition::TestOperation { sleep_seconds: 5 },
        3 => Definition::HealthController { took_action: None },
        4 => Definition::StorageCleanUp,
        _ => Definition::Unknown {
            name: "make_coffee".into(),
            contents: "{}".into(),
        },
    };
    let number = u128::from(world.fresh_number());
    OperationRecord {
        id: OperationId(uuid::Uuid::from_u128(number)),
        scheduler: "arena".into(),
        definition,
        status: OperationStatus::Pending,
        created_at: world.clock.wall,
        status_at: world.clock.wall,
        history: Vec::new(),
        priority: false,
        lease_until: None,
        journal: Journal::default(),
    }
}

/// One of `all`, if there is any.
fn one_of<T: Clone>(all: &[T], index: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[index % all.len()].clone())
}

fn order(world: &mut World, step: Step, max_matches: i32) {
    let command = match step {
        Step::Create(replicas) => return world.create(replicas, max_matches),
        Step::Minor => patch(|p| p.max_surge = Some("50%".into())),
        Step::Major(word) => major(word),
        Step::Switch(index) => {
            let versions: Vec<_> = world.written.versions.keys().cloned().collect();
            Command::SwitchVersion(one_of(&versions, index).unwrap_or("v9.9.9".into()))
        }
        Step::Delete => Command::DeleteScheduler,
        Step::Replicas(rooms) => patch(|p| p.rooms_replicas = Some(rooms)),
        Step::Buffer(amount) => buffer(amount),
        Step::Add(amount) => {
            world.allowed += amount.unsigned_abs() as u64;
            Command::AddRooms { amount }
        }
        Step::Remove(amount) => Command::RemoveRooms {
            amount,
            force: amount % 2 == 0,
        },
        Step::RemoveRoom(index, force) => match one_of(&world.room_ids(), index) {
            Some(room) => Command::RemoveRoom { room, force },
            None => return,
        },
        Step::Cancel(index) => match one_of(&world.operation_ids(), index) {
            Some(id) => Command::Cancel(id),
            None => return,
        },
        Step::Sleep(sleep_seconds) => Command::TestOperation { sleep_seconds },
        Step::Allocate => Command::Allocate,
        Step::Pause(paused) => Command::SetPaused(paused),
        _ => return,
    };
    world.command(command);
}

fn take(world: &mut World, step: Step, max_matches: i32) {
    match step {
        Step::GiveBack => world.untaken(),
        Step::Ping(index, status, matches) => {
            if let Some(room) = one_of(&world.room_ids(), index) {
                world.ping(&room, status, matches);
            }
        }
        Step::PingAll(status) => {
            for room in world.room_ids() {
                world.ping(&room, status, i64::from(status == PingStatus::Occupied));
            }
        }
        Step::PingUnknown => world.ping(&"arena-nobody".into(), PingStatus::Ready, 0),
        Step::Commit => drop(world.commit()),
        Step::Work(index, outcome) => drop(world.work(index, outcome)),
        Step::WorkDone(index) => drop(world.work(index, Outcome::Works)),
        Step::RepeatResult(index) => world.repeat_result(index),
        Step::Late(index) => world.late(index),
        Step::Event => drop(world.event()),
        Step::Relist => world.relist(),
        Step::WrongList(index) => world.wrong_list(index),
        Step::Crash(index) => {
            if let Some(room) = one_of(&world.room_ids(), index) {
                world.gone(&room, Some(Exit::default()));
            }
        }
        Step::Instance(index, status) => {
            if let Some(room) = one_of(&world.room_ids(), index) {
                world.change(&room, status);
            }
        }
        Step::Namesake(index, heard) => {
            if let Some(room) = one_of(&world.room_ids(), index) {
                world.replace_by_namesake(&room, heard);
            }
        }
        Step::Stranger(number) => world.stranger(number),
        Step::SlowEndings(slow) => world.slow_endings = slow,
        Step::FinishEnding => world.finish_ending(),
        Step::Restart => world.restart(),
        Step::Pass(millis) => world.pass(Duration::from_millis(millis)),
        Step::Push(kind) => {
            let record = pushed(world, kind);
            world.allowed += 1;
            world.pushed(record);
        }
        Step::CancelPushed(index) => {
            if let Some(id) = one_of(&world.operation_ids(), index) {
                world.cancel_requested(id);
            }
        }
        order_of_user => order(world, order_of_user, max_matches),
    }
}

/// Longest time in which a fleet that is left alone has to mend itself.
const MENDED_WITHIN: Duration = Duration::from_secs(3 * 3600);

pub(super) fn live(steps: Vec<(Step, bool)>, max_matches: i32, event_driven: bool) {
    // Lists and wake-ups in pieces, so that everything else comes between them.
    let mut world = World::in_pieces(max_matches, event_driven, 2);
    // Replicas, the buffer's limit, and the surge.
    world.allowed += 4 + 4 + 2;
    world.commit_all();
    for (step, commit) in steps {
        take(&mut world, step, max_matches);
        if commit {
            world.commit_all();
        }
    }
    world.heal();
    let begun = world.clock.mono;
    while let Some(why) = world.unsettled() {
        let waited = world.clock.mono.since(begun);
        assert!(waited < MENDED_WITHIN, "does not mend: {why}");
        world.quiet_moment();
    }
    let rooms = world.room_ids();
    for _ in 0..5 {
        world.quiet_moment();
    }
    assert_eq!(world.unsettled(), None, "does not rest");
    assert_eq!(world.room_ids(), rooms, "replaces rooms without need");
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 256;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_fleet_keeps_its_invariants_and_mends_itself(
        steps in life(),
        max_matches in prop_oneof![3 => Just(1), 1 => Just(3)],
        event_driven in prop::bool::weighted(0.8),
    ) {
        live(steps.0, max_matches, event_driven);
    }
}
