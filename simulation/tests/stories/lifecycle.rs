use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::documents::{history, major, operation_of, patch};
use maestro_simulation::{Fleet, spec};
use std::time::Duration;

#[test]
fn a_new_scheduler_gets_its_rooms_at_once() {
    let fleet = Fleet::up(3);
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert_eq!(fleet.count(RoomStatus::Ready), 3);
    assert_eq!(fleet.stored.rooms.len(), 3);
    let created = fleet.operations_of("create_scheduler");
    assert_eq!(created[0].status, OperationStatus::Finished);
    let added = fleet.operations_of("add_rooms");
    assert_eq!(added.len(), 1);
    let lines = "Created\nStarting operation\nadded 3 rooms\nOperation finished";
    assert_eq!(history(added[0]), lines);
}

#[test]
fn allocation_gives_each_room_once_and_says_why_there_is_none() {
    let mut fleet = Fleet::up(2);
    let mut given = Vec::new();
    for _ in 0..2 {
        match fleet.order(Command::Allocate) {
            Ok(Reply::Allocated { room, .. }) => given.push(room),
            other => panic!("{other:?}"),
        }
    }
    assert!(given[0] < given[1], "smallest id first");
    let refusal = fleet.order(Command::Allocate).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert_eq!(
        refusal.message,
        "no ready rooms available for scheduler arena: 2 allocated"
    );
    // A ready ping within the hold time keeps the allocation; after that it returns it.
    fleet.ping(&given[0], PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.count(RoomStatus::Allocated), 2);
    fleet.pass(Duration::from_secs(200));
    fleet.ping_all(PingStatus::Ready);
    fleet.pass(Duration::from_secs(101));
    fleet.ping(&given[0], PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.count(RoomStatus::Ready), 1);
}

#[test]
fn an_untaken_allocation_is_given_back() {
    let mut fleet = Fleet::up(1);
    let Ok(Reply::Allocated { room, .. }) = fleet.order(Command::Allocate) else {
        panic!()
    };
    fleet.input(Input::AllocationUntaken { room });
    assert_eq!(fleet.count(RoomStatus::Ready), 1);
}

#[test]
fn a_crashed_room_is_replaced_at_once() {
    let mut fleet = Fleet::up(2);
    let victim = fleet.rooms()[0].clone();
    fleet.pass(fleet.settings.room_min_uptime);
    fleet.crash(&victim, 1);
    assert_eq!(fleet.machine.running.len(), 2);
    assert!(!fleet.machine.running.contains_key(&victim));
    assert_eq!(fleet.state.view().crash_failures, 0, "it was up for long");
}

#[test]
fn rooms_that_end_at_once_wait_longer_each_time_until_the_scheduler_is_on_error() {
    let mut fleet = Fleet::new(CoreSettings::default());
    fleet
        .order(Command::CreateScheduler(Box::new(spec(2))))
        .unwrap();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    let mut waits = Vec::new();
    for _ in 0..7 {
        let begun = fleet.clock.mono;
        for room in fleet.rooms() {
            fleet.crash(&room, 3);
        }
        // Half a second at a time, and a minute at most.
        for _ in 0..121 {
            if fleet.machine.running.is_empty() {
                fleet.pass(Duration::from_millis(500));
            }
        }
        waits.push(fleet.clock.mono.since(begun).as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60]);
    assert_eq!(fleet.scheduler_state(), "on-error");
    let tries = fleet.operations_of("add_rooms");
    assert_eq!(tries.len(), 8, "no hot loop");
    assert!(tries.iter().any(|o| history(o).contains("exit code 3")));
    assert!(
        tries
            .iter()
            .any(|o| history(o).contains("last log lines: bye"))
    );
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(fleet.scheduler_state(), "on-error", "it may end yet");
    fleet.pass(fleet.settings.room_min_uptime);
    assert_eq!(fleet.scheduler_state(), "in-sync");
}

