//! Pings: their changes, answers from the board, and writes behind (contract 3, Ping).

use maestro_core::domain::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::documents::{command, patch};
use maestro_simulation::{Fleet, spec};
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn one() -> (Fleet, RoomId) {
    let fleet = Fleet::up(1);
    let room = fleet.rooms()[0].clone();
    (fleet, room)
}

fn steady(status: PingStatus, running_matches: i64) -> Option<Steady> {
    Some(Steady {
        status,
        running_matches,
    })
}

#[test]
fn what_a_room_says_all_the_time_is_posted_as_it_says_it() {
    let (mut fleet, room) = one();
    assert_eq!(fleet.posted(&room), steady(PingStatus::Ready, 0));
    fleet.ping(&room, PingStatus::Occupied, 0).unwrap();
    assert_eq!(fleet.posted(&room), steady(PingStatus::Occupied, 0));
    fleet.ping(&room, PingStatus::Occupied, 2).unwrap();
    assert_eq!(fleet.posted(&room), steady(PingStatus::Occupied, 2));
    // The refused ping reached the owner, so nothing is posted any more.
    let refused = fleet.ping(&room, PingStatus::Terminated, 0).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Invalid);
    let text = format!("room {room} cannot go from occupied to terminated");
    assert_eq!(refused.message, text);
    assert_eq!(fleet.posted(&room), None);
    let unknown = fleet.ping(&"arena-nobody".into(), PingStatus::Ready, 0);
    assert_eq!(unknown.unwrap_err().kind, RefusalKind::NotFound);
}

#[test]
fn a_room_that_is_held_or_in_quarantine_is_not_posted() {
    let (mut fleet, room) = one();
    fleet.order(Command::Allocate).unwrap();
    assert_eq!(fleet.posted(&room), None);
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.posted(&room), None, "its next ping may give it back");
    fleet.pass_pinging(seconds(299), PingStatus::Ready);
    assert_eq!(fleet.posted(&room), None);
    fleet.pass(seconds(1));
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.status(&room), Some(RoomStatus::Ready));
    assert_eq!(fleet.posted(&room), steady(PingStatus::Ready, 0));

    fleet.stored.rooms.clear();
    fleet.restart();
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.posted(&room), None, "its quarantine has an end");
    fleet.pass_pinging(seconds(301), PingStatus::Ready);
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.posted(&room), steady(PingStatus::Ready, 0));
}

#[test]
fn whoever_tells_of_each_ping_posts_none() {
    let mut scheduler = spec(1);
    scheduler.forwarders = Some(vec![Forwarder {
        name: "one".into(),
        enabled: true,
        forward_type: "gRPC".into(),
        address: "mm:80".into(),
        options: None,
    }]);
    let fleet = Fleet::up_as(scheduler);
    assert_eq!(fleet.posted(&fleet.rooms()[0]), None);
}

#[test]
fn a_switch_takes_everything_off_the_board() {
    let (mut fleet, room) = one();
    fleet
        .order(patch(|p| p.max_surge = Some("2".into())))
        .unwrap();
    assert_eq!(
        fleet.posted(&room),
        None,
        "its maximum of matches may differ"
    );
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.posted(&room), steady(PingStatus::Ready, 0));
}

