//! Rooms that end too soon, restart in place, or end properly, and the consequences (D30, D31).

use maestro_core::domain::*;
use maestro_core::ports::RuntimeEvent;
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::{Fleet, spec};
use std::time::Duration;

const MIN_UPTIME: Duration = Duration::from_secs(30);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A container of the room ends and waits to be started again.
fn restarting(fleet: &mut Fleet, room: &RoomId, count: u32, code: i32) {
    let instance = fleet.machine.running.get_mut(room).expect("it runs");
    instance.status = InstanceStatus::Error;
    instance.description = format!("CrashLoopBackOff: exit code {code}");
    instance.resource_version += 1;
    instance.restarting = Some(Restart {
        count,
        code: Some(code),
        signal: None,
    });
    let event = RuntimeEvent::Changed(instance.clone());
    fleet.input(Input::Runtime(event));
}

/// The room runs again.
fn runs_again(fleet: &mut Fleet, room: &RoomId) {
    let instance = fleet.machine.running.get_mut(room).expect("it runs");
    instance.status = InstanceStatus::Ready;
    instance.description = String::new();
    instance.resource_version += 1;
    instance.restarting = None;
    let event = RuntimeEvent::Changed(instance.clone());
    fleet.input(Input::Runtime(event));
}

fn status(fleet: &Fleet, room: &RoomId) -> RoomStatus {
    fleet
        .state
        .rooms()
        .get(room.as_str())
        .expect("known")
        .status()
}

fn history(operation: &OperationRecord) -> String {
    let lines = operation.history.iter().map(|e| e.event.as_str());
    lines.collect::<Vec<_>>().join("\n")
}

fn ends(fleet: &Fleet) -> Vec<&RoomEnd> {
    fn end(report: &Report) -> Option<&RoomEnd> {
        match report {
            Report::RoomEnded(end) => Some(end),
            _ => None,
        }
    }
    fleet.reports.iter().filter_map(end).collect()
}

#[test]
fn rooms_that_others_end_are_replaced_at_once_unless_they_were_never_ready() {
    let mut fleet = Fleet::up(1);
    let end = |fleet: &mut Fleet| {
        let room = fleet.rooms()[0].clone();
        let exit = Exit {
            signal: Some(15),
            by_others: true,
            ..Exit::default()
        };
        fleet.machine.gone(&room, Some(exit));
        fleet.carry_on();
        fleet.rooms().into_iter().any(|other| other != room)
    };
    // As when machines are emptied one after the other.
    for _ in 0..8 {
        fleet.pass(seconds(1));
        assert!(end(&mut fleet), "there is no new one");
        fleet.ping_all(PingStatus::Ready);
    }
    assert_eq!(fleet.state.view().crash_failures, 0);
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert!(end(&mut fleet));
    assert!(!end(&mut fleet), "it was never ready: there is a pause");
    assert_eq!(fleet.state.view().crash_failures, 1);
}

#[test]
fn rooms_that_end_soon_after_they_were_ready_are_tried_ever_more_seldom() {
    let mut fleet = Fleet::up(1);
    let begun = fleet.clock.mono;
    for _ in 0..5 {
        let room = fleet.rooms()[0].clone();
        fleet.pass(seconds(1));
        fleet.crash(&room, 1);
        while fleet.machine.running.is_empty() {
            fleet.pass(Duration::from_millis(500));
        }
        fleet.ping_all(PingStatus::Ready);
    }
    assert!(fleet.clock.mono.since(begun) >= seconds(31 + 5), "back-off");
    assert_eq!(fleet.scheduler_state(), "on-error");
    let adds = fleet.operations_of("add_rooms");
    assert_eq!(adds.len(), 6);
    let text = adds.iter().map(|o| history(o)).collect::<String>();
    assert!(
        text.contains("1 s after it was ready: exit code 1"),
        "{text}"
    );
    let told = |wanted: fn(&Report) -> bool| fleet.reports.iter().filter(|r| wanted(r)).count();
    assert_eq!(
        told(|r| matches!(r, Report::OnError { failures: 5, .. })),
        1
    );
    // A room that stays up counts as a success.
    fleet.pass(MIN_UPTIME - seconds(1));
    assert_eq!(fleet.scheduler_state(), "on-error");
    fleet.pass(seconds(1));
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert_eq!(fleet.state.view().crash_failures, 0);
    let told = fleet.reports.iter().filter(|r| **r == Report::InSyncAgain);
    assert_eq!(told.count(), 1);
}

