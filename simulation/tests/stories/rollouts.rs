//! Rollouts and the inventory, as an operator sees and controls them.

use maestro_core::domain::*;
use maestro_core::rules::patch::{ContainerPatch, Patch, SpecPatch};
use maestro_core::state::*;
use maestro_simulation::{Fleet, spec};
use std::time::Duration;

fn rollout(fleet: &mut Fleet) -> RolloutView {
    match fleet.order(Command::Rollout) {
        Ok(Reply::Rollout(view)) => *view,
        other => panic!("{other:?}"),
    }
}

/// A fleet whose new major version was validated and is active.
fn with_new_version(rooms: i32, occupied: bool) -> Fleet {
    let mut fleet = Fleet::up(rooms);
    if occupied {
        fleet.ping_all(PingStatus::Occupied);
    }
    let spec = SpecPatch {
        containers: vec![ContainerPatch {
            command: vec!["false".into()],
            ..ContainerPatch::default()
        }],
        ..SpecPatch::default()
    };
    let patch = Patch {
        spec: Some(spec),
        ..Patch::default()
    };
    fleet.order(Command::Patch(Box::new(patch))).unwrap();
    let trial = fleet
        .rooms()
        .into_iter()
        .find(|r| fleet.machine.running[r].validation);
    let trial = trial.expect("a validation room");
    fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.state.view().version, "v2.0.0");
    fleet
}

/// New rooms ping ready; the others do not ping.
fn new_rooms_come_up(fleet: &mut Fleet) {
    for room in fleet.rooms() {
        let stored = fleet.stored.rooms.get(&room);
        if stored.is_some_and(|r| r.reported.ping == PingStatus::Unknown) {
            fleet.ping(&room, PingStatus::Ready, 0).unwrap();
        }
    }
}

#[test]
fn a_rollout_waits_for_matches_and_says_so() {
    let mut fleet = with_new_version(3, true);
    for _ in 0..10 {
        new_rooms_come_up(&mut fleet);
    }
    let view = rollout(&mut fleet);
    assert!(view.in_progress);
    assert_eq!((view.old, view.new, view.surge), (3, 1, 1));
    let reason = view.waiting_for.unwrap();
    assert!(reason.contains("matches"), "{reason}");
    assert_eq!(fleet.machine.running.len(), 4, "no match was ended");
    assert!(
        fleet.stored.operations.len() < 20,
        "no hot loop: {}",
        fleet.stored.operations.len()
    );
    fleet.ping_all(PingStatus::Ready);
    for _ in 0..10 {
        new_rooms_come_up(&mut fleet);
    }
    let view = rollout(&mut fleet);
    assert!(!view.in_progress, "{view:?}");
    assert_eq!(fleet.machine.running.len(), 3);
}

#[test]
fn a_paused_rollout_replaces_nothing_until_it_is_resumed_also_after_a_restart() {
    let mut fleet = with_new_version(3, false);
    fleet.order(Command::PauseRollout).unwrap();
    for _ in 0..10 {
        new_rooms_come_up(&mut fleet);
    }
    let before = rollout(&mut fleet);
    assert!(before.paused && before.in_progress, "{before:?}");
    fleet.restart();
    fleet.pass(Duration::from_secs(70));
    let after = rollout(&mut fleet);
    assert!(after.paused, "{after:?}");
    assert!(after.old >= 2, "{after:?}");
    fleet.order(Command::ResumeRollout).unwrap();
    for _ in 0..10 {
        new_rooms_come_up(&mut fleet);
    }
    assert!(!rollout(&mut fleet).in_progress);
}

#[test]
fn an_aborted_rollout_goes_back_to_the_version_before() {
    let mut fleet = with_new_version(3, true);
    new_rooms_come_up(&mut fleet);
    let Ok(Reply::Operation(id)) = fleet.order(Command::AbortRollout) else {
        panic!()
    };
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    assert_eq!(fleet.state.view().version, "v1.0.0");
    fleet.ping_all(PingStatus::Ready);
    for _ in 0..10 {
        new_rooms_come_up(&mut fleet);
    }
    assert!(
        fleet
            .machine
            .running
            .values()
            .all(|i| i.version.as_str() == "v1.0.0")
    );
    assert_eq!(fleet.machine.running.len(), 3);
    let refusal = fleet.order(Command::AbortRollout).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Conflict);
}

#[test]
fn the_inventory_pages_and_remembers_how_a_room_ended() {
    let mut fleet = Fleet::up(5);
    let page = |fleet: &mut Fleet, query: RoomQuery| match fleet.order(Command::Rooms(query)) {
        Ok(Reply::Rooms(page)) => page,
        other => panic!("{other:?}"),
    };
    let query = RoomQuery {
        limit: 2,
        offset: 4,
        ..RoomQuery::default()
    };
    let last = page(&mut fleet, query);
    assert_eq!((last.total, last.rooms.len()), (5, 1));
    let occupied = RoomQuery {
        status: Some(RoomStatus::Occupied),
        limit: 10,
        ..RoomQuery::default()
    };
    assert_eq!(page(&mut fleet, occupied).total, 0);
    let victim = fleet.rooms()[0].clone();
    fleet.crash(&victim, 7);
    let Ok(Reply::Room(detail)) = fleet.order(Command::Room(victim)) else {
        panic!()
    };
    let end = detail.ended.expect("it ended");
    assert_eq!(end.exit_code, Some(7));
    assert_eq!(end.last_log_lines, ["bye"]);
    assert!(detail.events.len() >= 3, "{:?}", detail.events);
    let refusal = fleet.order(Command::Room("nobody".into())).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NotFound);
}

#[test]
fn old_versions_go_when_there_are_too_many_but_never_those_in_use() {
    let settings = maestro_core::settings::CoreSettings {
        versions_limit: 3,
        ..Default::default()
    };
    let mut fleet = Fleet::new(settings);
    fleet
        .order(Command::CreateScheduler(Box::new(spec(1))))
        .unwrap();
    fleet.input(Input::Runtime(maestro_core::ports::RuntimeEvent::Listed(
        vec![],
    )));
    fleet.ping_all(PingStatus::Ready);
    for surge in 2..8 {
        let patch = Patch {
            max_surge: Some(surge.to_string().into()),
            ..Patch::default()
        };
        fleet.order(Command::Patch(Box::new(patch))).unwrap();
        fleet.pass(Duration::from_secs(1));
    }
    let kept: Vec<_> = fleet
        .stored
        .versions
        .keys()
        .map(|v| v.to_string())
        .collect();
    assert_eq!(fleet.state.view().version, "v1.6.0");
    assert!(
        kept.contains(&"v1.0.0".to_owned()),
        "a room runs it: {kept:?}"
    );
    assert!(
        kept.contains(&"v1.5.0".to_owned()),
        "the one before: {kept:?}"
    );
    assert!(kept.len() <= 4, "{kept:?}");
}

#[test]
fn a_scheduler_does_not_grow_beyond_its_cap() {
    let settings = maestro_core::settings::CoreSettings {
        rooms_limit: 3,
        ..Default::default()
    };
    let mut fleet = Fleet::new(settings);
    fleet
        .order(Command::CreateScheduler(Box::new(spec(5))))
        .unwrap();
    fleet.input(Input::Runtime(maestro_core::ports::RuntimeEvent::Listed(
        vec![],
    )));
    fleet.ping_all(PingStatus::Ready);
    fleet.pass(Duration::from_secs(70));
    assert_eq!(fleet.machine.running.len(), 3);
    let refusal = fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Exhausted);
}
