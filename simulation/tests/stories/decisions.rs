//! Requested removals and switches of versions, where they deliberately differ from the original
//! (D27, D32).

use PingStatus::{Occupied, Ready};
use maestro_core::domain::*;
use maestro_core::rules::patch::Patch;
use maestro_core::state::*;
use maestro_simulation::Fleet;
use maestro_simulation::documents::operation_of;
use std::sync::Arc;
use std::time::Duration;

fn remove(fleet: &mut Fleet, amount: i32, force: bool) -> OperationId {
    operation_of(fleet.order(Command::RemoveRooms {
        amount,
        force,
        version: None,
    }))
}

fn history(fleet: &Fleet, id: OperationId) -> String {
    let lines = fleet.operation(id).history.iter();
    lines.map(|line| format!("{}\n", line.event)).collect()
}

fn replicas(fleet: &Fleet) -> i32 {
    fleet.stored.scheduler.as_ref().unwrap().rooms_replicas
}

/// The replicas in each version's own document.
fn documents(fleet: &Fleet) -> Vec<(String, i32)> {
    let all = fleet.stored.versions.values();
    all.map(|v| (v.version().to_string(), v.rooms_replicas))
        .collect()
}

#[test]
fn an_order_to_remove_takes_idle_rooms_and_drains_those_with_a_match() {
    let mut fleet = Fleet::up(4);
    let rooms = fleet.rooms();
    for room in &rooms[..3] {
        fleet.ping(room, Occupied, 1).unwrap();
    }
    let id = remove(&mut fleet, 3, false);
    assert_eq!(fleet.rooms(), rooms[..3], "the idle one is gone");
    let record = fleet.operation(id);
    assert_eq!(record.status, OperationStatus::Finished);
    // The drain orders are durable with the operation's end, so they survive a restart.
    let drains = |id: &&RoomId| {
        fleet.stored.rooms[*id]
            .intent
            .removal
            .is_some_and(|r| r.drain)
    };
    let (drained, stays): (Vec<_>, Vec<_>) = rooms[..3].iter().partition(drains);
    assert_eq!((drained.len(), stays.len()), (2, 1));
    let text = history(&fleet, id);
    let line = |l: &&str| l.starts_with("2 rooms go when their matches end: ");
    let named = text.lines().find(line).expect(&text);
    assert!(
        drained.iter().all(|id| named.contains(id.as_str())),
        "{text}"
    );
    let end = format!(
        "removed 1 rooms: {}; 2 more go when their matches end",
        rooms[3]
    );
    assert!(text.contains(&end), "{text}");
    fleet.restart();
    assert_eq!(fleet.rooms(), rooms[..3]);
    for (room, left) in [(drained[0], 2), (drained[1], 1)] {
        fleet.ping(room, Ready, 0).unwrap();
        assert_eq!(fleet.machine.running.len(), left, "its match is over");
    }
    assert_eq!(replicas(&fleet), 1);
    fleet.pass(Duration::from_secs(130));
    assert_eq!(fleet.rooms(), [stays[0].clone()], "nothing replaces them");
}

#[test]
fn by_force_rooms_with_a_match_are_ended_at_once_after_the_idle_ones() {
    let mut fleet = Fleet::up(3);
    let rooms = fleet.rooms();
    fleet.ping(&rooms[0], Occupied, 1).unwrap();
    fleet.ping(&rooms[1], Occupied, 1).unwrap();
    remove(&mut fleet, 1, true);
    assert_eq!(fleet.rooms(), rooms[..2], "an idle one is there");
    let id = remove(&mut fleet, 1, true);
    assert_eq!(fleet.machine.running.len(), 1);
    assert_eq!(fleet.operation(id).definition.to_json()["force"], true);
    let id = remove(&mut fleet, 1, false);
    let input = fleet.operation(id).definition.to_json();
    assert!(input.get("force").is_none(), "{input}");
    assert_eq!(fleet.machine.running.len(), 1, "the last one has a match");
}

#[test]
fn the_ids_of_drained_rooms_in_a_history_are_bounded() {
    let mut fleet = Fleet::up(30);
    fleet.ping_all(Occupied);
    let id = remove(&mut fleet, 25, false);
    let text = history(&fleet, id);
    let line = text.lines().find(|l| l.starts_with("25 rooms go")).unwrap();
    assert!(line.ends_with(" and others"), "{line}");
    assert_eq!(line.matches("arena-").count(), 20, "{line}");
}

