//! Regression tests. The first ones are lives that the property tests found.

use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::rules::patch::Patch;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::documents::{major, operation_of, patch};
use maestro_simulation::steps::{Life, Step};
use maestro_simulation::{Fleet, spec};
use maestro_simulation::{Outcome, World};
use std::sync::Arc;
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Takes the steps that a property test has found. Each must have an effect: otherwise the situation that the life was
/// kept for does not arise.
fn lives(life: &mut Life, steps: &[(Step, bool)]) {
    for (step, commit) in steps {
        assert!(life.take(step, *commit), "{step:?} has no effect");
    }
}

/// The kinds of the operations in this status, once all writes have arrived.
fn in_status(life: &Life, status: OperationStatus) -> Vec<&str> {
    let all = life.world.written.operations.values();
    let in_status = all.filter(|o| o.status == status);
    in_status.map(|o| o.definition.name()).collect()
}

#[test]
fn what_had_begun_goes_on_before_a_priority_operation() {
    use Step::*;
    let mut life = Life::new(1, true);
    let steps = [
        (Sleep(20), false),
        (Event, false),
        (WorkDone(0), true),
        (WorkDone(0), true),
        (Restart, false),
        (Pass(120_001), false),
    ];
    lives(&mut life, &steps);
    assert_eq!(in_status(&life, OperationStatus::InProgress), ["add_rooms"]);
    assert!(
        life.world.state.view().running.is_empty(),
        "it is not resumed"
    );
    lives(&mut life, &[(Event, true)]);
    let mut waiting = life.world.stored.operations.values();
    assert!(waiting.any(|o| o.priority && o.status == OperationStatus::Pending));
    let running = life.world.state.view().running;
    let running: Vec<_> = running.iter().map(|o| (&*o.kind, o.attempt)).collect();
    assert_eq!(running, [("add_rooms", 2)]);
    life.mend();
}

#[test]
fn a_canceled_operation_that_had_begun_still_waits_for_the_deletion() {
    use Step::*;
    let mut life = Life::new(1, true);
    let steps = [
        (Pass(27_500), false),
        (Event, false),
        (Work(0, Outcome::Works), false),
        (Switch(0), true),
        (Restart, false),
        (Delete, false),
        (Minor, false),
        (Event, false),
    ];
    lives(&mut life, &steps);
    assert_eq!(in_status(&life, OperationStatus::InProgress), ["add_rooms"]);
    let begun = life.world.written.operations.values();
    let begun = begun
        .into_iter()
        .position(|o| o.status == OperationStatus::InProgress);
    let waiting = in_status(&life, OperationStatus::Pending);
    assert!(waiting.contains(&"delete_scheduler"), "{waiting:?}");
    lives(&mut life, &[(CancelPushed(begun.expect("one")), true)]);
    let mut going_on = in_status(&life, OperationStatus::InProgress);
    going_on.sort_unstable();
    assert_eq!(going_on, ["add_rooms", "delete_scheduler"]);
    life.mend();
    assert!(life.world.stored.scheduler.is_none(), "it is deleted");
}

#[test]
fn a_room_found_in_the_runtime_stays_in_quarantine_over_a_restart() {
    use PingStatus::Ready;
    use Step::*;
    let found = RoomId::from("arena-stranger-1");
    let mut life = Life::new(1, true);
    let steps = [
        (Event, false),
        (Work(0, Outcome::Works), false),
        (Replicas(0), false),
        (Stranger(1), false),
        (Event, false),
        (Pass(300_000), false),
        (Ping(0, Ready, 0), false),
        (Allocate, false),
    ];
    lives(&mut life, &steps);
    assert_eq!(life.world.status(&found), Some(RoomStatus::Allocated));
    lives(&mut life, &[(WrongList(0), false)]);
    assert_eq!(life.world.status(&found), None, "it is missing on the list");
    lives(
        &mut life,
        &[(Event, true), (Restart, false), (PingAll(Ready), false)],
    );
    assert_eq!(life.world.status(&found), Some(RoomStatus::Ready));
    lives(&mut life, &[(Allocate, false)]);
    assert_eq!(
        life.world.status(&found),
        Some(RoomStatus::Ready),
        "it is not given out"
    );
    life.mend();
}

