//! `kill -9` during writes: acknowledged changes survive.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use maestro_core::{
    domain::{RoomStatus, Seq},
    ports::Change,
};
use maestro_store::embedded::EmbeddedStore;
use maestro_testkit::contract::store::{Owner, samples};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
};
use support::Random;

const WRITERS: usize = 8;
const ROUNDS: usize = 12;

fn room_of(seq: Seq) -> String {
    format!("r-{}", seq.0)
}

#[tokio::test]
#[ignore = "run by what_was_acknowledged_survives_kills"]
async fn writes_until_it_is_killed() {
    let Some(dir) = support::folder_of_parent() else {
        return;
    };
    let store = EmbeddedStore::open(&dir).unwrap();
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let mut owner = Owner::of(&support::ports(&store), &format!("fleet-{number}")).await;
        writers.push(tokio::spawn(async move {
            // In practice forever.
            for _ in 0..u32::MAX {
                let mut room = samples::room(&room_of(owner.seq.next()), RoomStatus::Ready);
                room.reported.metadata = Some("x".repeat(300).into());
                owner.put(vec![Change::PutRoom(Box::new(room))]).await;
                let line = format!("{number} {}\n", owner.seq.0);
                std::io::stdout().write_all(line.as_bytes()).unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kills() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: HashMap<usize, u64> = HashMap::new();
    let mut epoch = 0;
    for round in 0..ROUNDS {
        let mut child = support::child("writes_until_it_is_killed", dir.path())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = 2 + random.below(400);
        // What is still in the pipe after the kill was acknowledged as well.
        while let Some(Ok(line)) = lines.next() {
            let mut words = line.split(' ').map(str::parse);
            if let (Some(Ok(number)), Some(Ok(seq))) = (words.next(), words.next()) {
                acknowledged.insert(number as usize, seq);
            }
            left = left.saturating_sub(1);
            if left == 1 {
                child.kill().unwrap();
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let store = EmbeddedStore::open(dir.path()).unwrap();
        for (number, seq) in &acknowledged {
            let owner = Owner::of(&support::ports(&store), &format!("fleet-{number}")).await;
            assert!(owner.seq.0 >= *seq, "round {round}: fleet-{number}");
            assert!(owner.epoch.0 > epoch);
            let loaded = owner.load().await;
            assert_eq!(loaded.seq, owner.seq);
            // One room per batch: none is lost, none is partial.
            let mut found: Vec<_> = loaded.rooms.iter().map(|r| r.id.to_string()).collect();
            let mut expected: Vec<_> = (1..=owner.seq.0).map(|s| room_of(Seq(s))).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "round {round}: fleet-{number}");
        }
        if let Some(number) = acknowledged.keys().next() {
            let name = format!("fleet-{number}");
            epoch = Owner::of(&support::ports(&store), &name).await.epoch.0;
        }
        store.close().await;
    }
    assert_eq!(acknowledged.len(), WRITERS);
}