#[test]
fn what_another_tool_pushes_ends_the_rooms_it_picks() {
    for rooms_ids in [None, Some(())] {
        let mut fleet = Fleet::up(2);
        let rooms = fleet.rooms();
        fleet.ping_all(Occupied);
        let ids = rooms_ids.map(|()| vec![rooms[0].clone()]);
        let definition = Definition::RemoveRooms {
            amount: if ids.is_some() { 0 } else { 1 },
            rooms_ids: ids,
            reason: "scale_down".into(),
            force: false,
            version: None,
        };
        let record = OperationRecord {
            id: OperationId(uuid::Uuid::from_u128(7)),
            scheduler: "arena".into(),
            definition,
            status: OperationStatus::Pending,
            created_at: fleet.clock.wall,
            status_at: fleet.clock.wall,
            history: Vec::new(),
            priority: false,
            lease_until: None,
            resume: ResumeState::default(),
        };
        let id = record.id;
        // This also holds if its owner dies before it begins.
        fleet.order(Command::SetPaused(true)).unwrap();
        fleet.input(Input::Pushed(Box::new(record)));
        fleet.restart();
        fleet.order(Command::SetPaused(false)).unwrap();
        assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
        let left = fleet.rooms();
        let stayed = rooms.iter().filter(|room| left.contains(room)).count();
        assert_eq!(stayed, 1, "{}", history(&fleet, id));
    }
}

#[test]
fn a_definition_that_was_stored_without_the_new_field_is_read() {
    let old = r#"{"remove_rooms":{"amount":2,"rooms_ids":null,"reason":"requested_by_user"}}"#;
    let read: Definition = serde_json::from_str(old).unwrap();
    let expected = Definition::RemoveRooms {
        amount: 2,
        rooms_ids: None,
        reason: "requested_by_user".into(),
        force: false,
        version: None,
    };
    assert_eq!(read, expected);
    assert_eq!(
        serde_json::to_string(&read).unwrap(),
        old,
        "and an older reader reads ours"
    );
}

#[test]
fn an_order_by_number_is_written_to_the_version_and_the_row() {
    let mut fleet = Fleet::up(2);
    operation_of(fleet.order(Command::AddRooms {
        amount: 3,
        version: None,
    }));
    let said = |n| vec![("v1.0.0".to_owned(), n)];
    assert_eq!((replicas(&fleet), documents(&fleet)), (5, said(5)));
    remove(&mut fleet, 1, false);
    assert_eq!((replicas(&fleet), documents(&fleet)), (4, said(4)));
    // The number survives a switch to another version and back.
    let patch = Patch {
        rooms_replicas: Some(1),
        ..Patch::default()
    };
    fleet.order(Command::Patch(Box::new(patch))).unwrap();
    assert_eq!(replicas(&fleet), 1);
    fleet.restart();
    operation_of(fleet.order(Command::SwitchVersion("v1.0.0".into())));
    assert_eq!(replicas(&fleet), 4);
}

#[test]
fn an_order_to_add_that_came_to_nothing_is_taken_back_from_both() {
    let mut fleet = Fleet::up(1);
    fleet.machine.creation_fails = Some("no such command".into());
    operation_of(fleet.order(Command::AddRooms {
        amount: 2,
        version: None,
    }));
    assert_eq!(
        (replicas(&fleet), documents(&fleet)),
        (1, vec![("v1.0.0".into(), 1)])
    );
}

#[test]
fn a_switch_to_the_active_version_changes_nothing_and_says_so() {
    let mut fleet = Fleet::up(2);
    operation_of(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    fleet.order(Command::PauseRollout).unwrap();
    let before = fleet.stored.scheduler.clone();
    let id = operation_of(fleet.order(Command::SwitchVersion("v1.0.0".into())));
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    let text = history(&fleet, id);
    assert!(
        text.contains("v1.0.0 is the active version already"),
        "{text}"
    );
    assert_eq!(fleet.stored.scheduler, before);
    assert!(
        fleet.stored.operator.rollout_paused,
        "what an operator held stays held"
    );
}

#[test]
fn of_the_scheduler_only_creating_is_changed_by_a_switch_to_where_it_is() {
    for (was, becomes) in [
        (SchedulerPhase::Creating, SchedulerPhase::InSync),
        (SchedulerPhase::OnError, SchedulerPhase::OnError),
    ] {
        let mut fleet = Fleet::up(1);
        let mut document = Scheduler::clone(fleet.stored.scheduler.as_ref().unwrap());
        document.state = was;
        fleet.stored.scheduler = Some(Arc::new(document));
        fleet.restart();
        operation_of(fleet.order(Command::SwitchVersion("v1.0.0".into())));
        assert_eq!(fleet.scheduler_state(), becomes.as_str());
    }
}