#[test]
fn a_validation_room_of_an_owner_before_ends_though_the_list_came_in_a_pause() {
    use Step::*;
    let mut life = Life::new(1, false);
    life.mend();
    lives(&mut life, &[(Replicas(0), true), (Major(0), true)]);
    let trial = |life: &Life| {
        let mut running = life.world.machine.running.values();
        running.find(|i| i.validation).map(|i| i.room.clone())
    };
    let steps = 40;
    for _ in 0..steps {
        if trial(&life).is_some() {
            break;
        }
        assert!(life.world.work(0, Outcome::Works));
        life.world.commit_all();
        life.world.pass(seconds(1));
    }
    let room = trial(&life).expect("the version is validated");
    lives(
        &mut life,
        &[(Restart, false), (Pause(true), false), (Event, false)],
    );
    assert!(life.world.state.is_paused() && trial(&life).is_some());
    assert!(life.world.state.rooms().get(room.as_str()).is_some());
    life.mend();
    assert_ne!(trial(&life), Some(room));
}

#[test]
fn a_room_that_ended_before_its_creation_was_answered_leaves_no_row() {
    let mut world = World::new(1, true);
    world.allowed = 10;
    world.commit_all();
    assert!(world.work(0, Outcome::Works));
    assert!(world.event());
    world.commit_all();
    assert!(world.work(0, Outcome::Works));
    world.commit_all();
    let creation = world
        .works
        .iter()
        .position(|(_, w)| w.kind() == "create_room");
    let creation = creation.expect("a room is being made");
    let Work::CreateRoom(order) = world.works[creation].1.clone() else {
        panic!("not a creation");
    };
    // The watch reports the room before the call's answer arrives.
    let made = Instance {
        room: order.room.clone(),
        uid: "short-lived".into(),
        version: order.scheduler.version().clone(),
        validation: false,
        status: InstanceStatus::Ready,
        description: String::new(),
        restarting: None,
        trouble: None,
        address: None,
        resource_version: 1,
    };
    let (id, _) = world.works.remove(creation).expect("it is being made");
    world.decide(Input::Runtime(RuntimeEvent::Changed(made.clone())));
    world.decide(Input::Runtime(RuntimeEvent::Gone {
        room: order.room.clone(),
        uid: made.uid.clone(),
        exit: None,
    }));
    let result = WorkResult::Created(made);
    world.decide(Input::WorkDone { id, result });
    world.heal();
    assert!(!world.stored.rooms.contains_key(&order.room));
}

#[test]
fn ports_that_come_after_their_attempt_make_no_room() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    operation_of(fleet.order(major("game-1")));
    fleet.pass(seconds(121));
    fleet.ping_all(PingStatus::Ready);
    // Two attempts have asked for ports; the answer to the first one is late.
    assert_eq!(fleet.works.len(), 2);
    assert!(fleet.release_one());
    assert_eq!(fleet.state.rooms().len(), 1, "no room of the first attempt");
}

#[test]
fn a_creation_that_is_canceled_while_it_waits_leaves_no_scheduler() {
    let mut fleet = Fleet::new(CoreSettings {
        paused: true,
        ..CoreSettings::default()
    });
    fleet
        .order(Command::CreateScheduler(Box::new(spec(1))))
        .unwrap();
    let id = *fleet
        .stored
        .operations
        .keys()
        .next()
        .expect("its creation waits");
    fleet.order(Command::Cancel(id)).unwrap();
    fleet.order(Command::SetPaused(false)).unwrap();
    assert_eq!(fleet.operation(id).status, OperationStatus::Canceled);
    assert!(fleet.stored.scheduler.is_none() && fleet.ended);
}

