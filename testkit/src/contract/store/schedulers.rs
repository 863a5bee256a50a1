//! Schedulers and their versions.

use super::{
    harness::{Harness, Owner},
    samples::*,
};
use maestro_core::{
    domain::*,
    ports::{Change, CommitError, OperatorRecord, RoomCounts, SchedulerFilter, Stage},
};

use std::sync::Arc;

pub async fn a_created_scheduler_is_there_for_all_readers(harness: &dyn Harness) {
    let ports = harness.open().await;
    let reads = &ports.reads;
    assert_eq!(reads.scheduler("fleet").await.unwrap(), None);
    assert!(reads.versions("fleet").await.unwrap().is_empty());
    let document = scheduler("fleet", "v1.0.0");
    let mut owner = Owner::of(&ports, "fleet").await;
    owner
        .put(vec![Change::CreateScheduler(document.clone())])
        .await;

    let found = reads.scheduler("fleet").await.unwrap();
    assert_eq!(found.as_deref(), Some(&*document));
    let listed = reads.schedulers(&SchedulerFilter::default()).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&document));
    let versions = reads.versions("fleet").await.unwrap();
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].version.as_str(), "v1.0.0");
    assert_eq!(versions[0].created_at, at(0));
    let version = reads.scheduler_version("fleet", "v1.0.0").await.unwrap();
    assert_eq!(version.as_deref(), Some(&*document));
    let none = reads.scheduler_version("fleet", "1.0.0").await.unwrap();
    assert_eq!(none, None, "versions match as texts");
    let names = ports.ownership.discover().await.unwrap();
    assert_eq!(names, [SchedulerName::from("fleet")]);
    reads.check().await.unwrap();
}

pub async fn a_second_creation_is_refused_as_a_whole(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let first = scheduler("fleet", "v1.0.0");
    owner
        .put(vec![Change::CreateScheduler(first.clone())])
        .await;
    let stored = owner.stored_seq().await;
    let again = vec![
        Change::PutRoom(Box::new(room("fleet-1", RoomStatus::Ready))),
        Change::CreateScheduler(scheduler("fleet", "v9.0.0")),
    ];
    let refused = owner.commit(again).await;
    assert!(
        matches!(refused, Err(CommitError::AlreadyExists)),
        "{refused:?}"
    );
    assert_eq!(owner.stored_seq().await, stored);
    let counts = ports.reads.room_counts(&["fleet"]).await.unwrap().remove(0);
    assert_eq!(counts, RoomCounts::default());
    let loaded = owner.load().await;
    assert_eq!(loaded.scheduler, Some(first));
    assert!(loaded.rooms.is_empty());
    // The sequence continues as if nothing had been sent.
    owner.put(vec![Change::DeleteRoom("none".into())]).await;
}

pub async fn an_update_leaves_the_creation_time_of_the_row(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner
        .put(vec![Change::CreateScheduler(scheduler("fleet", "v1.0.0"))])
        .await;
    let changed = Arc::new(Scheduler {
        state: SchedulerPhase::InSync,
        game: "chess".into(),
        created_at: at(50),
        ..Scheduler::clone(&scheduler("fleet", "v1.1.0"))
    });
    let version = Change::CreateVersion {
        scheduler: changed.clone(),
        created_at: at(50),
    };
    owner
        .put(vec![version, Change::UpdateScheduler(changed.clone())])
        .await;

    let found = ports.reads.scheduler("fleet").await.unwrap().unwrap();
    assert_eq!(found, changed);
    let filter = SchedulerFilter::default();
    let listed = ports.reads.schedulers(&filter).await.unwrap();
    assert_eq!(listed[0].created_at, at(0));
    assert_eq!(listed[0].state, SchedulerPhase::InSync);
    // A version has its own document, but the scheduler's state and game.
    let version = ports
        .reads
        .scheduler_version("fleet", "v1.0.0")
        .await
        .unwrap();
    let version = version.unwrap();
    assert_eq!(version.version().as_str(), "v1.0.0");
    assert_eq!(version.game, "chess");
    assert_eq!(version.state, SchedulerPhase::InSync);
}

