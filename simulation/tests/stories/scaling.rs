//! Scaling by a policy: what counts, when a fleet may shrink (contract 5.7).

use maestro_core::domain::*;
use maestro_core::settings::CoreSettings;
use maestro_simulation::{Fleet, spec};
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn scaled(cooldown: i32, kind: &str, parameters: PolicyParameters) -> Fleet {
    let mut scheduler = spec(0);
    scheduler.autoscaling = Some(Autoscaling {
        enabled: true,
        min: 1,
        max: 20,
        cooldown,
        policy: Policy {
            kind: kind.into(),
            parameters,
        },
    });
    Fleet::up_with(scheduler, CoreSettings::default())
}

fn buffered(amount: i32, cooldown: i32) -> Fleet {
    let parameters = PolicyParameters {
        fixed_buffer: Some(FixedBuffer { amount }),
        ..PolicyParameters::default()
    };
    scaled(cooldown, "fixedBuffer", parameters)
}

fn by_occupancy(ready_target: f64, down_threshold: f64) -> Fleet {
    let parameters = PolicyParameters {
        room_occupancy: Some(RoomOccupancy {
            ready_target,
            down_threshold,
        }),
        ..PolicyParameters::default()
    };
    scaled(0, "roomOccupancy", parameters)
}

/// The oldest rooms have a match, so many of them; the others say that they are ready.
fn play(fleet: &mut Fleet, matches: usize) {
    let made = fleet.machine.orders.iter().map(|o| o.room.clone());
    let rooms: Vec<_> = made.filter(|r| fleet.rooms().contains(r)).collect();
    for (at, room) in rooms.iter().enumerate() {
        let status = match at < matches {
            true => PingStatus::Occupied,
            false => PingStatus::Ready,
        };
        if fleet.machine.running.contains_key(room) {
            fleet.ping(room, status, i64::from(at < matches)).unwrap();
        }
    }
}

fn removals(fleet: &Fleet) -> usize {
    fleet.operations_of("remove_rooms").len()
}

#[test]
fn no_second_scale_down_within_the_cooldown() {
    let mut fleet = buffered(2, 100);
    assert_eq!(fleet.rooms().len(), 2);
    let up_and_down = |fleet: &mut Fleet| {
        play(fleet, 1);
        assert_eq!(fleet.rooms().len(), 3);
        play(fleet, 0);
    };
    up_and_down(&mut fleet);
    assert_eq!((fleet.rooms().len(), removals(&fleet)), (2, 1));
    up_and_down(&mut fleet);
    assert_eq!((fleet.rooms().len(), removals(&fleet)), (3, 1));
    fleet.pass(seconds(60));
    play(&mut fleet, 0);
    // Who owns it next knows of the cooldown too.
    fleet.restart();
    play(&mut fleet, 0);
    fleet.pass(seconds(39));
    assert_eq!((fleet.rooms().len(), removals(&fleet)), (3, 1));
    fleet.pass(seconds(2));
    assert_eq!((fleet.rooms().len(), removals(&fleet)), (2, 2));
}

#[test]
fn no_scale_down_below_the_threshold_however_long_ago_the_last_was() {
    // Two rooms for each match; 4 of 6 free slots are too few for 2 at 0.4.
    let mut fleet = by_occupancy(0.5, 0.4);
    play(&mut fleet, 1);
    play(&mut fleet, 2);
    play(&mut fleet, 3);
    play(&mut fleet, 3);
    assert_eq!(fleet.rooms().len(), 6);
    play(&mut fleet, 2);
    for _ in 0..120 {
        fleet.pass(seconds(60));
        play(&mut fleet, 2);
    }
    assert_eq!((fleet.rooms().len(), removals(&fleet)), (6, 0));
    play(&mut fleet, 1);
    assert_eq!(fleet.rooms().len(), 2, "one match: 5 of 6 are free");
}

#[test]
fn an_occupied_room_counts_its_matches_and_at_least_one() {
    let mut scheduler = spec(2);
    scheduler.match_allocation = Some(MatchAllocation { max_matches: 4 });
    let mut fleet = Fleet::up_as(scheduler);
    let rooms = fleet.rooms();
    let matches = |fleet: &Fleet| fleet.state.figures().running_matches;
    fleet.ping(&rooms[0], PingStatus::Occupied, 3).unwrap();
    assert_eq!(matches(&fleet), 3);
    fleet.ping(&rooms[1], PingStatus::Occupied, 0).unwrap();
    assert_eq!(matches(&fleet), 4);
    fleet.ping(&rooms[0], PingStatus::Occupied, 1).unwrap();
    assert_eq!(matches(&fleet), 2);
    assert_eq!(fleet.count(RoomStatus::Active), 2);
    // Written behind, within the interval of steady pings.
    fleet.pass(fleet.settings.touch_interval);
    fleet.restart();
    assert_eq!(matches(&fleet), 2, "as it was stored");
    for room in &rooms {
        fleet.ping(room, PingStatus::Ready, 0).unwrap();
    }
    assert_eq!(matches(&fleet), 0);
}

#[test]
fn the_policy_counts_each_match_of_a_room() {
    let parameters = PolicyParameters {
        room_occupancy: Some(RoomOccupancy {
            ready_target: 0.5,
            down_threshold: 0.9,
        }),
        ..PolicyParameters::default()
    };
    let mut fleet = scaled(0, "roomOccupancy", parameters);
    let room = fleet.rooms()[0].clone();
    // Three matches of one a room want six.
    fleet.ping(&room, PingStatus::Occupied, 3).unwrap();
    assert_eq!(fleet.rooms().len(), 6);
}
