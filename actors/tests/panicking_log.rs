//! A log whose writer panics: actors that log something panic, and are restarted.
//!
//! It is in a binary of its own because the log is global.

mod support;

use maestro_core::state::Command;
use maestro_testkit::eventually;
use maestro_testkit::fake::{StoreCall, StoreFault};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use support::{FLEET, LONG, Setup};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Number of lines that are still to panic, and of those that did.
static TO_FAIL: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);

struct BrokenLog;

impl Subscriber for BrokenLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("maestro")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        let fails = |left: u64| left.checked_sub(1);
        if TO_FAIL.fetch_update(Relaxed, Relaxed, fails).is_ok() {
            FAILED.fetch_add(1, Relaxed);
            panic!("failed printing to stderr: no space left on device");
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn an_actor_whose_log_line_panics_comes_back_whoever_else_tells_of_it() {
    tracing::subscriber::set_global_default(BrokenLog).expect("it is the first");
    let often = |s: &mut maestro_actors::ActorSettings| {
        s.lease_renewal = Duration::from_millis(50);
    };
    Setup::fleet(2).settings(often).run(|w| async move {
        w.running(FLEET).await;
        for round in 1..=3 {
            // The actor logs the operation's beginning, the supervisor the actor's end.
            let before = FAILED.load(Relaxed);
            TO_FAIL.store(2, Relaxed);
            // Its caller may or may not get an answer.
            let _ = w
                .ask(Command::AddRooms {
                    amount: 1,
                    version: None,
                })
                .await;
            let both = || FAILED.load(Relaxed) >= before + 2;
            eventually(LONG, "two lines fail", both).await;
            TO_FAIL.store(0, Relaxed);
            eventually(LONG, "it is counted", || w.restarts() == round).await;
            w.running(FLEET).await;
        }
        // The same goes for the task that renews the leases.
        let before = FAILED.load(Relaxed);
        TO_FAIL.store(1, Relaxed);
        w.store.fail(StoreCall::Renew, StoreFault::NotApplied);
        eventually(LONG, "its line fails", || FAILED.load(Relaxed) > before).await;
        let renewed = w.store.calls(StoreCall::Renew);
        let again = || w.store.calls(StoreCall::Renew) > renewed + 2;
        eventually(LONG, "the leases are renewed again", again).await;
        w.allocate().await.unwrap();
    });
}
