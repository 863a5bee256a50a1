//! How long the owner keeps whom waiting, and what those are told who stop.

mod support;

use futures_util::FutureExt;
use maestro_actors::CallError;
use maestro_core::domain::PingStatus;
use maestro_core::ports::Change;
use maestro_core::state::{Command, RefusalKind};
use maestro_testkit::build;
use maestro_testkit::fake::{Gate, StoreCall, StoreFault};
use std::time::Duration;
use support::{FLEET, Setup, room_id};
use tokio::time::Instant;

#[test]
fn each_waits_as_long_as_its_kind() {
    Setup::fleet(2).run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail_always(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let began = Instant::now();
        let told = w.allocate().await.unwrap_err();
        assert!(matches!(told, CallError::Timeout(_)), "{told}");
        assert_eq!(began.elapsed().as_secs(), 2);

        let began = Instant::now();
        let told = w
            .ask(Command::AddRooms {
                amount: 1,
                version: None,
            })
            .await
            .unwrap_err();
        assert!(
            matches!(told, CallError::Late { cause: None, .. }),
            "{told}"
        );
        assert_eq!(began.elapsed().as_secs(), 5);
        // What is no operation has no name.
        let told = w.ask(Command::SetPaused(true)).await.unwrap_err();
        assert!(matches!(told, CallError::Unanswered(_)), "{told}");

        let began = Instant::now();
        w.ping(&room_id(1), PingStatus::Occupied).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 1);
        gate.open();
    });
}

#[test]
fn a_refusal_waits_for_no_store() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let ping = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        gate.reached_by(1).await;
        let began = Instant::now();
        let document = build::scheduler(FLEET).build();
        let create = Command::CreateScheduler(Box::new(document));
        match w.ask(create).await.unwrap_err() {
            CallError::Refused(why) => assert_eq!(why.kind, RefusalKind::AlreadyExists),
            other => panic!("no refusal: {other}"),
        }
        assert!(began.elapsed() < Duration::from_secs(1));
        gate.open();
        ping.await.unwrap().unwrap();
    });
}

#[test]
fn a_scheduler_is_gone_once_its_deletion_is_stored() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        let at = gate.clone();
        w.store.fail_when(move |_, changes| {
            let deletes = |change: &Change| matches!(change, Change::DeleteScheduler { .. });
            let held = changes.iter().any(deletes);
            held.then(|| StoreFault::Held(at.clone()))
        });
        w.ask(Command::DeleteScheduler).await.unwrap();
        gate.reached_by(1).await;
        // Whoever reads that it is gone lets go of its name, so nobody does as long as it may come back.
        let mut again = Box::pin(w.ask(Command::DeleteScheduler));
        let told = tokio::time::timeout(Duration::from_millis(100), &mut again).await;
        assert!(told.is_err(), "{told:?}");
        gate.open();
        match again.await.unwrap_err() {
            CallError::Refused(why) => assert_eq!(why.kind, RefusalKind::NotFound),
            CallError::Gone(_) => {}
            other => panic!("it is not gone: {other}"),
        }
    });
}

#[test]
fn an_order_that_still_waits_when_the_store_fails_is_not_decided() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        // Both are on their way to the owner, who has not had its turn.
        let mut add = Box::pin(w.ask(Command::AddRooms {
            amount: 1,
            version: None,
        }));
        assert!(add.as_mut().now_or_never().is_none());
        let mut look = Box::pin(w.ask(Command::Rollout));
        assert!(look.as_mut().now_or_never().is_none());
        w.store.set_down(true);
        match add.await.unwrap_err() {
            CallError::Refused(why) => {
                assert_eq!(why.kind, RefusalKind::Unavailable);
                assert!(why.message.contains("no space left"), "{}", why.message);
            }
            other => panic!("no refusal: {other}"),
        }
        look.await.unwrap();
        assert_eq!(w.handled("command"), 1, "the look");
        w.store.set_down(false);
        assert!(w.store.open_operations(FLEET).is_empty());
    });
}
