//! Which rooms are allocated to matchmakers, and the events about them (D33, D34).

use ForwardedEvent::{Resync, Terminated};
use PingStatus::{Occupied, Ready, Terminating};
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::state::*;
use maestro_simulation::{Fleet, spec};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn given(fleet: &mut Fleet) -> RoomId {
    match fleet.order(Command::Allocate) {
        Ok(Reply::Allocated { room, .. }) => room,
        other => panic!("{other:?}"),
    }
}

/// Reports a ping that was answered from the board.
fn pinged(fleet: &mut Fleet, room: &RoomId, at: Now) {
    let ping = SteadyPing {
        room: room.clone(),
        at,
        metadata: "".into(),
    };
    fleet.input(Input::Pinged(vec![ping]));
}

#[test]
fn a_room_that_was_silent_for_a_minute_is_given_when_no_other_is_there() {
    let mut fleet = Fleet::up(4);
    let rooms = fleet.rooms();
    fleet.pass(59 * SECOND);
    for room in &rooms[2..] {
        fleet.ping(room, Ready, 0).unwrap();
    }
    fleet.pass(3 * SECOND);
    assert_eq!(
        given(&mut fleet),
        rooms[2],
        "the smallest of those that pinged"
    );
    assert_eq!(given(&mut fleet), rooms[3]);
    // No other room is left: one that may be up is better than none.
    assert_eq!(given(&mut fleet), rooms[0]);
    // A room that pings again is allocated like any other. Its ping reaches the owner, because the
    // room is off the board.
    fleet.ping(&rooms[1], Ready, 0).unwrap();
    assert_eq!(given(&mut fleet), rooms[1]);
    fleet.order(Command::Allocate).unwrap_err();
}

#[test]
fn a_room_whose_pings_are_answered_from_the_board_is_not_silent() {
    let mut fleet = Fleet::up(2);
    let rooms = fleet.rooms();
    fleet.pass(60 * SECOND + SECOND / 2);
    // Within the second in which pings answered from the board may still be unreported.
    assert_eq!(given(&mut fleet), rooms[0]);
    fleet.pass(SECOND);
    let at = fleet.clock;
    fleet.pass(58 * SECOND);
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    fleet.ping_all(Ready);
    let old: Vec<RoomId> = fleet
        .rooms()
        .into_iter()
        .filter(|r| !rooms.contains(r))
        .collect();
    pinged(&mut fleet, &rooms[1], at);
    let smallest = rooms[1..].iter().chain(&old).min().unwrap().clone();
    assert_eq!(given(&mut fleet), smallest);
}

#[test]
fn a_passed_over_room_comes_back_by_a_ping_that_is_told_late() {
    let mut fleet = Fleet::up(2);
    let rooms = fleet.rooms();
    fleet.pass(70 * SECOND);
    fleet.ping(&rooms[1], Ready, 0).unwrap();
    let answered = fleet.clock;
    assert_eq!(given(&mut fleet), rooms[1], "the other one is silent");
    fleet.pass(SECOND);
    // The board had answered this ping before the room was skipped.
    pinged(&mut fleet, &rooms[0], answered);
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    let new = fleet
        .rooms()
        .into_iter()
        .find(|r| !rooms.contains(r))
        .unwrap();
    fleet.ping(&new, Ready, 0).unwrap();
    assert_eq!(given(&mut fleet), rooms[0].clone().min(new));
}

#[test]
fn the_active_version_goes_first_among_the_heard_and_among_the_silent() {
    let mut fleet = Fleet::up(2);
    let old = fleet.rooms();
    let patch = maestro_core::rules::patch::Patch {
        rooms_replicas: Some(4),
        ..Default::default()
    };
    fleet.order(Command::Patch(Box::new(patch))).unwrap();
    let new: Vec<RoomId> = fleet
        .rooms()
        .into_iter()
        .filter(|r| !old.contains(r))
        .collect();
    assert_eq!((old.len(), new.len()), (2, 2));
    fleet.ping_all(Ready);
    fleet.pass(62 * SECOND);
    fleet.ping(&old[1], Ready, 0).unwrap();
    fleet.ping(&new[1], Ready, 0).unwrap();
    let order: Vec<RoomId> = (0..4).map(|_| given(&mut fleet)).collect();
    let expected = [&new[1], &old[1], &new[0], &old[0]].map(RoomId::clone);
    assert_eq!(order, expected);
}

