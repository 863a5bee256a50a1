//! Which rooms are removed, how often the order to end is repeated, and the history of a removal.

use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::documents::{history, operation_of, patch};
use maestro_simulation::{Fleet, Outcome, spec};
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_removal_names_the_rooms_it_ended() {
    let mut fleet = Fleet::up(25);
    let before = fleet.rooms();
    let id = operation_of(fleet.order(Command::RemoveRooms {
        amount: 2,
        force: false,
        version: None,
    }));
    let gone: Vec<_> = before
        .iter()
        .filter(|r| !fleet.rooms().contains(r))
        .collect();
    let told = history(fleet.operation(id));
    assert_eq!(gone.len(), 2);
    assert!(told.contains("removed 2 rooms: "), "{told}");
    assert!(
        gone.iter().all(|room| told.contains(room.as_str())),
        "{told}"
    );
    assert!(
        !told.contains("others") && !told.contains("more go"),
        "{told}"
    );
    let id = operation_of(fleet.order(Command::RemoveRooms {
        amount: 20,
        force: false,
        version: None,
    }));
    assert!(!history(fleet.operation(id)).contains("others"));
    fleet
        .order(Command::AddRooms {
            amount: 20,
            version: None,
        })
        .unwrap();
    let id = operation_of(fleet.order(Command::RemoveRooms {
        amount: 21,
        force: false,
        version: None,
    }));
    assert!(history(fleet.operation(id)).contains("and others"));
}

#[test]
fn a_scale_down_that_has_to_drain_says_how_many_go_later() {
    let mut fleet = Fleet::up(3);
    let rooms = fleet.rooms();
    for room in &rooms[..2] {
        fleet.ping(room, PingStatus::Occupied, 1).unwrap();
    }
    fleet.order(patch(|p| p.rooms_replicas = Some(1))).unwrap();
    let told = history(fleet.operations_of("remove_rooms")[0]);
    assert!(told.contains("removed 1 rooms: "), "{told}");
    assert!(told.contains("1 more go when their matches end"), "{told}");
    assert!(
        !fleet.rooms().contains(&rooms[2]),
        "the idle one goes first"
    );
}

#[test]
fn rooms_that_cannot_be_ended_fail_the_order_and_are_told_again() {
    let mut fleet = Fleet::up(3);
    fleet.hold = true;
    fleet.reports.clear();
    let id = operation_of(fleet.order(Command::RemoveRooms {
        amount: 2,
        force: false,
        version: None,
    }));
    assert!(fleet.release_with(Outcome::Unavailable));
    assert!(fleet.release_with(Outcome::Works));
    let end = fleet.operation(id);
    let told = history(end);
    assert_eq!(end.status, OperationStatus::Error, "{told}");
    assert!(
        told.contains("1 of 2 rooms could not be ended: away"),
        "{told}"
    );
    let failed = |r: &&Report| **r == Report::RoomNotRemoved;
    assert_eq!(fleet.reports.iter().filter(failed).count(), 1);
    assert_eq!(fleet.rooms().len(), 2);
    // The order to end is durable, and is repeated when the room's time to end is over.
    fleet.hold = false;
    fleet.ping_all(PingStatus::Ready);
    let patience = fleet.settings.deletion_timeout + seconds(1);
    fleet.pass(patience - seconds(1));
    assert_eq!(fleet.rooms().len(), 2);
    fleet.pass(seconds(2));
    assert_eq!(fleet.rooms().len(), 1);
}

#[test]
fn a_room_that_was_told_to_end_is_told_again_only_when_its_time_is_over() {
    let mut fleet = Fleet::up(2);
    fleet.machine.slow_endings = true;
    let room = fleet.rooms()[0].clone();
    let remove = Command::RemoveRoom {
        room: room.clone(),
        force: true,
    };
    fleet.order(remove).unwrap();
    let told = |fleet: &Fleet| {
        let all = fleet.machine.terminations.iter();
        all.filter(|t| t.room == room).count()
    };
    assert_eq!(told(&fleet), 1);
    assert_eq!(fleet.status(&room), Some(RoomStatus::Terminating));
    // One second of grace, plus the deletion timeout of the contract.
    let patience = fleet.settings.deletion_timeout + seconds(1);
    fleet.pass(patience);
    assert_eq!(told(&fleet), 1);
    fleet.pass(seconds(1));
    assert_eq!(told(&fleet), 2);
    fleet.pass(patience - seconds(2));
    assert_eq!(told(&fleet), 2);
    fleet.pass(seconds(2));
    assert_eq!(told(&fleet), 3);
    assert!(fleet.machine.finish_ending());
    fleet.carry_on();
    assert_eq!(fleet.status(&room), None);
}

