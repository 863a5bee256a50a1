//! New versions: validation, version numbers, rollouts and what they wait for (contract 5.5).

use maestro_core::domain::*;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::documents::{history, major, operation_of, patch};
use maestro_simulation::{Fleet, Outcome, spec};
use std::time::Duration;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn on_trial(fleet: &Fleet) -> bool {
    fleet.machine.running.values().any(|i| i.validation)
}

fn waits_for(fleet: &mut Fleet) -> String {
    match fleet.order(Command::Rollout) {
        Ok(Reply::Rollout(view)) => view.waiting_for.expect("it waits"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn attempts_of_a_validation_wait_longer_each_time_and_have_an_end() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(major("false")));
    for wait in [200, 400] {
        let trial = fleet.trial();
        fleet.crash(&trial, 1);
        fleet.pass(millis(wait - 1));
        assert!(!on_trial(&fleet), "{wait} ms");
        fleet.pass(millis(1));
        assert!(on_trial(&fleet), "{wait} ms");
    }
    assert_eq!(fleet.operation(id).resume.step, "validating");
    assert_eq!(fleet.operation(id).resume.validation_attempts, 2);
    let trial = fleet.trial();
    fleet.crash(&trial, 1);
    let end = fleet.operation(id);
    assert_eq!(end.status, OperationStatus::Error);
    let told = history(end);
    for attempt in 1..=3 {
        assert!(
            told.contains(&format!("validation attempt {attempt}: room ")),
            "{told}"
        );
        assert!(
            told.contains(&format!("validation attempt {attempt} failed: ")),
            "{told}"
        );
    }
    let text = "operation execution failed: no validation room of v2.0.0 was ready in 3 attempts";
    assert!(told.contains(text), "{told}");
    assert_eq!(fleet.scheduler_state(), "in-sync");
    fleet.pass(seconds(10));
    assert!(!on_trial(&fleet) && fleet.rooms().len() == 1);
}

#[test]
fn a_validation_room_has_its_time_and_no_longer() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(major("false")));
    let trial = fleet.trial();
    fleet.pass(seconds(119));
    assert_eq!(fleet.trial(), trial);
    fleet.pass(seconds(1));
    assert!(!fleet.machine.running.contains_key(&trial));
    let text = format!("room {trial} was not ready after 120 s");
    assert!(history(fleet.operation(id)).contains(&text));
    let told = fleet.machine.terminations.iter().find(|t| t.room == trial);
    let reason = told.map(|t| t.reason);
    assert_eq!(reason, Some(RemovalReason::NewVersionValidationFinished));
}

#[test]
fn a_validation_room_in_error_fails_its_attempt_with_the_runtimes_words() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(major("false")));
    let trial = fleet.trial();
    fleet.machine.observe(&trial, |instance| {
        instance.status = InstanceStatus::Error;
        instance.description = "ImagePullBackOff".into();
    });
    fleet.carry_on();
    let text = format!("validation attempt 1 failed: room {trial} is in error: ImagePullBackOff");
    let told = history(fleet.operation(id));
    assert!(told.contains(&text), "{told}");
    assert!(!fleet.machine.running.contains_key(&trial));
}

#[test]
fn a_validation_room_that_cannot_be_made_fails_its_attempt_and_gives_its_ports_back() {
    for (outcome, orders) in [(Outcome::Exhausted, 1), (Outcome::Unknown, 3)] {
        let mut fleet = Fleet::up(1);
        fleet.hold = true;
        let id = operation_of(fleet.order(major("false")));
        fleet.release_kind("reserve_ports", Outcome::Works);
        for _ in 0..orders {
            fleet.release_kind("create_room", outcome);
        }
        fleet.release();
        let told = history(fleet.operation(id));
        assert!(told.contains("validation attempt 1 failed: "), "{told}");
        assert_eq!(fleet.rooms().len(), 1);
        assert_eq!(fleet.machine.reserved.len(), 1);
        fleet.pass(millis(200));
        let trial = fleet.trial();
        fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
        assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
        assert!(history(fleet.operation(id)).contains("validation attempt 2 succeeded"));
    }
}

#[test]
fn a_version_that_the_runtime_refuses_is_tried_once() {
    for step in ["reserve_ports", "create_room"] {
        let mut fleet = Fleet::up(1);
        fleet.hold = true;
        let id = operation_of(fleet.order(major("false")));
        if step == "create_room" {
            fleet.release_kind("reserve_ports", Outcome::Works);
        }
        fleet.release_kind(step, Outcome::Invalid);
        fleet.release();
        let end = fleet.operation(id);
        assert_eq!(end.status, OperationStatus::Error, "{step}");
        let told = history(end);
        let text = "operation execution failed: no validation room of v2.0.0 can run: no";
        assert!(told.contains(text), "{step}: {told}");
        assert!(!told.contains("validation attempt 2"), "{step}: {told}");
        assert_eq!(fleet.scheduler_state(), "in-sync");
        assert_eq!((fleet.rooms().len(), fleet.machine.reserved.len()), (1, 1));
    }
}

