//! Runtimes that were created by themselves.

use super::{
    harness::{Harness, Owner},
    samples::*,
};
use maestro_core::{domain::*, ports::Change};

/// A runtime is found by every node without a scheduler, survives an owner, a repair and the creation of a scheduler,
/// and goes with that.
pub async fn a_runtime_needs_no_scheduler_and_goes_with_one(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let mut other = Owner::of(&ports, "fleet-2").await;
    let mut record = RuntimeRecord {
        made_at: at(7),
        failure: "a \"right\" is missing: ä".into(),
    };
    let put = |record: &RuntimeRecord| Change::PutRuntime(Box::new(record.clone()));
    assert_eq!(owner.load().await.runtime, None);
    owner.put(vec![put(&record)]).await;
    other.put(vec![put(&record)]).await;
    assert_eq!(owner.load().await.runtime, Some(record.clone()));
    let mut names = ports.ownership.discover().await.unwrap();
    names.sort();
    assert_eq!(names, ["fleet".into(), "fleet-2".into()]);
    let known = ports.ownership.owner(&owner.name).await.unwrap();
    assert_ne!(known, maestro_core::ports::Owner::Unknown);
    let listed = ports.reads.schedulers(&Default::default()).await.unwrap();
    assert!(listed.is_empty(), "there is no scheduler yet");
    record.failure.clear();
    let create = Change::CreateScheduler(scheduler("fleet", "v1.0.0"));
    owner.put(vec![put(&record), create]).await;
    owner.put(vec![Change::Clear]).await;
    assert_eq!(owner.load().await.runtime, Some(record));
    let keep = operation_id(1);
    owner.put(vec![Change::DeleteScheduler { keep }]).await;
    assert_eq!(owner.load().await.runtime, None);
    assert!(other.load().await.runtime.is_some(), "of another name");
    let names = ports.ownership.discover().await.unwrap();
    assert_eq!(names, ["fleet-2".into()]);
}