pub async fn an_update_brings_back_a_row_that_was_lost(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let active = scheduler("fleet", "v1.0.0");
    let version = Change::CreateVersion {
        scheduler: active.clone(),
        created_at: at(0),
    };
    owner
        .put(vec![Change::UpdateScheduler(active.clone()), version])
        .await;
    let found = ports.reads.scheduler("fleet").await.unwrap();
    assert_eq!(found, Some(active.clone()));
    assert_eq!(ports.reads.versions("fleet").await.unwrap().len(), 1);
    assert_eq!(owner.load().await.scheduler, Some(active));
}

pub async fn versions_are_listed_newest_first_and_never_overwritten(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner
        .put(vec![Change::CreateScheduler(scheduler("fleet", "v1.0.0"))])
        .await;
    for (version, created) in [("v1.10.0", 30), ("v1.9.0", 20), ("v1.9.0", 99)] {
        let mut document = Scheduler::clone(&scheduler("fleet", version));
        document.max_surge = created.to_string().into();
        let change = Change::CreateVersion {
            scheduler: Arc::new(document),
            created_at: at(created),
        };
        owner.put(vec![change]).await;
    }
    let versions = ports.reads.versions("fleet").await.unwrap();
    let listed: Vec<_> = versions
        .iter()
        .map(|v| (v.version.as_str(), v.created_at))
        .collect();
    assert_eq!(
        listed,
        [("v1.10.0", at(30)), ("v1.9.0", at(20)), ("v1.0.0", at(0))]
    );
    let version = ports
        .reads
        .scheduler_version("fleet", "v1.9.0")
        .await
        .unwrap();
    assert_eq!(version.unwrap().max_surge, "20".into());
    let active = ports.reads.scheduler("fleet").await.unwrap().unwrap();
    assert_eq!(
        active.version().as_str(),
        "v1.0.0",
        "a version is not active by being there"
    );
    assert_eq!(owner.load().await.versions.len(), 3);
}

pub async fn a_versions_document_is_changed_where_it_stands(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    populated(&mut owner).await;
    let mut changes = Vec::new();
    for version in ["v2.0.0", "v3.0.0"] {
        let mut document = Scheduler::clone(&scheduler("fleet", version));
        document.rooms_replicas = 7;
        changes.push(Change::UpdateVersion(Arc::new(document)));
    }
    owner.put(changes).await;
    let versions = ports.reads.versions("fleet").await.unwrap();
    let listed = versions.iter().map(|v| (v.version.as_str(), v.created_at));
    let expected = [("v2.0.0", at(5)), ("v1.0.0", at(0))];
    assert_eq!(
        listed.collect::<Vec<_>>(),
        expected,
        "one that is not stored stays so"
    );
    let reads = &ports.reads;
    let version = reads.scheduler_version("fleet", "v2.0.0").await.unwrap();
    assert_eq!(version.unwrap().rooms_replicas, 7);
    let active = reads.scheduler("fleet").await.unwrap().unwrap();
    assert_ne!(active.rooms_replicas, 7, "another document");
    let loaded = owner.load().await;
    let is_new = |s: &&Arc<Scheduler>| s.version().as_str() == "v2.0.0";
    let stored = loaded.versions.iter().find(is_new).unwrap();
    assert_eq!(stored.rooms_replicas, 7);
}

pub async fn filters_are_exact_and_all_have_to_match(harness: &dyn Harness) {
    let ports = harness.open().await;
    for (name, version) in [("b", "v1.0.0"), ("a", "v1.0.0"), ("ab", "v2.0.0")] {
        let mut owner = Owner::of(&ports, name).await;
        owner
            .put(vec![Change::CreateScheduler(scheduler(name, version))])
            .await;
    }
    for (name, game, version, expected) in [
        ("", "", "", vec!["a", "ab", "b"]),
        ("a", "", "", vec!["a"]),
        ("", "tennis", "v2.0.0", vec!["ab"]),
        ("a", "", "v2.0.0", vec![]),
        ("", "ten", "", vec![]),
        ("nobody", "", "", vec![]),
    ] {
        let filter = SchedulerFilter {
            name: name.into(),
            game: game.into(),
            version: version.into(),
        };
        let found = ports.reads.schedulers(&filter).await.unwrap();
        let names: Vec<_> = found.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, expected, "{filter:?}");
    }
}

