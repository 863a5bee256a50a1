//! How rooms end: by themselves, on request, and by force.

use crate::adoption::adopted;
use crate::site::{Site, eventually};
use maestro_core::{domain::*, ports::*};
use maestro_testkit::contract::runtime::{RUNS, scheduler};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_failing_room_is_gone_with_its_exit_code_and_last_log_lines() {
    let site = Site::new();
    let script =
        "i=0; while [ $i -lt 50 ]; do echo line $i; i=$((i+1)); done; echo boom >&2; exit 3";
    let mut stage = site.stage(scheduler("fleet", script)).await;
    let created = stage.create("fleet-a").await.unwrap();
    let (uid, exit) = stage.until_gone(&"fleet-a".into()).await;
    assert_eq!(uid, created.uid);
    assert_eq!((exit.code, exit.signal), (Some(3), None));
    assert_eq!(exit.reason, "container \"game\" exited with code 3");
    assert_eq!(exit.log_tail.len(), 20);
    assert_eq!(exit.log_tail[18..], ["line 49", "boom"]);
    let again = stage.create("fleet-a").await;
    assert!(
        matches!(&again, Err(RuntimeError::Invalid(text)) if text.text().contains("already ended")),
        "{again:?}"
    );
    let name = stage.scheduler.name.clone();
    let tail = stage.runtime.log_tail(&name, &"fleet-a".into(), 2).await;
    assert_eq!(tail.unwrap(), ["line 49", "boom"], "logs outlive the room");
    stage.strike().await;
}

#[tokio::test]
async fn a_room_that_is_killed_from_outside_is_gone_at_once() {
    let site = Site::new();
    let mut stage = site.stage(scheduler("fleet", RUNS)).await;
    stage.create("fleet-a").await.unwrap();
    let pid = rustix::process::Pid::from_raw(site.pid("fleet", "fleet-a") as i32).unwrap();
    let killed = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::SEGV).unwrap();
    let (_, exit) = stage.until_gone(&"fleet-a".into()).await;
    println!("exit to event: {:?}", killed.elapsed());
    assert_eq!((exit.code, exit.signal), (None, Some(11)));
    assert!(exit.reason.contains("signal 11 (SEGV)"), "{}", exit.reason);
    stage.strike().await;
}

#[tokio::test]
async fn a_room_that_ignores_term_is_killed_after_its_grace_with_its_children() {
    let site = Site::new();
    let script =
        "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & while :; do sleep 1; done";
    let mut stage = site.stage(scheduler("fleet", script)).await;
    stage.create("fleet-a").await.unwrap();
    eventually("the grandchildren", || {
        (site.processes().len() >= 3).then_some(())
    })
    .await;
    let asked = Instant::now();
    let grace = Duration::from_millis(300);
    let (name, room) = (stage.scheduler.name.clone(), RoomId::from("fleet-a"));
    let reason = RemovalReason::ScaleDown;
    stage
        .runtime
        .terminate(&name, &room, None, grace, reason)
        .await
        .unwrap();
    assert!(asked.elapsed() < grace, "an order is accepted at once");
    let (_, exit) = stage.until_gone(&room).await;
    assert!(asked.elapsed() >= grace);
    assert_eq!(exit.signal, Some(9));
    assert!(exit.reason.contains("scale_down"), "{}", exit.reason);
    assert_eq!(site.processes(), []);
    stage.strike().await;
}

#[tokio::test]
async fn a_second_order_may_bring_the_end_nearer() {
    let site = Site::new();
    let stubborn = "trap '' TERM; while :; do sleep 0.05; done";
    let mut stage = site.stage(scheduler("fleet", stubborn)).await;
    stage.create("fleet-a").await.unwrap();
    let (name, room) = (stage.scheduler.name.clone(), RoomId::from("fleet-a"));
    let asked = Instant::now();
    for grace in [Duration::from_secs(3600), Duration::ZERO] {
        let reason = RemovalReason::ScaleDown;
        let runtime = &stage.runtime;
        let ordered = runtime.terminate(&name, &room, None, grace, reason).await;
        ordered.unwrap();
    }
    stage.until_gone(&room).await;
    assert!(asked.elapsed() < Duration::from_secs(10));
    stage.strike().await;
}