#[test]
fn who_was_up_before_the_failures_is_no_success() {
    let mut fleet = Fleet::up(3);
    fleet.pass(MIN_UPTIME + seconds(1));
    let old = fleet.rooms();
    let young = |fleet: &Fleet| fleet.rooms().into_iter().find(|r| !old.contains(r));
    fleet.crash(&old[0], 1);
    for _ in 0..6 {
        while young(&fleet).is_none() {
            fleet.pass(Duration::from_millis(500));
        }
        let room = young(&fleet).unwrap();
        // The room starts slowly, so successes are looked for meanwhile.
        fleet.pass(MIN_UPTIME + seconds(5));
        fleet.ping_all(PingStatus::Ready);
        fleet.pass(seconds(5));
        fleet.crash(&room, 1);
    }
    assert_eq!(fleet.scheduler_state(), "on-error");
}

#[test]
fn a_fleet_that_is_whole_and_quiet_again_is_a_success() {
    let mut scheduler = spec(2);
    scheduler.autoscaling = Some(Autoscaling {
        enabled: true,
        min: 1,
        max: 10,
        policy: Policy {
            kind: "fixedBuffer".into(),
            parameters: PolicyParameters {
                fixed_buffer: Some(FixedBuffer { amount: 2 }),
                ..PolicyParameters::default()
            },
        },
        ..Autoscaling::default()
    });
    let mut fleet = Fleet::up_as(scheduler);
    fleet.pass(MIN_UPTIME + seconds(1));
    let old = fleet.rooms();
    assert_eq!(old.len(), 2);
    // A match requires a third room, which keeps crashing.
    fleet.ping(&old[0], PingStatus::Occupied, 1).unwrap();
    for _ in 0..5 {
        while fleet.machine.running.len() < 3 {
            fleet.pass(Duration::from_millis(500));
        }
        let room = fleet.rooms().into_iter().find(|r| !old.contains(r));
        fleet.crash(&room.unwrap(), 1);
    }
    assert_eq!(fleet.scheduler_state(), "on-error");
    // The third room is not wanted any more.
    fleet.ping(&old[0], PingStatus::Ready, 0).unwrap();
    fleet.pass(seconds(16) + MIN_UPTIME - seconds(1));
    assert_eq!(fleet.scheduler_state(), "on-error");
    fleet.pass(seconds(1));
    assert_eq!(fleet.rooms(), old);
    assert_eq!(fleet.scheduler_state(), "in-sync");
}

#[test]
fn a_room_that_plays_one_match_and_ends_is_fine() {
    let mut fleet = Fleet::up(1);
    for _ in 0..8 {
        let room = fleet.rooms()[0].clone();
        fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
        fleet.pass(seconds(1));
        fleet.crash(&room, 0);
        assert_eq!(fleet.machine.running.len(), 1, "made anew at once");
        fleet.ping_all(PingStatus::Ready);
    }
    // A room that pinged terminating before it ended is fine too.
    let room = fleet.rooms()[0].clone();
    fleet.ping(&room, PingStatus::Terminating, 0).unwrap();
    fleet.crash(&room, 0);
    assert_eq!(fleet.state.view().crash_failures, 0);
    let all = ends(&fleet);
    let fine = all
        .iter()
        .filter(|end| end.planned && end.reason == "completed");
    assert_eq!((all.len(), fine.count()), (9, 9));
    // A room that crashes in its match is not.
    fleet.ping_all(PingStatus::Occupied);
    let room = fleet.rooms()[0].clone();
    fleet.crash(&room, 139);
    assert_eq!(fleet.state.view().crash_failures, 1);
    let last = *ends(&fleet).last().unwrap();
    assert_eq!((last.reason, last.code), ("failed", Some(139)));
    assert!(last.in_match && !last.planned);
    assert_eq!(last.last_line.as_deref(), Some("bye"));
}

