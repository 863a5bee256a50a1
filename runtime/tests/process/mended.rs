//! What survives a time without a watcher, and the role of descriptors.

use crate::site::{Site, eventually};
use maestro_core::{domain::*, ports::*};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, time::Duration};

fn kill(pid: i64) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
}

async fn adopted(site: &Site, fleet: Scheduler) -> Stage {
    site.open();
    Stage::resume(site, fleet).await
}

#[tokio::test]
async fn children_of_a_room_that_is_recorded_as_ended_are_killed_at_the_start() {
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", RUNS)).await;
    stage.create("fleet-a").await.unwrap();
    let fleet = stage.scheduler.clone();
    drop(stage);
    site.close().await;
    // We were ended after the record was written and before the last of it was killed.
    site.change_record("fleet", "fleet-a", |record| {
        record["phase"] = "ended".into();
        record["ended_at"] = jiff::Timestamp::now().to_string().into();
        record["end"] = "container \"game\" exited with code 3".into();
    });
    assert!(!site.processes().is_empty());
    let stage = adopted(&site, fleet).await;
    assert!(stage.listed().await.is_empty());
    eventually("nothing of it runs", || {
        site.processes().is_empty().then_some(())
    })
    .await;
    let again = stage.create("fleet-a").await;
    assert!(matches!(again, Err(RuntimeError::Invalid(_))), "{again:?}");
    stage.strike().await;
}

fn two_containers(policy: &str) -> Scheduler {
    let mut fleet = scheduler("fleet", RUNS);
    let mut second = fleet.spec.containers[0].clone();
    second.name = "sidecar".into();
    second.ports.clear();
    fleet.spec.containers.push(second);
    fleet.spec.restart_policy = policy.into();
    fleet
}

/// A room of two containers, whose second one ends while nobody watches.
async fn half_dead(site: &Site, policy: &str) -> Stage {
    let stage = site.stage(two_containers(policy)).await;
    stage.create("fleet-a").await.unwrap();
    let fleet = stage.scheduler.clone();
    drop(stage);
    site.close().await;
    let record = site.record("fleet", "fleet-a");
    assert_eq!(record["processes"][1]["container"], "sidecar");
    let sidecar = record["processes"][1]["pid"].as_i64().unwrap();
    kill(sidecar);
    eventually("its end", || {
        let mut left = site.processes().into_iter();
        left.all(|process| i64::from(process.pid) != sidecar)
            .then_some(())
    })
    .await;
    adopted(site, fleet).await
}

#[tokio::test]
async fn a_container_that_died_unwatched_takes_its_room_with_it() {
    let site = Site::new();
    let mut stage = half_dead(&site, "Never").await;
    let (_, exit) = stage.until_gone(&"fleet-a".into()).await;
    assert!(exit.reason.contains("\"sidecar\""), "{}", exit.reason);
    assert_eq!(site.processes(), []);
    stage.strike().await;
}

#[tokio::test]
async fn a_container_that_died_unwatched_is_started_again_where_the_policy_says_so() {
    let site = Site::new();
    let mut stage = half_dead(&site, "Always").await;
    let game = site.pid("fleet", "fleet-a");
    let mut failed = false;
    stage
        .until(|event| {
            let instance = match event {
                RuntimeEvent::Changed(instance) => instance.clone(),
                RuntimeEvent::Listed(list) => list[0].clone(),
                other => panic!("{other:?}"),
            };
            failed |= instance.status == InstanceStatus::Error;
            (failed && instance.status == InstanceStatus::Ready).then_some(())
        })
        .await;
    assert_eq!(site.pid("fleet", "fleet-a"), game, "the other one lives");
    let mut containers: Vec<_> = site.processes().into_iter().map(|p| p.container).collect();
    containers.sort();
    containers.dedup();
    assert_eq!(containers, ["game", "sidecar"]);
    stage.strike().await;
}