#[test]
fn pings_that_were_answered_from_the_board_count_when_they_came() {
    let (mut fleet, room) = one();
    fleet.pass(seconds(200));
    let at = fleet.clock;
    fleet.pass(seconds(30));
    let told = |room: &RoomId, at: Now| {
        let metadata = r#"{"a":1}"#.into();
        let room = room.clone();
        Input::Pinged(vec![SteadyPing { room, at, metadata }])
    };
    fleet.input(told(&room, at));
    let stored = &fleet.stored.rooms[&room];
    assert_eq!(stored.reported.last_ping_at, at.wall);
    assert_eq!(stored.reported.metadata.as_deref(), Some(r#"{"a":1}"#));
    // 240 s count from the ping, not from its report.
    fleet.pass(seconds(209));
    assert!(fleet.rooms().contains(&room));
    let late = fleet.clock;
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    // A reported ping that is older than the room's last one changes nothing.
    fleet.input(told(&room, at));
    fleet.pass(seconds(2));
    let stored = &fleet.stored.rooms[&room];
    assert_eq!(stored.reported.last_ping_at, late.wall);
    assert_eq!(stored.reported.metadata.as_deref(), Some(""));
    fleet.pass(seconds(239));
    assert!(!fleet.rooms().contains(&room));
    // A reported ping of a room that is gone changes nothing either.
    let now = fleet.clock;
    fleet.input(told(&room, now));
    assert!(!fleet.stored.rooms.contains_key(&room));
}

#[test]
fn steady_pings_are_written_behind_once_in_an_interval_and_in_pieces() {
    let settings = CoreSettings {
        rooms_per_turn: 2,
        ..CoreSettings::default()
    };
    let mut fleet = Fleet::up_with(spec(5), settings);
    fleet.pass(seconds(10));
    fleet.ping_all(PingStatus::Ready);
    let pinged = fleet.clock.wall;
    let written = |fleet: &Fleet| {
        let rows = fleet.stored.rooms.values();
        rows.filter(|r| r.reported.last_ping_at == pinged).count()
    };
    assert_eq!(written(&fleet), 0, "not yet");
    fleet.pass(Duration::from_millis(999));
    assert_eq!(written(&fleet), 0);
    let at = fleet.clock.mono.plus(Duration::from_millis(1));
    fleet.advance_to(at);
    for pieces in [2, 4, 5] {
        fleet.input(Input::Wake);
        assert_eq!(written(&fleet), pieces);
    }
    let touches = fleet.state.timers(fleet.clock.mono).touches;
    assert_eq!(touches, None, "nothing is left to write");
}

#[test]
fn an_owner_that_ends_writes_what_was_not_written_yet() {
    let mut fleet = Fleet::up(3);
    let rooms = fleet.rooms();
    fleet.pass(seconds(10));
    for room in &rooms[..2] {
        fleet.ping(room, PingStatus::Ready, 0).unwrap();
    }
    fleet.pass(Duration::from_millis(500));
    let last = SteadyPing {
        room: rooms[2].clone(),
        at: fleet.clock,
        metadata: "{}".into(),
    };
    let mut touches = fleet.state.flush(vec![last]);
    touches.sort_by(|a, b| a.room.cmp(&b.room));
    let told: Vec<_> = touches.iter().map(|t| t.room.clone()).collect();
    assert_eq!(told, rooms);
    assert_eq!(touches[2].last_ping_at, fleet.clock.wall);
    assert!(fleet.state.flush(Vec::new()).is_empty(), "and once");
}

#[test]
fn a_room_that_says_occupied_on_trial_passes_only_where_that_is_accepted() {
    for accepted in [false, true] {
        let settings = CoreSettings {
            validation_accepts_occupied: accepted,
            ..CoreSettings::default()
        };
        let mut fleet = Fleet::up_with(spec(1), settings);
        fleet
            .order(patch(|p| p.spec = Some(command("false"))))
            .unwrap();
        let trial = fleet.trial();
        fleet.ping(&trial, PingStatus::Occupied, 1).unwrap();
        let version = fleet.state.view().version;
        assert_eq!(version == "v2.0.0", accepted, "{version}");
    }
}

#[test]
fn a_room_keeps_its_last_happenings() {
    let (mut fleet, room) = one();
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    let Ok(Reply::Room(detail)) = fleet.order(Command::Room(room.clone())) else {
        panic!("it is known");
    };
    let happened: Vec<_> = detail.events.iter().map(|e| e.event).collect();
    assert_eq!(
        happened,
        [
            RoomHappening::Created,
            RoomHappening::Instance(InstanceStatus::Ready),
            RoomHappening::Status(RoomStatus::Unready),
            RoomHappening::Status(RoomStatus::Ready),
            RoomHappening::Status(RoomStatus::Occupied),
            RoomHappening::Status(RoomStatus::Ready),
        ]
    );
    assert_eq!(detail.room.host.as_deref(), Some("127.0.0.1"));
    assert_eq!(detail.room.ports.len(), 1);
    assert_eq!((detail.removal, detail.allocated_at), (None, None));
    fleet.order(Command::Allocate).unwrap();
    fleet.restart();
    let Ok(Reply::Room(detail)) = fleet.order(Command::Room(room)) else {
        panic!("it is known");
    };
    assert_eq!(detail.allocated_at, Some(fleet.clock.wall));
    assert_eq!(detail.events[0].event, RoomHappening::Adopted);
    assert_eq!(detail.events.len(), 1);
}

#[test]
fn an_untaken_allocation_of_a_room_that_plays_by_now_changes_nothing() {
    let (mut fleet, room) = one();
    fleet.order(Command::Allocate).unwrap();
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    fleet.input(Input::AllocationUntaken { room: room.clone() });
    assert_eq!(fleet.status(&room), Some(RoomStatus::Occupied));
    fleet.input(Input::AllocationUntaken {
        room: "arena-nobody".into(),
    });
    let stored = &fleet.stored.rooms[&room];
    assert!(stored.intent.allocated_at.is_some(), "as it was");
}
