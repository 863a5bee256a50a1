//! Shutting down a node: it is bounded whatever hangs, and nothing continues afterwards.

mod support;

use maestro_actors::CallError;
use maestro_core::domain::PingStatus;
use maestro_core::state::Command;
use maestro_testkit::eventually;
use maestro_testkit::fake::{Gate, RuntimeCall, RuntimeFault, StoreCall, StoreFault};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use support::{FLEET, LONG, Setup, World, room_id};
use tokio::time::Instant;

/// The limit of a shutdown, with some margin for a busy machine.
const SHUTDOWN_BOUND: Duration = Duration::from_secs(30);

#[test]
fn nothing_is_left_after_a_shutdown_with_a_call_that_hangs() {
    Setup::fleet(1)
        .core(|c| c.add_timeout = LONG)
        .run(|w| async move {
            w.running(FLEET).await;
            let gate = Gate::closed();
            w.runtime
                .fail_always(RuntimeCall::Create, RuntimeFault::Held(gate.clone()));
            w.ask(Command::AddRooms {
                amount: 3,
                version: None,
            })
            .await
            .unwrap();
            gate.reached_by(3).await;
            let began = Instant::now();
            w.node.shutdown().await;
            assert!(began.elapsed() < SHUTDOWN_BOUND);
            assert_eq!(gate.waiting(), 0, "the calls are dropped");
            assert_eq!(w.node.tasks_left(), 0);
            assert_eq!(w.runtime.rooms(FLEET), [room_id(0)], "rooms stay");
            assert!(matches!(w.allocate().await, Err(CallError::ShuttingDown)));
            let nobody = w.node.ask("nobody", Command::Allocate, None).await;
            assert!(matches!(nobody, Err(CallError::ShuttingDown)), "{nobody:?}");
            assert_eq!(
                w.store.owner_of(FLEET),
                None,
                "its next owner need not wait"
            );
        });
}

#[test]
fn a_shutdown_waits_for_a_call_that_cannot_be_dropped() {
    Setup::fleet(1).run_on_threads(|w| async move {
        w.running(FLEET).await;
        let (go, wait) = mpsc::channel::<()>();
        let begins = Arc::new(AtomicBool::new(false));
        let noted = begins.clone();
        // Blocks its thread, like a call that waits without yielding.
        w.runtime.fail_when(move |call, _| {
            if call == RuntimeCall::ReservePorts {
                noted.store(true, Relaxed);
                let _ = wait.recv();
            }
            None
        });
        w.ask(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .await
        .unwrap();
        eventually(LONG, "the call has begun", || begins.load(Relaxed)).await;
        let mut shutdown = w.spawn(|w| Box::pin(async move { w.node.shutdown().await }));
        eventually(LONG, "its owner ends", || w.view().state == "shutting-down").await;
        let early = tokio::time::timeout(Duration::from_millis(300), &mut shutdown).await;
        assert!(early.is_err(), "a task was left behind");
        drop(go);
        shutdown.await.unwrap();
    });
}

#[test]
fn a_shutdown_stores_the_last_pings() {
    let seldom = |c: &mut maestro_core::settings::CoreSettings| c.touch_interval = LONG;
    Setup::fleet(1).core(seldom).run(|w| async move {
        w.running(FLEET).await;
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        w.node.shutdown().await;
        let stored = w.store.stored_room(FLEET, room_id(0).as_str()).unwrap();
        assert_eq!(stored.reported.metadata.as_deref(), Some("{}"));
    });
}

fn shutdown_returns_with(faults: impl FnOnce(&World)) {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        faults(&w);
        let ping = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        eventually(LONG, "a change waits", || w.handled("ping") == 1).await;
        let began = Instant::now();
        w.node.shutdown().await;
        assert!(began.elapsed() < SHUTDOWN_BOUND, "{:?}", began.elapsed());
        assert_eq!(w.node.tasks_left(), 0);
        // It was accepted; whether its caller gets that answer or the error of the shutdown is a race.
        let _ = ping.await.expect("the task ends");
    });
}

#[test]
fn a_shutdown_returns_while_the_store_is_down() {
    shutdown_returns_with(|w| w.store.set_down(true));
}

#[test]
fn a_shutdown_returns_while_the_store_is_silent() {
    shutdown_returns_with(|w| {
        for call in [StoreCall::Commit, StoreCall::StoredSeq, StoreCall::Release] {
            w.store.fail_always(call, StoreFault::Held(Gate::closed()));
        }
    });
}

#[test]
fn a_last_attempt_to_write_takes_no_longer_than_two_seconds() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        w.store
            .fail_always(StoreCall::Commit, StoreFault::Held(Gate::closed()));
        w.store
            .fail_always(StoreCall::StoredSeq, StoreFault::NotApplied);
        let ping = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        eventually(LONG, "a change waits", || w.handled("ping") == 1).await;
        let began = Instant::now();
        w.node.shutdown().await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
        let _ = ping.await.expect("the task ends");
    });
}

#[test]
fn a_shutdown_returns_while_nothing_can_be_loaded() {
    for call in [StoreCall::Discover, StoreCall::Acquire, StoreCall::Load] {
        let setup = Setup::fleet(1);
        setup
            .store
            .fail_always(call, StoreFault::Held(Gate::closed()));
        setup.run(|w| async move {
            eventually(LONG, "it is asked", || w.store.calls(call) == 1).await;
            let began = Instant::now();
            w.node.shutdown().await;
            assert!(began.elapsed() < SHUTDOWN_BOUND);
            assert_eq!(w.node.tasks_left(), 0);
        });
    }
}

#[test]
fn schedulers_that_cannot_be_loaded_do_not_delay_the_end() {
    let setup = Setup::fleet(1);
    setup
        .store
        .fail_always(StoreCall::Load, StoreFault::NotApplied);
    setup.run(|w| async move {
        let failed = || w.store.calls(StoreCall::Load) > 0;
        eventually(LONG, "it was tried", failed).await;
        // It waits for the next attempt.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        w.node.shutdown().await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
}