#[test]
fn an_end_that_was_ordered_is_no_failure() {
    let mut fleet = Fleet::up(3);
    let room = fleet.rooms()[0].clone();
    let force = true;
    fleet.order(Command::RemoveRoom { room, force }).unwrap();
    fleet.ping_all(PingStatus::Ready);
    fleet
        .order(Command::RemoveRooms {
            amount: 1,
            force: false,
            version: None,
        })
        .unwrap();
    assert_eq!(fleet.state.view().crash_failures, 0);
    let ends = ends(&fleet);
    assert_eq!(ends.len(), 2);
    assert!(
        ends.iter()
            .all(|e| e.planned && e.reason == "requested_by_user")
    );
}

#[test]
fn without_a_minimum_any_end_of_a_room_that_was_ready_is_no_failure() {
    let mut fleet = Fleet::new(CoreSettings {
        room_min_uptime: Duration::ZERO,
        ..CoreSettings::default()
    });
    fleet
        .order(Command::CreateScheduler(Box::new(spec(1))))
        .unwrap();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    let room = fleet.rooms()[0].clone();
    fleet.crash(&room, 1);
    fleet.pass(seconds(1));
    fleet.ping_all(PingStatus::Ready);
    assert_eq!(
        fleet.state.view().crash_failures,
        0,
        "the first ready is the success"
    );
    let room = fleet.rooms()[0].clone();
    fleet.crash(&room, 1);
    assert_eq!(fleet.machine.running.len(), 1);
}

#[test]
fn the_first_ready_is_stored_and_counts_after_a_restart() {
    let mut fleet = Fleet::up(2);
    let ready_at = fleet.clock.wall;
    let rows = fleet.stored.rooms.values();
    let first_ready: Vec<_> = rows.map(|r| r.reported.first_ready_at).collect();
    assert_eq!(first_ready, [Some(ready_at); 2]);
    fleet.pass(MIN_UPTIME - seconds(5));
    fleet.restart();
    let rooms = fleet.rooms();
    fleet.crash(&rooms[0], 1);
    assert_eq!(fleet.state.view().crash_failures, 1, "25 s are too few");
    assert_eq!(fleet.machine.running.len(), 1);
    fleet.pass(seconds(10));
    fleet.restart();
    let replacements = fleet.operations_of("add_rooms").len();
    fleet.crash(&rooms[1], 1);
    assert_eq!(fleet.state.view().crash_failures, 0, "35 s are enough");
    assert_eq!(fleet.machine.running.len(), 2, "replaced at once");
    assert_eq!(fleet.operations_of("add_rooms").len(), replacements + 1);
}

/// The earlier failures are not known after a restart, but the scheduler is still on-error.
#[test]
fn a_scheduler_that_was_on_error_before_a_restart_gets_well() {
    let mut fleet = Fleet::up(1);
    for _ in 0..5 {
        let room = fleet.rooms()[0].clone();
        fleet.crash(&room, 1);
        while fleet.machine.running.is_empty() {
            fleet.pass(seconds(1));
        }
    }
    assert_eq!(fleet.scheduler_state(), "on-error");
    fleet.restart();
    assert_eq!(fleet.scheduler_state(), "on-error");
    fleet.ping_all(PingStatus::Ready);
    fleet.pass(MIN_UPTIME);
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert!(fleet.reports.contains(&Report::InSyncAgain));
}