#[tokio::test]
async fn children_that_left_the_session_end_with_their_room() {
    let site = Site::new();
    let script =
        "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.05; done' & sleep 0.2; exit 0";
    let mut stage = site.stage(scheduler("fleet", script)).await;
    stage.create("fleet-a").await.unwrap();
    let (_, exit) = stage.until_gone(&"fleet-a".into()).await;
    assert_eq!(exit.code, Some(0));
    assert_eq!(site.processes(), []);
    stage.strike().await;
}

#[tokio::test]
async fn a_child_of_a_shell_has_the_grace_period_too() {
    let site = Site::new();
    // The shell itself dies of TERM; the server behind it needs a moment to say goodbye.
    let script = "sh -c 'trap \"sleep 0.3; echo goodbye > farewell; exit 0\" TERM; echo > up; while :; do sleep 0.05; done'; true";
    let mut stage = site.stage(scheduler("fleet", script)).await;
    stage.create("fleet-a").await.unwrap();
    site.note("fleet", "fleet-a", "up").await;
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    assert_eq!(site.note("fleet", "fleet-a", "farewell").await, "goodbye\n");
    stage.strike().await;
}

fn two_containers(first: &str, second: &str) -> Scheduler {
    let mut fleet = scheduler("fleet", first);
    let mut other = fleet.spec.containers[0].clone();
    other.name = "sidecar".into();
    other.command[2] = second.into();
    other.ports.truncate(1);
    other.ports[0].name = "side".into();
    fleet.spec.containers.push(other);
    fleet
}

#[tokio::test]
async fn two_containers_are_one_room() {
    let site = Site::new();
    let script = "echo $MAESTRO_CONTAINER $MAESTRO_PORT $MAESTRO_PORT_SIDE; trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let mut stage = site.stage(two_containers(script, script)).await;
    let order = stage.order("fleet-a").await.unwrap();
    assert_eq!(order.host_ports.len(), 3);
    let instance = stage.runtime.create(&order).await.unwrap();
    assert_eq!(instance.address.unwrap().ports.len(), 3);
    let ports = &order.host_ports;
    let game = site.log("fleet", "fleet-a", "game").await;
    assert_eq!(game, format!("game {} {}\n", ports[0], ports[2]));
    let sidecar = site.log("fleet", "fleet-a", "sidecar").await;
    assert_eq!(sidecar, format!("sidecar {} {}\n", ports[2], ports[2]));
    let name = stage.scheduler.name.clone();
    let tail = stage.runtime.log_tail(&name, &"fleet-a".into(), 10).await;
    assert!(tail.unwrap()[1].starts_with("sidecar: sidecar"));
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    stage.strike().await;
}

#[tokio::test]
async fn a_container_that_fails_takes_the_room_with_it() {
    let site = Site::new();
    let mut stage = site.stage(two_containers(RUNS, "sleep 0.2; exit 7")).await;
    stage.create("fleet-a").await.unwrap();
    let error = stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) if i.status == InstanceStatus::Error => Some(i.clone()),
            _ => None,
        })
        .await;
    assert_eq!(
        error.description,
        "container \"sidecar\" exited with code 7"
    );
    let (_, exit) = stage.until_gone(&"fleet-a".into()).await;
    assert_eq!(exit.code, Some(7));
    stage.strike().await;
}

