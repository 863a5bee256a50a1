//! Retention of ended operations, and periodic operations (contract 5.5, 5.11).

use maestro_core::domain::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::documents::{history, operation_of};
use maestro_simulation::{Fleet, spec};
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn with(settings: CoreSettings) -> Fleet {
    Fleet::up_with(spec(1), settings)
}

/// An operation that ends at once.
fn slept(fleet: &mut Fleet) -> OperationId {
    let id = operation_of(fleet.order(Command::TestOperation { sleep_seconds: 0 }));
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    fleet.pass(seconds(1));
    id
}

#[test]
fn the_oldest_ended_operations_are_forgotten_first() {
    let mut fleet = with(CoreSettings {
        history_limit: 4,
        ..CoreSettings::default()
    });
    let ids: Vec<_> = (0..6).map(|_| slept(&mut fleet)).collect();
    let kept: Vec<bool> = ids
        .iter()
        .map(|id| fleet.stored.operations.contains_key(id))
        .collect();
    assert_eq!(kept, [false, false, true, true, true, true]);
    // The next owner continues with the same count.
    fleet.restart();
    let last = slept(&mut fleet);
    assert!(!fleet.stored.operations.contains_key(&ids[2]));
    assert!(fleet.stored.operations.contains_key(&ids[3]));
    // A dropped operation is unknown; a kept one has ended.
    let kind = |fleet: &mut Fleet, id| fleet.order(Command::Cancel(id)).unwrap_err().kind;
    assert_eq!(kind(&mut fleet, ids[0]), RefusalKind::NotFound);
    assert_eq!(kind(&mut fleet, last), RefusalKind::Ended);
}

#[test]
fn looks_that_found_nothing_do_not_push_others_out() {
    let mut fleet = with(CoreSettings {
        history_limit: 3,
        ..CoreSettings::default()
    });
    let kept = slept(&mut fleet);
    fleet.pass_pinging(seconds(140 * 60), PingStatus::Ready);
    assert!(fleet.stored.operations.contains_key(&kept));
    let looks = fleet.operations_of("health_controller").len();
    assert_eq!(looks, 100, "and of them the last hundred are kept");
    let ended = |o: &&OperationRecord| o.status == OperationStatus::Finished;
    assert!(fleet.operations_of("health_controller").iter().all(ended));
}

#[test]
fn a_look_says_whether_it_did_something() {
    let mut fleet = with(CoreSettings {
        event_driven: false,
        ..CoreSettings::default()
    });
    // Only ticks examine the fleet, so there is no room before the first tick.
    assert_eq!(fleet.rooms().len(), 0);
    fleet.pass(seconds(59));
    assert_eq!(fleet.rooms().len(), 0);
    fleet.pass(seconds(2));
    assert_eq!(fleet.rooms().len(), 1);
    fleet.ping_all(PingStatus::Ready);
    fleet.pass(seconds(60));
    let mut looks = fleet.operations_of("health_controller");
    looks.sort_by_key(|o| o.created_at);
    let took: Vec<_> = looks.iter().map(|o| o.definition.clone()).collect();
    let look = |took_action| Definition::HealthController {
        took_action: Some(took_action),
    };
    assert_eq!(took, [look(true), look(false)]);
    assert!(history(looks[0]).contains("1 rooms to add"));
    assert!(history(looks[1]).ends_with("Starting operation\nOperation finished"));
}

#[test]
fn one_look_waits_at_a_time_and_one_that_died_looks_no_more() {
    let mut fleet = with(CoreSettings::default());
    operation_of(fleet.order(Command::TestOperation { sleep_seconds: 600 }));
    for _ in 0..5 {
        fleet.pass(seconds(60));
        fleet.ping_all(PingStatus::Ready);
    }
    let looks = fleet.operations_of("health_controller");
    assert_eq!(looks.len(), 1, "behind a long operation");
    assert_eq!(looks[0].status, OperationStatus::Pending);
}