#[test]
fn nothing_is_looked_at_while_there_is_no_back_off() {
    let mut fleet = Fleet::up(1);
    // By then its pings are written.
    fleet.pass(seconds(2));
    let wake = fleet.state.next_wake().unwrap();
    assert!(wake > fleet.clock.mono.plus(MIN_UPTIME), "{wake:?}");
    let room = fleet.rooms()[0].clone();
    fleet.crash(&room, 1);
    assert!(fleet.state.next_wake().unwrap() <= fleet.clock.mono.plus(MIN_UPTIME));
}

#[test]
fn a_failing_room_of_an_old_version_leaves_the_back_off_of_the_active_one() {
    let mut fleet = Fleet::up(2);
    fleet.ping_all(PingStatus::Occupied);
    let old = fleet.rooms();
    let patch = maestro_core::rules::patch::Patch {
        spec: Some(maestro_core::rules::patch::SpecPatch {
            termination_grace_period: Some(2_000_000_000),
            ..Default::default()
        }),
        ..Default::default()
    };
    fleet.order(Command::Patch(Box::new(patch))).unwrap();
    let trial = fleet
        .rooms()
        .into_iter()
        .find(|r| !old.contains(r))
        .unwrap();
    fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.state.view().version, "v2.0.0");
    let new = fleet
        .rooms()
        .into_iter()
        .find(|r| !old.contains(r))
        .unwrap();
    fleet.crash(&new, 1);
    assert_eq!(fleet.state.view().crash_failures, 1);
    fleet.crash(&old[0], 1);
    assert_eq!(fleet.state.view().crash_failures, 1);
}

#[test]
fn a_room_in_its_restart_delay_keeps_its_place() {
    let mut fleet = Fleet::up(2);
    fleet.pass(MIN_UPTIME);
    fleet.ping_all(PingStatus::Ready);
    let operations = fleet.stored.operations.len();
    let rooms = fleet.rooms();
    restarting(&mut fleet, &rooms[0], 1, 3);
    assert_eq!(status(&fleet, &rooms[0]), RoomStatus::Error);
    assert_eq!(fleet.state.rooms().available(), 2);
    // The restarting room is not allocated: only the other one is.
    assert!(matches!(
        fleet.order(Command::Allocate),
        Ok(Reply::Allocated { room, .. }) if room == rooms[1]
    ));
    assert!(fleet.order(Command::Allocate).is_err());
    fleet.pass(seconds(1));
    runs_again(&mut fleet, &rooms[0]);
    // Its pings from before the restart no longer count.
    assert_eq!(status(&fleet, &rooms[0]), RoomStatus::Unready);
    assert!(fleet.order(Command::Allocate).is_err());
    fleet.ping(&rooms[0], PingStatus::Ready, 0).unwrap();
    assert_eq!(status(&fleet, &rooms[0]), RoomStatus::Ready);
    assert_eq!(
        fleet.stored.operations.len(),
        operations,
        "no replacement, no surplus"
    );
    let told = ends(&fleet);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].reason, told[0].code, told[0].restarts),
        ("restarted", Some(3), true)
    );
}

#[test]
fn restarts_in_place_count_as_failures_and_the_room_is_replaced_in_the_end() {
    let mut fleet = Fleet::new(CoreSettings::default());
    fleet
        .order(Command::CreateScheduler(Box::new(spec(1))))
        .unwrap();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
    let room = fleet.rooms()[0].clone();
    let begun = fleet.clock.mono;
    for count in 1..=5 {
        restarting(&mut fleet, &room, count, 1);
        fleet.pass(seconds(1 << (count - 1)));
        runs_again(&mut fleet, &room);
    }
    assert_eq!(fleet.scheduler_state(), "on-error");
    assert_eq!(fleet.operations_of("add_rooms").len(), 1);
    restarting(&mut fleet, &room, 6, 1);
    let patience = fleet.settings.initialization_timeout;
    fleet.pass(patience - fleet.clock.mono.since(begun));
    assert_eq!(fleet.rooms(), vec![room.clone()]);
    fleet.pass(seconds(40));
    assert!(
        !fleet.machine.running.contains_key(&room),
        "not ready again in time"
    );
    assert_eq!(fleet.machine.running.len(), 1, "replaced");
}

