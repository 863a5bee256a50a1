//! Commands of users and their immediate answers, with refusals by kind and text (contract 2.4).

use maestro_core::domain::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::documents::{history, major, operation_of, patch};
use maestro_simulation::{Fleet, spec};
use std::time::Duration;

fn refused(answer: CommandResult) -> (RefusalKind, String) {
    let refusal = answer.unwrap_err();
    (refusal.kind, refusal.message)
}

#[test]
fn orders_for_a_scheduler_that_is_not_there_say_so_each_in_its_words() {
    let mut nobody = Fleet::new(CoreSettings::default());
    let missing = "scheduler arena not found";
    let version = "no scheduler found, can not create new version for inexistent scheduler: scheduler arena not found";
    let delete =
        "no scheduler found, can not delete nonexistent scheduler: scheduler arena not found";
    let room = || RoomId::from("arena-1");
    for (command, text) in [
        (Command::NewVersion(Box::new(spec(1))), version),
        (Command::Patch(Box::default()), version),
        (Command::DeleteScheduler, delete),
        (
            Command::AddRooms {
                amount: 1,
                version: None,
            },
            missing,
        ),
        (
            Command::RemoveRooms {
                amount: 1,
                force: false,
                version: None,
            },
            missing,
        ),
        (
            Command::RemoveRoom {
                room: room(),
                force: false,
            },
            missing,
        ),
        (Command::TestOperation { sleep_seconds: 1 }, missing),
        (Command::Rollout, missing),
        (Command::PauseRollout, missing),
        (Command::ResumeRollout, missing),
        (Command::AbortRollout, missing),
        (Command::SetPaused(true), missing),
    ] {
        let kind = command.kind();
        // A directory that does not know the name gives the same answer.
        let never = refuse_unknown(&"arena".into(), &command).expect(kind);
        assert_eq!(
            (never.kind, never.message.as_str()),
            (RefusalKind::NotFound, text),
            "{kind}"
        );
        let expected = (RefusalKind::NotFound, text.to_owned());
        assert_eq!(refused(nobody.order(command)), expected, "{kind}");
    }
    assert!(nobody.stored.operations.is_empty() && !nobody.state.is_paused());
    let (kind, text) = refused(nobody.order(Command::Room(room())));
    assert_eq!(kind, RefusalKind::NotFound);
    assert_eq!(text, "room arena-1 not found in scheduler arena");
    let (kind, text) = refused(nobody.order(Command::Address(room())));
    assert_eq!(kind, RefusalKind::NotFound);
    assert_eq!(text, "room arena-1 not found in scheduler arena");
    let never = refuse_unknown(&"arena".into(), &Command::Allocate).unwrap();
    assert_eq!(never.kind, RefusalKind::Absent);
    let expected = (never.kind, never.message);
    assert_eq!(refused(nobody.order(Command::Allocate)), expected);
    // These two need no scheduler.
    let create = Command::CreateScheduler(Box::new(spec(1)));
    for command in [create, Command::SwitchVersion("v1.0.0".into())] {
        assert_eq!(refuse_unknown(&"arena".into(), &command), None);
    }
}

#[test]
fn a_new_scheduler_has_nothing_of_what_its_caller_must_not_say() {
    let mut document = spec(0);
    document.name = "another".into();
    document.state = "in-sync".into();
    document.spec.version = "v7.0.0".into();
    document.rollback_version = "v6.0.0".into();
    document.last_downscale_at = Some("2020-01-01T00:00:00Z".parse().unwrap());
    document.match_allocation = None;
    let mut fleet = Fleet::new(CoreSettings::default());
    let created = fleet.order(Command::CreateScheduler(Box::new(document)));
    let Ok(Reply::Scheduler(answered)) = created else {
        panic!("{created:?}");
    };
    assert_eq!(answered.state, SchedulerPhase::Creating);
    assert_eq!(answered.created_at, fleet.clock.wall);
    let stored = fleet.stored.scheduler.as_ref().unwrap();
    assert_eq!(stored.name.as_str(), "arena");
    assert_eq!(stored.version().as_str(), "v1.0.0");
    assert_eq!(stored.rollback_version, "");
    assert_eq!(stored.last_downscale_at, None);
    assert!(stored.match_allocation.is_some());
    let again = fleet.order(Command::CreateScheduler(Box::new(spec(0))));
    let text = "error creating scheduler arena: name already exists".to_owned();
    assert_eq!(refused(again), (RefusalKind::AlreadyExists, text));
}

