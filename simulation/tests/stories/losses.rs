//! A store that lost changes: repaired by its owner, or loaded as it is by the next one.

use maestro_core::domain::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::{Fleet, StoreFault};

fn is_given_out(fleet: &mut Fleet) -> bool {
    fleet.order(Command::Allocate).is_ok()
}

fn hold() -> std::time::Duration {
    CoreSettings::default().allocation_hold
}

#[test]
fn an_owner_repairs_what_it_knows_in_one_commit() {
    let mut fleet = Fleet::up(2);
    let rooms = fleet.rooms();
    fleet.lose(StoreFault::LosesEverything);
    assert!(fleet.stored.rooms.is_empty());
    let _ = fleet.ping(&rooms[0], PingStatus::Occupied, 1);
    assert_eq!(fleet.repairs, 1);
    let stored: Vec<_> = fleet.stored.rooms.keys().cloned().collect();
    assert_eq!(stored, rooms);
    fleet.restart();
    assert_eq!(fleet.status(&rooms[0]), Some(RoomStatus::Occupied));
    assert!(is_given_out(&mut fleet), "the other one was never doubted");
}

#[test]
fn rooms_without_rows_are_kept_and_not_given_out_for_the_hold_time() {
    let mut fleet = Fleet::up(2);
    let rooms = fleet.rooms();
    fleet.lose(StoreFault::LosesEverything);
    for _ in 0..2 {
        fleet.restart();
        fleet.ping_all(PingStatus::Ready);
        assert_eq!(fleet.rooms(), rooms, "none is replaced");
        assert!(!is_given_out(&mut fleet), "nor by the owner after the next");
    }
    fleet.pass_pinging(hold(), PingStatus::Ready);
    assert!(is_given_out(&mut fleet));
}

#[test]
fn rows_that_are_left_are_kept_and_doubted() {
    let mut fleet = Fleet::up(2);
    let rooms = fleet.rooms();
    fleet.stored.behind = true;
    for _ in 0..2 {
        fleet.restart();
        assert_eq!(fleet.rooms(), rooms, "none is replaced");
        assert_eq!(fleet.count(RoomStatus::Ready), 2);
        assert!(!is_given_out(&mut fleet));
        assert!(!fleet.stored.behind, "the doubt is stored");
    }
    fleet.pass_pinging(hold(), PingStatus::Ready);
    assert!(is_given_out(&mut fleet));
}

#[test]
fn only_a_match_that_the_owner_heard_of_ends_the_doubt() {
    let mut fleet = Fleet::up(1);
    let room = fleet.rooms().remove(0);
    let _ = fleet.ping(&room, PingStatus::Occupied, 1);
    fleet.stored.behind = true;
    fleet.restart();
    // The stored match may have ended long ago, and the room may be held for the next one.
    let _ = fleet.ping(&room, PingStatus::Ready, 0);
    assert_eq!(fleet.status(&room), Some(RoomStatus::Ready));
    assert!(!is_given_out(&mut fleet));
    let _ = fleet.ping(&room, PingStatus::Occupied, 1);
    let _ = fleet.ping(&room, PingStatus::Ready, 0);
    assert!(is_given_out(&mut fleet));
}

#[test]
fn a_room_that_its_operation_still_makes_is_doubted_without_being_taken_from_it() {
    let mut fleet = Fleet::up(0);
    fleet.hold = true;
    let _ = fleet.order(Command::AddRooms {
        amount: 2,
        version: None,
    });
    assert!(fleet.release_one(), "ports");
    assert!(fleet.release_one(), "ports, or a room");
    while fleet.rooms().is_empty() {
        assert!(fleet.release_one());
    }
    fleet.stored.behind = true;
    fleet.restart();
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(fleet.rooms().len(), 2, "none is made twice");
}

#[test]
fn a_creation_that_meets_a_loss_is_stored_once() {
    use maestro_simulation::spec;
    let mut fleet = Fleet::new(CoreSettings::default());
    fleet.stored.seq = Seq(1);
    fleet.restart_held();
    fleet.lose(StoreFault::LosesEverything);
    let created = fleet.order(Command::CreateScheduler(Box::new(spec(1))));
    assert!(created.is_ok(), "{created:?}");
    assert_eq!(fleet.repairs, 1);
    assert_eq!(fleet.stored.versions.len(), 1);
    fleet.restart();
    assert!(fleet.state.scheduler().is_some());
}