#[test]
fn a_room_that_restarts_goes_first_in_a_scale_down() {
    let mut fleet = Fleet::up(3);
    let rooms = fleet.rooms();
    // Its match ended with its only container.
    fleet.ping(&rooms[2], PingStatus::Occupied, 1).unwrap();
    restarting(&mut fleet, &rooms[2], 1, 1);
    fleet
        .order(Command::RemoveRooms {
            amount: 1,
            force: false,
            version: None,
        })
        .unwrap();
    assert!(!fleet.machine.running.contains_key(&rooms[2]));
    assert_eq!(fleet.machine.running.len(), 2);
}

/// As after a restart of the runtime that lost the record of a room in its restart delay.
#[test]
fn a_room_that_its_runtime_forgot_in_a_restart_keeps_its_match() {
    let mut fleet = Fleet::up(2);
    let rooms = fleet.rooms();
    fleet.ping(&rooms[0], PingStatus::Occupied, 1).unwrap();
    restarting(&mut fleet, &rooms[0], 1, 1);
    let _ = fleet.ping(&rooms[0], PingStatus::Occupied, 1);
    let instance = fleet.machine.running.get_mut(&rooms[0]).expect("it runs");
    instance.status = InstanceStatus::Pending;
    instance.address = None;
    instance.restarting = None;
    instance.resource_version += 1;
    let event = RuntimeEvent::Changed(instance.clone());
    fleet.input(Input::Runtime(event));
    let none = Command::RemoveRooms {
        amount: 2,
        force: false,
        version: None,
    };
    fleet.order(none).unwrap();
    assert_eq!(fleet.rooms(), vec![rooms[0].clone()], "drained");
}

/// A helper container restarts while a match runs in another container.
#[test]
fn a_match_in_another_container_is_played_to_its_end() {
    let mut scheduler = spec(2);
    let mut helper = scheduler.spec.containers[0].clone();
    helper.name = "helper".into();
    helper.ports.clear();
    scheduler.spec.containers.push(helper);
    let mut fleet = Fleet::up_as(scheduler);
    let rooms = fleet.rooms();
    fleet.ping(&rooms[0], PingStatus::Occupied, 1).unwrap();
    restarting(&mut fleet, &rooms[0], 1, 1);
    // Pings are answered as the contract says; their content still counts.
    let _ = fleet.ping(&rooms[0], PingStatus::Occupied, 1);
    let patch = maestro_core::rules::patch::Patch {
        rooms_replicas: Some(0),
        ..Default::default()
    };
    fleet.order(Command::Patch(Box::new(patch))).unwrap();
    fleet.pass(seconds(1));
    assert_eq!(fleet.rooms(), vec![rooms[0].clone()], "drained");
    runs_again(&mut fleet, &rooms[0]);
    fleet.ping(&rooms[0], PingStatus::Occupied, 1).unwrap();
    assert_eq!(status(&fleet, &rooms[0]), RoomStatus::Occupied);
    fleet.ping(&rooms[0], PingStatus::Ready, 0).unwrap();
    assert!(fleet.machine.running.is_empty(), "its match is over");
}

#[test]
fn what_a_replacement_replaces_is_in_its_history() {
    let mut fleet = Fleet::up(8);
    fleet.pass(MIN_UPTIME);
    let rooms = fleet.rooms();
    fleet.crash(&rooms[0], 42);
    let replaces = |fleet: &Fleet| {
        let adds = fleet.operations_of("add_rooms").into_iter().map(history);
        adds.filter(|text| text.contains("replaces"))
            .collect::<Vec<_>>()
    };
    let texts = replaces(&fleet);
    assert_eq!(texts.len(), 1);
    let line = format!("replaces room {} (exit code 42)", rooms[0]);
    assert!(texts[0].contains(&line), "{}", texts[0]);
    // Of many replaced rooms only some are named.
    fleet.order(Command::SetPaused(true)).unwrap();
    for room in &rooms[1..] {
        fleet.crash(room, 1);
    }
    fleet.order(Command::SetPaused(false)).unwrap();
    let texts = replaces(&fleet);
    assert_eq!(texts.len(), 2);
    assert!(
        texts
            .iter()
            .any(|t| t.contains("(exit code 1) and 2 others")),
        "{texts:?}"
    );
}

