//! How many commits a second the embedded store makes on a disk:
//! `cargo run --release -p maestro-store --example commit_rate -- <folder on that disk>`.

use maestro_core::{
    domain::{Epoch, OperationRecord, RoomId, RoomStatus, RoomTouch},
    ports::{Change, Reads, Store},
};
use maestro_store::embedded::EmbeddedStore;
use maestro_testkit::contract::store::{Owner, Ports, samples};
use std::{sync::Arc, time::Instant};

const FLEETS: usize = 64;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let dir = tempfile::tempdir_in(parent)?;
    let store = EmbeddedStore::open(dir.path())?;
    let ports = Ports {
        store: store.clone(),
        reads: store.clone(),
        ownership: store.clone(),
    };
    let mut owners = Vec::new();
    for number in 0..FLEETS {
        let name = format!("fleet-{number}");
        let mut owner = Owner::of(&ports, &name).await;
        let document = samples::scheduler(&name, "v1.0.0");
        owner.put(vec![Change::CreateScheduler(document)]).await;
        let rooms = (0..256).map(|r| Change::PutRoom(room(r)));
        owner.put(rooms.collect()).await;
        owners.push(owner);
    }
    let mut one = owners.remove(0);
    rate("one row, one writer", 4000, async |n| {
        one.put(vec![Change::PutRoom(room(n % 256))]).await;
    })
    .await;
    rate("64 rows in one batch, one writer", 1000, async |n| {
        let rows = (0..64).map(|r| Change::PutRoom(room((n + r) % 256)));
        one.put(rows.collect()).await;
    })
    .await;
    rate("256 steady pings in one batch", 400, async |_| {
        let touches = (0..256).map(|r| touch(room(r).id)).collect();
        one.put(vec![Change::TouchRooms(touches)]).await;
    })
    .await;
    owners.push(one);
    many_writers(owners).await;
    reads(&store).await;
    history(&ports, &store).await;
    let started = Instant::now();
    let bytes = std::fs::metadata(dir.path().join("maestro.redb"))?.len();
    drop(ports);
    store.close().await;
    drop(store);
    let closed = started.elapsed();
    let started = Instant::now();
    drop(EmbeddedStore::open(dir.path())?);
    println!(
        "file {} KiB: closed in {closed:?}, opened and verified in {:?}",
        bytes / 1024,
        started.elapsed()
    );
    Ok(())
}

fn room(number: usize) -> Box<maestro_core::domain::RoomRecord> {
    let id = format!("room-{number:05}");
    Box::new(samples::room(&id, RoomStatus::Ready))
}

fn touch(room: RoomId) -> RoomTouch {
    RoomTouch {
        room,
        last_ping_at: jiff::Timestamp::now(),
        matches: 1,
        ping: maestro_core::domain::PingStatus::Occupied,
        metadata: Some(r#"{"mode":"ranked"}"#.into()),
    }
}

async fn rate(what: &str, times: usize, mut step: impl AsyncFnMut(usize)) {
    let started = Instant::now();
    for number in 0..times {
        step(number).await;
    }
    let took = started.elapsed();
    let each = took / times as u32;
    let second = times as f64 / took.as_secs_f64();
    println!("{what}: {second:.0}/s, {each:?} each");
}

/// Many concurrent commits of one row each: the case that group commit is for.
async fn many_writers(owners: Vec<Owner>) {
    const EACH: usize = 300;
    let started = Instant::now();
    let mut writers = Vec::new();
    for mut owner in owners {
        writers.push(tokio::spawn(async move {
            for number in 0..EACH {
                owner.put(vec![Change::PutRoom(room(number % 256))]).await;
            }
        }));
    }
    for writer in writers {
        // A writer that panicked has logged it.
        let _ = writer.await;
    }
    let took = started.elapsed();
    let second = (FLEETS * EACH) as f64 / took.as_secs_f64();
    let wait = took / EACH as u32;
    println!("one row, {FLEETS} writers: {second:.0}/s, {wait:?} each");
}

async fn reads(store: &Arc<EmbeddedStore>) {
    rate("scheduler()", 1_000_000, async |_| {
        let found = store.scheduler("fleet-7").await;
        assert!(found.is_ok_and(|s| s.is_some()));
    })
    .await;
    rate("room_counts()", 1_000_000, async |_| {
        assert!(store.room_counts(&["fleet-7"]).await.is_ok());
    })
    .await;
    let owned = [("fleet-7".into(), Epoch(1))];
    rate("load() of 256 rooms", 200, async |_| {
        assert!(store.load(&owned).await.iter().all(Result::is_ok));
    })
    .await;
}

async fn history(ports: &Ports, store: &Arc<EmbeddedStore>) {
    const ENDED: u64 = 10_000;
    let mut owner = Owner::of(ports, "fleet-9").await;
    for batch in 0..ENDED / 500 {
        let operations = (0..500).map(|index| {
            let number = batch * 500 + index;
            Change::PutOperation(Box::new(ended(number)))
        });
        owner.put(operations.collect()).await;
    }
    for offset in [0, ENDED - 15] {
        let stage = maestro_core::ports::Stage::Final {
            offset,
            limit: 15,
            ascending: false,
        };
        rate(
            &format!("page of the history at {offset}"),
            500,
            async |_| {
                assert!(store.operations("fleet-9", stage).await.is_ok());
            },
        )
        .await;
    }
}

fn ended(number: u64) -> OperationRecord {
    let operation = OperationRecord {
        id: maestro_core::domain::OperationId(uuid::Uuid::from_u128(u128::from(number))),
        ..samples::operation("fleet-9", 1)
    };
    let finished = maestro_core::domain::OperationStatus::Finished;
    samples::ended(operation, finished, number as i64)
}
