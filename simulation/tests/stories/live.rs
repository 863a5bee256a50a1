//! Versions of a managed scheduler, each started, stopped and published by itself.

use maestro_core::domain::*;
use maestro_core::state::*;
use maestro_simulation::documents::{history, major, operation_of};
use maestro_simulation::{Fleet, Outcome};
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn start(version: &str) -> Command {
    Command::StartVersion {
        version: version.into(),
        images: Vec::new(),
        config: None,
    }
}

fn stop(version: &str, force: bool) -> Command {
    Command::StopVersion {
        version: version.into(),
        force,
    }
}

fn publish(version: &str) -> Command {
    Command::PublishVersion(version.into())
}

fn unpublish(version: &str) -> Command {
    Command::UnpublishVersion(version.into())
}

fn pairs(of: &[(&str, &str)]) -> ConfigPairs {
    let owned = of
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    ConfigPairs::new(owned).unwrap()
}

fn configure(version: &str, of: &[(&str, &str)], restart: ConfigRestart) -> Command {
    Command::UpdateConfig {
        version: version.into(),
        config: pairs(of),
        restart,
    }
}

/// The rooms of a version that run.
fn rooms_of(fleet: &Fleet, version: &str) -> Vec<RoomId> {
    let running = fleet.machine.running.values();
    let of_version = running.filter(|i| i.version.as_str() == version && !i.validation);
    of_version.map(|i| i.room.clone()).collect()
}

fn phase(fleet: &mut Fleet, version: &str) -> VersionPhase {
    view(fleet, version).phase
}

fn view(fleet: &mut Fleet, version: &str) -> LiveVersionView {
    let Ok(Reply::LiveVersions(all)) = fleet.order(Command::LiveVersions) else {
        panic!("no versions");
    };
    let of_version = all.into_iter().find(|v| v.version.as_str() == version);
    of_version.expect("it is stored")
}

fn status(fleet: &Fleet, id: OperationId) -> OperationStatus {
    fleet.operation(id).status
}

fn refusal(fleet: &mut Fleet, command: Command) -> (RefusalKind, String) {
    let refusal = fleet.order(command).unwrap_err();
    (refusal.kind, refusal.message)
}

/// Orders, and lets the rooms that follow be ready.
fn done(fleet: &mut Fleet, command: Command) -> OperationId {
    let id = operation_of(fleet.order(command));
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(
        status(fleet, id),
        OperationStatus::Finished,
        "{}",
        history(fleet.operation(id))
    );
    id
}

fn allocated(fleet: &mut Fleet) -> RoomId {
    match fleet.order(Command::Allocate) {
        Ok(Reply::Allocated { room, .. }) => room,
        other => panic!("{other:?}"),
    }
}

/// `v1.0.0` is published with two rooms, `v2.0.0` is stored and stopped.
fn managed() -> Fleet {
    let mut fleet = Fleet::up(2);
    done(&mut fleet, start("v1.0.0"));
    done(&mut fleet, publish("v1.0.0"));
    let id = operation_of(fleet.order(major("other")));
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
    fleet
}

/// Both versions have their two rooms, and `v1.0.0` is published.
fn two_live() -> Fleet {
    let mut fleet = managed();
    done(&mut fleet, start("v2.0.0"));
    fleet
}

#[test]
fn the_first_start_takes_the_active_version_over_with_its_rooms() {
    let mut fleet = Fleet::up(2);
    let before = fleet.rooms();
    assert_eq!(phase(&mut fleet, "v1.0.0"), VersionPhase::Published);
    done(&mut fleet, start("v1.0.0"));
    assert_eq!(phase(&mut fleet, "v1.0.0"), VersionPhase::Started);
    let (kind, text) = refusal(&mut fleet, Command::Allocate);
    assert_eq!(kind, RefusalKind::Absent);
    assert!(text.contains("none of its versions is published"), "{text}");
    done(&mut fleet, publish("v1.0.0"));
    assert!(before.contains(&allocated(&mut fleet)));
    assert_eq!(fleet.rooms(), before);
}