#[test]
fn rooms_that_cannot_be_made_end_the_operation_in_error_and_back_off() {
    let mut fleet = Fleet::new(CoreSettings::default());
    fleet.machine.creation_fails = Some("command \"nope\" was not found".into());
    fleet
        .order(Command::CreateScheduler(Box::new(spec(2))))
        .unwrap();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    let tries = fleet.operations_of("add_rooms");
    assert_eq!(tries.len(), 1);
    assert_eq!(tries[0].status, OperationStatus::Error);
    assert!(
        history(tries[0]).contains("command \"nope\" was not found"),
        "{}",
        history(tries[0])
    );
    fleet.pass(Duration::from_secs(20));
    assert!(fleet.operations_of("add_rooms").len() < 8);
    assert!(fleet.stored.rooms.is_empty());
}

#[test]
fn a_users_order_to_add_is_all_or_nothing() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::AddRooms {
        amount: 3,
        version: None,
    }));
    for _ in 0..4 {
        assert!(fleet.release_one(), "three ports, one room");
    }
    fleet.machine.creation_fails = Some("no more".into());
    fleet.hold = false;
    while !fleet.works.is_empty() {
        assert!(fleet.release_one());
    }
    let record = fleet.operation(id);
    assert_eq!(record.status, OperationStatus::Error, "{}", history(record));
    assert!(history(record).contains("rollback succeeded"));
    assert_eq!(fleet.machine.running.len(), 1, "what it had made is gone");
    assert_eq!(fleet.stored.scheduler.as_ref().unwrap().rooms_replicas, 1);
}

#[test]
fn adding_and_removing_by_order_moves_the_wanted_number() {
    let mut fleet = Fleet::up(2);
    operation_of(fleet.order(Command::AddRooms {
        amount: 2,
        version: None,
    }));
    assert_eq!(fleet.machine.running.len(), 4);
    operation_of(fleet.order(Command::RemoveRooms {
        amount: 3,
        force: false,
        version: None,
    }));
    assert_eq!(fleet.machine.running.len(), 1);
    fleet.pass(Duration::from_secs(130));
    assert_eq!(fleet.machine.running.len(), 1);
    assert_eq!(
        fleet
            .order(Command::AddRooms {
                amount: 0,
                version: None
            })
            .unwrap_err()
            .kind,
        RefusalKind::Invalid
    );
    assert_eq!(
        fleet
            .order(Command::AddRooms {
                amount: 1001,
                version: None
            })
            .unwrap_err()
            .kind,
        RefusalKind::Invalid
    );
}

#[test]
fn a_scale_down_drains_rooms_with_a_match() {
    let mut fleet = Fleet::up(3);
    fleet.ping_all(PingStatus::Occupied);
    operation_of(fleet.order(patch(|p| p.rooms_replicas = Some(1))));
    assert_eq!(fleet.machine.running.len(), 3);
    fleet.pass(Duration::from_secs(100));
    fleet.ping_all(PingStatus::Occupied);
    assert_eq!(fleet.machine.running.len(), 3, "no match is ended");
    assert!(fleet.order(Command::Allocate).is_err());
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(fleet.machine.running.len(), 1);
    assert!(
        fleet.stored.operations.len() < 20,
        "no hot loop: {}",
        fleet.stored.operations.len()
    );
}

#[test]
fn silent_rooms_expire_and_are_replaced() {
    let mut fleet = Fleet::up(2);
    let silent = fleet.rooms()[0].clone();
    for _ in 0..5 {
        fleet.pass(Duration::from_secs(60));
        for room in fleet.rooms() {
            if room != silent {
                fleet.ping(&room, PingStatus::Ready, 0).unwrap();
            }
        }
    }
    assert!(!fleet.machine.running.contains_key(&silent));
    assert_eq!(fleet.count(RoomStatus::Ready), 2);
}

/// Hanging rooms as the log reports them: why they hang, and whether in a match.
fn hangs(fleet: &Fleet) -> Vec<(RoomId, String, bool)> {
    let hang = |report: &Report| match report {
        Report::RoomHangs(hang) => Some((hang.room.clone(), hang.why.clone(), hang.in_match)),
        _ => None,
    };
    fleet.reports.iter().filter_map(hang).collect()
}

