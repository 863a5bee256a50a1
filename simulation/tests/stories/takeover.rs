//! Take-over: what the next owner inherits, and the runtime's list.

use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::documents::{history, major, operation_of};
use maestro_simulation::{Fleet, Outcome, World, spec};
use std::sync::Arc;
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_silence_counts_from_the_take_over() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    fleet.pass(seconds(239));
    fleet.restart();
    fleet.pass(seconds(239));
    assert!(fleet.rooms().contains(&room));
    fleet.pass(seconds(2));
    assert!(!fleet.rooms().contains(&room));
}

#[test]
fn a_room_whose_uid_is_unknown_is_the_one_that_runs() {
    let mut fleet = Fleet::up(2);
    let rooms = fleet.rooms();
    // As the original stored them, which keeps no uid (contract 8.2).
    for room in fleet.stored.rooms.values_mut() {
        room.instance.as_mut().expect("it runs").uid.clear();
    }
    fleet.restart();
    assert_eq!(fleet.rooms(), rooms, "none is replaced");
    let stored = fleet.stored.rooms.values();
    let uids = stored.filter_map(|room| room.instance.as_ref()?.known_uid());
    assert_eq!(uids.count(), 2, "they are known and stored from now on");
}

#[test]
fn a_stuck_owner_keeps_its_lease_for_five_seconds_and_no_longer() {
    let mut fleet = Fleet::up(1);
    let rooms = fleet.rooms();
    // Renewed at 0, 1 and 2 s: the third silent round is no longer.
    assert!(!fleet.stuck(Duration::from_millis(4_999)));
    assert_eq!(fleet.lives, 1);
    fleet.ping_all(PingStatus::Ready);
    assert!(fleet.stuck(seconds(5)));
    assert_eq!(fleet.lives, 2);
    fleet.carry_on();
    assert_eq!(fleet.rooms(), rooms);
}

#[test]
fn what_pinged_before_a_restart_was_up_and_what_did_not_was_not() {
    for (pinged, failures) in [(true, 0), (false, 1)] {
        let mut fleet = Fleet::created(spec(1), CoreSettings::default());
        if pinged {
            fleet.ping_all(PingStatus::Ready);
        }
        fleet.pass(seconds(40));
        fleet.restart();
        let room = fleet.rooms()[0].clone();
        fleet.crash(&room, 1);
        assert_eq!(fleet.state.view().crash_failures, failures);
        assert_eq!(fleet.rooms().len(), 1 - failures as usize);
    }
}

#[test]
fn an_allocation_holds_over_a_restart_as_long_as_it_was_given() {
    let mut fleet = Fleet::up(1);
    let Ok(Reply::Allocated { room, .. }) = fleet.order(Command::Allocate) else {
        panic!("it is free");
    };
    fleet.pass(seconds(200));
    fleet.restart();
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.status(&room), Some(RoomStatus::Allocated));
    fleet.pass(seconds(99));
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.status(&room), Some(RoomStatus::Allocated));
    fleet.pass(seconds(2));
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.status(&room), Some(RoomStatus::Ready));
}

#[test]
fn a_room_found_in_the_runtime_is_given_to_nobody_before_the_hold_time() {
    let mut fleet = Fleet::up(0);
    fleet
        .order(maestro_simulation::documents::patch(|p| {
            p.rooms_replicas = Some(1)
        }))
        .unwrap();
    let made = fleet.rooms()[0].clone();
    // Both its row and its owner's memory are lost.
    fleet.stored.rooms.clear();
    fleet.restart();
    fleet.ping(&made, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.stored.rooms[&made].intent.made_by, None);
    assert_eq!(fleet.stored.rooms[&made].intent.host_ports.len(), 1);
    assert!(fleet.order(Command::Allocate).is_err());
    fleet.pass_pinging(seconds(150), PingStatus::Ready);
    fleet.restart();
    fleet.pass_pinging(seconds(149), PingStatus::Ready);
    assert!(fleet.order(Command::Allocate).is_err());
    fleet.pass_pinging(seconds(2), PingStatus::Ready);
    assert!(fleet.order(Command::Allocate).is_ok());
    assert_eq!(fleet.rooms(), [made]);
}

#[test]
fn a_match_in_a_room_that_was_found_shows_that_nobody_holds_it() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    fleet.stored.rooms.clear();
    fleet.restart();
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    assert!(fleet.order(Command::Allocate).is_err());
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert!(fleet.order(Command::Allocate).is_ok(), "its match is over");
}