/// Its only container: the room had waited for its restart, or has to now (D31).
#[tokio::test]
async fn a_room_that_died_unwatched_is_started_again_in_its_place() {
    let site = Site::new();
    let mut fleet = scheduler("fleet", RUNS);
    fleet.spec.restart_policy = "OnFailure".into();
    let stage = site.stage(fleet).await;
    stage.create("fleet-a").await.unwrap();
    let fleet = stage.scheduler.clone();
    drop(stage);
    site.close().await;
    let before = site.record("fleet", "fleet-a");
    kill(before["processes"][0]["pid"].as_i64().unwrap());
    eventually("its end", || site.processes().is_empty().then_some(())).await;
    let mut stage = adopted(&site, fleet).await;
    let mut failed = false;
    let instance = stage
        .until(|event| {
            let instance = match event {
                RuntimeEvent::Changed(instance) => instance.clone(),
                RuntimeEvent::Listed(list) => list[0].clone(),
                other => panic!("{other:?}"),
            };
            failed |= instance.restarting.is_some();
            (failed && instance.status == InstanceStatus::Ready).then_some(instance)
        })
        .await;
    assert_eq!(before["uid"], instance.uid.as_str(), "it is the same room");
    let after = site.record("fleet", "fleet-a");
    assert_eq!(after["host_ports"], before["host_ports"]);
    assert_ne!(after["processes"], before["processes"]);
    stage.strike().await;
}

#[tokio::test]
async fn a_later_order_with_more_patience_does_not_postpone_a_kill() {
    let site = Site::new();
    let stubborn = "trap '' TERM; while :; do sleep 0.05; done";
    let mut stage = site.stage(scheduler("fleet", stubborn)).await;
    stage.create("fleet-a").await.unwrap();
    let (name, room) = (stage.scheduler.name.clone(), RoomId::from("fleet-a"));
    for grace in [Duration::from_millis(500), Duration::from_secs(3600)] {
        let reason = RemovalReason::ScaleDown;
        let runtime = &stage.runtime;
        let ordered = runtime.terminate(&name, &room, None, grace, reason).await;
        ordered.unwrap();
    }
    stage.until_gone(&room).await;
    stage.strike().await;
}

/// Another program, since the limit is a whole process's.
#[test]
fn without_descriptors_nobody_is_taken_for_gone() {
    const INSIDE: &str = "MAESTRO_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_none() {
        let output = std::process::Command::new("sh")
            .args(["-c", r#"ulimit -n 256; exec "$0" "$@""#])
            .arg(std::env::current_exe().unwrap())
            .args([
                "mended::without_descriptors_nobody_is_taken_for_gone",
                "--exact",
            ])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let passed = output.status.success() && said.contains("1 passed");
        assert!(passed, "{said}{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let site = Site::new();
        let mut stage = site.stage(scheduler("fleet", RUNS)).await;
        for room in ["fleet-a", "fleet-b"] {
            stage.create(room).await.unwrap();
        }
        let fleet = stage.scheduler.clone();
        let pids = [site.pid("fleet", "fleet-a"), site.pid("fleet", "fleet-b")];
        let mut taken = Vec::new();
        let take_all = |taken: &mut Vec<fs::File>| {
            while let Ok(file) = fs::File::open("/dev/null") {
                taken.push(file);
            }
        };
        // An end without a free descriptor: it is reported once there is one.
        take_all(&mut taken);
        kill(pids[0]);
        let early = tokio::time::timeout(Duration::from_millis(700), stage.next()).await;
        if let Ok(event) = early {
            let about_b = format!("{event:?}").contains("fleet-b");
            assert!(!about_b, "{event:?}");
        }
        assert!(fs::File::open("/dev/null").is_err(), "still none");
        taken.clear();
        stage.until_gone(&"fleet-a".into()).await;
        // Adopted with hardly any descriptors: polled by its pid, and its end is still seen.
        drop(stage);
        site.close().await;
        take_all(&mut taken);
        taken.truncate(taken.len() - 22);
        site.open();
        let mut stage = Stage::resume(&site, fleet).await;
        assert_eq!(stage.listed().await.len(), 1, "it lives");
        kill(pids[1]);
        stage.until_gone(&"fleet-b".into()).await;
        taken.clear();
        stage.strike().await;
    });
}