#[test]
fn with_zero_every_ready_room_is_as_good_as_another() {
    let mut fleet = Fleet::new(maestro_core::settings::CoreSettings {
        allocation_fresh: None,
        ..Default::default()
    });
    fleet
        .order(Command::CreateScheduler(Box::new(spec(2))))
        .unwrap();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    fleet.ping_all(Ready);
    let rooms = fleet.rooms();
    fleet.pass(100 * SECOND);
    fleet.ping(&rooms[1], Ready, 0).unwrap();
    assert_eq!(given(&mut fleet), rooms[0]);
}

#[test]
fn a_fleet_that_fell_silent_is_passed_over_a_piece_a_turn() {
    let mut fleet = Fleet::new(maestro_core::settings::CoreSettings {
        rooms_per_turn: 2,
        ..Default::default()
    });
    let create = Command::CreateScheduler(Box::new(spec(7)));
    fleet.order(create).unwrap();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    // The list takes several turns too.
    (0..4).for_each(|_| fleet.input(Input::Continue));
    fleet.ping_all(Ready);
    let rooms = fleet.rooms();
    assert_eq!(rooms.len(), 7);
    fleet.clock.mono = fleet.clock.mono.plus(100 * SECOND);
    // No room pinged lately: the smallest id is allocated, though not all rooms have been examined
    // yet.
    assert_eq!(given(&mut fleet), rooms[0]);
    fleet.ping(&rooms[6], Ready, 0).unwrap();
    assert_eq!(
        given(&mut fleet),
        rooms[6],
        "behind more than one turn's worth"
    );
    fleet.ping(&rooms[1], Ready, 0).unwrap();
    assert_eq!(
        given(&mut fleet),
        rooms[1],
        "it was passed over, and pinged"
    );
    for room in &rooms[2..6] {
        assert_eq!(given(&mut fleet), *room);
    }
    fleet.order(Command::Allocate).unwrap_err();
}

#[test]
fn a_silence_from_before_a_take_over_counts_for_allocation_only() {
    let mut fleet = Fleet::up(2);
    let rooms = fleet.rooms();
    fleet.pass(100 * SECOND);
    fleet.ping(&rooms[1], Ready, 0).unwrap();
    // The stored ping of the first room is older than a minute.
    let silent = fleet.stored.rooms[&rooms[0]].reported.last_ping_at;
    assert!(fleet.clock.wall.duration_since(silent).as_secs() > 60);
    fleet
        .stored
        .rooms
        .get_mut(&rooms[1])
        .unwrap()
        .reported
        .last_ping_at = fleet.clock.wall;
    fleet.restart();
    assert_eq!(given(&mut fleet), rooms[1]);
    fleet.pass(200 * SECOND);
    assert_eq!(fleet.rooms(), rooms, "neither is expired yet");
    assert_eq!(given(&mut fleet), rooms[0]);
}

fn told(rooms: i32) -> Fleet {
    let mut scheduler = spec(rooms);
    scheduler.forwarders = Some(vec![Forwarder {
        name: "mm".into(),
        enabled: true,
        forward_type: "gRPC".into(),
        address: "mm:80".into(),
        options: None,
    }]);
    Fleet::up_as(scheduler)
}

fn heard(fleet: &mut Fleet) -> Vec<(RoomId, ForwardedEvent, bool)> {
    let all = std::mem::take(&mut fleet.forwarded);
    let told = |f: &Arc<Forwarding>| (f.room.clone(), f.event.clone(), f.address.is_some());
    all.iter().map(told).collect()
}

/// The runtime reports a room's address, or withdraws it.
fn place(fleet: &mut Fleet, room: &RoomId, address: Option<Arc<Address>>) {
    let instance = fleet.machine.running.get_mut(room).unwrap();
    instance.address = address;
    instance.resource_version += 1;
    let changed = RuntimeEvent::Changed(instance.clone());
    fleet.input(Input::Runtime(changed));
}

