//! Instances that do not come up, and a runtime that is away: who waits, and who is blamed.

use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::settings::{CoreSettings, ProtectionSettings};
use maestro_core::state::*;
use maestro_simulation::documents::{history, major, operation_of, patch};
use maestro_simulation::{Fleet, Outcome, spec};
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn trouble(fleet: &mut Fleet, room: &RoomId, trouble: Option<Trouble>) {
    fleet.machine.observe(room, |instance| {
        instance.status = InstanceStatus::Pending;
        instance.trouble = trouble;
        instance.description = "FailedScheduling".into();
        instance.address = None;
    });
    fleet.carry_on();
}

/// A fleet whose only room was made and has not come up.
fn starting(replicas: i32) -> Fleet {
    let mut fleet = Fleet::created(spec(replicas), Default::default());
    fleet.machine.unplaced = true;
    fleet.carry_on();
    fleet
}

#[test]
fn a_room_whose_ports_are_taken_is_replaced_at_once_by_another_id() {
    let mut fleet = starting(1);
    let first = fleet.rooms()[0].clone();
    let made = fleet.operations_of("add_rooms").len();
    trouble(&mut fleet, &first, Some(Trouble::PortsTaken));
    let rooms = fleet.rooms();
    assert_eq!(rooms.len(), 1, "{rooms:?}");
    assert_ne!(rooms[0], first);
    assert_eq!(fleet.state.view().crash_failures, 0, "it is no crash");
    assert_eq!(fleet.scheduler_state(), "in-sync");
    let orders = fleet.operations_of("add_rooms");
    assert_eq!(orders.len(), made + 1);
    let told = orders.iter().map(|o| history(o)).collect::<String>();
    assert!(
        told.contains("its host ports are taken (FailedScheduling)"),
        "{told}"
    );
}

#[test]
fn a_validation_room_whose_ports_are_taken_says_so_in_its_operation() {
    let mut fleet = Fleet::up(1);
    fleet.machine.unplaced = true;
    let id = operation_of(fleet.order(major("false")));
    let trial = fleet.trial();
    trouble(&mut fleet, &trial, Some(Trouble::PortsTaken));
    assert!(!fleet.machine.running.contains_key(&trial));
    let told = history(fleet.operation(id));
    let failed = format!("attempt 1 failed: room {trial}: its host ports are taken");
    assert!(told.contains(&failed), "{told}");
}

#[test]
fn a_room_that_was_up_is_not_replaced_for_its_ports() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    trouble(&mut fleet, &room, Some(Trouble::PortsTaken));
    assert_eq!(fleet.rooms(), [room]);
    assert!(fleet.machine.terminations.is_empty());
}

#[test]
fn a_room_that_is_told_to_end_is_not_told_again_for_its_ports() {
    let mut fleet = starting(1);
    fleet.machine.slow_endings = true;
    let room = fleet.rooms()[0].clone();
    fleet
        .order(Command::RemoveRooms {
            amount: 1,
            force: false,
            version: None,
        })
        .unwrap();
    assert_eq!(fleet.machine.terminations.len(), 1);
    trouble(&mut fleet, &room, Some(Trouble::PortsTaken));
    assert_eq!(fleet.machine.terminations.len(), 1);
}

/// Takes the ports of the only room that is not placed, again and again; how often it was replaced at once.
fn clash(fleet: &mut Fleet, placed: &[RoomId], most: usize) -> usize {
    for replaced in 0..most {
        let room = fleet.rooms().into_iter().find(|r| !placed.contains(r));
        let Some(room) = room else {
            return replaced;
        };
        trouble(fleet, &room, Some(Trouble::PortsTaken));
    }
    most
}

#[test]
fn ports_that_are_taken_again_and_again_are_tried_more_and_more_seldom() {
    let mut fleet = starting(2);
    let placed = fleet.rooms()[0].clone();
    for number in 0..40 {
        // Changes of a room that has its ports since long do not count.
        fleet.machine.observe(&placed, |instance| {
            instance.resource_version += number;
            let host = "203.0.113.7".into();
            let ports = Vec::new();
            instance.address = Some(Address { host, ports }.into());
        });
        fleet.carry_on();
        let Some(room) = fleet.rooms().into_iter().find(|room| *room != placed) else {
            break;
        };
        trouble(&mut fleet, &room, Some(Trouble::PortsTaken));
    }
    assert_eq!(fleet.rooms(), [placed], "it waits");
    fleet.pass(seconds(31));
    assert_eq!(fleet.rooms().len(), 2);
    assert_eq!(fleet.state.view().crash_failures, 0);
}

