//! Runtimes that are created by themselves, and what the platform shows of versions.

use maestro_core::domain::*;
use maestro_core::ports::RuntimeEvent;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::documents::{history, major, operation_of, spec};
use maestro_simulation::{Fleet, Outcome};
use std::time::Duration;

/// A name that nothing is stored under.
fn bare() -> Fleet {
    let mut fleet = Fleet::new(CoreSettings::default());
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    fleet
}

fn view(fleet: &mut Fleet) -> Option<RuntimeView> {
    match fleet.order(Command::Runtime) {
        Ok(Reply::Runtime(view)) => Some(view),
        Err(refusal) => {
            assert_eq!(refusal.kind, RefusalKind::NotFound);
            None
        }
        other => panic!("{other:?}"),
    }
}

fn failure(fleet: &mut Fleet) -> String {
    view(fleet).unwrap().record.unwrap().failure
}

fn status(fleet: &Fleet, id: OperationId) -> OperationStatus {
    fleet.operation(id).status
}

fn start(version: &str) -> Command {
    Command::StartVersion {
        version: version.into(),
        images: Vec::new(),
        config: Some(ConfigPairs::new([("A".to_owned(), "1".to_owned())]).unwrap()),
    }
}

#[test]
fn a_runtime_needs_no_scheduler_and_the_scheduler_adopts_it() {
    let mut fleet = bare();
    assert_eq!(view(&mut fleet), None);
    let id = operation_of(fleet.order(Command::CreateRuntime));
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
    assert_eq!(failure(&mut fleet), "");
    assert!(fleet.machine.has_rights);
    let again = operation_of(fleet.order(Command::CreateRuntime));
    assert_ne!(again, id);
    assert_eq!(status(&fleet, again), OperationStatus::Finished);
    // It is still there for the next owner.
    fleet.restart();
    assert_eq!(failure(&mut fleet), "");
    fleet
        .order(Command::CreateScheduler(Box::new(spec(2))))
        .unwrap();
    let creation = &fleet.operations_of("create_scheduler")[0];
    assert!(
        history(creation).contains("was there before, and is adopted"),
        "{}",
        history(creation)
    );
    assert_eq!(fleet.rooms().len(), 2);
    assert_eq!(failure(&mut fleet), "");
}

#[test]
fn a_runtime_goes_with_its_scheduler_and_can_be_deleted_without_one() {
    for with_scheduler in [false, true] {
        let mut fleet = bare();
        fleet.order(Command::CreateRuntime).unwrap();
        if with_scheduler {
            fleet
                .order(Command::CreateScheduler(Box::new(spec(1))))
                .unwrap();
        }
        let id = operation_of(fleet.order(Command::DeleteScheduler));
        fleet.pass(Duration::from_secs(60));
        assert_eq!(status(&fleet, id), OperationStatus::Finished);
        assert_eq!(fleet.machine.place, None);
        assert_eq!(fleet.stored.runtime, None);
        assert!(fleet.ended, "its owner has nothing left to do");
    }
}

#[test]
fn a_place_is_removed_when_nothing_is_written_into_it_any_more() {
    let mut fleet = two_versions();
    fleet.hold = true;
    fleet.order(publish("v1.0.0")).unwrap();
    let id = operation_of(fleet.order(Command::DeleteScheduler));
    while !fleet.machine.running.is_empty() {
        fleet.release_kind("terminate_room", Outcome::Works);
    }
    assert!(fleet.machine.place.is_some());
    assert_eq!(fleet.position("remove_place"), None, "it is written");
    fleet.release_kind("show", Outcome::Works);
    fleet.release();
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
    assert_eq!(fleet.machine.place, None);
    assert_eq!(reached(&fleet), None);
}

#[test]
fn a_scheduler_whose_creation_failed_leaves_the_runtime_as_it_was() {
    let mut fleet = bare();
    fleet.order(Command::CreateRuntime).unwrap();
    fleet.hold = true;
    fleet
        .order(Command::CreateScheduler(Box::new(spec(1))))
        .unwrap();
    fleet.release_kind("prepare", Outcome::Invalid);
    fleet.release();
    assert!(fleet.stored.scheduler.is_none());
    assert!(!fleet.ended);
    assert!(fleet.machine.place.is_some(), "another operation made it");
    assert_eq!(failure(&mut fleet), "");
}

