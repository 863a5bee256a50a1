//! Logs and folders do not grow without bound.

use crate::site::{Site, eventually};
use maestro_core::ports::RuntimeError;
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use std::{fs, time::Duration};

#[tokio::test]
async fn logs_are_rotated_under_their_writers() {
    let site = Site::with(|settings| {
        settings.log_bytes = 2_000;
        settings.log_check_every = Duration::from_millis(20);
    });
    let script =
        "trap 'exit 0' TERM; i=0; while :; do echo number $i; i=$((i+1)); sleep 0.001; done";
    let stage = site.stage(scheduler("fleet", script)).await;
    stage.create("fleet-a").await.unwrap();
    let folder = site.room_folder("fleet", "fleet-a");
    eventually("two rotated files", || {
        folder.join("game.log.2").exists().then_some(())
    })
    .await;
    assert!(!folder.join("game.log.3").exists());
    let name = stage.scheduler.name.clone();
    let tail = stage.runtime.log_tail(&name, &"fleet-a".into(), 5).await;
    assert!(tail.unwrap().iter().all(|line| line.starts_with("number ")));
    stage.strike().await;
}

#[tokio::test]
async fn folders_of_ended_rooms_are_kept_up_to_a_number() {
    let site = Site::with(|settings| {
        settings.keep_ended = 2;
        settings.log_check_every = Duration::from_millis(20);
    });
    let mut stage = site.stage(scheduler("fleet", "exit 0")).await;
    for number in 0..4 {
        let room = format!("fleet-{number}");
        stage.create(&room).await.unwrap();
        stage.until_gone(&room.as_str().into()).await;
    }
    let left = || {
        let entries = fs::read_dir(site.folder.path().join("rooms/fleet")).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    eventually("the newest two", || {
        (left() == ["fleet-2", "fleet-3"]).then_some(())
    })
    .await;
    stage.strike().await;
}

#[tokio::test]
async fn folders_of_ended_rooms_are_kept_for_a_time() {
    let site = Site::with(|settings| {
        settings.keep_ended_for = Duration::from_millis(1);
        settings.log_check_every = Duration::from_millis(20);
    });
    let mut stage = site.stage(scheduler("fleet", "exit 0")).await;
    stage.create("fleet-a").await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    let folder = site.room_folder("fleet", "fleet-a");
    eventually("it is removed", || (!folder.exists()).then_some(())).await;
    stage.strike().await;
}

#[tokio::test]
async fn a_place_is_not_removed_from_under_its_rooms() {
    let site = Site::new();
    let mut stage = site.stage(scheduler("fleet", RUNS)).await;
    stage.create("fleet-a").await.unwrap();
    let name = stage.scheduler.name.clone();
    let refused = stage.runtime.remove(&name, None).await;
    assert!(
        matches!(refused, Err(RuntimeError::Unavailable(_))),
        "{refused:?}"
    );
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    stage.runtime.remove(&name, None).await.unwrap();
    assert!(!site.folder.path().join("rooms/fleet").exists());
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_is_refused_with_its_name() {
    let site = Site::new();
    let mut settings = site.settings.clone();
    settings.data_dir = "/proc/no-such-place".into();
    let refused = maestro_runtime::process::ProcessRuntime::open(settings);
    let text = refused.err().map(|error| error.to_string()).unwrap();
    assert!(text.contains("/proc/no-such-place/rooms"), "{text}");
}

/// Writes directly into its log, as rooms did before there was a writer.
#[tokio::test]
async fn a_room_of_before_is_adopted_and_its_log_rotated_as_before() {
    let mut site = Site::with(|settings| {
        settings.log_bytes = 2_000;
        settings.log_check_every = Duration::from_secs(3_600);
    });
    let script =
        "trap 'exit 0' TERM; i=0; while :; do echo number $i; i=$((i+1)); sleep 0.001; done";
    let stage = site.stage(scheduler("fleet", script)).await;
    stage.create("fleet-a").await.unwrap();
    let (fleet, log) = (
        stage.scheduler.clone(),
        site.log_path("fleet", "fleet-a", "game"),
    );
    drop(stage);
    site.close().await;
    site.settings.log_writer = Some("/bin/false".into());
    site.open();
    let stage = Stage::resume(&site, fleet).await;
    assert_eq!(stage.listed().await.len(), 1);
    // Checked far more often than folders and writers are.
    eventually("two rotated files", || {
        let rotated = format!("{}.2", log.display());
        fs::exists(rotated).unwrap().then_some(())
    })
    .await;
    let size = fs::metadata(&log).unwrap().len();
    assert!(size < 100_000, "{size}");
    stage.strike().await;
}

/// Without a writer rooms run all the same.
#[tokio::test]
async fn without_a_writer_a_room_writes_into_its_log_itself() {
    let site = Site::with(|settings| settings.log_writer = Some("/no/such/program".into()));
    let mut stage = site.stage(scheduler("fleet", "echo hello; exit 3")).await;
    stage.create("fleet-a").await.unwrap();
    let (_, exit) = stage.until_gone(&"fleet-a".into()).await;
    assert_eq!(exit.log_tail, ["hello"]);
    stage.strike().await;
}