#[test]
fn attempts_while_the_runtime_is_away_do_not_count_and_have_an_end() {
    let away = |tries: usize, taken_over: Option<usize>| {
        let mut fleet = Fleet::up(1);
        let room = fleet.rooms()[0].clone();
        fleet.hold = true;
        let id = operation_of(fleet.order(major("false")));
        for tried in 0..tries {
            if taken_over == Some(tried) {
                fleet.restart_held();
            }
            fleet.ping(&room, PingStatus::Ready, 0).unwrap();
            fleet.release_kind("reserve_ports", Outcome::Works);
            fleet.release_kind("create_room", Outcome::Unavailable);
            fleet.release();
            fleet.hold = true;
            fleet.pass(seconds(26));
        }
        fleet.hold = false;
        fleet.release();
        (fleet, id)
    };
    let (mut fleet, id) = away(20, None);
    let trial = fleet.trial();
    let open = fleet.operation(id);
    assert_eq!(open.resume.validation_attempts, 0, "{}", history(open));
    fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    for taken_over in [None, Some(20)] {
        let (fleet, id) = away(30, taken_over);
        let end = fleet.operation(id);
        assert_eq!(end.status, OperationStatus::Error, "{}", history(end));
        let text = "no validation room of v2.0.0 could be made: ";
        assert!(history(end).contains(text), "{}", history(end));
        assert_eq!((fleet.rooms().len(), fleet.machine.reserved.len()), (1, 1));
    }
}

#[test]
fn failed_attempts_of_a_validation_count_for_the_next_owner() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(major("false")));
    for failed in 1..=2 {
        let trial = fleet.trial();
        fleet.crash(&trial, 1);
        assert_eq!(fleet.operation(id).resume.validation_attempts, failed);
        fleet.restart();
        fleet.pass(seconds(1));
        assert!(on_trial(&fleet), "{}", history(fleet.operation(id)));
        assert_eq!(fleet.operation(id).resume.validation_attempts, failed);
    }
    let trial = fleet.trial();
    fleet.crash(&trial, 1);
    let end = fleet.operation(id);
    assert_eq!(end.status, OperationStatus::Error, "{}", history(end));
    let text = "no validation room of v2.0.0 was ready in 3 attempts";
    assert!(history(end).contains(text), "{}", history(end));
}

fn unplaced(fleet: &mut Fleet, room: &RoomId, trouble: Option<Trouble>) {
    fleet.machine.observe(room, |instance| {
        instance.status = InstanceStatus::Pending;
        instance.trouble = trouble;
        instance.description = "0/2 nodes are available".into();
    });
    fleet.carry_on();
}

#[test]
fn a_validation_room_without_a_node_waits_for_one_and_then_its_operation_ends() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(major("false")));
    let trial = fleet.trial();
    unplaced(&mut fleet, &trial, Some(Trouble::Unschedulable));
    let why = "no node has a place for it (0/2 nodes are available)";
    assert!(history(fleet.operation(id)).contains(why), "at once");
    fleet.pass(seconds(599));
    assert_eq!(fleet.trial(), trial, "a cluster grows slowly");
    fleet.pass(seconds(1));
    let end = fleet.operation(id);
    assert_eq!(end.status, OperationStatus::Error);
    let text = format!(
        "operation execution failed: no validation room of v2.0.0 can run: room {trial} was not ready after 600 s: {why}"
    );
    assert!(history(end).contains(&text), "{}", history(end));
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert_eq!(fleet.rooms().len(), 1);
}

#[test]
fn a_short_time_for_finding_a_node_does_not_shorten_that_of_a_validation() {
    let settings = CoreSettings {
        schedule_timeout: seconds(10),
        ..CoreSettings::default()
    };
    let mut fleet = Fleet::up_with(spec(1), settings);
    fleet.order(major("false")).unwrap();
    let trial = fleet.trial();
    unplaced(&mut fleet, &trial, Some(Trouble::Unschedulable));
    fleet.pass(seconds(119));
    assert_eq!(fleet.trial(), trial);
    fleet.pass(seconds(1));
    assert!(!on_trial(&fleet));
}

