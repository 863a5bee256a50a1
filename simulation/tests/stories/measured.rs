//! Reports for metrics (contract 9).

use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::{Fleet, spec};
use std::time::Duration;

/// Operations whose work has ended, with their outcome.
fn executed(fleet: &Fleet) -> Vec<(&str, Outcome)> {
    let reports = fleet.reports.iter().filter_map(|report| match report {
        Report::Executed {
            operation, outcome, ..
        } => Some((operation.name.as_str(), *outcome)),
        _ => None,
    });
    reports.collect()
}

#[test]
fn each_operation_is_reported_once_with_its_time() {
    let mut fleet = Fleet::new(CoreSettings::default());
    fleet
        .order(Command::CreateScheduler(Box::new(spec(2))))
        .unwrap();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    fleet.hold = true;
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    fleet.pass(Duration::from_secs(7));
    fleet.hold = false;
    while !fleet.works.is_empty() {
        assert!(fleet.release_one());
    }
    let done = Outcome::Success;
    assert_eq!(
        executed(&fleet),
        [
            ("create_scheduler", done),
            ("add_rooms", done),
            ("add_rooms", done)
        ]
    );
    let Some(Report::Executed { took, .. }) = fleet.reports.last() else {
        panic!("{:?}", fleet.reports)
    };
    assert_eq!(*took, Duration::from_secs(7));
}

#[test]
fn a_failure_and_its_rollback_are_reported_apart() {
    let mut fleet = Fleet::up(1);
    fleet.reports.clear();
    fleet.machine.creation_fails = Some("no image".into());
    fleet
        .order(Command::AddRooms {
            amount: 2,
            version: None,
        })
        .unwrap();
    let add_rooms = |id| {
        let name = "add_rooms".to_owned();
        Named { id, name }
    };
    let took = Duration::ZERO;
    let Report::Began { operation, text } = &fleet.reports[0] else {
        panic!("{:?}", fleet.reports)
    };
    let id = operation.id;
    assert_eq!(
        (operation, text.as_str()),
        (&add_rooms(id), "Starting operation")
    );
    let Report::Executed { cause, .. } = &fleet.reports[1] else {
        panic!("{:?}", fleet.reports)
    };
    assert!(cause.contains("no image"), "{cause}");
    assert_eq!(
        fleet.reports[1..4],
        [
            Report::Executed {
                operation: add_rooms(id),
                took,
                outcome: Outcome::Failure,
                cause: cause.clone(),
            },
            Report::RollsBack {
                operation: add_rooms(id)
            },
            Report::RolledBack {
                operation: add_rooms(id),
                took,
                success: true
            },
        ]
    );
}

#[test]
fn a_canceled_operation_is_no_failure() {
    let mut fleet = Fleet::up(1);
    fleet.reports.clear();
    let ordered = fleet.order(Command::TestOperation { sleep_seconds: 60 });
    let Ok(Reply::Operation(id)) = ordered else {
        panic!("{ordered:?}")
    };
    fleet.order(Command::Cancel(id)).unwrap();
    assert_eq!(executed(&fleet), [("test_operation", Outcome::Canceled)]);
}

#[test]
fn an_operation_that_nobody_knows_is_reported_as_evicted() {
    let mut fleet = Fleet::up(1);
    fleet.reports.clear();
    let known = fleet.operations_of("add_rooms")[0].clone();
    let operation = "dance".to_owned();
    fleet.input(Input::Pushed(Box::new(OperationRecord {
        id: OperationId(uuid::Uuid::from_u128(9)),
        definition: Definition::Unknown {
            name: operation.clone(),
            contents: "{}".into(),
        },
        status: OperationStatus::Pending,
        resume: ResumeState::default(),
        history: Vec::new(),
        ..known
    })));
    let id = OperationId(uuid::Uuid::from_u128(9));
    let operation = Named {
        id,
        name: operation,
    };
    assert_eq!(fleet.reports, [Report::Evicted { operation }]);
}

#[test]
fn a_name_that_is_taken_is_reported() {
    let mut fleet = Fleet::up(0);
    fleet.reports.clear();
    let again = fleet.order(Command::CreateScheduler(Box::new(spec(0))));
    assert_eq!(again.unwrap_err().kind, RefusalKind::AlreadyExists);
    assert_eq!(fleet.reports, [Report::DuplicateCreate]);
}

#[test]
fn the_ends_of_rooms_are_those_between_two_health_runs() {
    let mut fleet = Fleet::up(3);
    let minute = Duration::from_secs(61);
    fleet
        .order(Command::RemoveRooms {
            amount: 1,
            force: false,
            version: None,
        })
        .unwrap();
    assert_eq!(fleet.state.figures().ends, RoomEnds::default());
    fleet.pass(minute);
    let ends = |timed_out, properly| RoomEnds {
        timed_out,
        properly,
    };
    assert_eq!(fleet.state.figures().ends, ends(0, 1));
    fleet.ping_all(PingStatus::Ready);
    fleet.pass(minute);
    assert_eq!(fleet.state.figures().ends, ends(0, 0));
    // A room with an order to end that does not end.
    fleet.hold = true;
    fleet
        .order(Command::RemoveRooms {
            amount: 1,
            force: false,
            version: None,
        })
        .unwrap();
    let (id, _) = fleet.works.pop_front().unwrap();
    let result = WorkResult::Done;
    fleet.input(Input::WorkDone { id, result });
    fleet.hold = false;
    let runs: Vec<RoomEnds> = (0..5)
        .map(|_| {
            fleet.ping_all(PingStatus::Ready);
            fleet.pass(minute);
            fleet.state.figures().ends
        })
        .collect();
    let late = runs.iter().filter(|run| run.timed_out == 1).count();
    assert_eq!(late, 1, "{runs:?}");
}

#[test]
fn the_figures_are_those_of_the_fleet() {
    let mut fleet = Fleet::up(3);
    let room = fleet.rooms()[0].clone();
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    let figures = fleet.state.figures();
    assert_eq!((figures.available, figures.desired), (3, Some(3)));
    assert_eq!(figures.rooms.of(RoomStatus::Ready), 2);
    assert_eq!(figures.running_matches, 1);
    assert_eq!(figures.instances[InstanceStatus::Ready as usize], 3);
    fleet.order(Command::DeleteScheduler).unwrap();
    let figures = fleet.state.figures();
    assert_eq!(figures.instances, [0; 5]);
    assert_eq!(figures.desired, Some(0));
}

/// A room ends properly after an order to end or a terminating ping. A crash while draining is neither.
#[test]
fn a_room_that_says_good_bye_ends_properly_and_one_that_crashes_while_it_drains_does_not() {
    let mut fleet = Fleet::up(2);
    let minute = Duration::from_secs(61);
    let properly = |fleet: &mut Fleet| {
        fleet.pass(minute);
        fleet.state.figures().ends.properly
    };
    assert_eq!(properly(&mut fleet), 0);
    let leaves = fleet.rooms()[0].clone();
    fleet.ping(&leaves, PingStatus::Terminating, 0).unwrap();
    fleet.crash(&leaves, 0);
    assert_eq!(properly(&mut fleet), 1);
    fleet.ping_all(PingStatus::Occupied);
    let remove = Command::RemoveRooms {
        amount: 1,
        force: false,
        version: None,
    };
    fleet.order(remove).unwrap();
    let drains = fleet.state.rooms().iter().find(|room| room.is_draining());
    let drains = drains.expect("one waits for its match").record.id.clone();
    assert_eq!(properly(&mut fleet), 0);
    fleet.crash(&drains, 1);
    assert_eq!(properly(&mut fleet), 0);
}