#[test]
fn the_first_start_of_another_version_leaves_the_active_one_published() {
    let mut fleet = Fleet::up(1);
    let old = fleet.rooms();
    fleet.order(major("other")).unwrap();
    fleet.ping_all(PingStatus::Ready);
    fleet.ping_all(PingStatus::Ready);
    fleet.ping_all(PingStatus::Ready);
    assert_ne!(
        fleet.rooms(),
        old,
        "not managed: the new version replaces the old one"
    );
    done(&mut fleet, start("v1.0.0"));
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Published);
    assert_eq!(phase(&mut fleet, "v1.0.0"), VersionPhase::Started);
    assert_eq!(
        (
            rooms_of(&fleet, "v1.0.0").len(),
            rooms_of(&fleet, "v2.0.0").len()
        ),
        (1, 1)
    );
    let room = allocated(&mut fleet);
    assert!(rooms_of(&fleet, "v2.0.0").contains(&room));
}

#[test]
fn a_new_version_of_a_managed_scheduler_is_stored_and_stopped() {
    let mut fleet = managed();
    let before = fleet.rooms();
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Stopped);
    assert_eq!(phase(&mut fleet, "v1.0.0"), VersionPhase::Published);
    assert_eq!(fleet.scheduler_state(), "in-sync");
    fleet.pass_pinging(seconds(300), PingStatus::Ready);
    assert_eq!(fleet.rooms(), before);
}

#[test]
fn versions_live_side_by_side_and_callers_get_the_published_one() {
    let mut fleet = two_live();
    let (first, second) = (rooms_of(&fleet, "v1.0.0"), rooms_of(&fleet, "v2.0.0"));
    assert_eq!((first.len(), second.len()), (2, 2));
    for _ in 0..2 {
        assert!(first.contains(&allocated(&mut fleet)));
    }
    let (kind, text) = refusal(&mut fleet, Command::Allocate);
    assert_eq!(kind, RefusalKind::Unavailable);
    assert!(
        text.contains("v1.0.0 has 2 rooms, 2 in use and 0 not up yet"),
        "{text}"
    );
    done(&mut fleet, publish("v2.0.0"));
    assert_eq!(phase(&mut fleet, "v1.0.0"), VersionPhase::Started);
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Published);
    assert!(second.contains(&allocated(&mut fleet)));
    fleet.pass_pinging(seconds(300), PingStatus::Ready);
    assert_eq!(
        rooms_of(&fleet, "v1.0.0"),
        first,
        "no room is ended for another's sake"
    );
    assert_eq!(rooms_of(&fleet, "v2.0.0"), second);
}

#[test]
fn the_switch_of_maestro_publishes_on_a_managed_scheduler() {
    let mut fleet = two_live();
    let switch = || Command::SwitchVersion("v2.0.0".into());
    let id = done(&mut fleet, switch());
    assert_eq!(fleet.operation(id).definition.name(), "publish_version");
    assert_eq!(
        fleet.state.scheduler().unwrap().version().as_str(),
        "v2.0.0"
    );
    done(&mut fleet, stop("v1.0.0", false));
    let (kind, text) = refusal(&mut fleet, Command::SwitchVersion("v1.0.0".into()));
    assert_eq!(
        (kind, text.ends_with("is STOPPED: start it first")),
        (RefusalKind::Conflict, true)
    );
}

#[test]
fn after_an_unpublish_nobody_gets_a_room() {
    let mut fleet = two_live();
    let (kind, _) = refusal(&mut fleet, unpublish("v2.0.0"));
    assert_eq!(kind, RefusalKind::Conflict);
    done(&mut fleet, unpublish("v1.0.0"));
    assert_eq!(phase(&mut fleet, "v1.0.0"), VersionPhase::Started);
    assert_eq!(
        refusal(&mut fleet, Command::Allocate).0,
        RefusalKind::Absent
    );
    fleet.restart();
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(
        refusal(&mut fleet, Command::Allocate).0,
        RefusalKind::Absent
    );
    assert_eq!(fleet.rooms().len(), 4);
}

