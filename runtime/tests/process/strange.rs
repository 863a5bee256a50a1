//! What a room can do to us through its folder.

use crate::site::{Site, eventually};
use maestro_core::domain::*;
use maestro_testkit::contract::runtime::{RUNS, Stage, operation, scheduler};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

fn nest(folder: &Path, depth: usize) {
    use rustix::fs::{OFlags, mkdirat, open, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = open(folder, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = openat(&at, "d", flags, Mode::empty()).unwrap();
    }
}

#[tokio::test]
async fn pipes_in_place_of_files_hold_nobody_up() {
    let site = Site::new();
    let mut fleet = scheduler("fleet", RUNS);
    let mut stage = site.stage(fleet.clone()).await;
    stage.create("fleet-a").await.unwrap();
    let folder = site.room_folder("fleet", "fleet-a");
    pipe(&folder.join("game.log"));
    pipe(&folder.join("room.json.new"));
    let begun = Instant::now();
    let (name, room) = (stage.scheduler.name.clone(), RoomId::from("fleet-a"));
    // More than the I/O runtime has threads for.
    for _ in 0..600 {
        let tail = stage.runtime.log_tail(&name, &room, 10).await;
        let refused = tail.unwrap_err().to_string();
        assert!(refused.contains("not a regular file"), "{refused}");
    }
    let secret = site.folder.path().join("secrets/shop/token");
    fs::create_dir_all(secret.parent().unwrap()).unwrap();
    pipe(&secret);
    let mut order = stage.order("fleet-b").await.unwrap();
    let reference = SecretKeyRef {
        name: "shop".into(),
        key: "token".into(),
    };
    fleet.spec.containers[0].environment = vec![Environment {
        name: "TOKEN".into(),
        value: String::new(),
        value_from: Some(ValueFrom {
            field_ref: None,
            secret_key_ref: Some(reference),
        }),
    }];
    order.scheduler = std::sync::Arc::new(fleet);
    let refused = stage.runtime.create(&order).await.unwrap_err().to_string();
    assert!(
        refused.contains("token") && refused.contains("pipe"),
        "{refused}"
    );
    stage.runtime.release_ports(&order.room).await;
    // A pipe in place of the room's log, and one in place of its record.
    let order = stage.order("fleet-c").await.unwrap();
    let third = site.room_folder("fleet", "fleet-c");
    fs::create_dir_all(&third).unwrap();
    pipe(&third.join("room.json.new"));
    pipe(&third.join("room.json"));
    pipe(&third.join("game.log"));
    let refused = stage.runtime.create(&order).await.unwrap_err().to_string();
    assert!(refused.contains("not a regular file"), "{refused}");
    stage.runtime.release_ports(&order.room).await;
    stage.create("fleet-d").await.unwrap();
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&room).await;
    assert_eq!(site.record("fleet", "fleet-a")["phase"], "ended");
    let fleet = stage.scheduler.clone();
    drop(stage);
    site.close().await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    site.open();
    Stage::resume(&site, fleet).await.strike().await;
}

#[tokio::test]
async fn nothing_is_written_or_read_through_a_link() {
    let site = Site::new();
    let mut stage = site.stage(scheduler("fleet", RUNS)).await;
    stage.create("fleet-a").await.unwrap();
    let folder = site.room_folder("fleet", "fleet-a");
    let target = site.folder.path().join("target");
    fs::write(&target, "somebody's own\n").unwrap();
    for name in ["game.log", "room.json.new"] {
        let _ = fs::remove_file(folder.join(name));
        std::os::unix::fs::symlink(&target, folder.join(name)).unwrap();
    }
    let name = stage.scheduler.name.clone();
    let tail = stage.runtime.log_tail(&name, &"fleet-a".into(), 10).await;
    let refused = tail.unwrap_err().to_string();
    assert!(refused.contains("link"), "{refused}");
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    assert_eq!(fs::read_to_string(&target).unwrap(), "somebody's own\n");
    assert_eq!(site.record("fleet", "fleet-a")["phase"], "ended");
    stage.strike().await;
}

