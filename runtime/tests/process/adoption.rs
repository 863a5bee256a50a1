//! Rooms outlive the orchestrator, and its next start finds them.

use crate::site::{Site, eventually};
use maestro_core::{domain::*, ports::*};
use maestro_runtime::process::{OpenError, ProcessRuntime};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use std::{fs, sync::Arc};

/// A stage on a runtime that adopted: its first list is not empty.
pub async fn adopted(site: &Site, before: Stage) -> Stage {
    let scheduler = before.scheduler.clone();
    drop(before);
    site.open();
    Stage::resume(site, scheduler).await
}

#[tokio::test]
async fn rooms_survive_us_and_are_adopted_with_the_same_process() {
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", RUNS)).await;
    let order = RoomOrder {
        validation: true,
        ..stage.order("fleet-a").await.unwrap()
    };
    let created = stage.runtime.create(&order).await.unwrap();
    let pid = site.pid("fleet", "fleet-a");
    site.close().await;
    assert!(site.processes().iter().any(|p| i64::from(p.pid) == pid));
    let mut stage = adopted(&site, stage).await;
    let listed = stage.listed().await;
    assert_eq!(listed.len(), 1);
    let adopted = &listed[0];
    assert!(adopted.resource_version > created.resource_version);
    assert_eq!(
        Instance {
            resource_version: created.resource_version,
            ..adopted.clone()
        },
        created
    );
    assert_eq!(site.pid("fleet", "fleet-a"), pid);
    let again = stage.runtime.create(&order).await.unwrap();
    assert_eq!(again.uid, created.uid);
    let other = stage.order("fleet-b").await.unwrap();
    assert!(
        other
            .host_ports
            .iter()
            .all(|port| !order.host_ports.contains(port)),
        "the book of ports is rebuilt"
    );
    stage.runtime.release_ports(&other.room).await;
    stage
        .terminate("fleet-a", Some(&created.uid))
        .await
        .unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    stage.strike().await;
}

#[tokio::test]
async fn dropping_the_runtime_ends_no_room() {
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", RUNS)).await;
    stage.create("fleet-a").await.unwrap();
    let pid = site.pid("fleet", "fleet-a");
    let fleet = stage.scheduler.clone();
    drop(stage);
    site.forget();
    eventually("the folder is free", || {
        let opened = ProcessRuntime::open(site.settings.clone());
        opened.map(|runtime| site.put(runtime)).ok()
    })
    .await;
    let stage = Stage::resume(&site, fleet).await;
    assert_eq!(stage.listed().await.len(), 1);
    assert_eq!(site.pid("fleet", "fleet-a"), pid);
    stage.strike().await;
}

#[tokio::test]
async fn a_room_that_was_spawned_before_its_record_is_found_and_not_started_twice() {
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", RUNS)).await;
    let order = stage.order("fleet-a").await.unwrap();
    stage.runtime.create(&order).await.unwrap();
    let pid = site.pid("fleet", "fleet-a");
    let record = site.room_folder("fleet", "fleet-a").join("room.json");
    site.close().await;
    fs::remove_file(record).unwrap();
    let stage = adopted(&site, stage).await;
    let listed = stage.listed().await;
    assert_eq!(listed[0].status, InstanceStatus::Pending);
    let other = stage.order("fleet-b").await.unwrap();
    assert!(
        other
            .host_ports
            .iter()
            .all(|port| !order.host_ports.contains(port))
    );
    stage.runtime.release_ports(&other.room).await;
    let completed = stage.runtime.create(&order).await.unwrap();
    assert_eq!(completed.status, InstanceStatus::Ready);
    assert_eq!(completed.uid, listed[0].uid);
    assert_eq!(completed.version, SchedulerVersion::initial());
    assert_eq!(site.pid("fleet", "fleet-a"), pid);
    let leaders = site
        .processes()
        .iter()
        .filter(|p| i64::from(p.pid) == pid)
        .count();
    assert_eq!(leaders, 1);
    assert_eq!(stage.listed().await.len(), 1);
    stage.strike().await;
}

#[tokio::test]
async fn a_crash_between_spawn_and_record_is_mended() {
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", RUNS)).await;
    let order = stage.order("fleet-a").await.unwrap();
    stage.runtime.create(&order).await.unwrap();
    let pid = site.pid("fleet", "fleet-a");
    site.close().await;
    // The record as it was when the process was about to be spawned.
    let mut record = site.record("fleet", "fleet-a");
    record["phase"] = "starting".into();
    record["processes"] = serde_json::json!([]);
    record["uid"] = "".into();
    let path = site.room_folder("fleet", "fleet-a").join("room.json");
    fs::write(path, record.to_string()).unwrap();
    let stage = adopted(&site, stage).await;
    let listed = stage.listed().await;
    assert_eq!(listed[0].status, InstanceStatus::Ready);
    assert_eq!(
        stage.runtime.create(&order).await.unwrap().uid,
        listed[0].uid
    );
    assert_eq!(site.pid("fleet", "fleet-a"), pid);
    stage.strike().await;
}