#[test]
fn a_new_version_keeps_what_belongs_to_the_fleet() {
    let mut fleet = Fleet::up(1);
    let mut wanted = spec(1);
    wanted.name = "another".into();
    wanted.max_surge = "4".into();
    wanted.match_allocation = None;
    let id = operation_of(fleet.order(Command::NewVersion(Box::new(wanted))));
    let told = history(fleet.operation(id));
    assert!(told.contains("new minor version v1.1.0"), "{told}");
    assert!(
        told.contains("stored v1.1.0, enqueued its switch: operation "),
        "{told}"
    );
    let stored = fleet.stored.scheduler.as_ref().unwrap();
    assert_eq!(
        (stored.name.as_str(), stored.max_surge.as_str()),
        ("arena", "4")
    );
    assert_eq!(stored.rollback_version, "v1.0.0");
    assert_eq!(stored.state, SchedulerPhase::InSync);
    let switch = fleet.operations_of("switch_active_version")[0];
    assert!(switch.priority && !switch.resume.by_user);
    assert!(history(switch).contains("v1.1.0 is the active version"));
    assert_eq!(fleet.rooms().len(), 1);
}

#[test]
fn one_edit_of_versions_at_a_time() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(major("false")));
    let surge = || patch(|p| p.max_surge = Some("2".into()));
    for (command, what) in [
        (
            Command::NewVersion(Box::new(spec(1))),
            "create new scheduler version",
        ),
        (surge(), "patch scheduler"),
        (
            Command::SwitchVersion("v1.0.0".into()),
            "switch active version",
        ),
        (Command::AbortRollout, "abort the rollout"),
    ] {
        let text = format!(
            "cannot {what}: there is already an ongoing version operation (id: {id}) for scheduler arena"
        );
        assert_eq!(refused(fleet.order(command)), (RefusalKind::Conflict, text));
    }
    fleet.order(Command::Cancel(id)).unwrap();
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert!(fleet.rooms().len() == 1, "its validation room is gone");
    assert!(fleet.order(surge()).is_ok());
}

#[test]
fn a_patch_that_makes_no_valid_scheduler_is_refused() {
    let mut fleet = Fleet::up(1);
    let surge = patch(|p| p.max_surge = Some("much".into()));
    let (kind, text) = refused(fleet.order(surge));
    assert_eq!(kind, RefusalKind::Invalid);
    assert!(
        text.contains("MaxSurge") || text.contains("maxSurge"),
        "{text}"
    );
    assert!(
        fleet
            .operations_of("create_new_scheduler_version")
            .is_empty()
    );
}