#[test]
fn a_clean_up_forgets_periodic_operations_whose_time_is_over() {
    let mut fleet = with(CoreSettings {
        periodic_operation_ttl: seconds(3600),
        cleanup_interval: seconds(600),
        ..CoreSettings::default()
    });
    let kept = slept(&mut fleet);
    fleet.pass_pinging(seconds(3 * 3600), PingStatus::Ready);
    let now = fleet.clock.wall;
    let age = |o: &OperationRecord| now.duration_since(o.status_at).as_secs();
    let looks = fleet.operations_of("health_controller");
    // The maximum age is one hour plus two and a half intervals until the next clean-up.
    assert!(
        looks.iter().all(|o| age(o) <= 3600 + 1500),
        "{}",
        looks.len()
    );
    assert!(looks.len() >= 60, "younger ones stay: {}", looks.len());
    assert!(fleet.stored.operations.contains_key(&kept), "it is no look");
    let cleaned = fleet.operations_of("storage_clean_up");
    let removed = cleaned.iter().filter(|o| {
        let text = history(o);
        text.contains("expired operations") && !text.contains("removed 0 expired")
    });
    assert!(removed.count() > 0);
    // Each clean-up comes between a tenth of the interval and two and a half intervals after the
    // last.
    let mut moments: Vec<_> = cleaned.iter().map(|o| o.created_at).collect();
    moments.sort();
    for two in moments.windows(2) {
        let wait = two[1].duration_since(two[0]).as_secs();
        assert!((60..=1530).contains(&wait), "{wait} s");
    }
    let different = moments.windows(3).any(|m| {
        let (one, two) = (m[1].duration_since(m[0]), m[2].duration_since(m[1]));
        one.as_secs().abs_diff(two.as_secs()) > 5
    });
    assert!(different, "they are spread: {moments:?}");
}

#[test]
fn zero_keeps_periodic_operations_for_ever() {
    let mut fleet = with(CoreSettings {
        periodic_operation_ttl: Duration::ZERO,
        cleanup_interval: seconds(300),
        ..CoreSettings::default()
    });
    fleet.pass_pinging(seconds(3600), PingStatus::Ready);
    assert!(fleet.operations_of("health_controller").len() >= 59);
}

#[test]
fn the_history_of_an_order_tells_of_a_room_that_failed_after_it() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    let made = |o: &&RoomRecord| o.intent.made_by == Some(id);
    let room = fleet.stored.rooms.values().find(made).unwrap().id.clone();
    fleet.crash(&room, 3);
    let end = fleet.operation(id);
    assert_eq!(end.status, OperationStatus::Finished, "as it was");
    let told = history(end);
    let line = format!("room {room} ended before it was ready: exit code 3");
    assert!(told.contains(&line), "{told}");
    assert!(told.contains("last log lines: bye"), "{told}");
}

#[test]
fn a_history_has_a_bound_and_keeps_its_last_line() {
    let mut fleet = Fleet::created(spec(1), CoreSettings::default());
    let first = fleet.operations_of("add_rooms")[0].id;
    let waits = fleet.operation(first).history.len();
    assert!(waits < 20, "{waits}");
    // An operation with a full history, like a removal with a line for each room.
    let mut record = fleet.operation(first).clone();
    record.id = OperationId(uuid::Uuid::from_u128(7));
    record.status = OperationStatus::Pending;
    record.definition = Definition::TestOperation { sleep_seconds: 0 };
    let line = record.history[0].clone();
    record.history = vec![line; 200];
    fleet.input(Input::Pushed(Box::new(record.clone())));
    let end = fleet.operation(record.id);
    assert_eq!(end.history.len(), 200);
    assert_eq!(end.history.last().unwrap().event, "Operation finished");
}

#[test]
fn the_queue_has_a_bound() {
    let mut fleet = with(CoreSettings {
        queue_limit: 3,
        ..CoreSettings::default()
    });
    let sleep = || Command::TestOperation { sleep_seconds: 600 };
    for _ in 0..4 {
        fleet.order(sleep()).unwrap();
    }
    let refusal = fleet.order(sleep()).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Exhausted);
    assert!(refusal.message.contains("3 operations of scheduler arena"));
    assert_eq!(fleet.state.view().queued, 3);
}

#[test]
fn the_lease_of_an_operation_ends_at_a_moment_and_is_renewed_at_half_its_time() {
    let mut fleet = Fleet::up(0);
    let ttl = fleet.settings.operation_lease_ttl;
    let id = operation_of(fleet.order(Command::TestOperation { sleep_seconds: 60 }));
    let until = |fleet: &Fleet| fleet.operation(id).lease_until.expect("it runs");
    let begun = fleet.clock.wall;
    assert_eq!(until(&fleet), begun.saturating_add(ttl).unwrap());
    fleet.pass(ttl / 2 - Duration::from_millis(1));
    assert_eq!(until(&fleet), begun.saturating_add(ttl).unwrap());
    fleet.pass(Duration::from_millis(1));
    assert_eq!(until(&fleet), begun.saturating_add(ttl * 3 / 2).unwrap());
    fleet.pass(seconds(60));
    assert_eq!(fleet.operation(id).lease_until, None);
    assert_eq!(fleet.state.timers(fleet.clock.mono).leases, None);
}