#[test]
fn a_list_that_lacks_a_room_takes_it_away_in_pieces_too() {
    let settings = CoreSettings {
        rooms_per_turn: 3,
        ..CoreSettings::default()
    };
    let mut fleet = Fleet::up_with(spec(10), settings);
    let rooms = fleet.rooms();
    for room in &rooms[2..9] {
        fleet.machine.vanish(room);
    }
    fleet.pass(seconds(31));
    fleet.machine.relist();
    fleet.carry_on();
    assert!(rooms[2..9].iter().all(|room| fleet.status(room).is_none()));
    assert!(fleet.status(&rooms[0]).is_some() && fleet.status(&rooms[9]).is_some());
    assert_eq!(fleet.rooms().len(), 10);
}

#[test]
fn intents_are_repeated_a_bounded_number_at_a_time() {
    let settings = CoreSettings {
        add_batch: 200,
        ..CoreSettings::default()
    };
    let mut fleet = Fleet::up_with(spec(0), settings);
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::AddRooms {
        amount: 100,
        version: None,
    }));
    for _ in 0..100 {
        fleet.release_kind("reserve_ports", maestro_simulation::Outcome::Works);
    }
    assert_eq!(fleet.stored.rooms.len(), 100);
    fleet.restart_held();
    assert_eq!(fleet.works.len(), 64);
    assert!(fleet.release_one());
    assert_eq!(fleet.works.len(), 64);
    fleet.release();
    assert_eq!(fleet.rooms().len(), 100);
    assert_eq!(fleet.machine.calls["create_room"], 100, "each once");
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    let told = history(fleet.operation(id));
    assert!(told.contains("added 100 rooms"), "{told}");
}

#[test]
fn an_order_to_end_is_repeated_by_the_next_owner() {
    let mut fleet = Fleet::up(2);
    fleet.hold = true;
    let room = fleet.rooms()[0].clone();
    let remove = Command::RemoveRoom {
        room: room.clone(),
        force: true,
    };
    let id = operation_of(fleet.order(remove));
    fleet.restart();
    assert!(!fleet.machine.running.contains_key(&room));
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    assert!(history(fleet.operation(id)).contains("Resuming operation after a restart"));
    assert_eq!(fleet.machine.terminations.len(), 1, "and once");
}

#[test]
fn a_validation_begins_anew_with_rooms_of_its_own() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(major("false")));
    let before = fleet.trial();
    fleet.restart();
    let after = fleet.trial();
    assert_ne!(before, after);
    assert!(
        !fleet.machine.running.contains_key(&before),
        "nobody waits for it"
    );
    fleet.ping(&after, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    assert_eq!(fleet.state.view().version, "v2.0.0");
}

#[test]
fn a_rollback_goes_on_after_a_restart_and_not_the_work() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::AddRooms {
        amount: 2,
        version: None,
    }));
    for _ in 0..2 {
        fleet.release_kind("reserve_ports", maestro_simulation::Outcome::Works);
    }
    fleet.release_kind("create_room", maestro_simulation::Outcome::Works);
    fleet.release_kind("create_room", maestro_simulation::Outcome::Invalid);
    assert!(fleet.operation(id).resume.failure.is_some());
    assert_eq!(fleet.operation(id).status, OperationStatus::InProgress);
    fleet.reports.clear();
    fleet.restart();
    let end = fleet.operation(id);
    assert_eq!(end.status, OperationStatus::Error);
    let told = history(end);
    assert_eq!(
        told.matches("Starting operation rollback").count(),
        1,
        "{told}"
    );
    assert!(told.contains("rollback succeeded"), "{told}");
    assert_eq!(fleet.rooms().len(), 1);
    let rolled = |r: &&Report| matches!(r, Report::RolledBack { success: true, .. });
    assert_eq!(fleet.reports.iter().filter(rolled).count(), 1);
}

#[test]
fn an_interrupted_sleep_ends_in_error() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(Command::TestOperation { sleep_seconds: 60 }));
    fleet.restart();
    let end = fleet.operation(id);
    assert_eq!(end.status, OperationStatus::Error);
    assert!(history(end).contains("interrupted by a restart"));
}

#[test]
fn a_look_that_was_interrupted_looks_no_more() {
    let mut fleet = Fleet::up(1);
    let mut record = maestro_simulation::documents::pending(
        fleet.clock,
        5,
        Definition::HealthController { took_action: None },
    );
    record.status = OperationStatus::InProgress;
    record.resume.attempt = 1;
    fleet.stored.put(&record);
    fleet.restart();
    let end = fleet.operation(record.id);
    assert_eq!(end.status, OperationStatus::Finished);
    let took_action = Some(false);
    assert_eq!(end.definition, Definition::HealthController { took_action });
}

