//! Rules of the contract that no other story covers: times of expiry, rooms without an address, unknown kinds.

use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::{Fleet, spec};
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A fleet with one running room that has not pinged yet.
fn silent_room() -> (Fleet, RoomId) {
    let mut fleet = Fleet::new(CoreSettings::default());
    fleet
        .order(Command::CreateScheduler(Box::new(spec(1))))
        .unwrap();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    let room = fleet.rooms()[0].clone();
    assert_eq!(fleet.count(RoomStatus::Unready), 1);
    (fleet, room)
}

#[test]
fn a_room_that_never_says_ready_is_replaced_after_its_initialization_time() {
    // Contract 5.7, step 3 (a): two minutes.
    let (mut fleet, room) = silent_room();
    fleet.pass(seconds(119));
    assert!(fleet.rooms().contains(&room));
    fleet.pass(seconds(3));
    assert!(!fleet.rooms().contains(&room), "{:?}", fleet.rooms());
    assert_eq!(fleet.rooms().len(), 1, "another one takes its place");
    let removal = fleet.operations_of("remove_rooms")[0].definition.to_json();
    assert_eq!(removal["reason"], "expired_room");
}

#[test]
fn a_room_that_is_silent_is_replaced_after_its_ping_time() {
    // Contract 5.7, step 3 (b): four minutes from the last ping, whatever it was.
    for status in [PingStatus::Ready, PingStatus::Occupied] {
        let (mut fleet, room) = silent_room();
        fleet.pass(seconds(60));
        fleet.ping(&room, status, 1).unwrap();
        fleet.pass(seconds(239));
        assert!(fleet.rooms().contains(&room), "{status:?}");
        fleet.pass(seconds(3));
        assert!(!fleet.rooms().contains(&room), "{status:?}");
    }
}

#[test]
fn a_room_that_says_it_ends_and_does_not_is_ended_after_its_deletion_time() {
    // Contract 5.7, step 3 (c), measured from the ping (contract 11.32).
    let (mut fleet, room) = silent_room();
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    fleet.ping(&room, PingStatus::Terminating, 0).unwrap();
    for _ in 0..11 {
        fleet.pass(seconds(10));
        fleet.ping(&room, PingStatus::Terminating, 0).unwrap();
    }
    assert!(fleet.rooms().contains(&room), "110 s are not 120 s");
    fleet.pass(seconds(12));
    assert!(!fleet.rooms().contains(&room), "its pings do not keep it");
}

#[test]
fn a_room_that_says_it_is_over_is_ended_at_once() {
    // Contract 5.7, step 3 (d).
    let (mut fleet, room) = silent_room();
    for status in [
        PingStatus::Ready,
        PingStatus::Terminating,
        PingStatus::Terminated,
    ] {
        fleet.ping(&room, status, 0).unwrap();
    }
    fleet.pass(seconds(1));
    assert!(!fleet.rooms().contains(&room), "{:?}", fleet.rooms());
}

#[test]
fn a_room_without_an_address_has_none_to_tell_and_is_given_to_nobody() {
    // D7, and contract 7: ready, but not placed.
    let (mut fleet, room) = silent_room();
    let mut instance = fleet.machine.running[&room].clone();
    instance.address = None;
    instance.resource_version += 1;
    fleet.input(Input::Runtime(RuntimeEvent::Changed(instance)));
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    let refusal = fleet.order(Command::Address(room.clone())).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert!(
        refusal.message.contains("has no address yet"),
        "{}",
        refusal.message
    );
    let refusal = fleet.order(Command::Allocate).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert_eq!(fleet.count(RoomStatus::Allocated), 0);
}

#[test]
fn rows_of_a_room_without_an_instance_are_no_room_to_go_to() {
    // D7: another program left them. Nobody here is making the room, so there is nothing to wait for.
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    fleet.pass(Duration::from_secs(2));
    fleet.stored.rooms.get_mut(&room).expect("its row").instance = None;
    fleet.deaf = true;
    fleet.restart();
    let refusal = fleet.order(Command::Address(room)).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NotFound);
    assert!(refusal.message.contains("no instance"), "{refusal:?}");
}

#[test]
fn an_operation_of_a_kind_that_nobody_knows_is_evicted_and_says_so() {
    // D19.
    let mut fleet = Fleet::up(0);
    let id = OperationId(uuid::Uuid::from_u128(9));
    let record = OperationRecord {
        id,
        scheduler: "arena".into(),
        definition: Definition::Unknown {
            name: "no_such_operation".into(),
            contents: "{}".into(),
        },
        status: OperationStatus::Pending,
        created_at: fleet.clock.wall,
        status_at: fleet.clock.wall,
        history: Vec::new(),
        priority: false,
        lease_until: None,
        resume: ResumeState::default(),
    };
    fleet.input(Input::Pushed(Box::new(record)));
    let end = fleet.operation(id);
    assert_eq!(end.status, OperationStatus::Evicted);
    let last = end.history.last().expect("a reason").event.clone();
    assert!(last.contains("\"no_such_operation\""), "{last}");
    // It has blocked nothing.
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    assert_eq!(fleet.rooms().len(), 1);
}