#[test]
fn a_stop_ends_idle_rooms_and_drains_the_others() {
    let mut fleet = two_live();
    let (first, second) = (rooms_of(&fleet, "v1.0.0"), rooms_of(&fleet, "v2.0.0"));
    fleet.ping(&second[0], PingStatus::Occupied, 1).unwrap();
    let id = operation_of(fleet.order(stop("v2.0.0", false)));
    assert_eq!(rooms_of(&fleet, "v2.0.0"), second[..1]);
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Stopping);
    assert_eq!(
        operation_of(fleet.order(stop("v2.0.0", false))),
        id,
        "a repeated stop"
    );
    // Others need not wait for it.
    for other in [unpublish("v1.0.0"), publish("v1.0.0")] {
        let other = operation_of(fleet.order(other));
        assert_eq!(status(&fleet, other), OperationStatus::Finished);
    }
    fleet.pass(seconds(60));
    fleet.ping(&second[0], PingStatus::Ready, 0).unwrap();
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Stopped);
    assert_eq!(fleet.rooms(), first);
    done(&mut fleet, stop("v2.0.0", false));
    let reasons = fleet.machine.terminations.iter().map(|t| t.reason);
    let stopped = reasons.filter(|reason| *reason == RemovalReason::VersionStopped);
    assert_eq!(stopped.count(), 2);
}

#[test]
fn a_forced_stop_waits_for_no_match_even_if_it_comes_later() {
    for later in [false, true] {
        let mut fleet = two_live();
        let first = rooms_of(&fleet, "v1.0.0");
        for room in fleet.rooms() {
            fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
        }
        if later {
            fleet.order(stop("v2.0.0", false)).unwrap();
            assert_eq!(rooms_of(&fleet, "v2.0.0").len(), 2);
        }
        let id = operation_of(fleet.order(stop("v2.0.0", true)));
        assert_eq!(fleet.rooms(), first);
        assert_eq!(
            status(&fleet, id),
            OperationStatus::Finished,
            "{}",
            history(fleet.operation(id))
        );
    }
}

#[test]
fn orders_that_do_not_fit_are_refused_before_anything_is_queued() {
    let mut fleet = Fleet::up(1);
    for command in [
        publish("v1.0.0"),
        unpublish("v1.0.0"),
        configure("v1.0.0", &[], ConfigRestart::None),
    ] {
        let (kind, text) = refusal(&mut fleet, command);
        assert_eq!(kind, RefusalKind::Conflict);
        assert!(text.contains("is not managed by its versions"), "{text}");
    }
    let add = Command::AddRooms {
        amount: 1,
        version: Some("v1.0.0".into()),
    };
    assert_eq!(refusal(&mut fleet, add).0, RefusalKind::Conflict);
    let mut fleet = managed();
    let conflict = RefusalKind::Conflict;
    let image = |version: &str| Command::StartVersion {
        version: version.into(),
        images: vec!["game:1".into(), "game:2".into()],
        config: None,
    };
    for (command, kind, words) in [
        (
            start("v9.0.0"),
            RefusalKind::NotFound,
            "version v9.0.0 not found",
        ),
        (stop("v9.0.0", true), RefusalKind::NotFound, "not found"),
        (publish("v9.0.0"), RefusalKind::NotFound, "not found"),
        (
            start("v1.0.0"),
            conflict,
            "is PUBLISHED: it has its rooms already",
        ),
        (stop("v1.0.0", true), conflict, "is PUBLISHED: unpublish it"),
        (publish("v2.0.0"), conflict, "is STOPPED: start it first"),
        (
            unpublish("v2.0.0"),
            conflict,
            "is STOPPED: unpublish the version that is published",
        ),
        (
            image("v2.0.0"),
            RefusalKind::Invalid,
            "no container with the image game:2",
        ),
        (
            image("v1.0.0"),
            RefusalKind::AlreadyExists,
            "is PUBLISHED without the image game:2",
        ),
        (
            Command::RemoveRooms {
                amount: 1,
                force: false,
                version: Some("v2.0.0".into()),
            },
            conflict,
            "is STOPPED: start it first",
        ),
    ] {
        let (said, text) = refusal(&mut fleet, command);
        assert_eq!(said, kind, "{text}");
        assert!(text.contains(words), "{text}");
    }
    assert!(fleet.state.open_operations().is_empty());
    fleet.hold = true;
    let id = operation_of(fleet.order(start("v2.0.0")));
    for command in [start("v2.0.0"), stop("v2.0.0", false), publish("v2.0.0")] {
        let (kind, text) = refusal(&mut fleet, command);
        assert!(kind == conflict && text.contains(&id.to_string()), "{text}");
    }
}