#[test]
fn what_was_not_replaced_is_not_told_later() {
    let mut fleet = Fleet::up(2);
    fleet.pass(MIN_UPTIME);
    let room = fleet.rooms()[0].clone();
    let force = false;
    fleet.ping(&room, PingStatus::Terminating, 0).unwrap();
    assert_eq!(fleet.machine.running.len(), 3, "replaced when it said so");
    fleet.crash(&room, 0);
    let other = fleet.rooms()[0].clone();
    fleet
        .order(Command::RemoveRoom { room: other, force })
        .unwrap();
    let adds = fleet.operations_of("add_rooms").into_iter().map(history);
    let told: Vec<_> = adds.map(|text| text.contains("replaces")).collect();
    assert_eq!(told, [false; 3], "the first, its replacement, the other's");
}

#[test]
fn rooms_that_ended_are_listed_newest_first() {
    let mut fleet = Fleet::up(3);
    fleet.pass(MIN_UPTIME);
    let rooms = fleet.rooms();
    for (code, room) in rooms.iter().enumerate() {
        fleet.crash(room, code as i32);
    }
    let query = RoomQuery {
        ended: true,
        limit: 2,
        ..RoomQuery::default()
    };
    let Ok(Reply::Rooms(page)) = fleet.order(Command::Rooms(query)) else {
        panic!()
    };
    assert_eq!((page.total, page.rooms.len()), (3, 2));
    let codes = page
        .rooms
        .iter()
        .map(|row| row.ended.as_ref().unwrap().exit_code);
    assert_eq!(codes.collect::<Vec<_>>(), [Some(2), Some(1)]);
    assert_eq!(page.rooms[0].room.id, rooms[2]);
}

#[test]
fn the_summary_counts_every_status() {
    let mut fleet = Fleet::up(4);
    let rooms = fleet.rooms();
    fleet.order(Command::Allocate).unwrap();
    fleet.ping(&rooms[1], PingStatus::Occupied, 1).unwrap();
    restarting(&mut fleet, &rooms[2], 1, 1);
    let Ok(Reply::Summary(summary)) = fleet.order(Command::RoomsSummary) else {
        panic!()
    };
    let counts = (
        summary.rooms_allocated,
        summary.rooms_occupied,
        summary.rooms_error,
        summary.rooms_restarting,
        summary.rooms_ready,
    );
    assert_eq!(counts, (1, 1, 1, 1, 1));
    assert_eq!((summary.rooms_total, summary.rooms_available), (4, 4));
    assert_eq!(summary.state, "in-sync");
}

#[test]
fn a_paused_scheduler_says_what_its_rollout_waits_for() {
    let mut fleet = Fleet::up(1);
    let waits = |fleet: &mut Fleet| match fleet.order(Command::Rollout) {
        Ok(Reply::Rollout(view)) => view.waiting_for.unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(&mut fleet), "");
    fleet.order(Command::SetPaused(true)).unwrap();
    assert!(waits(&mut fleet).contains("the scheduler to be resumed"));
    assert!(fleet.state.figures().paused);
}

/// A room that ended while its owner was away is reported, and found among the ended rooms.
#[test]
fn an_end_that_nobody_saw_is_told_once_it_is_known() {
    let mut fleet = Fleet::up(2);
    fleet.pass(MIN_UPTIME);
    let room = fleet.rooms()[0].clone();
    fleet.machine.running.remove(&room);
    fleet.restart();
    let told = ends(&fleet);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].reason, told[0].planned), ("unknown", false));
    assert_eq!(fleet.state.view().crash_failures, 0);
    assert_eq!(fleet.machine.running.len(), 2);
    let detail = fleet.order(Command::Room(room));
    assert!(matches!(detail, Ok(Reply::Room(room)) if room.ended.is_some()));
}

