//! Versions of a managed scheduler, ordered through a node, and operations that are awaited.

mod support;

use maestro_actors::CallError;
use maestro_core::domain::*;
use maestro_core::state::{Command, LiveVersionView, RefusalKind, Reply};
use maestro_testkit::eventually;
use std::sync::Arc;
use std::time::Duration;
use support::*;
use tokio::time::Instant;

fn start(version: &str) -> Command {
    Command::StartVersion {
        version: version.into(),
        images: Vec::new(),
        config: None,
    }
}

async fn ordered(w: &World, command: Command) -> OperationId {
    match w.ask(command).await {
        Ok(Reply::Operation(id)) => id,
        other => panic!("no operation: {other:?}"),
    }
}

async fn ended(w: &World, id: OperationId) -> Arc<OperationRecord> {
    let deadline = Instant::now() + LONG;
    let ended = w.node.await_operation(FLEET, id, deadline).await;
    ended.expect("the operation is there")
}

async fn done(w: &World, command: Command) {
    let record = ended(w, ordered(w, command).await).await;
    assert_eq!(
        record.status,
        OperationStatus::Finished,
        "{:?}",
        record.history
    );
}

async fn version(w: &World) -> LiveVersionView {
    match w.ask(Command::LiveVersions).await {
        Ok(Reply::LiveVersions(all)) => all.into_iter().next().expect("it has a version"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_version_is_started_and_published_and_survives_its_owner() {
    Setup::fleet(2).run(|w| async move {
        w.running(FLEET).await;
        let name = version(&w).await.version;
        done(&w, start(name.as_str())).await;
        assert_eq!(version(&w).await.phase, VersionPhase::Started);
        match w.allocate().await {
            Err(CallError::Refused(why)) => assert_eq!(why.kind, RefusalKind::Absent),
            other => panic!("{other:?}"),
        }
        done(&w, Command::PublishVersion(name.clone())).await;
        w.allocate().await.unwrap();
        assert!(w.node.reload(FLEET).await.unwrap());
        w.running(FLEET).await;
        let found = version(&w).await;
        assert_eq!((found.phase, found.rooms), (VersionPhase::Published, 2));
        let again = w.ask(start(name.as_str())).await;
        match again {
            Err(CallError::Refused(why)) => assert_eq!(why.kind, RefusalKind::Conflict),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_wait_ends_with_the_operation_or_with_its_time_and_takes_no_place_of_the_owner() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let sleeps = Command::TestOperation { sleep_seconds: 60 };
        let id = ordered(&w, sleeps).await;
        let begun = Instant::now();
        let short = begun + Duration::from_secs(2);
        let record = w.node.await_operation(FLEET, id, short).await.unwrap();
        assert!(!record.status.is_final());
        let ahead = Duration::from_millis(150);
        assert_eq!(begun.elapsed(), Duration::from_secs(2) - ahead);
        let waits =
            (0..300).map(|_| w.spawn(move |w| Box::pin(async move { ended(&w, id).await.status })));
        let waits: Vec<_> = waits.collect();
        moment().await;
        // More callers wait than the owner takes, and it is asked nevertheless.
        version(&w).await;
        for wait in waits {
            assert_eq!(wait.await.unwrap(), OperationStatus::Finished);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(62),
            "{:?}",
            begun.elapsed()
        );
        let unknown = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let missing = w
            .node
            .await_operation(FLEET, unknown, Instant::now() + LONG)
            .await;
        match missing {
            Err(CallError::Refused(why)) => assert_eq!(why.kind, RefusalKind::NotFound),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_wait_sees_what_ends_shortly_before_it() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let id = ordered(&w, Command::TestOperation { sleep_seconds: 2 }).await;
        // Two pauses of the wait end 1.82 s and 2.32 s after the order.
        let short = Instant::now() + Duration::from_millis(2_300);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let record = w.node.await_operation(FLEET, id, short).await.unwrap();
        assert_eq!(record.status, OperationStatus::Finished);
    });
}

#[test]
fn a_wait_outlives_a_store_that_cannot_be_read_for_a_while() {
    use maestro_testkit::fake::{StoreCall, StoreFault};
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        let id = ordered(&w, Command::TestOperation { sleep_seconds: 1 }).await;
        w.store.fail(StoreCall::Read, StoreFault::NotApplied);
        let record = ended(&w, id).await;
        assert_eq!(record.status, OperationStatus::Finished);
        eventually(LONG, "the owner is idle", || w.is_running(FLEET)).await;
    });
}