#[test]
fn a_removal_is_bounded_in_what_it_asks_at_once_and_in_all() {
    let settings = CoreSettings {
        remove_limit: 100,
        ..CoreSettings::default()
    };
    let mut fleet = Fleet::up_with(spec(150), settings);
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::RemoveRooms {
        amount: 100,
        force: false,
        version: None,
    }));
    assert_eq!(fleet.works.len(), 64);
    assert!(fleet.release_one());
    assert_eq!(fleet.works.len(), 64, "one more for each that was answered");
    fleet.release();
    assert_eq!(fleet.rooms().len(), 50);
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    let refusal = fleet.order(Command::RemoveRooms {
        amount: 101,
        force: false,
        version: None,
    });
    assert_eq!(refusal.unwrap_err().kind, RefusalKind::Invalid);
    // A scale-down removes rooms in steps of the limit.
    fleet
        .order(Command::AddRooms {
            amount: 150,
            version: None,
        })
        .unwrap();
    fleet.ping_all(PingStatus::Ready);
    fleet.order(patch(|p| p.rooms_replicas = Some(0))).unwrap();
    assert_eq!(fleet.rooms().len(), 0);
    let mut removals = fleet.operations_of("remove_rooms");
    removals.retain(|o| o.id != id);
    assert_eq!(removals.len(), 2);
}

#[test]
fn rooms_of_older_versions_go_first() {
    let mut fleet = Fleet::up(2);
    let old = fleet.rooms();
    // A minor version replaces no room, but new rooms have it.
    fleet
        .order(patch(|p| p.max_surge = Some("2".into())))
        .unwrap();
    fleet
        .order(Command::AddRooms {
            amount: 2,
            version: None,
        })
        .unwrap();
    fleet.ping_all(PingStatus::Ready);
    fleet
        .order(Command::RemoveRooms {
            amount: 2,
            force: false,
            version: None,
        })
        .unwrap();
    assert!(old.iter().all(|room| !fleet.rooms().contains(room)));
    assert_eq!(fleet.rooms().len(), 2);
}

#[test]
fn a_removal_that_found_nothing_waits_before_the_next() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    // A removal of rooms that are gone already: it finishes, and its history says so.
    let record = maestro_simulation::documents::pending(
        fleet.clock,
        9,
        Definition::RemoveRooms {
            amount: 0,
            rooms_ids: Some(vec!["arena-nobody".into()]),
            reason: "scale_down".into(),
            force: false,
            version: None,
        },
    );
    let id = record.id;
    fleet.input(Input::Pushed(Box::new(record)));
    assert!(history(fleet.operation(id)).contains("removed 0 rooms"));
    // Scaling waits for one second, and no longer.
    fleet.crash(&room, 0);
    assert_eq!(fleet.rooms().len(), 0);
    fleet.pass(Duration::from_millis(999));
    assert_eq!(fleet.rooms().len(), 0);
    fleet.pass(Duration::from_millis(1));
    assert_eq!(fleet.rooms().len(), 1);
}

#[test]
fn a_room_that_the_runtime_does_not_know_is_forgotten_with_its_ports() {
    let mut fleet = Fleet::up(2);
    let room = fleet.rooms()[0].clone();
    fleet.machine.vanish(&room);
    let ports: std::sync::Arc<[u16]> = [20_500].into();
    fleet.machine.reserved.insert(room.clone(), ports);
    let remove = Command::RemoveRoom {
        room: room.clone(),
        force: true,
    };
    let id = operation_of(fleet.order(remove));
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    assert_eq!(fleet.status(&room), None);
    assert!(!fleet.machine.reserved.contains_key(&room));
}

#[test]
fn a_deletion_ends_all_rooms_a_bounded_number_at_a_time() {
    let mut fleet = Fleet::up(70);
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::DeleteScheduler));
    assert_eq!(fleet.works.len(), 64);
    assert_eq!(fleet.scheduler_state(), "terminating");
    assert!(history(fleet.operation(id)).contains("ending 70 rooms"));
    let marked = fleet
        .stored
        .rooms
        .values()
        .filter(|r| r.intent.removal.is_some());
    assert_eq!(marked.count(), 64, "as they are told");
    while fleet.machine.running.len() > 1 {
        assert!(fleet.position("remove_place").is_none());
        assert!(fleet.release_one());
    }
    // The scheduler's place is kept while any room exists, whatever the calls were answered.
    assert!(fleet.position("remove_place").is_none());
    assert!(fleet.release_one());
    assert!(fleet.position("remove_place").is_some());
    fleet.release();
    assert!(fleet.ended);
    let reasons = fleet.machine.terminations.iter().map(|t| t.reason);
    assert!(reasons.eq([RemovalReason::SchedulerDeleted; 70]));
}

