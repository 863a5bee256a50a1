//! A room is protected from evictions before the caller that it is given to knows of it (D11), and a protection that is
//! slow or fails holds up nobody else.

mod support;

use maestro_actors::CallError;
use maestro_core::domain::{PingStatus, RoomId};
use maestro_core::ports::RuntimeError;
use maestro_core::settings::ProtectionSettings;
use maestro_testkit::eventually;
use maestro_testkit::fake::{Gate, RuntimeCall, RuntimeFault, StoreCall, StoreFault};
use std::time::Duration;
use support::{FLEET, LONG, Setup, World, room_id};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The longest wait of an answer, and a little more than that.
const WAIT: Duration = Duration::from_millis(250);
const A_LITTLE: Duration = Duration::from_millis(20);

/// Ready rooms that are protected when they are in use, and `safety` of them before.
fn fleet(rooms: u16, safety: f64) -> Setup {
    Setup::fleet(rooms).patient().core(|core| {
        core.protection = Some(ProtectionSettings {
            interval: LONG * 60,
            safety,
            single: true,
        });
    })
}

/// The order for all rooms, which is the first of an owner, has been carried out.
async fn quiet(w: &World) {
    w.running(FLEET).await;
    let is_quiet = || w.runtime.calls(RuntimeCall::Protect) > 0 && in_flight(w) == 0;
    eventually(LONG, "the budget is there", is_quiet).await;
}

fn in_flight(w: &World) -> usize {
    let view = w.view().scheduler;
    view.map_or(0, |s| s.state.work_in_flight)
}

fn is_protected(w: &World, room: &RoomId) -> bool {
    w.runtime.protected(FLEET).0.contains(room)
}

/// Rooms that were given away unprotected, as the metrics say.
fn unprotected(w: &World) -> String {
    let page = w.page();
    let name = "maestro_allocations_unprotected_total{scheduler=\"fleet\"} ";
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.expect("the metric is there").to_owned()
}

/// The room, whether it was protected when the answer came, and when that was.
type Told = (RoomId, bool, Duration);

fn spawn_allocate(w: &World) -> JoinHandle<Told> {
    let began = Instant::now();
    w.spawn(move |w| {
        Box::pin(async move {
            let room = w.allocate().await.expect("a room");
            let is_protected = is_protected(&w, &room);
            (room, is_protected, began.elapsed())
        })
    })
}

#[test]
fn the_answer_comes_once_the_room_is_protected() {
    fleet(3, 0.0).run(|w| async move {
        quiet(&w).await;
        let slow = RuntimeFault::Slow(Duration::from_millis(200));
        w.runtime.fail(RuntimeCall::Protect, slow);
        let (room, is_protected, took) = spawn_allocate(&w).await.unwrap();
        assert!(is_protected, "{room}");
        assert!(
            took >= Duration::from_millis(200) && took < WAIT,
            "{took:?}"
        );
        assert_eq!(w.runtime.protected(FLEET), (vec![room], Some(1)));
        assert_eq!(unprotected(&w), "0");
    });
}

#[test]
fn a_room_that_is_protected_already_is_given_at_once() {
    fleet(9, 1.0).run(|w| async move {
        quiet(&w).await;
        w.ping(&room_id(8), PingStatus::Occupied).await.unwrap();
        let shares = || is_protected(&w, &room_id(0)) && in_flight(&w) == 0;
        eventually(LONG, "a ready room is protected beside it", shares).await;
        // Nothing is protected any more.
        let gate = Gate::closed();
        let held = RuntimeFault::Held(gate.clone());
        w.runtime.fail_always(RuntimeCall::Protect, held);
        let (room, is_protected, took) = spawn_allocate(&w).await.unwrap();
        assert_eq!((room, is_protected), (room_id(0), true));
        assert!(took < A_LITTLE, "{took:?}");
        // The share is empty, since it cannot be filled again.
        let (room, is_protected, took) = spawn_allocate(&w).await.unwrap();
        assert_eq!((room, is_protected), (room_id(1), false));
        assert!(took >= WAIT, "{took:?}");
        gate.open();
    });
}

#[test]
fn an_answer_waits_no_longer_than_it_may_and_is_counted() {
    fleet(2, 0.0).run(|w| async move {
        quiet(&w).await;
        let gate = Gate::closed();
        w.runtime
            .fail(RuntimeCall::Protect, RuntimeFault::Held(gate.clone()));
        let (room, is_protected_then, took) = spawn_allocate(&w).await.unwrap();
        assert!(!is_protected_then);
        assert!(took >= WAIT && took < WAIT + A_LITTLE, "{took:?}");
        assert_eq!(unprotected(&w), "1");
        gate.open();
        eventually(LONG, "it is protected late", || is_protected(&w, &room)).await;
    });
}