#[test]
fn a_canceled_switch_leaves_the_scheduler_in_sync() {
    let mut fleet = Fleet::up(1);
    fleet.order(Command::SetPaused(true)).unwrap();
    let id = operation_of(fleet.order(patch(|p| p.max_surge = Some("3".into()))));
    fleet.order(Command::Cancel(id)).unwrap();
    fleet.order(Command::SetPaused(false)).unwrap();
    assert_eq!(fleet.operation(id).status, OperationStatus::Canceled);
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert!(
        fleet
            .order(patch(|p| p.max_surge = Some("4".into())))
            .is_ok()
    );
}

#[test]
fn rooms_that_went_during_a_pause_are_missed_at_its_end() {
    let mut fleet = Fleet::up(3);
    let rooms = fleet.rooms();
    fleet.order(Command::SetPaused(true)).unwrap();
    fleet.machine.running.remove(&rooms[0]);
    fleet.restart();
    let knows = |fleet: &Fleet, room: &RoomId| fleet.state.rooms().get(room.as_str()).is_some();
    assert!(knows(&fleet, &rooms[0]), "a pause takes nothing for gone");
    // A report about a single room is newer than the list.
    let back = fleet.machine.running.remove(&rooms[1]).unwrap();
    fleet.restart();
    fleet.input(Input::Runtime(RuntimeEvent::Changed(back)));
    fleet.order(Command::SetPaused(false)).unwrap();
    assert!(!knows(&fleet, &rooms[0]), "it is gone");
    assert!(knows(&fleet, &rooms[1]) && knows(&fleet, &rooms[2]));
    assert_eq!(fleet.machine.running.len(), 2, "and replaced");
}

#[test]
fn a_pause_holds_whatever_the_settings_say_later() {
    let paused = |paused| CoreSettings {
        paused,
        ..CoreSettings::default()
    };
    let mut fleet = Fleet::up(0);
    fleet.settings = Arc::new(paused(true));
    fleet.restart();
    assert!(fleet.state.is_paused());
    fleet.order(Command::SetPaused(true)).unwrap();
    fleet.settings = Arc::new(paused(false));
    fleet.restart();
    assert!(fleet.state.is_paused());
    // A resume that equals the setting is not stored, so a later setting can pause the scheduler.
    fleet.order(Command::SetPaused(false)).unwrap();
    fleet.settings = Arc::new(paused(true));
    fleet.restart();
    assert!(fleet.state.is_paused());
    fleet.order(Command::SetPaused(false)).unwrap();
    fleet.restart();
    assert!(!fleet.state.is_paused());
}

#[test]
fn rooms_of_a_canceled_removal_are_not_forgotten() {
    let mut fleet = Fleet::up(2);
    let busy = operation_of(fleet.order(Command::TestOperation { sleep_seconds: 600 }));
    fleet.pass(seconds(241));
    let removal = fleet.operations_of("remove_rooms")[0].id;
    fleet.order(Command::Cancel(removal)).unwrap();
    assert_eq!(fleet.operation(removal).status, OperationStatus::Canceled);
    fleet.order(Command::Cancel(busy)).unwrap();
    let silent: Vec<_> = fleet
        .stored
        .rooms
        .values()
        .filter(|r| r.intent.made_by.is_some())
        .collect();
    assert_eq!(silent.len(), 2);
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(
        fleet.count(RoomStatus::Ready),
        2,
        "the silent ones are replaced"
    );
}

#[test]
fn a_room_that_pings_again_before_its_removal_runs_stays() {
    let mut fleet = Fleet::up(2);
    let before = fleet.rooms();
    let busy = operation_of(fleet.order(Command::TestOperation { sleep_seconds: 600 }));
    fleet.pass(seconds(241));
    fleet.ping_all(PingStatus::Ready);
    fleet.order(Command::Cancel(busy)).unwrap();
    assert_eq!(fleet.rooms(), before);
}