#[test]
fn a_validation_room_that_is_given_a_node_late_has_its_time_from_then_on() {
    let mut fleet = Fleet::up(1);
    let id = operation_of(fleet.order(major("false")));
    let trial = fleet.trial();
    unplaced(&mut fleet, &trial, Some(Trouble::Unschedulable));
    fleet.pass(seconds(400));
    unplaced(&mut fleet, &trial, None);
    fleet.pass(seconds(119));
    assert_eq!(fleet.trial(), trial);
    fleet.pass(seconds(1));
    let told = history(fleet.operation(id));
    assert!(
        told.contains(&format!(
            "room {trial} was not ready after 520 s: 0/2 nodes"
        )),
        "{told}"
    );
    assert_eq!(fleet.operation(id).status, OperationStatus::InProgress);
}

#[test]
fn versions_are_numbered_behind_all_that_are_stored() {
    let mut fleet = Fleet::up(0);
    let minor = |fleet: &mut Fleet, surge: i32| {
        let surge = patch(|p| p.max_surge = Some(surge.to_string().into()));
        fleet.order(surge).unwrap();
        fleet.state.view().version
    };
    assert_eq!(minor(&mut fleet, 2), "v1.1.0");
    assert_eq!(minor(&mut fleet, 3), "v1.2.0");
    fleet
        .order(Command::SwitchVersion("v1.0.0".into()))
        .unwrap();
    assert_eq!(fleet.state.view().version, "v1.0.0");
    assert_eq!(
        fleet.stored.scheduler.as_ref().unwrap().max_surge,
        "1".into()
    );
    assert_eq!(minor(&mut fleet, 4), "v1.3.0");
    let stored: Vec<_> = fleet
        .stored
        .versions
        .keys()
        .map(|v| v.to_string())
        .collect();
    assert_eq!(stored, ["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"]);
    assert_eq!(
        fleet.stored.scheduler.as_ref().unwrap().rollback_version,
        "v1.0.0"
    );
}

#[test]
fn a_rollout_says_what_it_waits_for() {
    let mut fleet = Fleet::up(2);
    fleet.order(major("false")).unwrap();
    let trial = fleet.trial();
    fleet.hold = true;
    fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
    fleet.release_kind("terminate_room", Outcome::Works);
    let add = fleet.operations_of("add_rooms");
    let add = add.iter().find(|o| o.status == OperationStatus::InProgress);
    let words = format!("operation {} (add_rooms)", add.expect("it adds").id);
    assert_eq!(waits_for(&mut fleet), words);
    fleet.release();
    assert_eq!(waits_for(&mut fleet), "1 new rooms to become ready");
    fleet.order(Command::SetPaused(true)).unwrap();
    assert_eq!(
        waits_for(&mut fleet),
        "the scheduler to be resumed: an operator paused it"
    );
    fleet.order(Command::SetPaused(false)).unwrap();
    fleet.order(Command::PauseRollout).unwrap();
    let words = waits_for(&mut fleet);
    assert!(words.starts_with("an operator to resume it"), "{words}");
    fleet.order(Command::ResumeRollout).unwrap();
    // The new room ends before it was ready, so the next try waits.
    let new = fleet
        .machine
        .running
        .values()
        .find(|i| i.version.as_str() == "v2.0.0");
    let new = new.unwrap().room.clone();
    fleet.crash(&new, 7);
    let words = waits_for(&mut fleet);
    assert!(words.starts_with("the next try in 1 s: "), "{words}");
    assert!(words.contains("exit code 7"), "{words}");
}

#[test]
fn a_rollout_in_numbers() {
    let mut fleet = Fleet::up(4);
    let view = |fleet: &mut Fleet| match fleet.order(Command::Rollout) {
        Ok(Reply::Rollout(view)) => *view,
        other => panic!("{other:?}"),
    };
    let calm = view(&mut fleet);
    assert!(!calm.in_progress && calm.waiting_for.is_none());
    assert_eq!(
        (calm.old, calm.new, calm.starting, calm.surge),
        (0, 4, 0, 0)
    );
    assert_eq!(calm.versions["v1.0.0"], 4);
    fleet
        .order(patch(|p| p.max_surge = Some("50%".into())))
        .unwrap();
    fleet.order(major("false")).unwrap();
    let trial = fleet.trial();
    fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
    let rolling = view(&mut fleet);
    assert!(rolling.in_progress && !rolling.paused);
    assert_eq!(
        (rolling.old, rolling.new, rolling.starting, rolling.surge),
        (4, 2, 2, 2)
    );
    assert_eq!(rolling.previous_version, "v1.1.0");
    assert_eq!(rolling.active_version.as_str(), "v2.0.0");
    let versions: Vec<_> = rolling.versions.into_iter().collect();
    assert_eq!(versions, [("v1.0.0".into(), 4), ("v2.0.0".into(), 2)]);
    // A switch begins a new rollout, which ends the pause of the previous one.
    fleet.order(Command::PauseRollout).unwrap();
    assert!(view(&mut fleet).paused && fleet.stored.operator.rollout_paused);
    fleet.order(Command::AbortRollout).unwrap();
    assert!(!fleet.stored.operator.rollout_paused);
    assert_eq!(fleet.state.view().version, "v1.1.0");
}