#[tokio::test]
async fn a_room_that_removes_all_that_it_sees_keeps_its_record_and_its_log() {
    let site = Site::new();
    let mut fleet = scheduler("fleet", "echo here; rm -rf \"$HOME\" ./* ./.*; exit 3");
    fleet.spec.restart_policy = "OnFailure".into();
    let mut stage = site.stage(fleet).await;
    stage.create("fleet-a").await.unwrap();
    let folder = site.room_folder("fleet", "fleet-a");
    eventually("it is started again", || {
        let log = fs::read_to_string(folder.join("game.log")).unwrap();
        (log.matches("here").count() >= 2).then_some(())
    })
    .await;
    assert_eq!(site.record("fleet", "fleet-a")["format"], 2);
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    stage.strike().await;
}

#[tokio::test]
async fn trees_without_end_are_removed_also_by_the_next_start() {
    let site = Site::with(|settings| settings.log_check_every = Duration::from_millis(20));
    let trash = site.folder.path().join("rooms/.trash");
    let empty = || fs::read_dir(&trash).unwrap().next().is_none().then_some(());
    let mut stage = site.stage(scheduler("fleet", RUNS)).await;
    stage.create("fleet-a").await.unwrap();
    nest(&site.work("fleet", "fleet-a"), 3_000);
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    let name = stage.scheduler.name.clone();
    stage.runtime.remove(&name, None).await.unwrap();
    assert!(!site.folder.path().join("rooms/fleet").exists());
    eventually("the trash is empty", empty).await;
    drop(stage);
    site.close().await;
    fs::create_dir(trash.join("left")).unwrap();
    nest(&trash.join("left"), 3_000);
    site.open();
    eventually("the trash is empty again", empty).await;
}

/// A mount that is undone however the test ends; `None`: mounting is not possible here.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(at: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "tmpfs"]).arg(at);
        let output = mount.output().ok()?;
        output.status.success().then_some(Self(at))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[tokio::test]
async fn what_cannot_be_removed_is_tried_again_and_keeps_nobody() {
    let site = Site::with(|settings| settings.log_check_every = Duration::from_millis(20));
    let trash = site.folder.path().join("rooms/.trash");
    let mut stage = site.stage(scheduler("fleet", RUNS)).await;
    stage.create("fleet-a").await.unwrap();
    let busy = site.work("fleet", "fleet-a").join("deep/busy");
    fs::create_dir_all(&busy).unwrap();
    let Some(mount) = Mount::new(&busy) else {
        stage.strike().await;
        return eprintln!("skipped: nothing can be mounted here");
    };
    fs::write(busy.join("kept"), "x").unwrap();
    fs::write(busy.parent().unwrap().join("goes"), "x").unwrap();
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    let name = stage.scheduler.name.clone();
    stage.runtime.remove(&name, None).await.unwrap();
    // The tree was removed up to the mount, which was left alone.
    let kept = eventually("the mount is all that is left", || {
        let mut left = fs::read_dir(&trash).unwrap().flatten();
        let only = left.next()?.path();
        let none_else = left.next().is_none() && !only.join("goes").exists();
        (none_else && only.join("busy/kept").exists()).then(|| only.join("busy"))
    })
    .await;
    stage
        .runtime
        .prepare(&stage.scheduler, operation(1))
        .await
        .unwrap();
    stage.create("fleet-a").await.unwrap();
    drop(mount);
    let _ = Command::new("umount").arg("--lazy").arg(&kept).status();
    eventually("it is removed after all", || {
        fs::read_dir(&trash).unwrap().next().is_none().then_some(())
    })
    .await;
    stage.strike().await;
}

#[tokio::test]
async fn files_and_folders_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", RUNS)).await;
    stage.create("fleet-a").await.unwrap();
    let rooms = site.folder.path().join("rooms");
    let folder = site.room_folder("fleet", "fleet-a");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for place in [
        &rooms,
        &folder,
        &folder.join("work"),
        &folder.join("work/tmp"),
    ] {
        assert_eq!(mode(place), 0o700, "{}", place.display());
    }
    for file in ["room.json", "game.log", "../../.lock"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
    stage.strike().await;
}