#[test]
fn a_refused_runtime_says_why_and_is_stored_only_if_something_was_made() {
    for (fault, is_stored) in [
        (PlatformFault::Foreign, false),
        (PlatformFault::Invalid, false),
        (PlatformFault::Forbidden, true),
        (PlatformFault::Unavailable, true),
    ] {
        let mut fleet = bare();
        fleet.machine.platform_fault = Some(fault);
        let id = operation_of(fleet.order(Command::CreateRuntime));
        assert_eq!(status(&fleet, id), OperationStatus::Error);
        let ended = fleet.operation(id);
        let told = Definition::CreateRuntime { fault: Some(fault) };
        assert_eq!(
            (&ended.definition, ended.failure()),
            (&told, Some("the platform refuses"))
        );
        assert_eq!(fleet.stored.runtime.is_some(), is_stored, "{fault:?}");
        assert_eq!(fleet.ended, !is_stored, "{fault:?}");
        if is_stored {
            assert_eq!(failure(&mut fleet), "the platform refuses");
            fleet.machine.platform_fault = None;
            fleet.pass(2 * CoreSettings::default().platform_interval);
            assert!(
                !fleet.machine.shown.is_runtime,
                "{fault:?}: it is not whole"
            );
            fleet.order(Command::CreateRuntime).unwrap();
            assert_eq!(failure(&mut fleet), "");
            assert!(fleet.machine.shown.is_runtime);
        }
    }
}

#[test]
fn a_runtime_that_was_whole_stays_so_when_it_is_made_again_in_vain() {
    let mut fleet = bare();
    fleet.order(Command::CreateRuntime).unwrap();
    fleet.machine.platform_fault = Some(PlatformFault::Unavailable);
    let id = operation_of(fleet.order(Command::CreateRuntime));
    assert_eq!(status(&fleet, id), OperationStatus::Error);
    assert_eq!(failure(&mut fleet), "");
}

#[test]
fn an_owner_that_dies_in_the_middle_is_succeeded() {
    let mut fleet = bare();
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::CreateRuntime));
    assert_eq!(operation_of(fleet.order(Command::CreateRuntime)), id);
    assert_eq!(view(&mut fleet).unwrap().creating, Some(id));
    fleet.restart();
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
    assert_eq!(failure(&mut fleet), "");
}

#[test]
fn nothing_is_created_under_a_name_that_is_being_removed() {
    let mut fleet = bare();
    fleet.order(Command::CreateRuntime).unwrap();
    fleet.machine.removal_takes = 3;
    fleet.order(Command::DeleteScheduler).unwrap();
    let refusal = fleet.order(Command::CreateRuntime).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    let refusal = fleet.order(Command::CreateScheduler(Box::new(spec(1))));
    assert_eq!(refusal.unwrap_err().kind, RefusalKind::Conflict);
}

#[test]
fn a_creation_waits_for_a_place_that_is_still_going() {
    let mut fleet = bare();
    fleet.machine.terminating = 3;
    let id = operation_of(fleet.order(Command::CreateRuntime));
    let waiting = fleet.operation(id);
    assert_eq!(waiting.status, OperationStatus::InProgress);
    let told = history(waiting);
    assert!(told.contains("waiting: "), "{told}");
    assert!(told.contains("its place is terminating"), "{told}");
    fleet.pass(Duration::from_secs(60));
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
    assert_eq!(failure(&mut fleet), "");
    assert!(fleet.machine.has_rights);
}