#[test]
fn a_cancel_that_was_stored_is_obeyed_by_the_next_owner() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    assert!(fleet.release_one());
    fleet.order(Command::SetPaused(true)).unwrap();
    fleet.order(Command::Cancel(id)).unwrap();
    assert!(fleet.operation(id).resume.cancel_requested);
    assert_eq!(fleet.operation(id).status, OperationStatus::InProgress);
    fleet.restart();
    assert_eq!(fleet.operation(id).status, OperationStatus::InProgress);
    fleet.order(Command::SetPaused(false)).unwrap();
    assert_eq!(fleet.operation(id).status, OperationStatus::Canceled);
    assert_eq!(fleet.rooms().len(), 1);
    assert_eq!(fleet.stored.scheduler.as_ref().unwrap().rooms_replicas, 1);
}

#[test]
fn nothing_is_begun_before_the_runtime_was_listed() {
    let mut fleet = Fleet::up(2);
    fleet.deaf = true;
    fleet.restart();
    assert!(!fleet.state.view().listed);
    let id = operation_of(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    let surge = maestro_simulation::documents::patch(|p| p.max_surge = Some("3".into()));
    let edit = operation_of(fleet.order(surge));
    for id in [id, edit] {
        assert_eq!(fleet.operation(id).status, OperationStatus::Pending);
    }
    // Existing rooms can still be allocated and can ping.
    fleet.ping_all(PingStatus::Ready);
    assert!(fleet.order(Command::Allocate).is_ok());
    fleet.deaf = false;
    fleet.carry_on();
    assert!(fleet.state.view().listed);
    for id in [id, edit] {
        assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    }
}

#[test]
fn news_older_than_what_is_known_are_none() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    let old = fleet.machine.running[&room].clone();
    fleet.machine.change(&room, InstanceStatus::Error);
    fleet.carry_on();
    assert_eq!(fleet.status(&room), Some(RoomStatus::Error));
    fleet.input(Input::Runtime(RuntimeEvent::Changed(old)));
    assert_eq!(fleet.status(&room), Some(RoomStatus::Error));
    let known = fleet.stored.rooms[&room].instance.as_ref().unwrap();
    assert_eq!(known.status, InstanceStatus::Error);
}

#[test]
fn a_pause_in_the_middle_of_a_list_holds_what_was_not_repeated_yet() {
    let settings = CoreSettings {
        rooms_per_turn: 1,
        ..CoreSettings::default()
    };
    let mut fleet = Fleet::up_with(spec(0), settings);
    fleet.hold = true;
    fleet
        .order(Command::AddRooms {
            amount: 5,
            version: None,
        })
        .unwrap();
    for _ in 0..5 {
        fleet.release_kind("reserve_ports", Outcome::Works);
    }
    let id = fleet.operations_of("add_rooms")[0].id;
    // The next owner compares one room per turn, and is paused after the second.
    fleet.works.clear();
    World::restart(&mut fleet);
    let repeated = |fleet: &Fleet| fleet.state.view().work_in_flight;
    assert!(fleet.event());
    for _ in 0..100 {
        if repeated(&fleet) < 2 {
            fleet.go_on();
        }
    }
    assert_eq!(repeated(&fleet), 2);
    fleet.command(Command::SetPaused(true));
    fleet.go_on_to_the_end();
    fleet.commit_all();
    assert_eq!(repeated(&fleet), 2, "nothing is begun in a pause");
    fleet.command(Command::SetPaused(false));
    fleet.release();
    assert_eq!(fleet.rooms().len(), 5);
    assert_eq!(fleet.machine.calls["create_room"], 5, "each once");
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
}