#[test]
fn a_deletion_tells_a_room_again_that_does_not_end() {
    let mut fleet = Fleet::up(1);
    fleet.machine.slow_endings = true;
    fleet.order(Command::DeleteScheduler).unwrap();
    assert_eq!(fleet.machine.terminations.len(), 1);
    // A list does not repeat the order here: the deletion itself does.
    fleet.machine.relist();
    fleet.carry_on();
    assert_eq!(fleet.machine.terminations.len(), 1);
    fleet.pass(fleet.settings.deletion_timeout + seconds(2));
    assert_eq!(fleet.machine.terminations.len(), 2);
    assert!(fleet.stored.scheduler.is_some());
    fleet.machine.finish_ending();
    fleet.carry_on();
    assert!(fleet.ended);
}

#[test]
fn what_appears_during_a_deletion_is_told_to_end() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    fleet.order(Command::DeleteScheduler).unwrap();
    let stranger = fleet.stranger(1);
    fleet.carry_on();
    let row = &fleet.stored.rooms[&stranger];
    let removal = row.intent.removal.expect("it is to go");
    assert_eq!(removal.reason, RemovalReason::SchedulerDeleted);
    fleet.release();
    assert!(fleet.ended && fleet.rooms().is_empty());
}

#[test]
fn a_stranger_is_taken_in_and_one_of_a_validation_is_not() {
    let mut fleet = Fleet::up(1);
    let known = fleet.rooms()[0].clone();
    let stranger = fleet.stranger(1);
    let trial = fleet.stranger(4);
    fleet.carry_on();
    assert!(!fleet.machine.running.contains_key(&trial));
    let told = |t: &&maestro_simulation::Termination| t.room == trial;
    let told = fleet.machine.terminations.iter().find(told).unwrap();
    assert_eq!(told.reason, RemovalReason::NewVersionValidationFinished);
    // One room is wanted and two exist. The stranger is to go, but may have players until its quarantine is over.
    let removal = fleet.stored.rooms[&stranger].intent.removal;
    let removal = removal.expect("it is to go");
    assert_eq!(
        (removal.reason, removal.drain),
        (RemovalReason::ScaleDown, true)
    );
    let hold = fleet.settings.allocation_hold;
    fleet.pass_pinging(hold + seconds(60), PingStatus::Ready);
    fleet.carry_on();
    assert_eq!(fleet.rooms(), [known]);
    assert_eq!(fleet.status(&stranger), None);
}

#[test]
fn an_exit_is_remembered_in_words() {
    for (code, signal, words) in [
        (Some(0), None, "exit code 0"),
        (None, Some(9), "killed by signal 9"),
    ] {
        let mut fleet = Fleet::created(spec(1), CoreSettings::default());
        let room = fleet.rooms()[0].clone();
        let exit = Exit {
            code,
            signal,
            reason: "OOMKilled".into(),
            log_tail: vec!["one".into(), "two".into()],
            ..Exit::default()
        };
        fleet.machine.gone(&room, Some(exit));
        fleet.carry_on();
        let cause = fleet.state.view().crash_cause.expect("it failed");
        assert!(cause.contains(words), "{cause}");
        assert!(cause.contains("(OOMKilled)"), "{cause}");
        assert!(cause.ends_with("last log lines: one | two"), "{cause}");
    }
    let mut fleet = Fleet::created(spec(1), CoreSettings::default());
    let room = fleet.rooms()[0].clone();
    fleet.machine.gone(&room, None);
    fleet.carry_on();
    let cause = fleet.state.view().crash_cause.expect("it failed");
    assert_eq!(cause, format!("room {room} ended before it was ready"));
}

#[test]
fn a_validation_that_came_late_is_no_failure_of_the_fleet() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(maestro_simulation::documents::major("false")));
    let trial = fleet.trial();
    fleet.crash(&trial, 5);
    assert!(history(fleet.operation(id)).contains("validation attempt 1 failed"));
    assert!(history(fleet.operation(id)).contains("exit code 5"));
    assert_eq!(fleet.state.view().crash_failures, 0);
    // The next attempt starts after 200 ms, with another room.
    assert!(fleet.machine.running.values().all(|i| !i.validation));
    fleet.pass(Duration::from_millis(199));
    assert!(fleet.machine.running.values().all(|i| !i.validation));
    fleet.pass(Duration::from_millis(1));
    let next = fleet.trial();
    assert_ne!(next, trial);
    fleet.input(Input::Runtime(RuntimeEvent::Gone {
        room: trial,
        uid: "uid".into(),
        exit: None,
    }));
    assert_eq!(fleet.trial(), next, "its end is none of this attempt's");
}