/// Orders of before that failed do not delay the first one that can succeed.
#[test]
fn a_place_that_has_just_been_made_is_shown_at_once() {
    let scheduler = || Command::CreateScheduler(Box::new(spec(1)));
    for (order, makes) in [
        (Command::CreateRuntime, "ensure_runtime"),
        (scheduler(), "prepare"),
    ] {
        let mut fleet = bare();
        if makes == "prepare" {
            fleet.order(Command::CreateRuntime).unwrap();
        }
        fleet.machine.platform_fault = Some(PlatformFault::Unavailable);
        fleet.order(Command::CreateRuntime).unwrap();
        let interval = CoreSettings::default().platform_interval;
        fleet.pass(3 * interval);
        fleet.machine.platform_fault = None;
        fleet.machine.shown = Default::default();
        fleet.hold = true;
        fleet.order(order).unwrap();
        // An order that becomes due meanwhile waits for the place.
        fleet.pass(interval + interval / 2);
        assert!(fleet.position("show").is_none(), "{makes}");
        fleet.release_kind(makes, Outcome::Works);
        fleet.release();
        assert!(fleet.machine.shown.is_runtime, "{makes}");
    }
}

#[test]
fn an_order_for_a_runtime_outlives_the_creation_of_a_scheduler_that_is_canceled() {
    let mut fleet = bare();
    fleet.hold = true;
    let order = |fleet: &mut Fleet| operation_of(fleet.order(Command::CreateRuntime));
    let running = order(&mut fleet);
    fleet
        .order(Command::CreateScheduler(Box::new(spec(2))))
        .unwrap();
    let creation = fleet.operations_of("create_scheduler")[0].id;
    fleet.order(Command::Cancel(creation)).unwrap();
    assert_eq!(status(&fleet, running), OperationStatus::InProgress);
    // Who succeeds it finds the order.
    fleet.restart();
    fleet.hold = false;
    fleet.carry_on();
    assert_eq!(status(&fleet, running), OperationStatus::Finished);
    assert_eq!(failure(&mut fleet), "");
}

#[test]
fn a_canceled_creation_leaves_what_it_made() {
    let mut fleet = bare();
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::CreateRuntime));
    fleet.order(Command::Cancel(id)).unwrap();
    fleet.release();
    assert_eq!(status(&fleet, id), OperationStatus::Canceled);
    assert_eq!(failure(&mut fleet), "canceled on request");
}

#[test]
fn what_is_shown_follows_the_versions() {
    let mut fleet = Fleet::up(2);
    assert_eq!(fleet.machine.calls.get("show"), None, "it is not managed");
    fleet.order(major("game-2")).unwrap();
    fleet.pass_pinging(Duration::from_secs(120), PingStatus::Ready);
    fleet.order(start("v1.0.0")).unwrap();
    fleet.pass_pinging(Duration::from_secs(60), PingStatus::Ready);
    let shown = fleet.machine.shown.clone();
    assert_eq!(shown.published.as_ref().unwrap().version.as_str(), "v2.0.0");
    let names: Vec<_> = shown.configs.iter().map(|c| c.version.as_str()).collect();
    assert_eq!(names, ["v1.0.0", "v2.0.0"]);
    assert_eq!(shown.configs[0].pairs.iter().next(), Some(("A", "1")));
    fleet
        .order(Command::PublishVersion("v1.0.0".into()))
        .unwrap();
    let shown = fleet.machine.shown.clone();
    assert_eq!(shown.published.as_ref().unwrap().version.as_str(), "v1.0.0");
    fleet
        .order(Command::StopVersion {
            version: "v2.0.0".into(),
            force: true,
        })
        .unwrap();
    fleet
        .order(Command::UnpublishVersion("v1.0.0".into()))
        .unwrap();
    fleet.pass_pinging(Duration::from_secs(60), PingStatus::Ready);
    let shown = fleet.machine.shown.clone();
    assert_eq!(shown.published, None);
    assert_eq!(shown.configs.len(), 1);
}