#[test]
fn a_start_that_takes_too_long_ends_in_error_and_can_be_repeated() {
    let mut fleet = managed();
    let first = rooms_of(&fleet, "v1.0.0");
    let id = operation_of(fleet.order(start("v2.0.0")));
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Starting);
    let alive = |fleet: &mut Fleet| {
        for room in &first {
            fleet.ping(room, PingStatus::Ready, 0).unwrap();
        }
    };
    for _ in 0..20 {
        fleet.pass(seconds(30));
        alive(&mut fleet);
    }
    assert_eq!(status(&fleet, id), OperationStatus::Error);
    let view_of = view(&mut fleet, "v2.0.0");
    assert_eq!(view_of.phase, VersionPhase::Error);
    assert!(
        view_of
            .failure
            .contains("0 of 2 rooms of v2.0.0 were up after 600 s"),
        "{view_of:?}"
    );
    let orders = fleet.machine.orders.len();
    for _ in 0..20 {
        fleet.pass(seconds(30));
        alive(&mut fleet);
    }
    assert_eq!(
        fleet.machine.orders.len(),
        orders,
        "no rooms are created for it any more"
    );
    done(&mut fleet, start("v2.0.0"));
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Started);
    assert_eq!(rooms_of(&fleet, "v1.0.0"), first);
}

#[test]
fn a_crash_looping_version_is_slowed_down_and_leaves_the_published_one_alone() {
    let mut fleet = managed();
    let first = rooms_of(&fleet, "v1.0.0");
    fleet.order(start("v2.0.0")).unwrap();
    let before = fleet.machine.orders.len();
    for _ in 0..60 {
        for room in rooms_of(&fleet, "v2.0.0") {
            fleet.crash(&room, 1);
        }
        for room in &first {
            fleet.ping(room, PingStatus::Ready, 0).unwrap();
        }
        fleet.pass(seconds(1));
    }
    let tries = (fleet.machine.orders.len() - before) / 2;
    assert!((3..=8).contains(&tries), "{tries} tries in a minute");
    assert_eq!(fleet.scheduler_state(), "in-sync");
    // Its failures hold back nobody else.
    fleet.crash(&first[0], 0);
    fleet.pass(seconds(1));
    assert_eq!(rooms_of(&fleet, "v1.0.0").len(), 2);
}