/// Like a set-up container: it exits 0 and leaves the room to the other.
#[tokio::test]
async fn a_container_that_completes_is_no_news_and_is_remembered() {
    let site = Site::new();
    let runs = "trap 'exit 0' TERM; while [ ! -e stop ]; do sleep 0.05; done; exit 3";
    let stage = site.stage(two_containers(runs, "exit 0")).await;
    stage.create("fleet-a").await.unwrap();
    let completed =
        || site.record("fleet", "fleet-a")["completed"] == serde_json::json!(["sidecar"]);
    eventually("the completed container on record", || {
        completed().then_some(())
    })
    .await;
    // Also for the next process.
    site.close().await;
    let mut stage = adopted(&site, stage).await;
    let listed = stage.listed().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].status, InstanceStatus::Ready);
    assert!(!site.processes().is_empty());
    // It is over once the last one has ended, and only that was reported.
    std::fs::write(site.room_folder("fleet", "fleet-a").join("work/stop"), "").unwrap();
    let next = stage
        .until(|event| match event {
            RuntimeEvent::Listed(_) => None,
            other => Some(other.clone()),
        })
        .await;
    assert!(matches!(next, RuntimeEvent::Gone { .. }), "{next:?}");
    stage.strike().await;
}

#[tokio::test]
async fn a_room_is_over_when_all_its_containers_have_completed() {
    let site = Site::new();
    let mut stage = site.stage(two_containers("sleep 0.3", "exit 0")).await;
    stage.create("fleet-a").await.unwrap();
    let next = stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) if i.status == InstanceStatus::Ready => None,
            other => Some(other.clone()),
        })
        .await;
    let RuntimeEvent::Gone { exit, .. } = next else {
        panic!("{next:?}")
    };
    assert_eq!(exit.unwrap().code, Some(0));
    stage.strike().await;
}

#[tokio::test]
async fn a_container_is_started_again_beside_one_that_completed() {
    let site = Site::new();
    let script = "echo run >> runs; [ $(wc -l < runs) -gt 1 ] || exit 4; trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let mut fleet = two_containers(script, "exit 0");
    fleet.spec.restart_policy = "OnFailure".into();
    let mut stage = site.stage(fleet).await;
    stage.create("fleet-a").await.unwrap();
    let mut restarting = None;
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) => {
                restarting = restarting.or(i.restarting);
                let again = restarting.is_some() && i.status == InstanceStatus::Ready;
                if again {
                    assert_eq!(i.restarting, None);
                }
                again.then_some(())
            }
            other => panic!("{other:?}"),
        })
        .await;
    let expected = Restart {
        count: 1,
        code: Some(4),
        signal: None,
    };
    assert_eq!(restarting, Some(expected));
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    stage.strike().await;
}

#[tokio::test]
async fn a_room_that_is_to_restart_does_so_in_place() {
    let site = Site::new();
    let script = "echo run >> runs; [ $(wc -l < runs) -gt 1 ] || exit 4; trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let mut fleet = scheduler("fleet", script);
    fleet.spec.restart_policy = "OnFailure".into();
    let mut stage = site.stage(fleet).await;
    let created = stage.create("fleet-a").await.unwrap();
    let first = site.pid("fleet", "fleet-a");
    let mut seen = vec![];
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) => {
                assert_eq!(i.uid, created.uid);
                seen.push((i.status, i.description.clone()));
                (seen.len() > 1 && i.status == InstanceStatus::Ready).then_some(())
            }
            other => panic!("{other:?}"),
        })
        .await;
    assert_eq!(seen[1].0, InstanceStatus::Error);
    assert!(
        seen[1]
            .1
            .starts_with("CrashLoopBackOff: container \"game\" exited with code 4"),
        "{}",
        seen[1].1
    );
    assert_ne!(site.pid("fleet", "fleet-a"), first);
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    stage.strike().await;
}

#[tokio::test]
async fn a_room_that_waits_for_its_restart_can_be_ended() {
    let site = Site::new();
    let mut fleet = scheduler("fleet", "exit 4");
    fleet.spec.restart_policy = "Always".into();
    let mut stage = site.stage(fleet).await;
    stage.create("fleet-a").await.unwrap();
    stage
        .until(|event| {
            matches!(event, RuntimeEvent::Changed(i) if i.status == InstanceStatus::Error)
                .then_some(())
        })
        .await;
    stage.terminate("fleet-a", None).await.unwrap();
    let (_, exit) = stage.until_gone(&"fleet-a".into()).await;
    assert_eq!(exit.code, Some(4));
    stage.strike().await;
}
