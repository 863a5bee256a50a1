//! The states of versions of managed schedulers.

use super::{
    harness::{Harness, Owner},
    samples::*,
};
use maestro_core::{domain::*, ports::Change};

/// How far its versions are survives an owner, each by itself, and goes with the version or with the scheduler.
pub async fn states_of_versions_are_kept_and_go_with_their_versions(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let mut other = Owner::of(&ports, "fleet-2").await;
    let put = |live: &LiveVersion| Change::PutLiveVersion(Box::new(live.clone()));
    let pairs = [("TOKEN", "a \"secret\" = ä"), ("EMPTY", "")];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let first = LiveVersion {
        phase: VersionPhase::Published,
        rooms: 3,
        config: ConfigPairs::new(pairs).unwrap(),
        revision: 7,
        fresh_from: u64::from(u32::MAX),
        ..LiveVersion::stopped("v1.0.0".into())
    };
    let mut second = LiveVersion {
        phase: VersionPhase::Error,
        force: true,
        at_once: true,
        failure: "0 of 2 rooms".into(),
        ..LiveVersion::stopped("v1.1.0".into())
    };
    for owner in [&mut owner, &mut other] {
        let name = owner.name.to_string();
        owner
            .put(vec![
                Change::CreateScheduler(scheduler(&name, "v1.0.0")),
                Change::CreateVersion {
                    scheduler: scheduler(&name, "v1.1.0"),
                    created_at: at(5),
                },
                put(&first),
                put(&second),
            ])
            .await;
    }
    second.phase = VersionPhase::Stopping;
    let mut record = room("r-1", RoomStatus::Ready);
    record.intent.config_revision = 7;
    owner
        .put(vec![put(&second), Change::PutRoom(Box::new(record))])
        .await;
    let loaded = owner.load().await;
    assert_eq!(loaded.live, [first.clone(), second.clone()]);
    assert_eq!(loaded.rooms[0].intent.config_revision, 7);
    owner.put(vec![Change::Clear, put(&first)]).await;
    assert_eq!(
        owner.load().await.live.len(),
        2,
        "a repair writes them again"
    );
    owner
        .put(vec![Change::DeleteVersion("v1.1.0".into())])
        .await;
    assert_eq!(owner.load().await.live, [first]);
    let keep = operation_id(1);
    owner.put(vec![Change::DeleteScheduler { keep }]).await;
    assert!(owner.load().await.live.is_empty());
    assert_eq!(other.load().await.live.len(), 2, "of another scheduler");
}