/// As in the grace period after a container failed for good: the room is over, and is replaced at once.
#[test]
fn a_room_in_error_that_waits_for_no_restart_is_replaced_at_once() {
    let mut fleet = Fleet::up(2);
    let broken = fleet.rooms()[0].clone();
    fleet.pass(MIN_UPTIME);
    fleet.machine.observe(&broken, |instance| {
        instance.status = InstanceStatus::Error;
        instance.description = "container \"room\" exited with code 3".into();
    });
    fleet.carry_on();
    assert_eq!(status(&fleet, &broken), RoomStatus::Error);
    assert_eq!(fleet.machine.running.len(), 3, "another takes its place");
}

/// A crash loop that is on-error, with its back-off over and one new room.
fn looping(rooms: i32) -> (Fleet, RoomId) {
    let mut fleet = Fleet::up(rooms);
    for _ in 0..5 {
        while fleet.machine.running.is_empty() {
            fleet.pass(Duration::from_millis(500));
        }
        for room in fleet.rooms() {
            fleet.crash(&room, 1);
        }
    }
    assert_eq!(fleet.scheduler_state(), "on-error");
    while fleet.machine.running.is_empty() {
        fleet.pass(Duration::from_millis(500));
    }
    let room = fleet.rooms()[0].clone();
    (fleet, room)
}

#[test]
fn one_room_that_is_up_for_long_enough_is_the_success_whatever_the_others_do() {
    let (mut fleet, up) = looping(2);
    assert_eq!(fleet.rooms().len(), 2);
    fleet.ping(&up, PingStatus::Ready, 0).unwrap();
    fleet.pass(MIN_UPTIME - seconds(1));
    assert_eq!(fleet.scheduler_state(), "on-error");
    fleet.pass(seconds(1));
    assert_eq!(fleet.scheduler_state(), "in-sync");
}

#[test]
fn a_room_that_was_ready_and_is_going_proves_nothing() {
    let (mut fleet, room) = looping(1);
    fleet.machine.slow_endings = true;
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    fleet.pass(seconds(5));
    fleet.ping(&room, PingStatus::Terminating, 0).unwrap();
    assert_eq!(status(&fleet, &room), RoomStatus::Terminating);
    fleet.pass(MIN_UPTIME - seconds(4));
    assert!(
        fleet.machine.running.contains_key(&room),
        "it takes its time"
    );
    assert_eq!(fleet.scheduler_state(), "on-error");
}

/// The next owner counts from the time when the room became ready, not from its own start.
#[test]
fn a_room_that_proves_its_version_is_not_set_back_by_a_restart() {
    let (mut fleet, up) = looping(2);
    fleet.ping(&up, PingStatus::Ready, 0).unwrap();
    fleet.pass(MIN_UPTIME - seconds(5));
    fleet.restart();
    fleet.ping(&up, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.scheduler_state(), "on-error");
    fleet.pass(seconds(6));
    assert_eq!(fleet.scheduler_state(), "in-sync");
}

/// A time without failures is no success while a room has still to prove that it stays up.
#[test]
fn a_slow_starter_has_its_time_too_before_the_version_works_again() {
    let (mut fleet, room) = looping(1);
    fleet.pass(seconds(40));
    fleet.ping(&room, PingStatus::Ready, 0).unwrap();
    fleet.pass(seconds(25));
    assert_eq!(fleet.scheduler_state(), "on-error");
    fleet.pass(seconds(6));
    assert_eq!(fleet.scheduler_state(), "in-sync");
}