fn is_said_to_be_replaced(fleet: &Fleet, room: &RoomId, why: &str) -> bool {
    let line = format!("replaces room {room} ({why})");
    let adds = fleet.operations_of("add_rooms");
    adds.into_iter().any(|add| history(add).contains(&line))
}

#[test]
fn of_a_room_that_hangs_people_are_told_and_its_replacement_names_it() {
    let mut fleet = Fleet::up(1);
    let silent = fleet.rooms()[0].clone();
    fleet.ping(&silent, PingStatus::Occupied, 1).unwrap();
    fleet.pass(Duration::from_secs(241));
    let told = hangs(&fleet);
    let [(room, why, in_match)] = &told[..] else {
        panic!("told once: {told:?}");
    };
    assert_eq!((room, *in_match), (&silent, true));
    assert!(why.starts_with("silent for 24"), "{why}");
    assert!(is_said_to_be_replaced(&fleet, &silent, why));
    // The replacement never pings ready.
    let mute = fleet.rooms()[0].clone();
    fleet.pass(Duration::from_secs(122));
    let told = hangs(&fleet);
    assert_eq!(told.len(), 2, "{told:?}");
    let (room, why, in_match) = &told[1];
    assert_eq!((room, *in_match), (&mute, false));
    assert!(why.starts_with("not ready for 12"), "{why}");
    assert!(is_said_to_be_replaced(&fleet, &mute, why));
    // A room that is terminating does not hang.
    let rooms = fleet.rooms();
    fleet.ping(&rooms[0], PingStatus::Ready, 0).unwrap();
    fleet.ping(&rooms[0], PingStatus::Terminating, 0).unwrap();
    fleet.pass(Duration::from_secs(60));
    assert!(hangs(&fleet).iter().all(|(room, ..)| *room != rooms[0]));
}

#[test]
fn a_minor_patch_makes_a_version_and_replaces_no_room() {
    let mut fleet = Fleet::up(2);
    let before = fleet.rooms();
    let id = operation_of(fleet.order(patch(|p| p.max_surge = Some("50%".into()))));
    assert_eq!(
        fleet.operation(id).status,
        OperationStatus::Finished,
        "{}",
        history(fleet.operation(id))
    );
    assert_eq!(
        fleet.stored.scheduler.as_ref().unwrap().version().as_str(),
        "v1.1.0"
    );
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert_eq!(fleet.rooms(), before);
    assert_eq!(fleet.stored.versions.len(), 2);
}

#[test]
fn a_major_version_is_validated_and_rolled_out() {
    let mut fleet = Fleet::up(3);
    let id = operation_of(fleet.order(major("false")));
    assert_eq!(fleet.scheduler_state(), "creating");
    let trial = fleet
        .rooms()
        .into_iter()
        .find(|r| fleet.machine.running[r].validation)
        .unwrap();
    assert_eq!(
        fleet
            .order(Command::SwitchVersion("v1.0.0".into()))
            .unwrap_err()
            .kind,
        RefusalKind::Conflict
    );
    fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
    assert_eq!(
        fleet.operation(id).status,
        OperationStatus::Finished,
        "{}",
        history(fleet.operation(id))
    );
    assert_eq!(
        fleet.stored.scheduler.as_ref().unwrap().version().as_str(),
        "v2.0.0"
    );
    for _ in 0..20 {
        fleet.ping_all(PingStatus::Ready);
    }
    assert!(
        fleet
            .machine
            .running
            .values()
            .all(|i| i.version.as_str() == "v2.0.0"),
        "{:?}",
        fleet.state.view()
    );
    assert_eq!(fleet.machine.running.len(), 3);
    assert!(
        fleet.machine.peak <= 4,
        "surge of one: {}",
        fleet.machine.peak
    );
}

