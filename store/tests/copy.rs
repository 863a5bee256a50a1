//! A copy made during writes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use maestro_core::{
    domain::RoomStatus,
    ports::{Change, Ownership, Reads, Renewal},
};
use maestro_store::embedded::EmbeddedStore;
use maestro_testkit::contract::store::{Owner, samples};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_consistent_while_writes_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let mut owner = Owner::of(&support::ports(&store), "fleet").await;
    let done = samples::ended(
        samples::operation("fleet", 1),
        maestro_core::domain::OperationStatus::Finished,
        9,
    );
    owner
        .put(vec![
            Change::CreateScheduler(samples::scheduler("fleet", "v1.0.0")),
            Change::PutOperation(Box::new(done.clone())),
        ])
        .await;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let writer = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            let room = samples::room(&format!("r-{}", owner.seq.next().0), RoomStatus::Ready);
            owner.put(vec![Change::PutRoom(Box::new(room))]).await;
        }
        owner
    });
    let target = tempfile::tempdir().unwrap();
    let file = target.path().join("maestro.redb");
    support::eventually("there is something to copy", async || {
        store.room_counts(&["fleet"]).await.unwrap()[0].total() >= 50
    })
    .await;
    store.copy_to(&file).await.unwrap();
    assert!(store.copy_to(&file).await.is_err(), "it is not overwritten");
    stop.store(true, Ordering::Relaxed);
    let owner = writer.await.unwrap();

    let copy = EmbeddedStore::open(target.path()).unwrap();
    assert_eq!(copy.installation(), store.installation());
    let found = Owner::of(&support::ports(&copy), "fleet").await;
    assert!(found.epoch > owner.epoch);
    assert!(found.seq <= owner.seq);
    let loaded = found.load().await;
    // The first batch has no room, each later one has one.
    assert_eq!(loaded.rooms.len() as u64, found.seq.0 - 1);
    assert!(loaded.rooms.len() >= 50);
    let operation = copy.operation("fleet", done.id).await.unwrap();
    assert_eq!(operation.as_deref(), Some(&done));
}

#[tokio::test]
async fn a_store_whose_lock_was_removed_owns_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let owner = Owner::of(&support::ports(&store), "fleet").await;
    std::fs::remove_file(dir.path().join("LOCK")).unwrap();
    let renewals = store.renew(&[(owner.name.clone(), owner.epoch)]).await;
    assert_eq!(renewals.unwrap(), [Renewal::Lost]);
}