#[test]
fn a_failure_is_shown_while_rooms_of_its_version_fail() {
    let mut fleet = two_live();
    let fails = |fleet: &mut Fleet, version: &str| !view(fleet, version).failure.is_empty();
    for version in ["v1.0.0", "v2.0.0"] {
        for room in rooms_of(&fleet, version) {
            fleet.crash(&room, 1);
        }
        assert!(fails(&mut fleet, version), "{version}");
    }
    // Nothing but time proves that the one works which is not active.
    fleet.pass_pinging(seconds(40), PingStatus::Ready);
    assert!(fails(&mut fleet, "v2.0.0"));
    fleet.pass_pinging(seconds(60), PingStatus::Ready);
    for version in ["v1.0.0", "v2.0.0"] {
        assert_eq!(view(&mut fleet, version).failure, "", "{version} is well");
    }
    let room = rooms_of(&fleet, "v2.0.0").remove(0);
    fleet.pass(seconds(1));
    fleet.crash(&room, 1);
    fleet.pass(seconds(5));
    for room in rooms_of(&fleet, "v2.0.0") {
        fleet.crash(&room, 1);
    }
    assert!(fails(&mut fleet, "v2.0.0"));
    fleet.order(stop("v2.0.0", true)).unwrap();
    fleet.pass_pinging(seconds(10), PingStatus::Ready);
    let stopped = view(&mut fleet, "v2.0.0");
    assert_eq!(stopped.phase, VersionPhase::Stopped);
    assert_eq!(stopped.failure, "", "it wants no rooms");
}

#[test]
fn a_version_that_was_active_before_fails_no_more() {
    let mut fleet = Fleet::up(2);
    for room in fleet.rooms() {
        fleet.crash(&room, 1);
    }
    assert_ne!(view(&mut fleet, "v1.0.0").failure, "");
    fleet.order(major("other")).unwrap();
    for _ in 0..3 {
        fleet.ping_all(PingStatus::Ready);
    }
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Published);
    assert_eq!(view(&mut fleet, "v1.0.0").failure, "");
}

#[test]
fn a_canceled_start_ends_the_rooms_that_it_got() {
    let mut fleet = managed();
    let first = fleet.rooms();
    let id = operation_of(fleet.order(start("v2.0.0")));
    assert_eq!(fleet.rooms().len(), 4);
    fleet.order(Command::Cancel(id)).unwrap();
    assert_eq!(status(&fleet, id), OperationStatus::Canceled);
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Stopped);
    assert_eq!(fleet.rooms(), first);
}

#[test]
fn a_canceled_stop_brings_the_rooms_back() {
    let mut fleet = two_live();
    let room = rooms_of(&fleet, "v2.0.0")[0].clone();
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    let id = operation_of(fleet.order(stop("v2.0.0", false)));
    fleet.order(Command::Cancel(id)).unwrap();
    assert_eq!(status(&fleet, id), OperationStatus::Canceled);
    fleet.ping_all(PingStatus::Ready);
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Started);
    let rooms = rooms_of(&fleet, "v2.0.0");
    assert_eq!(rooms.len(), 2);
    assert!(rooms.contains(&room), "it was to go after its match");
}

#[test]
fn a_start_goes_on_under_the_next_owner() {
    let mut fleet = managed();
    let id = operation_of(fleet.order(start("v2.0.0")));
    fleet.restart();
    assert_eq!(status(&fleet, id), OperationStatus::InProgress);
    assert!(history(fleet.operation(id)).contains("Resuming operation"));
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
    assert_eq!(rooms_of(&fleet, "v2.0.0").len(), 2);
    // Each started version comes to its count again.
    let stop_id = operation_of(fleet.order(stop("v2.0.0", false)));
    fleet.restart();
    assert_eq!(status(&fleet, stop_id), OperationStatus::Finished);
    for room in fleet.rooms() {
        fleet.machine.vanish(&room);
    }
    fleet.restart();
    assert_eq!(
        (
            rooms_of(&fleet, "v1.0.0").len(),
            rooms_of(&fleet, "v2.0.0").len()
        ),
        (2, 0)
    );
}