#[test]
fn after_a_failure_the_next_order_that_succeeds_counts() {
    fleet(2, 0.0).run(|w| async move {
        quiet(&w).await;
        let away = || RuntimeFault::Fails(RuntimeError::Unavailable("away".into()));
        w.runtime.fail(RuntimeCall::Protect, away());
        let (first, is_protected_then, took) = spawn_allocate(&w).await.unwrap();
        assert!(!is_protected_then, "it is tried again later than that");
        assert!(took >= WAIT, "{took:?}");
        eventually(LONG, "it is tried again", || is_protected(&w, &first)).await;
        let (_, is_protected_then, took) = spawn_allocate(&w).await.unwrap();
        assert!(is_protected_then && took < A_LITTLE, "{took:?}");
        assert_eq!(unprotected(&w), "1");
    });
}

#[test]
fn an_order_that_is_under_way_without_the_room_is_not_enough() {
    fleet(3, 0.0).run(|w| async move {
        quiet(&w).await;
        let (first, second) = (Gate::closed(), Gate::closed());
        for gate in [&first, &second] {
            let held = RuntimeFault::Held(gate.clone());
            w.runtime.fail(RuntimeCall::Protect, held);
        }
        let one = spawn_allocate(&w);
        first.reached_by(1).await;
        let other = spawn_allocate(&w);
        eventually(LONG, "both are given", || w.rooms("allocated") == 2).await;
        first.open();
        let (_, is_protected_then, _) = one.await.unwrap();
        assert!(is_protected_then);
        second.reached_by(1).await;
        assert!(!other.is_finished(), "its room is in the second order");
        second.open();
        let (_, is_protected_then, took) = other.await.unwrap();
        assert!(is_protected_then && took < WAIT, "{took:?}");
        assert_eq!(unprotected(&w), "0");
    });
}

#[test]
fn while_one_answer_waits_all_others_and_the_commits_go_on() {
    fleet(3, 0.0).run(|w| async move {
        quiet(&w).await;
        let gate = Gate::closed();
        let held = RuntimeFault::Held(gate.clone());
        w.runtime.fail_always(RuntimeCall::Protect, held);
        let waits = spawn_allocate(&w);
        gate.reached_by(1).await;
        let began = Instant::now();
        let before = w.store.log(FLEET).len();
        for _ in 0..10 {
            w.ping(&room_id(2), PingStatus::Occupied).await.unwrap();
            w.ping(&room_id(2), PingStatus::Ready).await.unwrap();
        }
        assert!(began.elapsed() < A_LITTLE, "{:?}", began.elapsed());
        assert!(w.store.log(FLEET).len() >= before + 20, "all are durable");
        assert!(!waits.is_finished());
        gate.open();
        assert!(waits.await.unwrap().1, "it is protected");
    });
}

#[test]
fn the_wait_begins_when_the_allocation_is_durable() {
    fleet(2, 0.0).run(|w| async move {
        quiet(&w).await;
        for _ in 0..4 {
            w.store.fail(StoreCall::Commit, StoreFault::NotApplied);
        }
        let slow = RuntimeFault::Slow(Duration::from_millis(200));
        w.runtime.fail(RuntimeCall::Protect, slow);
        let (_, is_protected_then, took) = spawn_allocate(&w).await.unwrap();
        assert!(is_protected_then && took > WAIT, "{took:?}");
        assert_eq!(unprotected(&w), "0");
    });
}

#[test]
fn a_caller_that_stopped_waiting_leaves_the_room() {
    let impatient = fleet(1, 0.0).settings(|s| {
        s.timeouts.allocate = Duration::from_millis(100);
    });
    impatient.run(|w| async move {
        quiet(&w).await;
        let gate = Gate::closed();
        w.runtime
            .fail(RuntimeCall::Protect, RuntimeFault::Held(gate.clone()));
        let answer = w.allocate().await;
        assert!(
            matches!(answer, Err(CallError::Timeout { .. })),
            "{answer:?}"
        );
        eventually(LONG, "it is ready again", || w.rooms("ready") == 1).await;
        gate.open();
        let is_released = || w.runtime.protected(FLEET) == (Vec::new(), Some(0));
        eventually(LONG, "and not protected", is_released).await;
    });
}

#[test]
fn an_owner_that_ends_sends_the_answers_that_wait() {
    fleet(2, 0.0).run(|w| async move {
        quiet(&w).await;
        let gate = Gate::closed();
        w.runtime
            .fail_always(RuntimeCall::Protect, RuntimeFault::Held(gate.clone()));
        let waits = spawn_allocate(&w);
        gate.reached_by(1).await;
        let began = Instant::now();
        w.node.shutdown().await;
        let (room, is_protected_then, _) = waits.await.unwrap();
        assert!(!is_protected_then, "{room}");
        assert!(began.elapsed() < WAIT, "{:?}", began.elapsed());
    });
}

#[test]
fn a_runtime_that_evicts_nothing_protects_nothing() {
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.runtime
            .fail_always(RuntimeCall::Protect, RuntimeFault::Held(gate));
        let (_, _, took) = spawn_allocate(&w).await.unwrap();
        assert!(took < A_LITTLE, "{took:?}");
        assert_eq!(w.runtime.calls(RuntimeCall::Protect), 0);
        assert_eq!(unprotected(&w), "0");
    });
}