#[test]
fn a_validation_room_of_an_owner_before_ends_though_a_user_wanted_it_drained() {
    let mut fleet = Fleet::up(1);
    fleet.order(major("false")).unwrap();
    let before = fleet.trial();
    // The room lane is busy before and after the restart.
    fleet.hold = true;
    let busy = operation_of(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    let remove = Command::RemoveRoom {
        room: before.clone(),
        force: false,
    };
    let removal = operation_of(fleet.order(remove));
    // The removal is canceled before it is carried out, so the room belongs to no operation.
    fleet.restart_held();
    fleet.order(Command::Cancel(removal)).unwrap();
    assert_eq!(fleet.operation(removal).status, OperationStatus::Canceled);
    fleet.release();
    assert!(fleet.operation(busy).status.is_final());
    assert!(!fleet.machine.running.contains_key(&before));
    assert_ne!(fleet.trial(), before);
}

/// As after the loss of the runtime's record: the room runs, but its address is unknown.
#[test]
fn a_room_that_its_runtime_lists_as_begun_is_ordered_again() {
    let mut fleet = Fleet::up(2);
    let rooms = fleet.rooms();
    fleet.machine.observe(&rooms[0], |instance| {
        instance.status = InstanceStatus::Pending;
        instance.address = None;
    });
    let before = fleet.machine.calls["create_room"];
    fleet.restart();
    assert_eq!(
        fleet.machine.calls["create_room"],
        before + 1,
        "one, and once"
    );
    assert_eq!(fleet.rooms(), rooms, "nothing was made anew");
}

/// An operation as a worker of another program left it when it was killed.
fn abandoned(number: u128, definition: Definition) -> OperationRecord {
    let at = "2026-01-02T03:04:05Z".parse().expect("a time");
    let resume = ResumeState {
        foreign: true,
        ..ResumeState::default()
    };
    OperationRecord {
        id: OperationId(uuid::Uuid::from_u128(number)),
        scheduler: spec(0).name,
        definition,
        status: OperationStatus::InProgress,
        created_at: at,
        status_at: at,
        history: Vec::new(),
        priority: false,
        lease_until: Some(at),
        resume,
    }
}

#[test]
fn rooms_that_another_program_had_begun_to_add_or_remove_are_not_counted_twice() {
    let remove = |amount| Definition::RemoveRooms {
        amount,
        rooms_ids: None,
        reason: "scale_down".into(),
        force: false,
        version: None,
    };
    for definition in [
        Definition::AddRooms {
            amount: 3,
            version: None,
        },
        remove(2),
    ] {
        let mut fleet = Fleet::up(2);
        let rooms = fleet.rooms();
        let record = abandoned(7, definition);
        let id = record.id;
        fleet.stored.apply(&Change::PutOperation(Box::new(record)));
        fleet.restart();
        let ended = fleet.operation(id);
        assert_eq!(ended.status, OperationStatus::Error);
        let text = history(ended);
        assert!(text.contains("what it had done is not known"), "{text}");
        assert_eq!(fleet.rooms(), rooms);
    }
}

#[test]
fn a_version_that_another_program_was_trying_is_rolled_back() {
    let mut fleet = Fleet::up(1);
    let mut active = Scheduler::clone(fleet.stored.scheduler.as_ref().expect("it is there"));
    active.state = SchedulerPhase::Creating;
    let mut wanted = active.clone();
    wanted.spec.containers[0].image = "another".into();
    fleet.stored.apply(&Change::UpdateScheduler(active.into()));
    let scheduler = wanted.into();
    let record = abandoned(7, Definition::CreateNewSchedulerVersion { scheduler });
    let id = record.id;
    fleet.stored.apply(&Change::PutOperation(Box::new(record)));
    fleet.restart();
    assert_eq!(fleet.operation(id).status, OperationStatus::Error);
    let stored = fleet.stored.scheduler.clone().expect("it is there");
    assert_eq!(stored.state, SchedulerPhase::InSync);
    assert_eq!(fleet.rooms().len(), 1);
    assert!(fleet.order(major("next")).is_ok(), "edits work again");
}

#[test]
fn what_another_program_had_begun_goes_on_if_its_steps_can_be_repeated() {
    let mut fleet = Fleet::up(1);
    let version = fleet.stored.scheduler.as_ref().expect("it is there");
    let new_active_version = version.version().clone();
    let switch = abandoned(7, Definition::SwitchActiveVersion { new_active_version });
    let test = abandoned(8, Definition::TestOperation { sleep_seconds: 5 });
    for record in [&switch, &test] {
        let put = Change::PutOperation(Box::new(record.clone()));
        fleet.stored.apply(&put);
    }
    fleet.restart();
    let switched = fleet.operation(switch.id);
    assert_eq!(switched.status, OperationStatus::Finished);
    assert!(history(switched).contains("Taking over the operation"));
    assert_eq!(fleet.operation(test.id).status, OperationStatus::Error);
}

#[test]
fn a_pause_by_the_settings_keeps_stored_rooms_that_no_list_has() {
    let mut fleet = Fleet::up(3);
    let rooms = fleet.rooms();
    fleet.settings = Arc::new(CoreSettings {
        paused: true,
        ..CoreSettings::default()
    });
    let has_all = |fleet: &Fleet| {
        let known = |room: &RoomId| {
            fleet.state.rooms().get(room.as_str()).is_some()
                && fleet.stored.rooms.contains_key(room)
        };
        rooms.iter().all(known)
    };
    // Its runtime was emptied, or is not the one that had them.
    fleet.machine.running.clear();
    for _ in 0..2 {
        fleet.restart();
        assert!(has_all(&fleet));
        fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
        fleet.pass(Duration::from_secs(3600));
        assert!(has_all(&fleet));
        let ping = fleet.ping(&rooms[0], PingStatus::Ready, 0);
        assert!(ping.is_ok(), "{ping:?}");
    }
    fleet.order(Command::SetPaused(false)).unwrap();
    assert!(!has_all(&fleet), "its end takes them for gone");
}