/// Adds a second version, a room and three operations: one pending, one ended, one to be kept.
async fn populated(owner: &mut Owner) {
    let name = owner.name.to_string();
    let finished = OperationStatus::Finished;
    owner
        .put(vec![
            Change::CreateScheduler(scheduler(&name, "v1.0.0")),
            Change::CreateVersion {
                scheduler: scheduler(&name, "v2.0.0"),
                created_at: at(5),
            },
            Change::PutRoom(Box::new(room("room", RoomStatus::Ready))),
            Change::PutOperation(Box::new(operation(&name, 1))),
            Change::PutOperation(Box::new(ended(operation(&name, 2), finished, 9))),
            Change::PutOperation(Box::new(operation(&name, 3))),
        ])
        .await;
}

pub async fn a_deletion_keeps_one_operation_and_no_namesake_is_touched(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut others = Vec::new();
    for name in ["a", "a-b", "a!", "aa"] {
        let mut owner = Owner::of(&ports, name).await;
        populated(&mut owner).await;
        others.push(owner);
    }
    let mut owner = others.remove(0);
    let kept = operation_id(3);
    let done = ended(operation("a", 3), OperationStatus::Finished, 20);
    owner
        .put(vec![
            Change::DeleteScheduler { keep: kept },
            Change::PutOperation(Box::new(done.clone())),
        ])
        .await;
    let reads = &ports.reads;
    assert_eq!(reads.scheduler("a").await.unwrap(), None);
    assert!(reads.versions("a").await.unwrap().is_empty());
    assert_eq!(
        reads.room_counts(&["a"]).await.unwrap().remove(0),
        RoomCounts::default()
    );
    assert_eq!(
        reads.operations("a", Stage::Pending).await.unwrap().total,
        0
    );
    let history = Stage::Final {
        offset: 0,
        limit: 10,
        ascending: false,
    };
    let page = reads.operations("a", history).await.unwrap();
    assert_eq!((page.total, page.operations.len()), (1, 1));
    assert_eq!(*page.operations[0], done);
    assert_eq!(reads.operation("a", operation_id(2)).await.unwrap(), None);
    let loaded = owner.load().await;
    assert!(loaded.scheduler.is_none() && loaded.versions.is_empty());
    assert!(loaded.rooms.is_empty() && loaded.operations.is_empty());

    for other in others {
        let name = other.name.as_str();
        assert_eq!(reads.versions(name).await.unwrap().len(), 2, "{name}");
        let counts = reads.room_counts(&[name]).await.unwrap().remove(0);
        assert_eq!(counts.of(RoomStatus::Ready), 1, "{name}");
        assert_eq!(
            reads.operations(name, history).await.unwrap().total,
            1,
            "{name}"
        );
        let loaded = other.load().await;
        let sizes = (
            loaded.versions.len(),
            loaded.rooms.len(),
            loaded.operations.len(),
        );
        assert_eq!(sizes, (2, 1, 2), "{name}");
    }
}

pub async fn a_name_can_be_created_again_and_starts_clean(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    populated(&mut owner).await;
    let keep = operation_id(3);
    owner.put(vec![Change::DeleteScheduler { keep }]).await;
    owner
        .put(vec![Change::CreateScheduler(scheduler("fleet", "v7.0.0"))])
        .await;
    let loaded = owner.load().await;
    assert_eq!(loaded.versions.len(), 1);
    assert!(loaded.rooms.is_empty());
    let left: Vec<_> = loaded.operations.iter().map(|o| o.id).collect();
    assert_eq!(left, [keep]);
    let versions = ports.reads.versions("fleet").await.unwrap();
    assert_eq!(versions[0].version.as_str(), "v7.0.0");
    assert_eq!(versions.len(), 1);
}

pub async fn a_deleted_version_is_gone_and_the_operators_word_stays(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let paused = OperatorRecord {
        rollout_paused: true,
        held: Some(false),
        managed: true,
    };
    owner
        .put(vec![
            Change::CreateScheduler(scheduler("fleet", "v1.0.0")),
            Change::PutOperator(paused),
        ])
        .await;
    assert_eq!(owner.load().await.operator, paused);
    let version = scheduler("fleet", "v1.0.0").version().clone();
    owner.put(vec![Change::DeleteVersion(version)]).await;
    assert!(owner.load().await.versions.is_empty());
    assert!(ports.reads.versions("fleet").await.unwrap().is_empty());
    owner
        .put(vec![Change::DeleteScheduler {
            keep: operation_id(1),
        }])
        .await;
    assert_eq!(owner.load().await.operator, OperatorRecord::default());
}
