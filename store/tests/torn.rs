//! Files damaged by a crash, a bad disk or an incomplete copy are opened or rejected, and never cause a panic.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use maestro_core::{domain::RoomStatus, ports::Change};
use maestro_store::embedded::EmbeddedStore;
use maestro_testkit::contract::store::{Owner, samples};
use std::{fs, path::Path};
use support::{Random, ports};

const NAME: &str = "maestro.redb";

/// The bytes of a store with a few hundred rows: closed properly, and as a crash would leave them.
async fn written() -> [Vec<u8>; 2] {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let mut owner = Owner::of(&support::ports(&store), "fleet").await;
    let document = samples::scheduler("fleet", "v1.0.0");
    owner.put(vec![Change::CreateScheduler(document)]).await;
    for number in 0..100 {
        let room = samples::room(&format!("r-{number}"), RoomStatus::Ready);
        let operation = samples::operation("fleet", number);
        owner
            .put(vec![
                Change::PutRoom(Box::new(room)),
                Change::PutOperation(Box::new(operation)),
            ])
            .await;
    }
    let crashed = fs::read(dir.path().join(NAME)).unwrap();
    store.close().await;
    let closed = fs::read(dir.path().join(NAME)).unwrap();
    [closed, crashed]
}

/// Whether the file could be opened; if so, everything in it can be read.
async fn opens(dir: &Path, bytes: &[u8]) -> bool {
    fs::write(dir.join(NAME), bytes).unwrap();
    match EmbeddedStore::open(dir) {
        Ok(store) => {
            // Every checksum was verified, so reads find no further defects.
            Owner::of(&ports(&store), "fleet").await.load().await;
            store.close().await;
            true
        }
        Err(refused) => {
            let text = refused.to_string();
            assert!(text.contains("maestro.redb"), "{text}");
            false
        }
    }
}

#[tokio::test]
async fn a_file_as_it_was_opens() {
    for bytes in written().await {
        let dir = tempfile::tempdir().unwrap();
        assert!(opens(dir.path(), &bytes).await);
    }
}

#[tokio::test]
async fn a_truncated_file_is_opened_or_refused() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    for bytes in written().await {
        for _ in 0..40 {
            let length = random.below(bytes.len());
            opens(dir.path(), &bytes[..length]).await;
        }
    }
}

#[tokio::test]
async fn a_file_with_flipped_bytes_is_opened_or_refused() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    for bytes in written().await {
        for round in 0..100 {
            let mut torn = bytes.clone();
            // Every other round damages the header, on which everything else depends.
            let reach = if round % 2 == 0 { 512 } else { torn.len() };
            for _ in 0..=random.below(8) {
                let at = random.below(reach);
                torn[at] ^= 1 << random.below(8);
            }
            opens(dir.path(), &torn).await;
        }
    }
}

#[tokio::test]
async fn a_file_with_zeroed_or_shuffled_pages_is_opened_or_refused() {
    const PAGE: usize = 4096;
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    for bytes in written().await {
        let pages = bytes.len() / PAGE;
        for round in 0..40 {
            let mut torn = bytes.clone();
            let (to, from) = (random.below(pages) * PAGE, random.below(pages) * PAGE);
            if round % 2 == 0 {
                torn[to..to + PAGE].fill(0);
            } else {
                torn.copy_within(from..from + PAGE, to);
            }
            opens(dir.path(), &torn).await;
        }
    }
}