#[test]
fn amounts_have_bounds_and_say_them() {
    let mut fleet = Fleet::up(2);
    for (command, limit) in [
        (
            Command::AddRooms {
                amount: 0,
                version: None,
            },
            1000,
        ),
        (
            Command::AddRooms {
                amount: 1001,
                version: None,
            },
            1000,
        ),
        (
            Command::RemoveRooms {
                amount: 0,
                force: false,
                version: None,
            },
            50,
        ),
        (
            Command::RemoveRooms {
                amount: 51,
                force: false,
                version: None,
            },
            50,
        ),
    ] {
        let text = format!("amount must be between 1 and {limit}");
        assert_eq!(refused(fleet.order(command)), (RefusalKind::Invalid, text));
    }
    let settings = CoreSettings {
        rooms_limit: 4,
        ..CoreSettings::default()
    };
    let mut fleet = Fleet::up_with(spec(2), settings);
    assert!(
        fleet
            .order(Command::AddRooms {
                amount: 2,
                version: None
            })
            .is_ok()
    );
    let (kind, text) = refused(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    assert_eq!(kind, RefusalKind::Exhausted);
    let words = "scheduler arena has 4 rooms and may have 4; remove some, or raise limits.rooms.perScheduler";
    assert_eq!(text, words);
    assert_eq!(fleet.stored.scheduler.as_ref().unwrap().rooms_replicas, 4);
}

#[test]
fn a_removal_beyond_all_rooms_leaves_none_and_wants_none() {
    let mut fleet = Fleet::up(2);
    fleet
        .order(Command::RemoveRooms {
            amount: 5,
            force: false,
            version: None,
        })
        .unwrap();
    assert!(fleet.rooms().is_empty());
    assert_eq!(fleet.stored.scheduler.as_ref().unwrap().rooms_replicas, 0);
    fleet.pass(Duration::from_secs(200));
    assert!(fleet.rooms().is_empty());
}

#[test]
fn orders_that_came_to_nothing_leave_the_wanted_number_as_it_was() {
    let wanted = |fleet: &Fleet| fleet.stored.scheduler.as_ref().unwrap().rooms_replicas;
    let mut fleet = Fleet::up(3);
    let busy = operation_of(fleet.order(Command::TestOperation { sleep_seconds: 600 }));
    let add = operation_of(fleet.order(Command::AddRooms {
        amount: 2,
        version: None,
    }));
    let remove = operation_of(fleet.order(Command::RemoveRooms {
        amount: 4,
        force: false,
        version: None,
    }));
    assert_eq!(wanted(&fleet), 1);
    fleet.order(Command::Cancel(remove)).unwrap();
    assert_eq!(wanted(&fleet), 5);
    fleet.order(Command::Cancel(add)).unwrap();
    assert_eq!(wanted(&fleet), 3);
    for id in [add, remove] {
        let end = fleet.operation(id);
        assert_eq!(end.status, OperationStatus::Canceled);
        assert!(history(end).ends_with("canceled before it started"));
    }
    let not_begun = |r: &&Report| matches!(r, Report::NotBegun { .. });
    assert_eq!(fleet.reports.iter().filter(not_begun).count(), 2);
    fleet.order(Command::Cancel(busy)).unwrap();
    assert_eq!(fleet.rooms().len(), 3);
    // A command cannot change the number of rooms that a policy wants.
    fleet
        .order(maestro_simulation::documents::buffer(Some(2)))
        .unwrap();
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    assert_eq!(wanted(&fleet), 3);
}

#[test]
fn an_order_carries_the_id_of_its_request() {
    let mut fleet = Fleet::up(1);
    let request = Some("r-17".into());
    let id = operation_of(fleet.order_of(
        request,
        Command::AddRooms {
            amount: 1,
            version: None,
        },
    ));
    let record = fleet.operation(id);
    assert_eq!(record.resume.request_id.as_deref(), Some("r-17"));
    assert!(history(record).contains("Starting operation, ordered by request r-17"));
    // The next operation has no request id.
    let id = operation_of(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    assert_eq!(fleet.operation(id).resume.request_id, None);
}

#[test]
fn a_deletion_goes_before_what_waits_and_cancels_what_runs() {
    let mut fleet = Fleet::up(2);
    let begun = operation_of(fleet.order(Command::TestOperation { sleep_seconds: 600 }));
    let waits = operation_of(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::DeleteScheduler));
    assert_eq!(fleet.operation(begun).status, OperationStatus::Canceled);
    assert!(history(fleet.operation(begun)).contains("the scheduler is to be deleted"));
    assert_eq!(fleet.operation(waits).status, OperationStatus::Pending);
    assert_eq!(fleet.operation(id).status, OperationStatus::InProgress);
    let (kind, text) = refused(fleet.order(Command::Allocate));
    assert_eq!(kind, RefusalKind::Absent);
    assert_eq!(text, "scheduler arena is being deleted");
    fleet.order(Command::Cancel(id)).unwrap();
    let told = history(fleet.operation(id));
    assert!(
        told.contains("cannot be canceled any more: its rooms are ending"),
        "{told}"
    );
    fleet.release();
    assert!(fleet.ended);
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
}

#[test]
fn a_creation_whose_place_cannot_be_made_leaves_only_its_operation() {
    use maestro_simulation::Outcome;
    for (outcome, is_repeated) in [
        (Outcome::Invalid, false),
        (Outcome::Unknown, true),
        (Outcome::Unavailable, true),
    ] {
        let mut fleet = Fleet::new(CoreSettings::default());
        fleet.hold = true;
        let create = Command::CreateScheduler(Box::new(spec(2)));
        fleet.order(create).unwrap();
        let id = fleet.operations_of("create_scheduler")[0].id;
        if is_repeated {
            fleet.release_kind("prepare", outcome);
            for _ in 0..29 {
                fleet.pass(Duration::from_secs(1));
                let _ = fleet
                    .position("prepare")
                    .is_some_and(|at| fleet.work(at, outcome));
                fleet.carry_on();
                assert_eq!(fleet.operation(id).status, OperationStatus::InProgress);
            }
            fleet.pass(Duration::from_secs(12));
        }
        fleet.release_kind("prepare", outcome);
        assert_eq!(fleet.works.len(), 1);
        fleet.release_kind("remove_place", Outcome::Works);
        let end = fleet.operation(id);
        assert_eq!(end.status, OperationStatus::Error);
        assert!(
            history(end).contains("rollback succeeded"),
            "{}",
            history(end)
        );
        assert!(fleet.stored.scheduler.is_none() && fleet.ended);
        assert_eq!(fleet.stored.operations.len(), 1);
        // The name is free again.
        fleet.ended = false;
        let create = Command::CreateScheduler(Box::new(spec(0)));
        assert!(fleet.order(create).is_ok());
    }
}

#[test]
fn a_creation_waits_for_a_runtime_that_starts_again() {
    use maestro_simulation::Outcome;
    let mut fleet = Fleet::new(CoreSettings::default());
    fleet.hold = true;
    let create = Command::CreateScheduler(Box::new(spec(2)));
    fleet.order(create).unwrap();
    let id = fleet.operations_of("create_scheduler")[0].id;
    for outcome in [Outcome::Unavailable, Outcome::DoneUnknown] {
        fleet.release_kind("prepare", outcome);
        fleet.pass(Duration::from_secs(1));
    }
    let told = history(fleet.operation(id));
    assert!(told.contains("waiting: away"), "{told}");
    fleet.release();
    fleet.pass(Duration::from_secs(1));
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    assert_eq!(fleet.scheduler_state(), "in-sync");
}

#[test]
fn a_rollback_of_a_creation_that_cannot_remove_the_place_says_so() {
    use maestro_simulation::Outcome;
    let mut fleet = Fleet::new(CoreSettings::default());
    fleet.hold = true;
    let create = Command::CreateScheduler(Box::new(spec(2)));
    fleet.order(create).unwrap();
    let id = fleet.operations_of("create_scheduler")[0].id;
    fleet.order(Command::Cancel(id)).unwrap();
    fleet.release_kind("prepare", Outcome::Works);
    fleet.release_kind("remove_place", Outcome::Invalid);
    let end = fleet.operation(id);
    assert_eq!(end.status, OperationStatus::Canceled);
    assert!(
        history(end).contains("rollback failed: no"),
        "{}",
        history(end)
    );
    let failed = |r: &&Report| matches!(r, Report::RolledBack { success: false, .. });
    assert_eq!(fleet.reports.iter().filter(failed).count(), 1);
}

#[test]
fn a_rollback_removes_the_place_that_its_creation_made_and_no_other() {
    for foreign in [false, true] {
        let mut fleet = Fleet::new(CoreSettings::default());
        fleet.machine.place = foreign.then_some(None);
        fleet.machine.removal_takes = 3;
        fleet.hold = true;
        let create = Command::CreateScheduler(Box::new(spec(2)));
        fleet.order(create).unwrap();
        let id = fleet.operations_of("create_scheduler")[0].id;
        fleet.order(Command::Cancel(id)).unwrap();
        fleet.release_kind("prepare", maestro_simulation::Outcome::Works);
        let made = fleet.stored.operations[&id].resume.made_place;
        assert!(foreign || made == Some(true), "the journal knows it");
        fleet.hold = false;
        fleet.release();
        fleet.pass(Duration::from_secs(60));
        let end = fleet.operation(id);
        assert_eq!(end.status, OperationStatus::Canceled, "{}", history(end));
        assert!(history(end).contains("rollback succeeded"));
        assert_eq!(fleet.machine.place.is_some(), foreign);
        assert!(fleet.stored.scheduler.is_none() && fleet.ended);
        let asked = fleet.machine.calls.get("remove_place").copied();
        assert_eq!(asked, (!foreign).then_some(4));
    }
}

#[test]
fn a_creation_waits_until_an_earlier_place_of_its_name_is_gone() {
    let mut fleet = Fleet::up(0);
    fleet.machine.removal_takes = 4;
    fleet.order(Command::DeleteScheduler).unwrap();
    fleet.pass(Duration::from_secs(60));
    assert!(fleet.ended);
    let mut fleet = Fleet::new(CoreSettings::default());
    fleet.machine.place = Some(None);
    fleet.machine.removal_takes = 3;
    let remove = Work::RemovePlace { made_by: None };
    fleet.machine.call(&remove);
    let create = Command::CreateScheduler(Box::new(spec(0)));
    fleet.order(create).unwrap();
    let id = fleet.operations_of("create_scheduler")[0].id;
    assert_eq!(fleet.operation(id).status, OperationStatus::InProgress);
    let told = history(fleet.operation(id));
    assert!(told.contains("waiting: its place is terminating"), "{told}");
    fleet.pass(Duration::from_secs(60));
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    assert_eq!(fleet.machine.place, Some(Some(id)));
}

#[test]
fn what_people_may_see_of_a_state_is_what_it_does() {
    let mut fleet = Fleet::up(2);
    let id = operation_of(fleet.order(Command::TestOperation { sleep_seconds: 60 }));
    let waits = operation_of(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    let view = fleet.state.view();
    assert_eq!(
        (view.state.as_str(), view.version.as_str()),
        ("in-sync", "v1.0.0")
    );
    assert_eq!(
        (view.queued, view.work_in_flight, view.paused),
        (1, 0, false)
    );
    assert_eq!(view.rooms["ready"], 2);
    let [running] = view.running.as_slice() else {
        panic!("{view:?}");
    };
    assert_eq!((running.id, running.kind.as_str()), (id, "test_operation"));
    assert_eq!((running.step.as_str(), running.attempt), ("sleeping", 1));
    assert!(!running.rolling_back && running.lease_until.is_some());
    assert_eq!(running.lane, Lane::Room);
    let timers = fleet.state.timers(fleet.clock.mono);
    assert_eq!(timers.operations, Some(60_000));
    assert_eq!(timers.health, Some(60_000));
    assert_eq!(timers.leases, Some(2_500));
    assert_eq!(timers.rooms, Some(240_001));
    assert!(timers.cleanup.is_some() && timers.consider.is_none());
    fleet.order(Command::SetPaused(true)).unwrap();
    let paused = fleet.state.timers(fleet.clock.mono);
    assert_eq!(
        (paused.health, paused.rooms, paused.cleanup),
        (None, None, None)
    );
    assert_eq!(paused.operations, Some(60_000), "what runs goes on");
    fleet.order(Command::SetPaused(false)).unwrap();
    fleet.hold = true;
    fleet.order(Command::Cancel(id)).unwrap();
    let view = fleet.state.view();
    assert_eq!((view.queued, view.work_in_flight), (0, 1));
    assert_eq!((view.running[0].id, view.running[0].in_flight), (waits, 1));
    assert_eq!(view.running[0].step, "creating rooms");
    assert_eq!(fleet.state.name().as_str(), "arena");
    assert_eq!(*fleet.state.settings(), *fleet.settings);
}

#[test]
fn pages_filter_by_status_and_version_and_have_a_bound() {
    let settings = CoreSettings::default();
    let mut fleet = Fleet::up_with(spec(4), settings);
    let rooms = fleet.rooms();
    fleet.ping(&rooms[1], PingStatus::Occupied, 1).unwrap();
    let mut page = |query: RoomQuery| match fleet.order(Command::Rooms(query)) {
        Ok(Reply::Rooms(page)) => page,
        other => panic!("{other:?}"),
    };
    let all = RoomQuery {
        limit: 1000,
        ..RoomQuery::default()
    };
    let ids =
        |page: &RoomPage| -> Vec<RoomId> { page.rooms.iter().map(|r| r.room.id.clone()).collect() };
    assert_eq!(ids(&page(all.clone())), rooms, "by id");
    let occupied = page(RoomQuery {
        status: Some(RoomStatus::Occupied),
        ..all.clone()
    });
    assert_eq!(
        (occupied.total, ids(&occupied)),
        (1, vec![rooms[1].clone()])
    );
    assert_eq!(occupied.rooms[0].room.running_matches, 1);
    let other = page(RoomQuery {
        version: Some("v2.0.0".into()),
        ..all.clone()
    });
    assert_eq!((other.total, other.rooms.len()), (0, 0));
    let middle = page(RoomQuery {
        offset: 1,
        limit: 2,
        version: Some("v1.0.0".into()),
        ..all
    });
    assert_eq!((middle.total, ids(&middle)), (4, rooms[1..3].to_vec()));
}