#[tokio::test]
async fn an_intent_that_never_started_is_started_or_withdrawn_by_its_owner() {
    let site = Site::new();
    let mut stage = site.stage(scheduler("fleet", RUNS)).await;
    let order = stage.order("fleet-a").await.unwrap();
    stage.runtime.create(&order).await.unwrap();
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    site.close().await;
    for name in ["fleet-a", "fleet-b"] {
        let mut record = site.record("fleet", "fleet-a");
        record["phase"] = "starting".into();
        record["processes"] = serde_json::json!([]);
        record["room"] = name.into();
        let folder = site.room_folder("fleet", name);
        fs::create_dir_all(&folder).unwrap();
        if name == "fleet-b" {
            record["host_ports"] = serde_json::json!([29_998, 29_999]);
        }
        fs::write(folder.join("room.json"), record.to_string()).unwrap();
    }
    let stage = adopted(&site, stage).await;
    assert!(stage.listed().await.is_empty());
    let withdrawn = stage.terminate("fleet-b", None).await;
    assert!(matches!(withdrawn, Err(RuntimeError::NotFound)));
    assert!(!site.room_folder("fleet", "fleet-b").exists());
    stage.runtime.create(&order).await.unwrap();
    assert_eq!(stage.listed().await.len(), 1);
    stage.strike().await;
}

#[tokio::test]
async fn a_room_that_ended_while_nobody_watched_is_not_listed() {
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", RUNS)).await;
    stage.create("fleet-a").await.unwrap();
    let pid = site.pid("fleet", "fleet-a") as i32;
    site.close().await;
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    eventually("the end", || {
        let leader = pid.as_raw_nonzero().get();
        site.processes()
            .iter()
            .all(|p| p.pid != leader)
            .then_some(())
    })
    .await;
    let stage = adopted(&site, stage).await;
    assert!(stage.listed().await.is_empty());
    let again = stage.create("fleet-a").await;
    assert!(matches!(again, Err(RuntimeError::Invalid(_))), "{again:?}");
    eventually("its children end too", || {
        site.processes().is_empty().then_some(())
    })
    .await;
    stage.strike().await;
}

#[tokio::test]
async fn an_adopted_room_is_restarted_from_its_record() {
    let site = Site::new();
    let mut fleet = scheduler("fleet", RUNS);
    fleet.spec.restart_policy = "Always".into();
    let stage = site.stage(fleet).await;
    stage.create("fleet-a").await.unwrap();
    let first = site.pid("fleet", "fleet-a");
    site.close().await;
    let mut stage = adopted(&site, stage).await;
    let pid = rustix::process::Pid::from_raw(first as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let mut failed = false;
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) => {
                failed |= i.status == InstanceStatus::Error;
                (failed && i.status == InstanceStatus::Ready).then_some(())
            }
            _ => None,
        })
        .await;
    assert_ne!(site.pid("fleet", "fleet-a"), first);
    stage.strike().await;
}

#[tokio::test]
async fn a_half_done_termination_is_completed_when_it_is_ordered_again() {
    let site = Site::new();
    let stubborn = "trap '' TERM; while :; do sleep 0.05; done";
    let stage = site.stage(scheduler("fleet", stubborn)).await;
    stage.create("fleet-a").await.unwrap();
    stage.terminate("fleet-a", None).await.unwrap();
    site.close().await;
    let mut stage = adopted(&site, stage).await;
    assert_eq!(stage.listed().await.len(), 1);
    let (name, room) = (stage.scheduler.name.clone(), RoomId::from("fleet-a"));
    let runtime = stage.runtime.clone();
    let reason = RemovalReason::ScaleDown;
    let grace = std::time::Duration::ZERO;
    let ordered = runtime.terminate(&name, &room, None, grace, reason).await;
    ordered.unwrap();
    stage.until_gone(&room).await;
    stage.strike().await;
}

#[tokio::test]
async fn torn_and_foreign_folders_are_left_alone() {
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", RUNS)).await;
    stage.create("fleet-a").await.unwrap();
    site.close().await;
    let mut foreign = site.record("fleet", "fleet-a");
    foreign["room"] = "fleet-foreign".into();
    foreign["installation"] = uuid::Uuid::new_v4().to_string().into();
    let mut misplaced = site.record("fleet", "fleet-a");
    misplaced["room"] = "another".into();
    let mut newer = site.record("fleet", "fleet-a");
    newer["room"] = "fleet-newer".into();
    newer["format"] = 99.into();
    for (name, text) in [
        ("fleet-torn", "{\"format\": 1, \"sched".to_owned()),
        ("fleet-empty", String::new()),
        ("fleet-foreign", foreign.to_string()),
        ("fleet-misplaced", misplaced.to_string()),
        ("fleet-newer", newer.to_string()),
        ("fleet-list", "[1, 2]".into()),
        (".hidden", "{}".into()),
    ] {
        let folder = site.room_folder("fleet", name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("room.json"), text).unwrap();
    }
    fs::create_dir_all(site.room_folder("fleet", "fleet-dir").join("room.json")).unwrap();
    fs::write(site.folder.path().join("rooms/fleet/a-file"), "x").unwrap();
    let stage = adopted(&site, stage).await;
    let listed = stage.listed().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].room.as_str(), "fleet-a");
    let taken = stage.create("fleet-foreign").await;
    assert!(
        matches!(&taken, Err(RuntimeError::Invalid(text)) if text.text().contains("another installation")),
        "{taken:?}"
    );
    stage.create("fleet-torn").await.unwrap();
    stage.strike().await;
}