#[test]
fn a_rollout_takes_no_new_room_instead_of_an_old_one_with_a_match() {
    let mut fleet = Fleet::up(2);
    fleet.ping_all(PingStatus::Occupied);
    let old = fleet.rooms();
    operation_of(fleet.order(major("game-1")));
    let trial = fleet
        .rooms()
        .into_iter()
        .find(|r| fleet.machine.running[r].validation);
    fleet.ping(&trial.unwrap(), PingStatus::Ready, 0).unwrap();
    for _ in 0..10 {
        for room in fleet.rooms() {
            let status = match old.contains(&room) {
                true => PingStatus::Occupied,
                false => PingStatus::Ready,
            };
            let _ = fleet.ping(&room, status, 0);
        }
    }
    assert!(old.iter().all(|r| fleet.machine.running.contains_key(r)));
    assert_eq!(
        fleet.machine.running.len(),
        3,
        "one of the surge, and it stays"
    );
    let removals = fleet.operations_of("remove_rooms");
    assert!(removals.len() <= 2, "no room is made and ended without end");
}

#[test]
fn a_deletion_on_ticks_alone_tells_rooms_again() {
    let mut world = World::new(1, false);
    world.allowed = 10;
    world.heal();
    for _ in 0..4 {
        world.quiet_moment();
    }
    assert_eq!(world.unsettled(), None);
    world.command(Command::DeleteScheduler);
    world.commit_all();
    for _ in 0..3 {
        assert_eq!(world.position("terminate_room"), Some(0));
        assert!(world.work(0, Outcome::Unavailable));
    }
    for _ in 0..10 {
        world.quiet_moment();
    }
    assert!(world.stored.scheduler.is_none());
}

#[test]
fn a_room_in_error_is_replaced_though_it_goes_on_pinging() {
    let mut fleet = Fleet::up(1);
    let broken = fleet.rooms()[0].clone();
    let mut instance = fleet.machine.running[&broken].clone();
    instance.status = InstanceStatus::Error;
    instance.resource_version += 1;
    fleet.input(Input::Runtime(RuntimeEvent::Changed(instance)));
    for _ in 0..5 {
        fleet.pass(seconds(60));
        fleet.ping_all(PingStatus::Ready);
    }
    assert!(!fleet.machine.running.contains_key(&broken));
    assert_eq!(fleet.count(RoomStatus::Ready), 1);
}

#[test]
fn a_room_that_falls_silent_while_it_drains_expires() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    let asked = fleet.order(Command::RemoveRoom {
        room: room.clone(),
        force: false,
    });
    assert_eq!(asked, Ok(Reply::Done));
    fleet.pass(seconds(242));
    assert!(!fleet.machine.running.contains_key(&room));
}

#[test]
fn a_room_whose_instance_lost_its_readiness_is_not_given_out() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    let mut instance = fleet.machine.running[&room].clone();
    instance.status = InstanceStatus::Pending;
    instance.resource_version += 1;
    fleet.input(Input::Runtime(RuntimeEvent::Changed(instance.clone())));
    // The contract's table has no transition from ready to pending.
    assert_eq!(fleet.count(RoomStatus::Ready), 1);
    assert!(fleet.order(Command::Allocate).is_err());
    instance.status = InstanceStatus::Ready;
    instance.resource_version += 1;
    fleet.input(Input::Runtime(RuntimeEvent::Changed(instance)));
    assert!(fleet.order(Command::Allocate).is_ok());
}

#[test]
fn a_room_told_to_end_is_not_brought_back_by_its_ping() {
    let mut world = World::new(1, true);
    world.allowed = 10;
    world.heal();
    let room = world.room_ids()[0].clone();
    world.ping(&room, PingStatus::Ready, 0);
    world.machine.slow_endings = true;
    world.command(Command::RemoveRoom {
        room: room.clone(),
        force: true,
    });
    world.commit_all();
    assert!(world.work(0, Outcome::Works));
    world.ping(&room, PingStatus::Ready, 0);
    let status = world.state.rooms().get(room.as_str()).map(Room::status);
    assert_eq!(status, Some(RoomStatus::Terminating));
}