#[test]
fn a_start_whose_operation_the_store_lost_is_ordered_again() {
    let mut fleet = managed();
    let id = operation_of(fleet.order(start("v2.0.0")));
    fleet.stored.operations.clear();
    fleet.forgetful = true;
    fleet.restart();
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Started);
    let orders = fleet.stored.operations.values();
    let again: Vec<_> = orders
        .filter(|o| o.definition.name() == "start_version")
        .collect();
    assert!(again.len() == 1 && again[0].id != id);
}

#[test]
fn each_version_has_its_own_number_of_rooms() {
    let mut fleet = two_live();
    let second = Some(SchedulerVersion::from("v2.0.0"));
    let add = Command::AddRooms {
        amount: 2,
        version: second.clone(),
    };
    done(&mut fleet, add);
    let counts = |fleet: &Fleet| {
        (
            rooms_of(fleet, "v1.0.0").len(),
            rooms_of(fleet, "v2.0.0").len(),
        )
    };
    assert_eq!(counts(&fleet), (2, 4));
    let remove = Command::RemoveRooms {
        amount: 1,
        force: false,
        version: None,
    };
    done(&mut fleet, remove);
    assert_eq!(
        counts(&fleet),
        (1, 4),
        "without a version the published one is meant"
    );
    let remove = Command::RemoveRooms {
        amount: 1,
        force: false,
        version: second,
    };
    done(&mut fleet, remove);
    fleet.pass_pinging(seconds(200), PingStatus::Ready);
    assert_eq!(counts(&fleet), (1, 3));
    done(&mut fleet, publish("v2.0.0"));
    fleet.restart();
    fleet.pass_pinging(seconds(200), PingStatus::Ready);
    assert_eq!(counts(&fleet), (1, 3), "publishing changes no number");
}

#[test]
fn a_new_configuration_replaces_rooms_by_the_surge_and_spares_matches() {
    let mut fleet = two_live();
    let (first, second) = (rooms_of(&fleet, "v1.0.0"), rooms_of(&fleet, "v2.0.0"));
    fleet.ping(&second[0], PingStatus::Occupied, 1).unwrap();
    let old = configure("v2.0.0", &[("A", "1"), ("B", "1")], ConfigRestart::None);
    done_busy(&mut fleet, old, &second[0]);
    assert_eq!(rooms_of(&fleet, "v2.0.0"), second, "nothing is replaced");
    let new = configure("v2.0.0", &[("B", "2")], ConfigRestart::Rolling);
    let id = done_busy(&mut fleet, new, &second[0]);
    let told = history(fleet.operation(id));
    assert!(
        told.contains("1 rooms of v2.0.0 are replaced when their matches end"),
        "{told}"
    );
    let now = rooms_of(&fleet, "v2.0.0");
    assert!(now.contains(&second[0]) && !now.contains(&second[1]));
    fleet.ping(&second[0], PingStatus::Ready, 0).unwrap();
    fleet.ping_all(PingStatus::Ready);
    let now = rooms_of(&fleet, "v2.0.0");
    assert!(now.len() == 2 && !now.contains(&second[0]), "{now:?}");
    for room in &now {
        let orders = fleet.machine.orders.iter().filter(|o| o.room == *room);
        assert!(orders.clone().all(|o| o.config == pairs(&[("B", "2")])));
        assert!(orders.count() > 0);
    }
    assert_eq!(rooms_of(&fleet, "v1.0.0"), first);
    assert_eq!(view(&mut fleet, "v2.0.0").config, pairs(&[("B", "2")]));
    fleet.restart();
    fleet.pass_pinging(seconds(200), PingStatus::Ready);
    assert_eq!(
        rooms_of(&fleet, "v2.0.0"),
        now,
        "the next owner knows which rooms have it"
    );
}

/// Like [`done`], but one room stays in its match.
fn done_busy(fleet: &mut Fleet, command: Command, busy: &RoomId) -> OperationId {
    let id = operation_of(fleet.order(command));
    for _ in 0..3 {
        for room in fleet.rooms() {
            let status = if room == *busy {
                PingStatus::Occupied
            } else {
                PingStatus::Ready
            };
            let _ = fleet.ping(&room, status, 0);
        }
    }
    assert_eq!(
        status(fleet, id),
        OperationStatus::Finished,
        "{}",
        history(fleet.operation(id))
    );
    id
}

