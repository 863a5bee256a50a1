//! Random runs of one fleet: whatever happens in whatever order, the invariants hold after every
//! decision, and once the faults end the fleet reaches its wanted state.

use maestro_core::domain::*;
use maestro_simulation::Outcome;
use maestro_simulation::steps::{Life, Step};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The number of kinds of steps.
const KINDS: usize = 45;

const CASES: u32 = 256;

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
        2 => (0..4).prop_map(Step::Create),
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
        1 => live_orders(),
        1 => Just(Step::Runtime),
        1 => (0_i64..30).prop_map(Step::Sleep),
        10 => Just(Step::Allocate),
        4 => Just(Step::GiveBack),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => (0_u8..6).prop_map(Step::Push),
        1 => which().prop_map(Step::CancelPushed),
    ]
}

fn live_orders() -> impl Strategy<Value = Step> {
    let which = || 0_usize..4;
    prop_oneof![
        3 => which().prop_map(Step::Start),
        2 => (which(), any::<bool>()).prop_map(|(version, force)| Step::Stop(version, force)),
        3 => which().prop_map(Step::Publish),
        1 => which().prop_map(Step::Unpublish),
        2 => (which(), 0_u8..6).prop_map(|(version, word)| Step::Configure(version, word)),
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
        4 => which().prop_map(Step::Begin),
        4 => which().prop_map(Step::Finish),
        1 => which().prop_map(Step::RepeatResult),
        2 => which().prop_map(Step::Late),
        10 => Just(Step::Event),
        1 => Just(Step::Relist),
        1 => which().prop_map(Step::WrongList),
        2 => which().prop_map(Step::Crash),
        2 => (which(), instances()).prop_map(|(room, status)| Step::Instance(room, status)),
        1 => (which(), any::<bool>()).prop_map(|(room, heard)| Step::Namesake(room, heard)),
        1 => (0_u8..8).prop_map(Step::Stranger),
        2 => any::<bool>().prop_map(Step::SlowEndings),
        8 => Just(Step::FinishEnding),
        2 => Just(Step::Restart),
        1 => (1_u64..15_000).prop_map(Step::Stuck),
        8 => (1_u64..400_000).prop_map(Step::Pass),
    ]
}

/// How a life begins.
#[derive(Clone, Copy, Debug)]
enum Begins {
    New,
    Up,
    /// With two started versions.
    Managed,
}

/// Steps, each with whether its writes are committed at once. Printed in one line, so that a
/// failure can be copied into a story.
#[derive(Clone)]
struct Steps(Vec<(Step, bool)>);

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn steps(live: u32) -> impl Strategy<Value = Steps> {
    let step = prop_oneof![live => live_orders(), 4 => orders(), 12 => events()];
    prop::collection::vec((step, prop::bool::weighted(0.8)), 1..120).prop_map(Steps)
}

fn config() -> ProptestConfig {
    // The environment takes precedence over these values.
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let unsaid = |variable| std::env::var_os(variable).is_none();
    if unsaid("PROPTEST_MAX_SHRINK_ITERS") {
        config.max_shrink_iters = 4000;
    }
    if unsaid("PROPTEST_CASES") {
        config.cases = CASES;
    }
    config
}

#[test]
fn a_fleet_keeps_its_invariants_and_mends_itself() {
    let lives = (
        prop_oneof![2 => steps(1), 1 => steps(3)],
        prop_oneof![3 => Just(1), 1 => Just(3)],
        prop::bool::weighted(0.8),
        prop_oneof![2 => Just(Begins::New), 2 => Just(Begins::Up), 1 => Just(Begins::Managed)],
    );
    let effects = RefCell::new(BTreeMap::<String, u64>::new());
    let mut runner = TestRunner::new(config());
    let lived = runner.run(&lives, |(steps, max_matches, event_driven, begins)| {
        let mut life = match begins {
            Begins::Up => Life::up(max_matches, event_driven),
            Begins::New => Life::new(max_matches, event_driven),
            Begins::Managed => Life::managed(max_matches, event_driven),
        };
        for (step, commit) in steps.0 {
            life.take(&step, commit);
        }
        life.mend();
        for (kind, count) in life.effects {
            *effects.borrow_mut().entry(kind).or_default() += count;
        }
        Ok(())
    });
    if let Err(error) = lived {
        panic!("{error}\n{runner}");
    }
    let effects = effects.into_inner();
    println!("{effects:?}");
    // Every kind of step must have had an effect, or it tests nothing. In fewer runs a rare one may
    // be missing.
    if config().cases >= CASES {
        assert_eq!(effects.len(), KINDS, "{effects:?}");
        let vain = effects.iter().find(|(_, count)| **count == 0);
        assert_eq!(vain, None, "{effects:?}");
    }
}

/// Found by the property above: a list showed another instance of a room that was being ended, and nobody owned it
/// after the room's row was deleted.
#[test]
fn a_namesake_of_a_room_that_is_being_ended_is_ended_too() {
    use maestro_simulation::Outcome::Works;
    let steps = [
        (Step::WorkDone(0), false),
        (Step::Allocate, false),
        (Step::Allocate, false),
        (Step::Event, false),
        (Step::GiveBack, true),
        (Step::WorkDone(19), false),
        (Step::Stranger(1), true),
        (Step::Work(13, Works), false),
        (Step::Namesake(6, false), false),
    ];
    let mut life = Life::new(1, true);
    for (step, commit) in &steps {
        life.take(step, *commit);
    }
    life.mend();
}