#[test]
fn operations_without_a_scheduler_end_after_a_minute() {
    let mut nobody = Fleet::new(CoreSettings::default());
    let record = OperationRecord {
        id: OperationId(uuid::Uuid::from_u128(7)),
        scheduler: "arena".into(),
        definition: Definition::AddRooms {
            amount: 1,
            version: None,
        },
        status: OperationStatus::Pending,
        created_at: nobody.clock.wall,
        status_at: nobody.clock.wall,
        history: Vec::new(),
        priority: false,
        lease_until: None,
        resume: ResumeState::default(),
    };
    let id = record.id;
    nobody.input(Input::Pushed(Box::new(record)));
    nobody.pass(seconds(59));
    assert_eq!(nobody.operation(id).status, OperationStatus::Pending);
    nobody.pass(seconds(2));
    assert_eq!(nobody.operation(id).status, OperationStatus::Error);
    assert!(nobody.ended);
}

#[test]
fn a_deletion_whose_place_stays_keeps_the_fleet_empty() {
    let mut world = World::new(1, true);
    world.allowed = 10;
    world.heal();
    world.command(Command::DeleteScheduler);
    world.commit_all();
    while world.works.iter().any(|(_, w)| w.kind() != "remove_place") {
        assert!(world.work(0, Outcome::Works));
        while world.event() {}
        world.commit_all();
    }
    assert!(world.position("remove_place").is_some());
    assert!(world.work(0, Outcome::Unavailable));
    for _ in 0..10 {
        world.quiet_moment();
    }
    assert_eq!(world.unsettled(), None);
    assert_eq!(world.room_ids(), []);
    world.command(Command::DeleteScheduler);
    world.heal();
    assert!(world.stored.scheduler.is_none());
}

#[test]
fn a_scheduler_whose_deletion_failed_takes_no_order_but_the_next_deletion() {
    let mut fleet = Fleet::up(0);
    fleet.hold = true;
    fleet.order(Command::DeleteScheduler).unwrap();
    let orders = || {
        [
            Command::NewVersion(Box::new(spec(1))),
            Command::Patch(Box::new(Patch {
                rooms_replicas: Some(1),
                ..Patch::default()
            })),
            Command::SwitchVersion("v1.0.0".into()),
            Command::AddRooms {
                amount: 1,
                version: None,
            },
            Command::RemoveRooms {
                amount: 1,
                force: false,
                version: None,
            },
            Command::TestOperation { sleep_seconds: 1 },
            Command::AbortRollout,
        ]
    };
    for (round, why) in [
        "it is being deleted",
        "its deletion failed; delete it again",
    ]
    .into_iter()
    .enumerate()
    {
        if round == 1 {
            let (id, work) = fleet.works.pop_front().expect("the place is removed");
            assert!(
                matches!(work, Work::RemovePlace { made_by: None }),
                "{work:?}"
            );
            let result = WorkResult::Failed(RuntimeError::Invalid("no".into()));
            fleet.input(Input::WorkDone { id, result });
        }
        for command in orders() {
            let refusal = fleet.order(command).unwrap_err();
            let text = format!("scheduler arena takes no orders: {why}");
            assert_eq!(
                (refusal.kind, refusal.message),
                (RefusalKind::Conflict, text)
            );
        }
    }
    fleet.hold = false;
    fleet.order(Command::DeleteScheduler).unwrap();
    assert!(fleet.stored.scheduler.is_none());
}

#[test]
fn an_operation_that_is_announced_again_after_its_end_does_not_run_again() {
    let mut fleet = Fleet::up(1);
    let record = OperationRecord {
        id: OperationId(uuid::Uuid::from_u128(7)),
        scheduler: "arena".into(),
        definition: Definition::AddRooms {
            amount: 1,
            version: None,
        },
        status: OperationStatus::Pending,
        created_at: fleet.clock.wall,
        status_at: fleet.clock.wall,
        history: Vec::new(),
        priority: false,
        lease_until: None,
        resume: ResumeState::default(),
    };
    fleet.input(Input::Pushed(Box::new(record.clone())));
    let end = fleet.operation(record.id).clone();
    assert_eq!(end.status, OperationStatus::Finished);
    fleet.input(Input::Pushed(Box::new(record.clone())));
    assert_eq!(*fleet.operation(record.id), end);
}