/// Such an instance is there until its room has been silent for too long.
fn broken(fleet: &mut Fleet, room: &RoomId, trouble: Option<Trouble>) {
    fleet.machine.observe(room, |instance| {
        instance.status = InstanceStatus::Error;
        instance.trouble = trouble;
        instance.description = "a word from the machine".into();
    });
    fleet.carry_on();
}

fn breaks_again_and_again(trouble: Option<Trouble>) -> Fleet {
    let mut fleet = starting(1);
    for _ in 0..240 {
        for room in fleet.rooms() {
            broken(&mut fleet, &room, trouble);
        }
        fleet.pass(seconds(1));
    }
    fleet
}

#[test]
fn a_room_that_is_broken_and_ends_later_is_one_failure() {
    let mut fleet = starting(1);
    let room = fleet.rooms()[0].clone();
    broken(&mut fleet, &room, None);
    assert_eq!(fleet.state.view().crash_failures, 1);
    fleet.pass(seconds(5));
    fleet.crash(&room, 1);
    assert_eq!(fleet.state.view().crash_failures, 1);
}

#[test]
fn rooms_whose_image_cannot_be_fetched_are_tried_more_and_more_seldom() {
    for trouble in [Some(Trouble::Image), None] {
        let fleet = breaks_again_and_again(trouble);
        let tries = fleet.operations_of("add_rooms");
        assert!(
            (6..12).contains(&tries.len()),
            "{} in four minutes",
            tries.len()
        );
        assert_eq!(fleet.scheduler_state(), "on-error");
        let told = |o| history(o).matches("a word from the machine").count();
        let last = &tries[tries.len() - 2];
        assert_eq!(
            told(last),
            2,
            "why it is another try, and what became of it: {}",
            history(last)
        );
    }
}

#[test]
fn a_room_that_was_broken_and_comes_up_ends_the_back_off() {
    let mut fleet = breaks_again_and_again(Some(Trouble::Image));
    let rooms = fleet.rooms();
    for room in &rooms {
        fleet.machine.observe(room, |instance| {
            instance.status = InstanceStatus::Ready;
            instance.trouble = None;
            instance.description = "".into();
        });
    }
    fleet.machine.unplaced = false;
    fleet.ping_all(PingStatus::Ready);
    fleet.pass(fleet.settings.room_min_uptime + seconds(1));
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert_eq!(fleet.rooms().len(), 1, "the others are too many");
}

#[test]
fn a_room_that_breaks_after_a_long_life_is_replaced_at_once() {
    let mut fleet = Fleet::up(2);
    fleet.pass(fleet.settings.room_min_uptime);
    let victim = fleet.rooms()[0].clone();
    broken(&mut fleet, &victim, None);
    assert_eq!(fleet.rooms().len(), 3, "and stays meanwhile");
    assert_eq!(fleet.state.view().crash_failures, 0);
}

#[test]
fn ports_that_fit_end_a_row_of_clashes() {
    let mut fleet = starting(1);
    assert_eq!(clash(&mut fleet, &[], 10), 10);
    let placed = fleet.rooms();
    fleet.machine.place(&placed[0]);
    fleet.carry_on();
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    assert_eq!(clash(&mut fleet, &placed, 40), 17);
}

#[test]
fn a_room_that_no_node_has_a_place_for_waits_longer_than_one_that_hangs() {
    let mut fleet = starting(1);
    let room = fleet.rooms()[0].clone();
    trouble(&mut fleet, &room, Some(Trouble::Unschedulable));
    fleet.pass(seconds(500));
    assert_eq!(
        fleet.rooms(),
        std::slice::from_ref(&room),
        "a cluster grows slowly"
    );
    // It has been given a place: from now on it has the usual time.
    trouble(&mut fleet, &room, None);
    fleet.pass(seconds(110));
    assert_eq!(fleet.rooms(), std::slice::from_ref(&room));
    fleet.pass(seconds(30));
    assert_ne!(fleet.rooms(), [room]);

    let mut fleet = starting(1);
    let room = fleet.rooms()[0].clone();
    trouble(&mut fleet, &room, Some(Trouble::Unschedulable));
    fleet.pass(seconds(610));
    assert_ne!(fleet.rooms(), [room]);
    let told = fleet.operations_of("add_rooms");
    let told = told.iter().map(|o| history(o)).collect::<String>();
    assert!(told.contains("no node has a place for it"), "{told}");
}