#[test]
fn a_restart_of_all_rooms_ends_them_at_once() {
    let mut fleet = two_live();
    let before = rooms_of(&fleet, "v2.0.0");
    fleet.hold = true;
    let all = configure("v2.0.0", &[("A", "1")], ConfigRestart::All);
    let id = operation_of(fleet.order(all));
    let kinds: Vec<_> = fleet.works.iter().map(|(_, work)| work.kind()).collect();
    assert_eq!(kinds, ["terminate_room", "terminate_room", "show"]);
    fleet.release();
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
    let now = rooms_of(&fleet, "v2.0.0");
    assert!(now.len() == 2 && now.iter().all(|room| !before.contains(room)));
}

#[test]
fn a_start_takes_its_configuration_with_it() {
    let mut fleet = managed();
    let with = Command::StartVersion {
        version: "v2.0.0".into(),
        images: vec!["game:1".into()],
        config: Some(pairs(&[("MODE", "ranked")])),
    };
    done(&mut fleet, with);
    for room in rooms_of(&fleet, "v2.0.0") {
        let order = fleet
            .machine
            .orders
            .iter()
            .find(|o| o.room == room)
            .unwrap();
        assert_eq!(order.config, pairs(&[("MODE", "ranked")]));
    }
    let told = serde_json::to_string(&fleet.stored.operations).unwrap();
    assert!(!told.contains("ranked"), "values are in no operation");
}

#[test]
fn a_policy_counts_the_rooms_of_the_published_version() {
    let mut fleet = Fleet::up(1);
    fleet
        .order(maestro_simulation::documents::buffer(Some(2)))
        .unwrap();
    fleet.ping_all(PingStatus::Ready);
    done(&mut fleet, start("v1.1.0"));
    done(&mut fleet, publish("v1.1.0"));
    fleet.order(major("other")).unwrap();
    fleet.ping_all(PingStatus::Ready);
    done(&mut fleet, start("v2.0.0"));
    let counts = |fleet: &Fleet| {
        (
            rooms_of(fleet, "v1.1.0").len(),
            rooms_of(fleet, "v2.0.0").len(),
        )
    };
    let (published, started) = counts(&fleet);
    assert_eq!(published, 2);
    // The rooms of the other version are no buffer: the published one grows when its rooms are occupied.
    for room in rooms_of(&fleet, "v1.1.0") {
        fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    }
    assert_eq!(counts(&fleet), (4, started));
    // Published, the other one follows the policy, and the first keeps the rooms that it has.
    done(&mut fleet, publish("v2.0.0"));
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(counts(&fleet), (4, 2));
}

#[test]
fn a_paused_scheduler_starts_nothing_and_its_start_does_not_run_out_of_time() {
    let mut fleet = managed();
    let id = operation_of(fleet.order(start("v2.0.0")));
    fleet.order(Command::SetPaused(true)).unwrap();
    fleet.pass_pinging(seconds(1200), PingStatus::Unknown);
    assert_eq!(status(&fleet, id), OperationStatus::InProgress);
    fleet.order(Command::SetPaused(false)).unwrap();
    fleet.ping_all(PingStatus::Ready);
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(status(&fleet, id), OperationStatus::Finished);
}

#[test]
fn a_deletion_ends_what_waits_for_rooms() {
    let mut fleet = managed();
    fleet.order(start("v2.0.0")).unwrap();
    operation_of(fleet.order(Command::DeleteScheduler));
    assert!(fleet.ended && fleet.rooms().is_empty());
    assert!(fleet.stored.live.is_empty() && fleet.stored.operations.len() == 1);
}