#[test]
fn a_list_that_is_older_than_a_creation_ends_no_room() {
    let mut fleet = Fleet::up(2);
    let before = fleet.rooms();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    assert_eq!(fleet.rooms(), before);
    assert_eq!(fleet.count(RoomStatus::Ready), 2);
    // A room that stays missing from the lists is gone after all.
    fleet.pass(seconds(31));
    fleet.machine.running.clear();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    assert!(
        before
            .iter()
            .all(|room| !fleet.stored.rooms.contains_key(room))
    );
}

#[test]
fn a_room_that_is_made_twice_is_the_second_one() {
    let mut world = World::new(1, true);
    world.allowed = 10;
    world.commit_all();
    assert!(world.event());
    for _ in 0..3 {
        assert!(world.work(0, Outcome::Works));
        world.commit_all();
    }
    let room = world.room_ids()[0].clone();
    // The room is created after its owner's end, and crashes before the watch reports it.
    world.restart();
    let creation = world.late_creation_of(&room);
    assert!(world.late(creation));
    assert!(world.event());
    assert!(world.event());
    world.machine.gone(&room, None);
    world.commit_all();
    world.machine.relist();
    while !world.works.is_empty() {
        assert!(world.work(0, Outcome::Works));
        world.commit_all();
    }
    let uid = |i: Option<&Instance>| i.map(|i| i.uid.clone());
    let known = world
        .stored
        .rooms
        .get(&room)
        .and_then(|r| r.instance.as_ref());
    assert!(world.machine.running.contains_key(&room));
    assert_eq!(uid(known), uid(world.machine.running.get(&room)));
}

#[test]
fn a_namesake_on_a_list_takes_the_place_of_a_room_just_made() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    let mut namesake = fleet.machine.running[&room].clone();
    namesake.uid = "another".into();
    namesake.resource_version += 1;
    fleet.machine.running.insert(room.clone(), namesake.clone());
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![namesake])));
    let stored = fleet
        .stored
        .rooms
        .get(&room)
        .and_then(|r| r.instance.as_ref());
    assert_eq!(stored.map(|i| i.uid.as_str()), Some("another"));
}

#[test]
fn a_deletion_asked_for_twice_is_one_and_waits_for_no_validation() {
    let mut fleet = Fleet::up(1);
    let spec = maestro_core::rules::patch::SpecPatch {
        containers: vec![maestro_core::rules::patch::ContainerPatch {
            command: vec!["false".into()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let patch = maestro_core::rules::patch::Patch {
        spec: Some(spec),
        ..Default::default()
    };
    fleet.order(Command::Patch(Box::new(patch))).unwrap();
    fleet.hold = true;
    let first = fleet.order(Command::DeleteScheduler).unwrap();
    assert_eq!(fleet.order(Command::DeleteScheduler), Ok(first));
    fleet.hold = false;
    while !fleet.works.is_empty() {
        assert!(fleet.release_one());
    }
    assert!(
        fleet.ended,
        "the validation was given up: {:?}",
        fleet.state.view()
    );
}

#[test]
fn ports_that_nobody_knows_the_fate_of_are_given_back() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    let (id, _) = fleet.works.pop_front().expect("ports are asked for");
    let result = WorkResult::Unknown("it took too long".into());
    fleet.input(Input::WorkDone { id, result });
    let released = |(_, work): &(WorkId, Work)| matches!(work, Work::ReleasePorts { .. });
    assert!(fleet.works.iter().any(released), "{:?}", fleet.works);
}

#[test]
fn what_happens_while_a_list_is_compared_is_newer_than_the_list() {
    let mut world = World::in_pieces(1, true, 1);
    world.allowed = 10;
    world.settle();
    let rooms = world.room_ids();
    assert_eq!(rooms.len(), 3);
    world.restart();
    // The first room of the list is compared; the one that ends now comes last.
    assert!(world.event());
    world.machine.gone(&rooms[0], None);
    assert!(world.event());
    assert!(world.go_on(), "it was one turn");
    world.go_on_to_the_end();
    assert!(world.state.rooms().get(rooms[0].as_str()).is_none());
    assert!(world.state.rooms().get(rooms[1].as_str()).is_some());
}