#[test]
fn a_runtime_that_is_away_or_silent_is_asked_less_often_and_no_version_is_blamed() {
    for outcome in [Outcome::Unavailable, Outcome::Unknown] {
        let mut fleet = Fleet::created(spec(0), Default::default());
        fleet.hold = true;
        fleet.order(patch(|p| p.rooms_replicas = Some(5))).unwrap();
        let mut calls = 0;
        for _ in 0..120 {
            while fleet.release_with(outcome) {
                calls += 1;
            }
            fleet.pass(seconds(1));
        }
        assert!((5..150).contains(&calls), "{calls} calls in two minutes");
        assert_eq!(fleet.scheduler_state(), "in-sync");
        assert_eq!(fleet.state.view().crash_failures, 0);
        fleet.hold = false;
        fleet.release();
        fleet.pass(seconds(31));
        assert_eq!(fleet.rooms().len(), 5, "work goes on");
    }
}

/// Rooms that are being made, all of them with their ports.
fn making(rooms: i32) -> Fleet {
    let mut fleet = Fleet::created(spec(0), Default::default());
    fleet.hold = true;
    let more = patch(|p| p.rooms_replicas = Some(rooms));
    fleet.order(more).unwrap();
    while fleet.position("reserve_ports").is_some() {
        fleet.release_kind("reserve_ports", Outcome::Works);
    }
    fleet
}

#[test]
fn calls_that_fail_together_are_one_failure() {
    let mut fleet = making(5);
    while fleet.position("create_room").is_some() {
        fleet.release_kind("create_room", Outcome::Unavailable);
    }
    fleet.hold = false;
    fleet.release();
    assert!(fleet.rooms().is_empty(), "it waits");
    fleet.pass(seconds(1));
    assert_eq!(fleet.rooms().len(), 5);
}

#[test]
fn a_runtime_that_answers_is_back() {
    let mut fleet = making(2);
    fleet.release_kind("create_room", Outcome::Unavailable);
    fleet.release_kind("create_room", Outcome::Works);
    fleet.release();
    assert_eq!(fleet.rooms().len(), 2, "nothing is waited for");
}

#[test]
fn owners_that_wait_for_one_runtime_do_not_return_at_the_same_moment() {
    let waits = (0..8).map(|number| {
        let mut fleet = making(1);
        for _ in 0..number {
            fleet.input(Input::Wake);
        }
        fleet.release_kind("create_room", Outcome::Unavailable);
        fleet.release();
        let until = fleet.state.next_wake().unwrap();
        until.since(fleet.clock.mono)
    });
    let waits: Vec<Duration> = waits.collect();
    assert!(waits.iter().all(|wait| *wait <= seconds(1)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
}

#[test]
fn a_list_wins_over_counters_that_a_restored_runtime_began_anew() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    fleet
        .machine
        .observe(&room, |i| i.description = "late".into());
    fleet.carry_on();
    let mut old = fleet.machine.running[&room].clone();
    old.resource_version = 1;
    old.description = "restored".into();
    // An observation of the same instance that is older says nothing.
    fleet.input(Input::Runtime(RuntimeEvent::Changed(old.clone())));
    let known = |fleet: &Fleet| fleet.stored.rooms[&room].instance.clone().unwrap();
    assert_eq!(known(&fleet).description, "late");
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![old])));
    fleet.carry_on();
    assert_eq!(known(&fleet).description, "restored");
}

#[test]
fn an_instance_without_a_uid_is_the_one_that_is_observed_first() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    let real = fleet.machine.running[&room].clone();
    let taken_over = Instance {
        uid: String::new(),
        resource_version: u64::MAX,
        ..real.clone()
    };
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![taken_over])));
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![real.clone()])));
    fleet.carry_on();
    let known = fleet.stored.rooms[&room].instance.clone();
    assert_eq!(known, Some(real));
}

#[test]
fn rooms_in_use_and_those_that_are_given_next_are_protected() {
    let mut fleet = protecting(4, 0.5);
    assert!(fleet.machine.protected.is_empty(), "nobody plays");
    let rooms = fleet.rooms();
    fleet.ping(&rooms[3], PingStatus::Occupied, 1).unwrap();
    let both = [rooms[0].clone(), rooms[3].clone()];
    assert_eq!(fleet.machine.protected, both.clone().into());
    assert_eq!(fleet.machine.budget, 2);
    // The one of the share is given, and the share is filled again.
    fleet.order(Command::Allocate).unwrap();
    let three = [rooms[0].clone(), rooms[1].clone(), rooms[3].clone()];
    assert_eq!(fleet.machine.protected, three.into());
    fleet.ping(&rooms[3], PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.machine.budget, 2);
    // Somebody edits the budget.
    fleet.machine.protected.clear();
    fleet.machine.budget = 0;
    fleet.pass(seconds(6));
    assert_eq!(fleet.machine.budget, 2);
    assert!(fleet.machine.protected.contains(&rooms[0]));
    // A call that failed says nothing, so everything is ordered again.
    fleet.hold = true;
    fleet.ping(&rooms[2], PingStatus::Occupied, 1).unwrap();
    fleet.release_kind("protect", Outcome::Unavailable);
    fleet.hold = false;
    fleet.pass(seconds(2));
    assert!(fleet.machine.protected.contains(&rooms[2]));
    assert_eq!(fleet.machine.budget, 3);
    // The failure is over: what changes next does not wait.
    fleet.ping(&rooms[1], PingStatus::Occupied, 1).unwrap();
    assert_eq!(fleet.machine.budget, 4);
    // What is found may have players.
    let stranger = fleet.stranger(1);
    fleet.carry_on();
    fleet.pass(seconds(6));
    assert!(fleet.machine.protected.contains(&stranger));
}