#[test]
fn rooms_that_cannot_be_created_are_the_fault_of_their_version() {
    let mut fleet = managed();
    fleet.hold = true;
    fleet.order(start("v2.0.0")).unwrap();
    while fleet.release_with(Outcome::Invalid) {}
    fleet.release();
    assert_eq!(fleet.scheduler_state(), "in-sync");
    fleet.pass_pinging(seconds(60), PingStatus::Ready);
    assert_eq!(phase(&mut fleet, "v2.0.0"), VersionPhase::Started);
}

#[test]
fn a_version_that_another_program_made_active_is_the_published_one() {
    let fleet = two_live();
    let mut loaded = fleet.stored.loaded();
    let second = loaded
        .versions
        .iter()
        .find(|v| v.version().as_str() == "v2.0.0");
    loaded.scheduler = second.cloned();
    let (settings, clock) = (fleet.settings.clone(), fleet.clock);
    let mut state = SchedulerState::load("arena".into(), loaded, settings, clock, 1);
    let ask = Input::Command {
        caller: Caller(1),
        request: None,
        command: Command::LiveVersions,
    };
    let effects = state.decide(ask, clock, 2).effects;
    let Some(Effect::Reply {
        answer: Ok(Reply::LiveVersions(all)),
        ..
    }) = effects.into_iter().next()
    else {
        panic!("no versions");
    };
    let found: Vec<_> = all.iter().map(|v| (v.phase, v.rooms_wanted)).collect();
    let expected = [(VersionPhase::Started, 2), (VersionPhase::Published, 2)];
    assert_eq!(found, expected);
}

fn nodes(fleet: &mut Fleet, version: &str) -> Vec<NodeView> {
    let order = Command::Nodes {
        version: version.into(),
        after: None,
    };
    match fleet.order(order) {
        Ok(Reply::Nodes(page)) => {
            assert_eq!(page.next, None, "two rooms are one page");
            page.nodes
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_rooms_of_a_version_are_its_nodes() {
    let mut fleet = managed();
    let phases = |fleet: &mut Fleet, version| -> Vec<NodePhase> {
        let nodes = nodes(fleet, version);
        assert!(nodes.is_sorted_by_key(|node| node.room.clone()));
        nodes.into_iter().map(|node| node.phase).collect()
    };
    assert_eq!(phases(&mut fleet, "v2.0.0"), []);
    operation_of(fleet.order(start("v2.0.0")));
    fleet.settle();
    assert_eq!(phases(&mut fleet, "v2.0.0"), [NodePhase::Starting; 2]);
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(phases(&mut fleet, "v2.0.0"), [NodePhase::Started; 2]);
    // Those of another version are not among them.
    let first = nodes(&mut fleet, "v1.0.0");
    assert!(
        nodes(&mut fleet, "v2.0.0")
            .iter()
            .all(|node| !first.contains(node))
    );
    let unknown = Command::Nodes {
        version: "v9.0.0".into(),
        after: None,
    };
    assert_eq!(refusal(&mut fleet, unknown).0, RefusalKind::NotFound);
}

#[test]
fn a_runtime_that_is_away_is_asked_less_often_for_each_version() {
    let mut fleet = Fleet::up(1);
    fleet.order(major("game-2")).unwrap();
    fleet.pass_pinging(seconds(120), PingStatus::Ready);
    fleet.hold = true;
    fleet.order(start("v1.0.0")).unwrap();
    let mut calls = 0;
    for _ in 0..120 {
        while calls < 1000 && fleet.release_with(Outcome::Unavailable) {
            calls += 1;
        }
        fleet.pass(seconds(1));
    }
    assert!((5..50).contains(&calls), "{calls} calls in two minutes");
    fleet.hold = false;
    fleet.release();
    fleet.pass(seconds(31));
    assert_eq!(rooms_of(&fleet, "v1.0.0").len(), 1, "work goes on");
}
