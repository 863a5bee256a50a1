//! A disk that fills up while the store is in use: answers stay correct, reads continue, and writes resume without a
//! restart once there is space again.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use maestro_core::{
    domain::RoomStatus,
    ports::{Change, CommitError, Ownership, Reads, Renewal, Store},
};
use maestro_store::embedded::{EmbeddedStore, OpenError};
use maestro_testkit::contract::store::{Owner, samples};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{path::Path, process::Command, sync::Arc};
use support::eventually;

const ROOM_BYTES: usize = 64 * 1024;

/// Whether the change of `owner` was applied, determined as an owner does.
async fn try_room(store: &Arc<EmbeddedStore>, owner: &mut Owner) -> bool {
    let fence = owner.fence();
    let mut room = samples::room(&format!("r-{}", fence.seq.0), RoomStatus::Ready);
    room.reported.metadata = Some("x".repeat(ROOM_BYTES).into());
    match owner.commit(vec![Change::PutRoom(Box::new(room))]).await {
        Ok(()) => true,
        Err(CommitError::NotApplied(_)) => false,
        Err(CommitError::Unknown(_)) => {
            let known = async || store.stored_seq(&owner.name, owner.epoch).await.is_ok();
            eventually("the outcome is known", known).await;
            let stored = owner.stored_seq().await;
            assert!([fence.previous, fence.seq].contains(&stored));
            owner.seq = stored;
            stored == fence.seq
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// `make_room` ends the shortage that `dir` will run into.
async fn survives_a_full_disk(dir: &Path, cause: &str, make_room: impl FnOnce()) {
    let store = EmbeddedStore::open(dir).unwrap();
    let mut owner = Owner::of(&support::ports(&store), "fleet").await;
    let document = samples::scheduler("fleet", "v1.0.0");
    owner.put(vec![Change::CreateScheduler(document)]).await;
    let mut applied = 0;
    while try_room(&store, &mut owner).await {
        applied += 1;
        assert!(applied < 1000, "the disk does not run full");
    }
    assert!(applied > 0);
    let outage = store.outage().expect("it is known");
    assert_eq!(outage.cause, cause);
    let refused = store.check().await.unwrap_err().to_string();
    assert!(refused.contains(cause), "{refused}");
    // Reads are always answered, also from the file, and the scheduler stays ours.
    for _ in 0..4 {
        let found = store.scheduler("fleet").await.unwrap();
        assert!(found.is_some());
        let from_file = store.scheduler_version("fleet", "v1.0.0").await.unwrap();
        assert!(from_file.is_some());
        applied += u64::from(try_room(&store, &mut owner).await);
        let counts = store.room_counts(&["fleet"]).await.unwrap().remove(0);
        assert_eq!(counts.total(), applied);
    }
    // A file size limit leaves space for other files, such as the one that the store tries first when no job is
    // waiting.
    if cause.contains("space") {
        assert_eq!(store.outage().map(|o| o.since), Some(outage.since));
    }
    make_room();
    eventually("it is over by itself", async || store.outage().is_none()).await;
    store.check().await.unwrap();
    assert!(try_room(&store, &mut owner).await, "writes go on");
    applied += 1;
    assert!(store.outage().is_none());
    let held = [(owner.name.clone(), owner.epoch)];
    let renewals = store.renew(&held).await.unwrap();
    assert!(matches!(renewals[..], [Renewal::Held(_)]));

    store.close().await;
    let store = EmbeddedStore::open(dir).unwrap();
    let again = Owner::of(&support::ports(&store), "fleet").await;
    assert_eq!(again.seq, owner.seq);
    assert_eq!(again.load().await.rooms.len() as u64, applied);
}

/// A file system of 8 MiB, unmounted on drop.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mounted() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]);
        let mounted = mount.arg(dir.path()).output();
        mounted.is_ok_and(|m| m.status.success()).then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut umount = Command::new("umount");
        let _ = umount.arg("-l").arg(self.0.path()).status();
    }
}

fn skip() {
    println!("skipped, because this user may not mount a small disk; the limit test covers it");
}

#[tokio::test]
async fn a_full_disk_is_survived() {
    let Some(disk) = SmallDisk::mounted() else {
        return skip();
    };
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let dir = disk.0.path().join("data");
    let make_room = || std::fs::remove_file(&ballast).unwrap();
    survives_a_full_disk(&dir, "no space left on device", make_room).await;
}

/// The file is moved away while the disk is full, so that it cannot be reopened.
#[tokio::test]
async fn a_store_that_is_down_says_so_and_comes_back() {
    let Some(disk) = SmallDisk::mounted() else {
        return skip();
    };
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let dir = disk.0.path().join("data");
    let store = EmbeddedStore::open(&dir).unwrap();
    let mut owner = Owner::of(&support::ports(&store), "fleet").await;
    let document = samples::scheduler("fleet", "v1.0.0");
    owner.put(vec![Change::CreateScheduler(document)]).await;
    let (file, aside) = (dir.join("maestro.redb"), dir.join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    let last = loop {
        let mut room = samples::room("r", RoomStatus::Ready);
        room.id = format!("r-{}", owner.seq.0).into();
        room.reported.metadata = Some("x".repeat(ROOM_BYTES).into());
        let sent = owner.commit(vec![Change::PutRoom(Box::new(room))]).await;
        if let Err(e) = sent {
            break e;
        }
    };
    assert!(matches!(last, CommitError::Unknown(_)), "{last:?}");

    assert!(store.check().await.is_err());
    let again = owner.commit(vec![]).await;
    assert!(
        matches!(again, Err(CommitError::NotApplied(_))),
        "{again:?}"
    );
    let asked = store.stored_seq(&owner.name, owner.epoch).await;
    assert!(matches!(asked, Err(CommitError::Unknown(_))), "{asked:?}");
    assert!(owner.try_load().await.is_err());
    let held = [(owner.name.clone(), owner.epoch)];
    assert!(store.renew(&held).await.is_err());
    assert!(store.scheduler("fleet").await.unwrap().is_some());

    std::fs::rename(&aside, &file).unwrap();
    std::fs::remove_file(&ballast).unwrap();
    eventually("the store is back", async || store.check().await.is_ok()).await;
    assert_eq!(owner.stored_seq().await, owner.seq);
    let rooms = owner.load().await.rooms.len() as u64;
    assert_eq!(
        store.room_counts(&["fleet"]).await.unwrap()[0].total(),
        rooms
    );
    owner.put(vec![Change::DeleteRoom("r-1".into())]).await;
}

#[test]
fn a_disk_that_is_full_at_the_start_is_refused_with_advice() {
    let Some(disk) = SmallDisk::mounted() else {
        return skip();
    };
    std::fs::write(disk.0.path().join("ballast"), vec![1; 7 << 20]).unwrap();
    let ballast = disk.0.path().join("more");
    // Fills the rest of the disk, to the last page.
    let _ = std::fs::write(&ballast, vec![1; 2 << 20]);
    let dir = disk.0.path().join("data");
    let refused = EmbeddedStore::open(&dir).err().expect("it is refused");
    assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("make room there, then start again"), "{text}");
    std::fs::remove_file(&ballast).unwrap();
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    EmbeddedStore::open(&dir).unwrap();
}

#[tokio::test]
#[ignore = "run by a_limit_of_file_sizes_is_survived"]
async fn runs_into_its_limit() {
    let Some(dir) = support::folder_of_parent() else {
        return;
    };
    let before = getrlimit(Resource::Fsize);
    let limit = Rlimit {
        current: Some(4 << 20),
        ..before
    };
    setrlimit(Resource::Fsize, limit).unwrap();
    survives_a_full_disk(&dir, "file too large", move || {
        setrlimit(Resource::Fsize, before).unwrap();
    })
    .await;
    println!("\nsurvived");
}

/// Needs no privileges: a file that may not grow fails like one on a full disk.
#[test]
fn a_limit_of_file_sizes_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let child = support::child("runs_into_its_limit", dir.path());
    // The signal that accompanies the error ends a process that does not ignore it.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#]);
    shell.arg(child.get_program()).args(child.get_args());
    for (name, value) in child.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let output = shell.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("survived"),
        "{text}"
    );
}