fn protecting(rooms: i32, safety: f64) -> Fleet {
    let settings = CoreSettings {
        protection: Some(ProtectionSettings {
            interval: seconds(5),
            safety,
            single: true,
        }),
        ..CoreSettings::default()
    };
    Fleet::up_with(spec(rooms), settings)
}

#[test]
fn one_order_of_protection_is_under_way_at_a_time() {
    let mut fleet = protecting(3, 0.0);
    let rooms = fleet.rooms();
    let under_way = |fleet: &Fleet| {
        let kinds = fleet.works.iter().map(|(_, work)| work.kind());
        kinds.filter(|kind| *kind == "protect").count()
    };
    fleet.hold = true;
    for room in &rooms {
        fleet.ping(room, PingStatus::Occupied, 1).unwrap();
        assert_eq!(under_way(&fleet), 1);
    }
    fleet.release_kind("protect", Outcome::Works);
    assert_eq!(fleet.machine.budget, 1);
    assert_eq!(under_way(&fleet), 1, "of those that came meanwhile");
    fleet.release();
    assert_eq!(fleet.machine.budget, 3);
}

/// What an allocation waits for, and the order of protection that it caused.
fn allocated(fleet: &mut Fleet) -> (Option<WorkId>, Option<WorkId>) {
    let ask = Input::Command {
        caller: Caller(1),
        request: None,
        command: Command::Allocate,
    };
    let clock = fleet.clock;
    let effects = fleet.state.decide(ask, clock, 2).effects;
    let given = effects.iter().find_map(|effect| match effect {
        Effect::Reply {
            answer: Ok(Reply::Allocated { .. }),
            protected_by,
            ..
        } => Some(*protected_by),
        _ => None,
    });
    let order = effects.iter().find_map(|effect| match effect {
        Effect::Run { id, work, .. } => (work.kind() == "protect").then_some(*id),
        _ => None,
    });
    (given.expect("a room is given"), order)
}

#[test]
fn a_room_of_the_share_is_given_at_once_and_another_when_it_is_protected() {
    let in_use = |safety: f64, hold: bool| {
        let mut fleet = protecting(3, safety);
        let first = fleet.rooms()[0].clone();
        fleet.hold = hold;
        fleet.ping(&first, PingStatus::Occupied, 1).unwrap();
        fleet
    };
    let mut fleet = in_use(1.0, false);
    assert_eq!(allocated(&mut fleet).0, None);
    // It waits for the order that it caused: no other may follow.
    let mut fleet = in_use(0.0, false);
    let (waits_for, order) = allocated(&mut fleet);
    assert!(order.is_some());
    assert_eq!(waits_for, order);
    // Another order is under way, which does not name it.
    let mut fleet = in_use(0.0, true);
    let under_way = fleet.works[fleet.position("protect").unwrap()].0;
    let (waits_for, order) = allocated(&mut fleet);
    assert_eq!(order, None);
    assert!(waits_for > Some(under_way), "{waits_for:?} {under_way:?}");
}

#[test]
fn a_protection_that_fails_is_tried_again_with_growing_pauses() {
    let mut fleet = protecting(2, 0.0);
    let rooms = fleet.rooms();
    fleet.hold = true;
    fleet.ping(&rooms[0], PingStatus::Occupied, 1).unwrap();
    let mut calls = 0;
    for tenth in 0..600 {
        while fleet.position("protect").is_some() && calls < 1000 {
            fleet.release_kind("protect", Outcome::Unavailable);
            calls += 1;
        }
        // Changes meanwhile are no reason to ask at once.
        let status = [PingStatus::Ready, PingStatus::Occupied][tenth % 2];
        fleet.ping(&rooms[1], status, 0).unwrap();
        fleet.ping(&rooms[0], PingStatus::Occupied, 1).unwrap();
        fleet.pass(Duration::from_millis(100));
    }
    assert!((12..25).contains(&calls), "{calls} calls in a minute");
    fleet.hold = false;
    fleet.release();
    fleet.pass(seconds(6));
    assert!(fleet.machine.protected.contains(&rooms[0]));
}
