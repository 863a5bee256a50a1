//! Draining rooms (D22), and what may happen between the choice of a room and its end.

use maestro_core::domain::*;
use maestro_core::ports::RuntimeEvent;
use maestro_core::state::*;
use maestro_simulation::Fleet;
use maestro_simulation::documents::{operation_of, patch};
use std::time::Duration;

/// A fleet of three rooms with a match, two of which drain, and the ids of those two.
fn draining() -> (Fleet, Vec<RoomId>) {
    let mut fleet = Fleet::up(3);
    fleet.ping_all(PingStatus::Occupied);
    fleet.order(patch(|p| p.rooms_replicas = Some(1))).unwrap();
    let drains = drained(&fleet);
    assert_eq!(drains.len(), 2);
    (fleet, drains)
}

/// Rooms whose row says that they drain.
fn drained(fleet: &Fleet) -> Vec<RoomId> {
    let rows = fleet.stored.rooms.values();
    let drains = rows.filter(|r| r.intent.removal.is_some_and(|r| r.drain));
    drains.map(|r| r.id.clone()).collect()
}

/// Keeps the room lane busy until the operation is canceled.
fn busy(fleet: &mut Fleet) -> OperationId {
    operation_of(fleet.order(Command::TestOperation { sleep_seconds: 600 }))
}

#[test]
fn rooms_that_drain_play_on_over_a_restart_and_a_new_list() {
    let (mut fleet, drains) = draining();
    fleet.restart();
    fleet.machine.relist();
    fleet.carry_on();
    fleet.pass_pinging(Duration::from_secs(300), PingStatus::Occupied);
    assert_eq!(fleet.machine.terminations, [], "nobody was told to end");
    assert_eq!(fleet.rooms().len(), 3);
    assert_eq!(drained(&fleet), drains);
    // A resume repeats the orders to end; these rooms have none yet.
    fleet.order(Command::SetPaused(true)).unwrap();
    fleet.order(Command::SetPaused(false)).unwrap();
    assert_eq!(fleet.rooms().len(), 3);
    for room in &drains {
        assert!(fleet.machine.running.contains_key(room));
        fleet.ping(room, PingStatus::Ready, 0).unwrap();
        assert!(
            !fleet.machine.running.contains_key(room),
            "its match is over"
        );
    }
    let reasons = fleet.machine.terminations.iter().map(|t| t.reason);
    assert!(reasons.eq([RemovalReason::ScaleDown; 2]));
}

#[test]
fn a_drained_room_that_is_occupied_again_before_its_removal_starts_plays_on() {
    let (mut fleet, drains) = draining();
    let room = drains[0].clone();
    let busy = busy(&mut fleet);
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    let removal = fleet.operations_of("remove_rooms");
    let waits = removal
        .iter()
        .find(|o| o.status == OperationStatus::Pending);
    let waits = waits.expect("its removal waits").id;
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    fleet.order(Command::Cancel(busy)).unwrap();
    assert_eq!(fleet.operation(waits).status, OperationStatus::Finished);
    assert_eq!(fleet.machine.terminations, [], "it was not told to end");
    assert_eq!(drained(&fleet), drains, "and drains as before");
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert!(!fleet.machine.running.contains_key(&room));
}

#[test]
fn a_removal_that_is_resumed_ends_what_was_chosen_and_chooses_no_more() {
    let mut fleet = Fleet::up(5);
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::RemoveRooms {
        amount: 2,
        force: false,
        version: None,
    }));
    let chosen: Vec<_> = fleet.operation(id).resume.rooms.clone();
    assert_eq!(chosen.len(), 2);
    assert!(fleet.release_one());
    fleet.restart();
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    assert_eq!(fleet.rooms().len(), 3);
    assert!(chosen.iter().all(|r| !fleet.rooms().contains(r)));
}

#[test]
fn a_canceled_removal_by_a_user_leaves_the_drain_of_a_scale_down() {
    let (mut fleet, drains) = draining();
    let room = drains[0].clone();
    let busy = busy(&mut fleet);
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    let remove = Command::RemoveRoom {
        room: room.clone(),
        force: false,
    };
    let id = operation_of(fleet.order(remove));
    fleet.order(Command::Cancel(id)).unwrap();
    assert_eq!(fleet.operation(id).status, OperationStatus::Canceled);
    assert_eq!(drained(&fleet), drains);
    fleet.order(Command::Cancel(busy)).unwrap();
    assert!(!fleet.machine.running.contains_key(&room), "the scale-down");
}

