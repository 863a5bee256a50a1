//! Scaling by a policy: which rooms count, and when a fleet may shrink (contract 5.7).

use maestro_core::domain::*;
use maestro_core::rules::patch::AutoscalingPatch;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::documents::{operation_of, patch};
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

/// The oldest `matches` rooms ping occupied, the others ready.
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
    // The cooldown survives a change of the owner.
    fleet.restart();
    play(&mut fleet, 0);
    fleet.pass(seconds(39));
    assert_eq!((fleet.rooms().len(), removals(&fleet)), (3, 1));
    fleet.pass(seconds(2));
    assert_eq!((fleet.rooms().len(), removals(&fleet)), (2, 2));
}

#[test]
fn no_scale_down_below_the_threshold_however_long_ago_the_last_was() {
    // Two rooms per match. With 2 matches 4 of 6 slots are free, too few for a scale-down at 0.4.
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
    // The number of matches is written behind, within the interval of steady pings.
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
    // Three matches in one room require six rooms.
    fleet.ping(&room, PingStatus::Occupied, 3).unwrap();
    assert_eq!(fleet.rooms().len(), 6);
}

#[test]
fn what_the_fleet_needs_goes_before_what_waits() {
    let mut fleet = buffered(2, 0);
    let sleep = |seconds| Command::TestOperation {
        sleep_seconds: seconds,
    };
    let busy = operation_of(fleet.order(sleep(600)));
    let waits = operation_of(fleet.order(sleep(600)));
    // A match begins, so a room is missing; then it ends, and one room is too many.
    for (matches, kind) in [(1, "add_rooms"), (0, "remove_rooms")] {
        play(&mut fleet, matches);
        let urgent = fleet.operations_of(kind);
        let urgent = urgent.iter().find(|o| o.status == OperationStatus::Pending);
        assert_eq!(urgent.map(|o| o.priority), Some(true), "{kind}");
        if matches == 1 {
            fleet.order(Command::Cancel(busy)).unwrap();
            assert_eq!(fleet.rooms().len(), 3, "before the one that waited");
            assert_eq!(fleet.operation(waits).status, OperationStatus::InProgress);
            play(&mut fleet, 1);
        }
    }
    let last = operation_of(fleet.order(sleep(0)));
    fleet.order(Command::Cancel(waits)).unwrap();
    assert_eq!(fleet.rooms().len(), 2);
    assert_eq!(fleet.operation(last).status, OperationStatus::Finished);
}

#[test]
fn a_removal_of_the_expired_goes_before_what_waits() {
    let mut fleet = Fleet::up(1);
    operation_of(fleet.order(Command::TestOperation { sleep_seconds: 600 }));
    operation_of(fleet.order(Command::TestOperation { sleep_seconds: 600 }));
    fleet.pass(seconds(242));
    let removal = fleet.operations_of("remove_rooms")[0];
    assert!(removal.priority && !removal.resume.by_user);
    assert_eq!(fleet.state.view().queued, 4, "with another room and a look");
}

#[test]
fn a_document_that_no_policy_reads_leaves_the_fleet_as_it_is() {
    let mut fleet = buffered(2, 0);
    let mut strange = Scheduler::clone(fleet.stored.scheduler.as_ref().unwrap());
    let autoscaling = strange.autoscaling.as_mut().unwrap();
    autoscaling.policy.kind = "astrology".into();
    fleet.stored.scheduler = Some(strange.into());
    fleet.restart();
    play(&mut fleet, 2);
    fleet.pass_pinging(seconds(120), PingStatus::Ready);
    assert_eq!(fleet.rooms().len(), 2);
    assert!(fleet.state.open_operations().is_empty());
}

#[test]
fn limits_of_a_policy_hold() {
    let mut fleet = buffered(30, 0);
    assert_eq!(fleet.rooms().len(), 20, "its maximum");
    let change = patch(|p| {
        p.autoscaling = Some(AutoscalingPatch {
            min: Some(4),
            policy: Some(Policy {
                kind: "fixedBuffer".into(),
                parameters: PolicyParameters {
                    fixed_buffer: Some(FixedBuffer { amount: 1 }),
                    ..PolicyParameters::default()
                },
            }),
            ..AutoscalingPatch::default()
        });
    });
    fleet.order(change).unwrap();
    assert_eq!(fleet.rooms().len(), 4, "its minimum");
}

#[test]
fn while_scaling_is_under_way_no_second_order_is_given() {
    let mut fleet = buffered(2, 0);
    fleet.hold = true;
    play(&mut fleet, 1);
    play(&mut fleet, 2);
    assert_eq!(
        fleet.operations_of("add_rooms").len(),
        2,
        "the first, and one"
    );
    fleet.release();
    play(&mut fleet, 2);
    assert_eq!(fleet.rooms().len(), 4);
    assert_eq!(fleet.operations_of("add_rooms").len(), 3);
}

/// A validation room does not count (architecture 7): its match requires no further room.
#[test]
fn a_match_in_a_validation_room_counts_for_no_policy() {
    let mut fleet = buffered(2, 0);
    fleet.ping_all(PingStatus::Ready);
    fleet
        .order(maestro_simulation::documents::major("false"))
        .unwrap();
    let trial = fleet.trial();
    let before = fleet.rooms().len();
    fleet.ping(&trial, PingStatus::Occupied, 1).unwrap();
    fleet.pass(seconds(5));
    assert!(fleet.rooms().contains(&trial), "it is still on trial");
    assert_eq!(fleet.rooms().len(), before);
}