#[test]
fn a_lost_order_is_made_good_by_the_next_one() {
    let mut fleet = Fleet::up(1);
    fleet.order(start("v1.0.0")).unwrap();
    fleet.pass_pinging(Duration::from_secs(60), PingStatus::Ready);
    fleet.hold = true;
    fleet
        .order(Command::PublishVersion("v1.0.0".into()))
        .unwrap();
    assert!(fleet.position("show").is_some());
    // Its owner dies with the order.
    fleet.restart();
    let published = |fleet: &Fleet| fleet.machine.shown.published.is_some();
    assert!(published(&fleet));
    // Somebody edits the objects.
    fleet.machine.shown = Default::default();
    fleet.pass_pinging(Duration::from_secs(90), PingStatus::Ready);
    assert!(published(&fleet));
    fleet.machine.platform_fault = Some(PlatformFault::Unavailable);
    fleet
        .order(Command::UnpublishVersion("v1.0.0".into()))
        .unwrap();
    assert!(published(&fleet));
    fleet.machine.platform_fault = None;
    fleet.pass_pinging(Duration::from_secs(10), PingStatus::Ready);
    assert!(!published(&fleet));
    // The failure is over: what changes next does not wait.
    fleet
        .order(Command::PublishVersion("v1.0.0".into()))
        .unwrap();
    assert!(published(&fleet));
}

/// `v2.0.0` is published, and `v1.0.0` is started.
fn two_versions() -> Fleet {
    let mut fleet = Fleet::up(1);
    fleet.order(major("game-2")).unwrap();
    fleet.pass_pinging(Duration::from_secs(120), PingStatus::Ready);
    fleet.order(start("v1.0.0")).unwrap();
    fleet.pass_pinging(Duration::from_secs(60), PingStatus::Ready);
    fleet
}

fn publish(version: &str) -> Command {
    Command::PublishVersion(version.into())
}

fn reached(fleet: &Fleet) -> Option<&str> {
    let published = fleet.machine.shown.published.as_ref();
    published.map(|published| published.version.as_str())
}

#[test]
fn a_publication_ends_when_the_platform_leads_to_the_version() {
    let mut fleet = two_versions();
    fleet.hold = true;
    let id = operation_of(fleet.order(publish("v1.0.0")));
    assert_eq!(status(&fleet, id), OperationStatus::InProgress);
    // Allocations do not wait for it.
    let Ok(Reply::Allocated { room, .. }) = fleet.order(Command::Allocate) else {
        panic!("there is a room");
    };
    assert_eq!(fleet.machine.running[&room].version.as_str(), "v1.0.0");
    fleet.release_kind("show", Outcome::Works);
    assert_eq!(reached(&fleet), Some("v1.0.0"));
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
    // Likewise its end.
    let id = operation_of(fleet.order(Command::UnpublishVersion("v1.0.0".into())));
    assert_eq!(status(&fleet, id), OperationStatus::InProgress);
    fleet.release_kind("show", Outcome::Works);
    assert_eq!(reached(&fleet), None);
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
}

#[test]
fn an_order_that_was_under_way_before_ends_no_publication() {
    let mut fleet = two_versions();
    fleet.hold = true;
    let first = operation_of(fleet.order(publish("v1.0.0")));
    let second = operation_of(fleet.order(publish("v2.0.0")));
    // The first one came to nothing. The platform is still told of it, and then of the second one.
    assert_eq!(status(&fleet, first), OperationStatus::Error);
    fleet.release_kind("show", Outcome::Works);
    assert_eq!(reached(&fleet), Some("v1.0.0"));
    assert_eq!(status(&fleet, second), OperationStatus::InProgress);
    fleet.release_kind("show", Outcome::Works);
    assert_eq!(status(&fleet, second), OperationStatus::Finished);
    assert_eq!(reached(&fleet), Some("v2.0.0"));
}

#[test]
fn a_new_owner_waits_on_for_a_publication_and_for_its_end() {
    for order in [
        publish("v1.0.0"),
        Command::UnpublishVersion("v2.0.0".into()),
    ] {
        let mut fleet = two_versions();
        fleet.machine.platform_fault = Some(PlatformFault::Unavailable);
        let id = operation_of(fleet.order(order));
        fleet.restart();
        fleet.pass_pinging(Duration::from_secs(10), PingStatus::Ready);
        assert_eq!(status(&fleet, id), OperationStatus::InProgress);
        fleet.machine.platform_fault = None;
        fleet.pass_pinging(Duration::from_secs(60), PingStatus::Ready);
        assert_ne!(reached(&fleet), Some("v2.0.0"));
        assert_eq!(
            status(&fleet, id),
            OperationStatus::Finished,
            "{}",
            history(fleet.operation(id))
        );
    }
}

