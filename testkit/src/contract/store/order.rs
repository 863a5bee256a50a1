//! The order of writes, fencing, and the state after reopening.

use super::{
    harness::{Harness, Owner, Ports},
    samples::*,
};
use maestro_core::{
    domain::*,
    ports::{Change, CommitError, Renewal, SchedulerFilter, Stage, StoreError},
};
use std::{sync::Arc, time::Duration};

fn put_room(id: &str) -> Change {
    Change::PutRoom(Box::new(room(id, RoomStatus::Ready)))
}

async fn rooms(ports: &Ports) -> u64 {
    ports
        .reads
        .room_counts(&["fleet"])
        .await
        .unwrap()
        .remove(0)
        .total()
}

pub async fn a_take_over_fences_the_owner_before(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(vec![put_room("r-1")]).await;
    let mut late = owner.fence();
    let (epoch, seq) = (owner.epoch, owner.seq);
    owner.release().await;
    drop(ports);

    let ports = harness.open().await;
    let mut next = Owner::of(&ports, "fleet").await;
    assert!(next.epoch > epoch);
    assert_eq!(next.seq, seq, "the order goes on where it was");
    late.previous = next.seq;
    let refused = ports.store.commit(late, [put_room("r-2")].into()).await;
    let Err(CommitError::Fenced { stored }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(stored, next.epoch);
    let asked = ports.store.stored_seq(&next.name, epoch).await;
    assert!(
        matches!(asked, Err(CommitError::Fenced { .. })),
        "{asked:?}"
    );
    assert_eq!(rooms(&ports).await, 1);
    next.put(vec![put_room("r-3")]).await;
}

pub async fn a_gap_in_the_order_is_answered_with_what_is_stored(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(vec![put_room("r-1")]).await;
    let stored = owner.seq;
    let mut ahead = owner.fence();
    ahead.previous = ahead.seq;
    ahead.seq = ahead.seq.next();
    let refused = ports.store.commit(ahead, [put_room("r-2")].into()).await;
    assert!(
        matches!(refused, Err(CommitError::Behind { stored: s }) if s == stored),
        "{refused:?}"
    );
    assert_eq!(rooms(&ports).await, 1);
    assert_eq!(owner.stored_seq().await, stored);
    owner.put([put_room("r-2")].into()).await;
}

pub async fn a_batch_sent_twice_is_applied_once(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let fence = owner.fence();
    owner.put(vec![put_room("r-1")]).await;
    // Its acknowledgement was lost: the stored seq tells the writer that it was applied.
    let again = ports
        .store
        .commit(fence.clone(), [put_room("r-9")].into())
        .await;
    assert!(
        matches!(again, Err(CommitError::Behind { stored }) if stored == fence.seq),
        "{again:?}"
    );
    assert_eq!(owner.stored_seq().await, fence.seq);
    assert_eq!(owner.load().await.rooms.len(), 1);
    assert_eq!(owner.load().await.seq, fence.seq);
}

pub async fn all_changes_of_a_batch_are_applied_or_none(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner
        .put(vec![Change::CreateScheduler(scheduler("fleet", "v1.0.0"))])
        .await;
    let before = owner.load().await;
    let refused = owner
        .commit(vec![
            put_room("r-1"),
            Change::PutOperation(Box::new(operation("fleet", 1))),
            Change::CreateScheduler(scheduler("fleet", "v1.0.0")),
            put_room("r-2"),
        ])
        .await;
    assert!(
        matches!(refused, Err(CommitError::AlreadyExists)),
        "{refused:?}"
    );
    let after = owner.load().await;
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    let pending = ports.reads.operations("fleet", Stage::Pending).await;
    assert_eq!(pending.unwrap().total, 0);
    // Deleted and created again within one batch.
    let keep = operation_id(1);
    let changes = vec![
        Change::DeleteScheduler { keep },
        Change::CreateScheduler(scheduler("fleet", "v3.0.0")),
        put_room("r-3"),
    ];
    owner.put(changes).await;
    let loaded = owner.load().await;
    assert_eq!(loaded.scheduler.unwrap().version().as_str(), "v3.0.0");
    assert_eq!(loaded.rooms.len(), 1);
}

pub async fn a_snapshot_replaces_rooms_and_open_operations(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let done = ended(operation("fleet", 2), OperationStatus::Finished, 60);
    let put = |operation: &OperationRecord| Change::PutOperation(Box::new(operation.clone()));
    owner
        .put(vec![
            Change::CreateScheduler(scheduler("fleet", "v1.0.0")),
            put_room("r-1"),
            put_room("r-2"),
            put(&operation("fleet", 1)),
            put(&done),
        ])
        .await;
    let other = operation("fleet", 3);
    let snapshot = vec![Change::Clear, put_room("r-2"), put_room("r-3"), put(&other)];
    owner.put(snapshot).await;
    let loaded = owner.load().await;
    let mut rooms: Vec<_> = loaded.rooms.iter().map(|room| room.id.as_str()).collect();
    rooms.sort_unstable();
    assert_eq!(rooms, ["r-2", "r-3"]);
    assert_eq!(loaded.operations, [other]);
    let ended: Vec<_> = loaded.ended.iter().map(|ended| ended.id).collect();
    assert_eq!(ended, [done.id], "an ended operation stays");
    assert!(loaded.scheduler.is_some());
    assert_eq!(self::rooms(&ports).await, 2);
    let pending = ports.reads.operations("fleet", Stage::Pending).await;
    assert_eq!(pending.unwrap().total, 1);
}

pub async fn an_earlier_owner_loads_nothing(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(vec![put_room("r-1")]).await;
    owner.epoch = Epoch(owner.epoch.0 - 1);
    let refused = owner.try_load().await;
    let stored = Epoch(owner.epoch.0 + 1);
    assert!(
        matches!(refused, Err(StoreError::Fenced { stored: s }) if s == stored),
        "{refused:?}"
    );
}

pub async fn everything_is_there_after_opening_again(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let created = scheduler("fleet", "v1.0.0");
    let active = Arc::new(Scheduler {
        created_at: at(40),
        ..Scheduler::clone(&scheduler("fleet", "v2.0.0"))
    });
    let done = ended(operation("fleet", 2), OperationStatus::Finished, 60);
    owner
        .put(vec![Change::CreateScheduler(created.clone())])
        .await;
    owner
        .put(vec![
            Change::CreateVersion {
                scheduler: active.clone(),
                created_at: at(40),
            },
            Change::UpdateScheduler(active.clone()),
            put_room("r-1"),
            put_room("r-2"),
            Change::PutOperation(Box::new(operation("fleet", 1))),
            Change::PutOperation(Box::new(done.clone())),
        ])
        .await;
    let (before, seq) = (owner.load().await, owner.seq);
    owner.release().await;
    drop(ports);

    let ports = harness.open().await;
    let owner = Owner::of(&ports, "fleet").await;
    let after = owner.load().await;
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    assert_eq!((owner.seq, after.seq), (seq, seq));
    assert_eq!(after.scheduler, Some(active.clone()));
    let reads = &ports.reads;
    assert_eq!(reads.scheduler("fleet").await.unwrap(), Some(active));
    let listed = reads.schedulers(&SchedulerFilter::default()).await.unwrap();
    assert_eq!(listed[0].created_at, created.created_at);
    assert_eq!(reads.versions("fleet").await.unwrap()[0].created_at, at(40));
    assert_eq!(rooms(&ports).await, 2);
    let found = reads.operation("fleet", done.id).await.unwrap();
    assert_eq!(found.as_deref(), Some(&done));
    let history = Stage::Final {
        offset: 0,
        limit: 5,
        ascending: true,
    };
    assert_eq!(reads.operations("fleet", history).await.unwrap().total, 1);
    let names = ports.ownership.discover().await.unwrap();
    assert_eq!(names, [owner.name]);
}

pub async fn sixty_four_writers_do_not_disturb_each_other(harness: &dyn Harness) {
    const BATCHES: u64 = 20;
    let ports = harness.open().await;
    let mut writers = Vec::new();
    for number in 0..64 {
        let name = format!("fleet-{number}");
        let mut owner = Owner::of(&ports, &name).await;
        writers.push(tokio::spawn(async move {
            let create = Change::CreateScheduler(scheduler(&name, "v1.0.0"));
            owner.put(vec![create]).await;
            for batch in 0..BATCHES {
                // Every third batch is refused, which must not affect the others.
                if batch % 3 == 0 {
                    let again = Change::CreateScheduler(scheduler(&name, "v1.0.0"));
                    let refused = owner.commit(vec![again]).await;
                    assert!(matches!(refused, Err(CommitError::AlreadyExists)));
                }
                owner.put(vec![put_room(&format!("r-{batch}"))]).await;
            }
            owner
        }));
    }
    for writer in writers {
        let owner = writer.await.unwrap();
        let name = owner.name.as_str();
        let counts = ports.reads.room_counts(&[name]).await.unwrap().remove(0);
        assert_eq!(counts.total(), BATCHES, "{name}");
        assert_eq!(owner.stored_seq().await, owner.seq);
    }
    let all = ports.reads.schedulers(&SchedulerFilter::default()).await;
    assert_eq!(all.unwrap().len(), 64);
}

pub async fn a_held_scheduler_can_be_renewed(harness: &dyn Harness) {
    let ports = harness.open().await;
    let owner = Owner::of(&ports, "fleet").await;
    let held = [
        (owner.name.clone(), owner.epoch),
        (owner.name.clone(), Epoch(owner.epoch.0 + 1)),
    ];
    let renewals = ports.ownership.renew(&held).await.unwrap();
    assert!(
        matches!(renewals[0], Renewal::Held(lease) if lease > Duration::from_secs(1)),
        "{renewals:?}"
    );
    assert_eq!(renewals[1], Renewal::Lost, "not at another epoch");
}