#[tokio::test]
async fn a_process_of_another_boot_or_start_is_never_taken_for_the_room() {
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", RUNS)).await;
    site.close().await;
    // A foreign process with the pid that the record names.
    let mut stranger = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let fleet = stage.scheduler.clone();
    let record = |room: &str, boot: &str| {
        serde_json::json!({
            "format": 1, "installation": site.settings.installation, "scheduler": "fleet",
            "room": room, "version": "v1.0.0", "validation": false, "spec": fleet.spec,
            "host_ports": [21000, 21001], "boot_id": boot, "uid": "x", "resource_version": 1,
            "phase": "running", "created_at": "2026-01-01T00:00:00Z", "ended_at": null, "end": null,
            "processes": [{"container": "game", "pid": stranger.id(), "start_ticks": 1}],
        })
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for (room, boot) in [("fleet-a", boot.trim()), ("fleet-b", "another-boot")] {
        let folder = site.room_folder("fleet", room);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("room.json"), record(room, boot).to_string()).unwrap();
    }
    let stage = adopted(&site, stage).await;
    assert!(stage.listed().await.is_empty());
    for room in ["fleet-a", "fleet-b"] {
        let ended = stage.terminate(room, None).await;
        assert!(matches!(ended, Err(RuntimeError::NotFound)));
    }
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    stage.strike().await;
}

#[tokio::test]
async fn one_process_at_a_time_keeps_the_rooms_of_a_folder() {
    let site = Site::new();
    let second = ProcessRuntime::open(site.settings.clone());
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    let first: Arc<ProcessRuntime> = site.current();
    let domain = first.runtime_domain();
    assert!(domain.ends_with("/rooms"), "{domain}");
    drop(first);
    site.close().await;
    assert_eq!(site.open().runtime_domain(), domain);
}

/// A room of two containers after a crash that followed the first spawn.
async fn half_made(site: &Site) -> (Stage, RoomOrder) {
    let mut fleet = scheduler("fleet", RUNS);
    let mut second = fleet.spec.containers[0].clone();
    second.name = "sidecar".into();
    second.ports.clear();
    fleet.spec.containers.push(second);
    let stage = site.stage(fleet).await;
    let order = stage.order("fleet-a").await.unwrap();
    stage.runtime.create(&order).await.unwrap();
    site.close().await;
    let mut record = site.record("fleet", "fleet-a");
    let sidecar = record["processes"][1]["pid"].as_i64().unwrap() as i32;
    let pid = rustix::process::Pid::from_raw(sidecar).unwrap();
    rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).unwrap();
    eventually("only one container is left", || {
        let mut left = site.processes().into_iter();
        left.all(|process| process.container == "game")
            .then_some(())
    })
    .await;
    record["phase"] = "starting".into();
    record["processes"] = serde_json::json!([]);
    record["uid"] = "".into();
    let path = site.room_folder("fleet", "fleet-a").join("room.json");
    fs::write(path, record.to_string()).unwrap();
    (adopted(site, stage).await, order)
}

#[tokio::test]
async fn a_room_that_was_half_made_is_completed() {
    let site = Site::new();
    let (stage, order) = half_made(&site).await;
    let listed = stage.listed().await;
    assert_eq!(listed[0].status, InstanceStatus::Pending);
    let completed = stage.runtime.create(&order).await.unwrap();
    assert_eq!(completed.status, InstanceStatus::Ready);
    assert_eq!(completed.uid, listed[0].uid);
    let mut containers: Vec<_> = site.processes().into_iter().map(|p| p.container).collect();
    containers.sort();
    containers.dedup();
    assert_eq!(containers, ["game", "sidecar"]);
    stage.strike().await;
}

#[tokio::test]
async fn a_half_made_room_that_cannot_be_completed_ends() {
    let site = Site::new();
    let (mut stage, mut order) = half_made(&site).await;
    assert!(matches!(stage.next().await, RuntimeEvent::Listed(list) if list.len() == 1));
    let mut broken = (*order.scheduler).clone();
    broken.spec.containers[1].command = vec!["no-such-command-here".into()];
    order.scheduler = Arc::new(broken);
    let refused = stage.runtime.create(&order).await;
    assert!(
        matches!(refused, Err(RuntimeError::Invalid(_))),
        "{refused:?}"
    );
    stage.until_gone(&order.room).await;
    assert_eq!(site.processes(), []);
    stage.strike().await;
}

#[tokio::test]
async fn a_half_made_room_can_be_ended() {
    let site = Site::new();
    let (mut stage, order) = half_made(&site).await;
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&order.room).await;
    stage.strike().await;
}