#[test]
fn a_ready_before_the_rooms_address_is_told_once_the_address_is_known() {
    let mut fleet = told(6);
    let rooms = fleet.rooms();
    let address = fleet.machine.running[&rooms[0]].address.clone();
    rooms.iter().for_each(|room| place(&mut fleet, room, None));
    heard(&mut fleet);
    fleet.ping_all(Ready);
    assert_eq!(heard(&mut fleet), [], "nobody knows yet where they are");
    for room in &rooms {
        place(&mut fleet, room, address.clone());
        assert_eq!(heard(&mut fleet), [(room.clone(), Resync(Ready), true)]);
        // It is sent once: the next event is that of the next ping.
        place(&mut fleet, room, address.clone());
        assert_eq!(heard(&mut fleet), []);
    }
}

#[test]
fn a_ready_before_the_address_outlives_its_owner() {
    let mut fleet = told(1);
    let room = fleet.rooms()[0].clone();
    let address = fleet.machine.running[&room].address.clone();
    place(&mut fleet, &room, None);
    fleet.ping(&room, Ready, 0).unwrap();
    fleet.restart();
    heard(&mut fleet);
    place(&mut fleet, &room, address);
    assert_eq!(heard(&mut fleet), [(room.clone(), Resync(Ready), true)]);
    fleet.restart();
    assert_eq!(heard(&mut fleet), [], "it was told");
}

#[test]
fn of_several_words_before_the_address_the_last_one_is_told() {
    let mut fleet = told(1);
    let room = fleet.rooms()[0].clone();
    let address = fleet.machine.running[&room].address.clone();
    place(&mut fleet, &room, None);
    heard(&mut fleet);
    fleet.ping(&room, Ready, 0).unwrap();
    fleet.ping(&room, Occupied, 1).unwrap();
    place(&mut fleet, &room, address.clone());
    assert_eq!(heard(&mut fleet), [(room.clone(), Resync(Occupied), true)]);

    // An event that needs no address is sent at once, and no older one after it.
    place(&mut fleet, &room, None);
    fleet.ping(&room, Ready, 0).unwrap();
    fleet.ping(&room, Terminating, 0).unwrap();
    assert_eq!(
        heard(&mut fleet),
        [(room.clone(), Resync(Terminating), false)]
    );
    place(&mut fleet, &room, address);
    assert_eq!(heard(&mut fleet), []);
}

#[test]
fn a_room_that_ends_before_its_address_is_known_is_told_to_have_ended() {
    let mut fleet = told(1);
    let room = fleet.rooms()[0].clone();
    place(&mut fleet, &room, None);
    heard(&mut fleet);
    fleet.ping(&room, Ready, 0).unwrap();
    fleet.crash(&room, 1);
    let told = heard(&mut fleet);
    assert_eq!(told[0], (room, Terminated, false));
}

#[test]
fn what_a_room_says_in_its_grace_comes_before_the_word_that_it_ended() {
    let mut fleet = told(1);
    let room = fleet.rooms()[0].clone();
    fleet.ping(&room, Occupied, 1).unwrap();
    heard(&mut fleet);
    fleet.hold = true;
    let (force, id) = (true, room.clone());
    fleet
        .order(Command::RemoveRoom { room: id, force })
        .unwrap();
    let (id, _) = fleet.works.pop_front().expect("it is told to end");
    fleet.input(Input::WorkDone {
        id,
        result: WorkResult::Done,
    });
    fleet.ping(&room, Occupied, 1).unwrap();
    fleet.ping(&room, Terminating, 0).unwrap();
    fleet.crash(&room, 0);
    let of_room: Vec<ForwardedEvent> = heard(&mut fleet)
        .into_iter()
        .filter(|(id, ..)| *id == room)
        .map(|(_, event, _)| event)
        .collect();
    let expected = [Resync(Occupied), Resync(Terminating), Terminated];
    assert_eq!(of_room, expected);
    fleet.ping(&room, Terminating, 0).unwrap_err();
    assert_eq!(heard(&mut fleet), []);
}