/// A Maestro server that keeps crashing must not run a crash loop at full speed.
#[test]
fn a_loop_that_was_on_error_goes_on_slowly_after_a_restart() {
    let (mut fleet, room) = looping(1);
    fleet.restart();
    assert_eq!(fleet.state.view().crash_failures, 5);
    fleet.crash(&room, 1);
    fleet.pass(seconds(31));
    assert!(fleet.machine.running.is_empty(), "the next try waits");
    fleet.pass(seconds(2));
    assert_eq!(fleet.machine.running.len(), 1);
    assert_eq!(fleet.scheduler_state(), "on-error");
}

#[test]
fn a_restart_in_place_says_whether_it_ended_a_match() {
    let mut fleet = Fleet::up(3);
    let rooms = fleet.rooms();
    fleet.ping(&rooms[0], PingStatus::Occupied, 1).unwrap();
    let Ok(Reply::Allocated {
        room: allocated, ..
    }) = fleet.order(Command::Allocate)
    else {
        panic!("two rooms are ready");
    };
    for room in &rooms {
        restarting(&mut fleet, room, 1, 3);
    }
    let told = ends(&fleet);
    assert_eq!(told.len(), 3);
    for end in told {
        // An allocated room counts: a player is on the way to it.
        let busy = end.room == rooms[0] || end.room == allocated;
        assert_eq!(end.in_match, busy, "{end:?}");
    }
}

#[test]
fn rooms_that_ended_while_nobody_watched_are_told_of_and_replaced() {
    let mut fleet = Fleet::up(4);
    let [plain, drains, leaves, stays]: [RoomId; 4] = fleet.rooms().try_into().unwrap();
    fleet.ping(&drains, PingStatus::Occupied, 1).unwrap();
    let remove = |room: &RoomId, force| Command::RemoveRoom {
        room: room.clone(),
        force,
    };
    fleet.order(remove(&drains, false)).unwrap();
    fleet.hold = true;
    fleet.order(remove(&leaves, true)).unwrap();
    for room in [&plain, &drains, &leaves] {
        fleet.machine.running.remove(room).expect("it runs");
    }
    fleet.reports.clear();
    fleet.restart();
    fleet.pass(seconds(60));
    assert!(fleet.machine.running.contains_key(&stays));
    let told = ends(&fleet);
    let of = |room: &RoomId| *told.iter().find(|end| end.room == *room).expect("told of");
    assert_eq!(told.len(), 3);
    for (room, planned, reason) in [
        (&plain, false, "unknown"),
        (&drains, false, "unknown"),
        (&leaves, true, "requested_by_user"),
    ] {
        let end = of(room);
        assert_eq!((end.planned, end.reason), (planned, reason), "{end:?}");
        assert!(end.words.contains("while nobody watched"), "{end:?}");
    }
    let adds = fleet.operations_of("add_rooms");
    let text = adds.iter().map(|o| history(o)).collect::<String>();
    assert!(
        text.contains(&format!("{plain} (ended while nobody watched)")),
        "{text}"
    );
    for room in [&drains, &leaves] {
        assert!(!text.contains(room.as_str()), "nothing replaces it: {text}");
    }
}

#[test]
fn a_room_on_trial_that_ended_while_nobody_watched_is_replaced_by_none() {
    let mut fleet = Fleet::up(1);
    let crashes = fleet.rooms()[0].clone();
    fleet.pass(MIN_UPTIME);
    let patch = maestro_core::rules::patch::Patch {
        spec: Some(maestro_core::rules::patch::SpecPatch {
            termination_grace_period: Some(2_000_000_000),
            ..Default::default()
        }),
        ..Default::default()
    };
    fleet.order(Command::Patch(Box::new(patch))).unwrap();
    let trial = fleet.trial();
    fleet.machine.running.remove(&trial).expect("it runs");
    fleet.restart();
    fleet.pass(seconds(60));
    fleet.crash(&crashes, 1);
    fleet.pass(seconds(60));
    let adds = fleet.operations_of("add_rooms");
    let text = adds.iter().map(|o| history(o)).collect::<String>();
    assert!(text.contains(crashes.as_str()), "{text}");
    assert!(!text.contains(trial.as_str()), "{text}");
}