#[test]
fn a_platform_that_refuses_fails_a_publication_at_once_and_one_that_is_away_later() {
    for (fault, at_once) in [
        (PlatformFault::Foreign, true),
        (PlatformFault::Forbidden, true),
        (PlatformFault::Unavailable, false),
    ] {
        let mut fleet = two_versions();
        fleet.machine.platform_fault = Some(fault);
        let id = operation_of(fleet.order(publish("v1.0.0")));
        let now = status(&fleet, id);
        assert_eq!(now == OperationStatus::Error, at_once, "{fault:?}");
        let patience = CoreSettings::default().version_restart_timeout;
        fleet.pass_pinging(patience + Duration::from_secs(1), PingStatus::Ready);
        assert_eq!(status(&fleet, id), OperationStatus::Error, "{fault:?}");
        let said = history(fleet.operation(id));
        assert!(said.contains("the platform refuses"), "{said}");
        // It is in force all the same, and is shown as soon as that can be done.
        fleet.machine.platform_fault = None;
        let id = operation_of(fleet.order(publish("v1.0.0")));
        assert_eq!(status(&fleet, id), OperationStatus::Finished);
        assert_eq!(reached(&fleet), Some("v1.0.0"));
    }
}

#[test]
fn a_new_owner_shows_nothing_before_it_knows_the_rooms() {
    let mut fleet = two_versions();
    let shown = fleet.machine.calls["show"];
    fleet.deaf = true;
    fleet.restart();
    let interval = CoreSettings::default().platform_interval;
    fleet.pass(2 * interval);
    assert_eq!(fleet.machine.calls["show"], shown);
    fleet.deaf = false;
    fleet.carry_on();
    assert!(fleet.machine.calls["show"] > shown);
}

fn configure(value: &str) -> Command {
    Command::UpdateConfig {
        version: "v1.0.0".into(),
        config: ConfigPairs::new([("B".to_owned(), value.to_owned())]).unwrap(),
        restart: ConfigRestart::None,
    }
}

#[test]
fn a_refusal_of_what_was_shown_before_ends_no_publication() {
    let mut fleet = two_versions();
    fleet.hold = true;
    fleet.order(configure("1")).unwrap();
    let id = operation_of(fleet.order(publish("v1.0.0")));
    fleet.machine.platform_fault = Some(PlatformFault::Invalid);
    fleet.release_kind("show", Outcome::Works);
    assert_eq!(status(&fleet, id), OperationStatus::InProgress);
    fleet.machine.platform_fault = None;
    fleet.release();
    fleet.pass(Duration::from_secs(1));
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
}

#[test]
fn changes_do_not_hurry_a_platform_that_is_away() {
    let mut fleet = two_versions();
    fleet.machine.platform_fault = Some(PlatformFault::Unavailable);
    let before = fleet.machine.calls["show"];
    for tenth in 0..600 {
        fleet.order(configure(&tenth.to_string())).unwrap();
        fleet.pass(Duration::from_millis(100));
    }
    let calls = fleet.machine.calls["show"] - before;
    assert!((5..20).contains(&calls), "{calls} calls in a minute");
    let told = fleet.reports.iter();
    let told = told.filter(|report| matches!(report, Report::NotShown { .. }));
    assert_eq!(told.count(), 1, "it is told once");
    // Once it is back, changes are shown at once.
    fleet.machine.platform_fault = None;
    fleet.pass(CoreSettings::default().platform_interval);
    fleet.order(configure("at once")).unwrap();
    let shown = fleet.machine.shown.configs[0].pairs.iter().next();
    assert_eq!(shown, Some(("B", "at once")));
}

#[test]
fn a_platform_that_was_away_is_asked_again_soon() {
    let mut fleet = two_versions();
    fleet.machine.platform_fault = Some(PlatformFault::Unavailable);
    fleet.order(configure("1")).unwrap();
    let wait = fleet.state.next_wake().unwrap().since(fleet.clock.mono);
    assert!(wait <= Duration::from_millis(500), "{wait:?}");
}
