//! A life in steps: what happens to a fleet, one thing after another. The properties draw
//! lives at random; a failing one is copied into a story.

use crate::calls::Outcome;
use crate::documents::{buffer, major, patch, pending};
use crate::world::World;
use maestro_core::domain::*;
use maestro_core::state::Command;
use std::time::Duration;

/// One thing that happens; numbers choose among what exists at that moment.
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
    Pass(u64),
    Push(u8),
    CancelPushed(usize),
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
    let number = u128::from(world.caller().0);
    pending(world.clock, number, definition)
}

/// One of `all`, if there is any.
fn one_of<T: Clone>(all: &[T], index: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[index % all.len()].clone())
}

fn order(world: &mut World, step: Step, max_matches: i32) {
    let command = match step {
        Step::Create(replicas) => return world.create(replicas, max_matches),
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
        Step::Begin(index) => drop(world.begin(index)),
        Step::Finish(index) => drop(world.finish(index)),
        Step::RepeatResult(index) => world.repeat_result(index),
        Step::Late(index) => drop(world.late(index)),
        Step::Event => drop(world.event()),
        Step::Relist => world.machine.relist(),
        Step::WrongList(index) => world.wrong_list(index),
        Step::Crash(index) => {
            if let Some(room) = one_of(&world.room_ids(), index) {
                world.machine.gone(&room, Some(Exit::default()));
            }
        }
        Step::Instance(index, status) => {
            if let Some(room) = one_of(&world.room_ids(), index) {
                world.machine.change(&room, status);
            }
        }
        Step::Namesake(index, heard) => {
            if let Some(room) = one_of(&world.room_ids(), index) {
                world.replace_by_namesake(&room, heard);
            }
        }
        Step::Stranger(number) => drop(world.stranger(number)),
        Step::SlowEndings(slow) => world.machine.slow_endings = slow,
        Step::FinishEnding => drop(world.machine.finish_ending()),
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

/// The time within which an undisturbed fleet must recover.
const MENDED_WITHIN: Duration = Duration::from_secs(3 * 3600);

/// Lives through these steps, each with whether writes arrive at once after it; then all faults
/// end, and the fleet has to become what it should be and to rest.
pub fn live(steps: Vec<(Step, bool)>, max_matches: i32, event_driven: bool) {
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