/// Found by the property above: a removal went on under the next owner, and ended the room that had the name by then,
/// whose version had been started again.
#[test]
fn a_namesake_of_a_room_of_a_version_that_starts_again_stays() {
    use PingStatus::Ready;
    let starts = |number| std::iter::repeat_n((Step::Start(0), false), number);
    let mut steps = vec![
        (Step::Buffer(None), false),
        (Step::Stop(0, false), false),
        (Step::Start(1), false),
        (Step::Namesake(0, false), false),
        (Step::Ping(0, Ready, 1), false),
    ];
    steps.extend(starts(9));
    steps.extend([
        (Step::Start(0), true),
        (Step::WorkDone(12), false),
        (Step::WorkDone(46), false),
        (Step::Start(0), false),
        (Step::Start(0), false),
        (Step::Start(0), true),
        (Step::Restart, false),
    ]);
    let mut life = Life::up(3, true);
    for (step, commit) in &steps {
        life.take(step, *commit);
    }
    life.mend();
}

/// Found by the property above: the end of a match ended the quarantine of a room that has several, although the caller
/// who held it was still to come.
#[test]
fn a_room_of_many_matches_stays_held_when_one_of_them_ends() {
    use PingStatus::Ready;
    use maestro_simulation::Outcome::Works;
    let steps = [
        (Step::Sleep(1), false),
        (Step::Start(0), false),
        (Step::Add(2), false),
        (Step::Publish(1), false),
        (Step::Major(1), false),
        (Step::Pass(120_200), false),
        (Step::Allocate, false),
        (Step::Crash(15), false),
        (Step::WrongList(52), true),
        (Step::Start(0), false),
        (Step::Work(8, Works), false),
        (Step::Crash(3), false),
        (Step::WorkDone(5), false),
        (Step::Event, false),
        (Step::Event, true),
        (Step::Ping(12, Ready, 1), false),
        (Step::PingAll(Ready), false),
        (Step::Allocate, false),
    ];
    let mut life = Life::managed(3, true);
    for (step, commit) in &steps {
        life.take(step, *commit);
    }
    life.mend();
}

/// Found by the property above: a room was ordered to end because it was idle and its version stopped, and that version
/// was started again before the order was carried out.
#[test]
fn an_order_to_end_what_was_drained_spares_a_version_that_starts_again() {
    use PingStatus::{Occupied, Ready};
    use maestro_simulation::Outcome::Works;
    let start = || (Step::Start(0), false);
    let mut steps = vec![
        (Step::Cancel(0), false),
        (Step::PingAll(Occupied), false),
        (Step::Stop(1, false), false),
        start(),
        (Step::Pass(35_529), true),
        (Step::Work(0, Works), false),
        (Step::Pass(379_471), false),
        (Step::PingAll(Ready), false),
        (Step::Configure(2, 0), false),
        (Step::Cancel(60), false),
        start(),
        start(),
        (Step::Publish(0), false),
        (Step::Publish(0), false),
        (Step::Publish(1), false),
        start(),
        start(),
        (Step::Stuck(1), false),
    ];
    steps.extend(std::iter::repeat_with(start).take(7));
    let mut life = Life::managed(1, true);
    for (step, commit) in &steps {
        life.take(step, *commit);
    }
    life.mend();
}

/// Found by the property above: a room was found again after it was allocated, and its quarantine ends with the hold,
/// without any ping.
#[test]
fn a_room_that_was_found_is_given_again_when_the_hold_is_over() {
    use PingStatus::Ready;
    let steps = [
        (Step::Allocate, false),
        (Step::Create(0), false),
        (Step::WrongList(0), true),
        (Step::Event, true),
        (Step::PingAll(Ready), false),
        (Step::Pass(295_000), true),
        (Step::Stuck(5_000), false),
        (Step::Allocate, false),
    ];
    let mut life = Life::up(1, false);
    for (step, commit) in &steps {
        life.take(step, *commit);
    }
    life.mend();
}

/// Found by the property above: an operation that waited behind the making of a runtime was due, and could not begin.
#[test]
fn an_operation_behind_a_runtime_that_is_being_made_wakes_nobody() {
    use maestro_simulation::Outcome::{Invalid, Works};
    let steps = [
        (Step::Work(0, Invalid), true),
        (Step::Work(0, Works), true),
        (Step::Runtime, false),
        (Step::Switch(0), false),
        (Step::Pass(60_000), false),
    ];
    let mut life = Life::new(1, false);
    for (step, commit) in &steps {
        life.take(step, *commit);
    }
    life.mend();
}

/// Found by the property above: the deletion of a managed scheduler failed, and its configurations were shown on in the
/// runtime that stays.
#[test]
fn a_scheduler_that_is_being_deleted_shows_no_versions_in_its_runtime() {
    use PingStatus::Ready;
    use maestro_simulation::Outcome::Invalid;
    let start = (Step::Start(0), false);
    let steps = [
        (Step::Ping(0, Ready, 0), false),
        start.clone(),
        start.clone(),
        (Step::Event, false),
        (Step::Runtime, false),
        start.clone(),
        (Step::Delete, false),
        start,
        (Step::Begin(0), true),
        (Step::Finish(0), true),
        (Step::Work(29, Invalid), false),
    ];
    let mut life = Life::new(1, false);
    for (step, commit) in &steps {
        life.take(step, *commit);
    }
    life.mend();
}