#[test]
fn an_abort_needs_a_rollout_and_a_version_to_go_back_to() {
    let refused = |fleet: &mut Fleet| {
        let refusal = fleet.order(Command::AbortRollout).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Conflict);
        refusal.message
    };
    let mut fleet = Fleet::up(1);
    let text = "no rollout of scheduler arena is under way";
    assert_eq!(refused(&mut fleet), text);
    fleet.order(major("false")).unwrap();
    let trial = fleet.trial();
    fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
    let mut document = Scheduler::clone(fleet.stored.scheduler.as_ref().unwrap());
    document.rollback_version = "v0.9.0".into();
    fleet.stored.scheduler = Some(document.into());
    fleet.restart();
    let text = "version v2.0.0 has no version before it that is still stored";
    assert_eq!(refused(&mut fleet), text);
}

#[test]
fn the_last_rooms_that_ended_are_remembered_and_no_more() {
    let mut fleet = Fleet::up(1);
    let mut ended = Vec::new();
    for _ in 0..52 {
        let room = fleet.rooms()[0].clone();
        fleet.pass_pinging(seconds(60), PingStatus::Ready);
        fleet.crash(&room, 0);
        fleet.ping_all(PingStatus::Ready);
        ended.push(room);
    }
    for (at, room) in ended.into_iter().enumerate() {
        let known = fleet.order(Command::Room(room)).is_ok();
        assert_eq!(known, at >= 2, "{at}");
    }
}

#[test]
fn new_rooms_are_given_out_before_old_ones() {
    let mut fleet = Fleet::up(2);
    fleet.order(major("false")).unwrap();
    let trial = fleet.trial();
    fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
    let running = &fleet.machine.running;
    let new = running.values().find(|i| i.version.as_str() == "v2.0.0");
    let new = new.unwrap().room.clone();
    fleet.order(Command::PauseRollout).unwrap();
    fleet.ping(&new, PingStatus::Ready, 0).unwrap();
    let Ok(Reply::Allocated { room, .. }) = fleet.order(Command::Allocate) else {
        panic!("there are three");
    };
    assert_eq!(room, new);
}

#[test]
fn old_rooms_that_never_came_up_are_waited_for_by_nobody() {
    for (up, old_left) in [(true, 2), (false, 0)] {
        let mut fleet = Fleet::created(spec(2), CoreSettings::default());
        if up {
            fleet.ping_all(PingStatus::Ready);
        }
        fleet.order(major("false")).unwrap();
        let trial = fleet.trial();
        fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
        // No new room is up yet.
        let running = fleet.machine.running.values();
        let old = running.filter(|i| i.version.as_str() == "v1.0.0");
        assert_eq!(old.count(), old_left, "up: {up}");
    }
}

/// An abort goes back to the version that the active one was made from.
#[test]
fn the_version_to_go_back_to_is_kept_however_old_it_is() {
    let mut fleet = Fleet::up_with(
        spec(1),
        CoreSettings {
            versions_limit: 4,
            ..CoreSettings::default()
        },
    );
    for surge in ["2", "3", "4"] {
        let edit = |p: &mut maestro_core::rules::patch::Patch| p.max_surge = Some(surge.into());
        fleet.order(patch(edit)).unwrap();
        fleet.pass(seconds(1));
    }
    let back = Command::SwitchVersion("v1.2.0".into());
    fleet.order(back).unwrap();
    fleet.pass(seconds(1));
    let active = fleet.stored.scheduler.clone().unwrap();
    assert_eq!(active.rollback_version, "v1.1.0");
    fleet
        .order(patch(|p| p.max_surge = Some("5".into())))
        .unwrap();
    fleet.pass(seconds(1));
    let stored: Vec<_> = fleet.stored.versions.keys().map(|v| v.as_str()).collect();
    assert!(stored.len() <= 4, "{stored:?}");
    for used in ["v1.0.0", "v1.1.0", "v1.2.0"] {
        assert!(stored.contains(&used), "{used} of {stored:?}");
    }
}

#[test]
fn a_rollout_that_waits_for_nothing_of_the_fleet_waits_for_the_next_look() {
    let settings = CoreSettings {
        event_driven: false,
        ..CoreSettings::default()
    };
    let mut fleet = Fleet::created(spec(1), settings);
    fleet.pass_pinging(seconds(130), PingStatus::Ready);
    assert_eq!(fleet.rooms().len(), 1);
    fleet.order(major("false")).unwrap();
    let trial = fleet.trial();
    fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.state.view().version, "v2.0.0");
    assert_eq!(waits_for(&mut fleet), "the next look at the fleet");
}