#[test]
fn a_canceled_removal_by_a_user_gives_the_room_back() {
    let mut fleet = Fleet::up(2);
    busy(&mut fleet);
    let rooms = fleet.rooms();
    let remove = Command::RemoveRoom {
        room: rooms[0].clone(),
        force: false,
    };
    let id = operation_of(fleet.order(remove));
    assert_eq!(drained(&fleet), rooms[..1]);
    let Ok(Reply::Allocated { room, .. }) = fleet.order(Command::Allocate) else {
        panic!("the other one is free");
    };
    assert_eq!(room, rooms[1], "what is to go is given to nobody");
    fleet.order(Command::Cancel(id)).unwrap();
    assert_eq!(drained(&fleet), []);
    let Ok(Reply::Allocated { room, .. }) = fleet.order(Command::Allocate) else {
        panic!("it is free again");
    };
    assert_eq!(room, rooms[0]);
    fleet.restart();
    assert_eq!(drained(&fleet), [], "and that was stored");
}

#[test]
fn a_match_that_begins_before_a_users_removal_runs_is_played_to_its_end() {
    let mut fleet = Fleet::up(1);
    let busy = busy(&mut fleet);
    let room = fleet.rooms()[0].clone();
    let remove = Command::RemoveRoom {
        room: room.clone(),
        force: false,
    };
    fleet.order(remove).unwrap();
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    fleet.order(Command::Cancel(busy)).unwrap();
    assert_eq!(fleet.machine.terminations, []);
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert!(!fleet.machine.running.contains_key(&room));
    let reason = fleet.machine.terminations[0].reason;
    assert_eq!(reason, RemovalReason::RequestedByUser);
}

#[test]
fn a_forced_removal_ends_a_room_in_its_match() {
    let mut fleet = Fleet::up(2);
    let room = fleet.rooms()[0].clone();
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    let remove = Command::RemoveRoom {
        room: room.clone(),
        force: true,
    };
    let id = operation_of(fleet.order(remove));
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    assert!(!fleet.machine.running.contains_key(&room));
}

#[test]
fn a_forced_removal_ends_a_room_that_drains() {
    let mut fleet = Fleet::up(2);
    let room = fleet.rooms()[0].clone();
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    let remove = |force| {
        let room = room.clone();
        Command::RemoveRoom { room, force }
    };
    fleet.order(remove(false)).unwrap();
    assert!(fleet.machine.running.contains_key(&room));
    let id = operation_of(fleet.order(remove(true)));
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    assert!(!fleet.machine.running.contains_key(&room));
}

#[test]
fn a_match_beyond_the_drain_deadline_is_cut_short() {
    let (mut fleet, drains) = draining();
    let deadline = fleet.settings.drain_deadline.expect("there is one");
    let almost = deadline - Duration::from_secs(60);
    fleet.pass_pinging(almost, PingStatus::Occupied);
    assert_eq!(fleet.rooms().len(), 3);
    fleet.pass_pinging(Duration::from_secs(90), PingStatus::Occupied);
    assert!(
        drains
            .iter()
            .all(|r| !fleet.machine.running.contains_key(r))
    );
    assert_eq!(fleet.rooms().len(), 1);
}

#[test]
fn a_late_end_of_an_earlier_life_does_not_end_the_present_one() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    let before = fleet.machine.running[&room].uid.clone();
    fleet.machine.replace_by_namesake(&room, false);
    fleet.machine.relist();
    fleet.carry_on();
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    let after = fleet.machine.running[&room].uid.clone();
    assert_ne!(before, after);
    let end = |uid: &str| {
        Input::Runtime(RuntimeEvent::Gone {
            room: room.clone(),
            uid: uid.into(),
            exit: None,
        })
    };
    fleet.input(end(&before));
    assert_eq!(fleet.status(&room), Some(RoomStatus::Ready));
    assert_eq!(fleet.machine.orders.len(), 1, "nothing was replaced");
    fleet.input(end(&after));
    assert_eq!(fleet.status(&room), None);
}