#[test]
fn a_version_whose_rooms_never_come_up_is_rolled_back() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(major("false")));
    for _ in 0..8 {
        fleet.pass(Duration::from_secs(60));
        let rooms: Vec<_> = fleet
            .rooms()
            .into_iter()
            .filter(|r| !fleet.machine.running[r].validation)
            .collect();
        for room in rooms {
            fleet.ping(&room, PingStatus::Ready, 0).unwrap();
        }
    }
    let record = fleet.operation(id);
    assert_eq!(record.status, OperationStatus::Error, "{}", history(record));
    assert!(history(record).contains("validation attempt 3 failed"));
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert_eq!(fleet.machine.running.len(), 1);
}

#[test]
fn deleting_takes_everything_away() {
    let mut fleet = Fleet::up(3);
    let id = operation_of(fleet.order(Command::DeleteScheduler));
    assert!(fleet.ended);
    assert!(fleet.machine.running.is_empty());
    assert!(fleet.stored.scheduler.is_none());
    assert!(fleet.stored.rooms.is_empty());
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    assert_eq!(fleet.stored.operations.len(), 1);
}

#[test]
fn a_running_operation_is_canceled_after_its_rollback() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(Command::TestOperation { sleep_seconds: 60 }));
    assert_eq!(fleet.operation(id).status, OperationStatus::InProgress);
    assert!(fleet.operation(id).lease_until.is_some());
    let lease = fleet.operation(id).lease_until;
    fleet.pass(Duration::from_secs(10));
    assert!(fleet.operation(id).lease_until > lease, "renewed");
    fleet.order(Command::Cancel(id)).unwrap();
    assert_eq!(fleet.operation(id).status, OperationStatus::Canceled);
    assert_eq!(
        fleet.order(Command::Cancel(id)).unwrap_err().kind,
        RefusalKind::Ended
    );
}

#[test]
fn a_restart_resumes_what_had_begun() {
    const CALLS: usize = 6;
    for crash_after in 0..=CALLS {
        let mut fleet = Fleet::new(CoreSettings::default());
        fleet
            .order(Command::CreateScheduler(Box::new(spec(3))))
            .unwrap();
        fleet.hold = true;
        fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
        for _ in 0..crash_after {
            assert!(fleet.release_one());
        }
        assert_eq!(fleet.works.is_empty(), crash_after == CALLS);
        fleet.restart();
        assert_eq!(
            fleet.machine.running.len(),
            3,
            "died after {crash_after} calls"
        );
        assert!(
            fleet
                .stored
                .operations
                .values()
                .all(|o| o.status.is_final()),
            "{:?}",
            fleet.state.view()
        );
        assert_eq!(fleet.stored.rooms.len(), 3);
        fleet.ping_all(PingStatus::Ready);
        assert_eq!(fleet.count(RoomStatus::Ready), 3);
    }
}

#[test]
fn paused_means_that_queues_stand_still_and_pings_go_on() {
    let mut fleet = Fleet::new(CoreSettings {
        paused: true,
        ..CoreSettings::default()
    });
    fleet
        .order(Command::CreateScheduler(Box::new(spec(3))))
        .unwrap();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    fleet.pass(Duration::from_secs(3600));
    assert!(fleet.machine.running.is_empty());
    let open: Vec<_> = fleet.stored.operations.values().collect();
    assert_eq!(open.len(), 1);
    let id = open[0].id;
    fleet.order(Command::Cancel(id)).unwrap();
    assert_eq!(
        fleet.operation(id).status,
        OperationStatus::Pending,
        "stored, not applied"
    );
    fleet.order(Command::SetPaused(false)).unwrap();
    assert_eq!(fleet.operation(id).status, OperationStatus::Canceled);
}

#[test]
fn a_switch_to_a_missing_version_fails_later_and_one_without_a_scheduler_too() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(Command::SwitchVersion("v9.9.9".into())));
    assert_eq!(fleet.operation(id).status, OperationStatus::Error);
    let mut nobody = Fleet::new(CoreSettings::default());
    let id = operation_of(nobody.order(Command::SwitchVersion("v1.0.0".into())));
    assert_eq!(nobody.operation(id).status, OperationStatus::Pending);
    nobody.pass(Duration::from_secs(61));
    assert_eq!(nobody.operation(id).status, OperationStatus::Error);
    assert!(nobody.ended);
}
