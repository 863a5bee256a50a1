//! Blocked threads, and how they show.

mod support;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maestro_actors::{ActorSettings, ActorView, CallError, Query};
use maestro_core::domain::{InstanceStatus, PingStatus};
use maestro_core::ports::Reads;
use maestro_core::state::{Command, EventRequest, RequestedEvent};
use maestro_testkit::eventually;
use maestro_testkit::fake::{Gate, StoreCall, StoreFault};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use support::{FLEET, LONG, Setup, World, names_on_thread, pass, room_id};
use tokio::sync::oneshot;
use tokio::time::Instant;

const LEASE: Duration = Duration::from_millis(1_500);

fn two_threads() -> Setup {
    let setup = Setup::empty().patient().settings(|s| {
        s.threads = 2;
        s.lease_ttl = LEASE;
        s.lease_renewal = Duration::from_millis(100);
    });
    setup.store.set_lease(LEASE);
    setup
}

/// Nobody asks for a sign of life meanwhile.
fn seldom(s: &mut ActorSettings) {
    s.lease_ttl = LONG;
    s.lease_renewal = LONG;
}

fn epoch(w: &World, name: &str) -> u64 {
    w.view_of(name).scheduler.map_or(0, |s| s.epoch.0)
}

fn plain(w: &World, kind: &str) -> ActorView {
    let actors = w.node.debug(None).actors;
    actors
        .into_iter()
        .find(|a| a.kind == kind)
        .expect("it is there")
}

async fn counts(w: &World, name: &str) -> u64 {
    let name = name.to_owned();
    let read = move |reads: Arc<dyn Reads>| -> Query<_> {
        Box::pin(async move { reads.room_counts(&[name.as_str()]).await })
    };
    let counts = w.node.catalog().read(read).await;
    counts.expect("the store answers")[0].total()
}

#[test]
fn a_thread_that_stands_still_gives_its_schedulers_to_another() {
    let mut names = names_on_thread(1);
    let (stuck, mate) = (names.next().unwrap(), names.next().unwrap());
    let well = names_on_thread(0).next().unwrap();
    let setup = two_threads();
    for name in [&stuck, &mate, &well] {
        setup.add_fleet(name, 2);
    }
    setup.run_on_threads(|w| async move {
        for name in [&stuck, &mate, &well] {
            w.running(name).await;
        }
        let held = w.hold(&stuck).await;
        let began = Instant::now();
        // It waits in the blocked actor, and must have no effect there.
        let name = stuck.clone();
        let waiting = w.spawn(move |w| {
            Box::pin(async move { w.node.ask(&name, Command::Allocate, None).await })
        });
        let name = stuck.clone();
        let is_stuck = || {
            let view = w.view_of(&stuck);
            let turn = view.turn.is_some_and(|t| t.message == "control");
            view.state == "stuck" && turn && view.mailbox_depth >= 1
        };
        eventually(LONG, "it is seen while it stands still", is_stuck).await;
        let mate_is_stuck = || w.view_of(&mate).state == "stuck" || epoch(&w, &mate) == 2;
        eventually(LONG, "so is who shares its thread", mate_is_stuck).await;
        let mut longest = Duration::ZERO;
        while !(w.is_running(&name) && epoch(&w, &name) == 2 && epoch(&w, &mate) == 2) {
            assert!(began.elapsed() < LONG, "{:?}", w.view_of(&name));
            let asked = Instant::now();
            w.node
                .ask(&well, Command::Address(room_id(0)), None)
                .await
                .unwrap();
            assert_eq!(counts(&w, &stuck).await, 2, "a read waits for no actor");
            longest = longest.max(asked.elapsed());
            tokio::task::yield_now().await;
        }
        // The lease and a second, and one more for a busy machine.
        assert!(
            began.elapsed() < LEASE + Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
        assert!(
            longest < Duration::from_secs(1),
            "the others wait: {longest:?}"
        );
        w.running(&mate).await;
        for name in [&stuck, &mate, &well] {
            w.node.ask(name, Command::Allocate, None).await.unwrap();
        }
        let view = w.view_of(&stuck);
        let cause = view.restarts.last_cause.unwrap();
        assert!(cause.contains("its thread stands still"), "{cause}");
        // It was not to blame, but the restart is shown nevertheless.
        let moved = w.view_of(&mate).restarts;
        assert_eq!(moved.total, 1);
        assert!(moved.last_cause.unwrap().contains("moved to another"));
        assert_eq!((epoch(&w, &well), w.view_of(&well).restarts.total), (1, 0));

        drop(held);
        let told = waiting.await.unwrap();
        assert!(matches!(told, Err(CallError::Restarting(_))), "{told:?}");
        let allocated = |name: &str| w.view_of(name).scheduler.unwrap().state.rooms["allocated"];
        w.node.ask(&stuck, Command::Allocate, None).await.unwrap();
        eventually(LONG, "both rooms are given, each once", || {
            allocated(&stuck) == 2
        })
        .await;
        let epochs = w.store.epochs(&stuck);
        assert!(epochs.is_sorted(), "the old owner wrote: {epochs:?}");
        assert_eq!(epoch(&w, &stuck), 2, "it stays where it is");
    });
}

#[test]
fn who_looks_at_a_frozen_scheduler_is_told_that_it_is_held_up() {
    let hasty = |s: &mut ActorSettings| {
        seldom(s);
        s.timeouts.allocate = Duration::from_millis(50);
        s.timeouts.ping = Duration::from_millis(50);
    };
    let setup = Setup::fleet(1).patient().settings(hasty);
    setup.store.set_lease(LONG);
    setup.run_on_threads(|w| async move {
        w.running(FLEET).await;
        let held = w.hold(FLEET).await;
        for look in looks() {
            let told = w.ask(look).await.unwrap_err();
            assert!(matches!(told, CallError::HeldUp(_)), "{told}");
        }
        // Nobody has taken it.
        let told = w.ping(&room_id(0), PingStatus::Occupied).await;
        assert!(matches!(told, Err(CallError::Timeout(_))), "{told:?}");
        drop(held);
        eventually(LONG, "it goes on", || w.view().mailbox_depth == 0).await;
    });
}

fn looks() -> [Command; 3] {
    [
        Command::RoomsSummary,
        Command::Room(room_id(0)),
        Command::Rollout,
    ]
}

#[test]
fn who_looks_at_one_that_is_stuck_does_not_wait() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let seen = w.during(FLEET, |w| {
            pass(Duration::from_millis(1_000));
            let well = w.view();
            pass(Duration::from_millis(1));
            let stuck = w.view();
            for look in looks() {
                let told = w.ask(look).now_or_never();
                assert!(matches!(told, Some(Err(CallError::HeldUp(_)))), "{told:?}");
            }
            // Who wants something else does wait, an event too.
            let (it, other) = (w.clone(), w.clone());
            let mut waits: Vec<BoxFuture<'static, bool>> = vec![
                Box::pin(async move { it.allocate().await.is_ok() }),
                Box::pin(async move {
                    let event = EventRequest {
                        room: room_id(0),
                        metadata: "{}".into(),
                        event: RequestedEvent::Room("goal".into()),
                    };
                    other.node.forward(FLEET, event, None).await.is_ok()
                }),
            ];
            assert!(waits.iter_mut().all(|wait| wait.now_or_never().is_none()));
            assert_eq!(w.view().mailbox_depth, stuck.mailbox_depth + 2);
            (well, stuck, waits)
        });
        let (well, stuck, waits) = seen.await;
        for wait in waits {
            assert!(wait.await);
        }
        assert_eq!((well.state, stuck.state), ("running", "stuck"));
        let turn = stuck.turn.unwrap();
        assert_eq!((turn.message, turn.age_us), ("control", 1_001_000));
        let view = w.view();
        assert_eq!((view.state, view.longest_turn_us), ("running", 1_001_000));
        for look in looks() {
            w.ask(look).await.unwrap();
        }
    });
}

#[test]
fn an_actor_that_is_busy_for_less_than_its_lease_keeps_it() {
    let name = names_on_thread(1).next().unwrap();
    let setup = two_threads();
    setup.add_fleet(&name, 1);
    setup.run_on_threads(|w| async move {
        w.running(&name).await;
        let held = w.hold(&name).await;
        let age = || w.view_of(&name).turn.map_or(0, |turn| turn.age_us);
        eventually(LONG, "it is busy for long", || age() > 700_000).await;
        drop(held);
        let probes = || w.view_of(&name).handled["probe"];
        let before = probes();
        eventually(LONG, "it lives on", || probes() >= before + 5).await;
        let lease = || w.view_of(&name).scheduler.unwrap().lease_left_ms;
        eventually(LONG, "its lease is renewed", || lease() > 1_200).await;
        assert_eq!((epoch(&w, &name), w.view_of(&name).restarts.total), (1, 0));
    });
}

#[test]
fn one_that_stops_its_threads_again_and_again_is_degraded_and_the_others_go_on() {
    let (bad, well) = (
        names_on_thread(1).next().unwrap(),
        names_on_thread(0).next().unwrap(),
    );
    let quick = Duration::from_millis(200);
    let setup = two_threads().settings(|s| {
        s.lease_ttl = quick;
        s.lease_renewal = Duration::from_millis(50);
    });
    setup.add_fleet(&bad, 1);
    setup.add_fleet(&well, 1);
    setup.run_on_threads(|w| async move {
        let mut held = Vec::new();
        for epoch_now in 1..=6 {
            let there = || w.is_running(&bad) && epoch(&w, &bad) == epoch_now;
            eventually(LONG, "it is made again", there).await;
            held.push(w.hold(&bad).await);
        }
        eventually(LONG, "its budget is used up", || {
            w.view_of(&bad).state == "degraded"
        })
        .await;
        // It blocked all threads: others were created in their place.
        w.running(&well).await;
        let answer = w.node.ask(&well, Command::Address(room_id(0)), None).await;
        answer.unwrap();
        assert_eq!(w.view_of(&well).state, "running", "it pays nothing");
        drop(held);
    });
}

#[test]
fn every_input_counts_as_waiting() {
    let setup = Setup::fleet(2).patient().settings(seldom);
    setup.store.set_lease(LONG);
    setup.run_on_threads(|w| async move {
        w.running(FLEET).await;
        // So that the next steady ping has to be reported to the actor.
        w.ping(&room_id(1), PingStatus::Ready).await.unwrap();
        let told = || w.view().scheduler.is_some_and(|s| s.board.waiting == 0);
        eventually(LONG, "it is told of the last ping", told).await;
        let held = w.hold(FLEET).await;
        // Messages that arrived later wait behind it.
        let before = w.view().mailbox_depth;
        let depth = |n: u64| move |w: &World| w.view().mailbox_depth == before + n;
        w.runtime
            .set_status(FLEET, &room_id(0), InstanceStatus::Error, "broken");
        eventually(LONG, "an event counts", || depth(1)(&w)).await;
        let ping = w.spawn_ping(&room_id(1), PingStatus::Occupied);
        eventually(LONG, "a ping counts", || depth(2)(&w)).await;
        let ask = w.spawn_allocate();
        eventually(LONG, "a command counts", || depth(3)(&w)).await;
        w.ping(&room_id(1), PingStatus::Ready).await.unwrap();
        eventually(LONG, "news of the ping cache count", || depth(4)(&w)).await;
        w.node.interrupt(FLEET, || {});
        eventually(LONG, "an order of ours counts", || depth(5)(&w)).await;
        assert!(w.view().oldest_message_us > 0);
        drop(held);
        ping.await.unwrap().unwrap();
        // Whether a room was left does not matter here.
        let _ = ask.await.unwrap();
        // Its own timers continue: at times no message is waiting.
        let idle = || w.view().mailbox_depth == 0 && w.view().oldest_message_us == 0;
        eventually(LONG, "nothing waits", idle).await;
    });
}

#[test]
fn what_waits_for_long_shows_an_actor_as_stuck() {
    Setup::fleet(1)
        .patient()
        .settings(seldom)
        .run(|w| async move {
            w.running(FLEET).await;
            let waits = |w: &World| (w.view().state, w.view().oldest_message_us);
            let second = 1_000_000;
            let seen = w.during(FLEET, move |w| {
                pass(Duration::from_millis(500));
                w.node.interrupt(FLEET, || {});
                pass(Duration::from_millis(500));
                // The turn is not too long yet, nor has the message waited for too long.
                let first = waits(&w);
                (first, w.view().mailbox_depth)
            });
            let (first, depth) = seen.await;
            assert_eq!((first, depth), (("running", second / 2), 1));
            assert_eq!(waits(&w), ("running", 0));
        });
}

#[test]
fn the_supervisor_is_measured_and_outlives_a_panic() {
    let often = |s: &mut ActorSettings| s.lease_renewal = Duration::from_millis(50);
    Setup::fleet(1)
        .patient()
        .settings(often)
        .run(|w| async move {
            w.running(FLEET).await;
            let probes = |w: &World| plain(w, "supervisor").handled.get("probe").copied();
            eventually(LONG, "it is asked for a sign of life", || {
                probes(&w) > Some(2)
            })
            .await;
            let (seen, look) = oneshot::channel();
            let it = w.clone();
            w.node.interrupt_supervisor(move || {
                pass(Duration::from_millis(1_001));
                let _ = seen.send(plain(&it, "supervisor"));
            });
            let stuck = look.await.unwrap();
            assert_eq!(stuck.state, "stuck");
            let turn = stuck.turn.unwrap();
            assert_eq!((turn.message, turn.age_us), ("control", 1_001_000));
            let state = || plain(&w, "supervisor").state;
            eventually(LONG, "it goes on", || state() == "running").await;

            w.node
                .interrupt_supervisor(|| panic!("a fault that a test asked for"));
            let seen = || plain(&w, "supervisor").restarts.total == 1;
            eventually(LONG, "it is seen", seen).await;
            let cause = plain(&w, "supervisor").restarts.last_cause;
            assert_eq!(cause.as_deref(), Some("a turn of it panicked"));
            w.node.panic(FLEET);
            eventually(LONG, "it still makes owners", || w.restarts() == 1).await;
            w.running(FLEET).await;
        });
}

#[test]
fn owners_go_on_while_the_supervisor_stands_still() {
    Setup::fleet(1).patient().run_on_threads(|w| async move {
        w.running(FLEET).await;
        let (go, wait) = mpsc::channel::<()>();
        w.node.interrupt_supervisor(move || {
            let _ = wait.recv();
        });
        let held = || plain(&w, "supervisor").turn.is_some();
        eventually(LONG, "it is held up", held).await;
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        eventually(LONG, "owners go on", || w.rooms("occupied") == 1).await;
        assert!(held());
        drop(go);
    });
}

#[test]
fn reads_under_way_are_seen_and_end_in_time() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Read, StoreFault::Held(gate.clone()));
        let read = w.spawn(|w| Box::pin(async move { counts(&w, FLEET).await }));
        let seen = || {
            let view = plain(&w, "catalog");
            view.mailbox_depth == 1 && view.state == "stuck"
        };
        eventually(LONG, "it is seen", seen).await;
        assert_eq!(counts(&w, FLEET).await, 1, "it holds up no other");
        gate.open();
        assert_eq!(read.await.unwrap(), 1);
        let over = || plain(&w, "catalog").mailbox_depth == 0;
        eventually(LONG, "it is over", over).await;
        assert!(plain(&w, "catalog").handled["command"] >= 2);

        w.store
            .fail(StoreCall::Read, StoreFault::LostAcknowledgement);
        let silent = |reads: Arc<dyn Reads>| -> Query<_> {
            Box::pin(async move { reads.room_counts(&[FLEET]).await })
        };
        let began = Instant::now();
        let told = w.node.catalog().read(silent).await.unwrap_err();
        assert!(matches!(told, CallError::Store(_)), "{told}");
        assert!(told.to_string().contains("within 5 s"), "{told}");
        assert_eq!(began.elapsed().as_secs(), 5);
        // Who waits less is told something else.
        for (most, is_timeout) in [(50, true), (5_000, false)] {
            w.store
                .fail(StoreCall::Read, StoreFault::LostAcknowledgement);
            let (began, most) = (Instant::now(), Duration::from_millis(most));
            let read = w.node.catalog().read_within(Some(most), silent);
            let told = read.await.unwrap_err();
            assert_eq!(matches!(told, CallError::Timeout(_)), is_timeout, "{told}");
            let late = began.elapsed() - most;
            assert!(late < Duration::from_millis(10), "{late:?}");
        }
        let broken = |_: Arc<dyn Reads>| -> Query<()> {
            Box::pin(async { panic!("a fault that a test asked for") })
        };
        let told = w.node.catalog().read(broken).await.unwrap_err();
        assert!(told.to_string().contains("panicked"), "{told}");
    });
}

#[test]
fn reads_are_bounded_and_those_turned_away_are_counted() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail_always(StoreCall::Read, StoreFault::Held(gate.clone()));
        let reads: Vec<_> = (0..1024)
            .map(|_| w.spawn(|w| Box::pin(async move { counts(&w, FLEET).await })))
            .collect();
        gate.reached_by(1024).await;
        let read = |reads: Arc<dyn Reads>| -> Query<_> {
            Box::pin(async move { reads.room_counts(&[FLEET]).await })
        };
        let told = w.node.catalog().read(read).await.unwrap_err();
        assert!(matches!(told, CallError::Busy(_)), "{told}");
        gate.open();
        for read in reads {
            assert_eq!(read.await.unwrap(), 1);
        }
        assert_eq!(counts(&w, FLEET).await, 1);
        let turned_away =
            r#"maestro_actor_busy_total{actor="catalog",scheduler="",message="read"} 1"#;
        assert!(w.page().contains(turned_away), "{}", w.page());
    });
}

#[test]
fn timers_that_fire_late_are_counted() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert_eq!(w.view().late_wakes, 0);
        w.during(FLEET, |_| pass(Duration::from_secs(100))).await;
        let late = || w.view().late_wakes == 1;
        eventually(LONG, "one is counted", late).await;
    });
}

#[test]
fn a_panic_of_the_supervisor_costs_no_owner_anything() {
    let setup = Setup::fleet(1).patient();
    for name in ["bad", "slow"] {
        setup.add_fleet(name, 0);
    }
    setup.run(|w| async move {
        for name in [FLEET, "bad", "slow"] {
            w.running(name).await;
        }
        for panics in 1..=6 {
            w.running("bad").await;
            w.node.panic("bad");
            let ended = || {
                let view = w.view_of("bad");
                view.restarts.total == panics || view.state == "degraded"
            };
            eventually(LONG, "it has ended", ended).await;
        }
        // One is degraded, one is being loaded, and one runs.
        assert_eq!(w.view_of("bad").state, "degraded");
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Acquire, StoreFault::Held(gate.clone()));
        let reload = w.spawn(|w| Box::pin(async move { w.node.reload("slow").await }));
        gate.reached_by(1).await;
        let calls = || [StoreCall::Acquire, StoreCall::Discover].map(|call| w.store.calls(call));
        let before = calls();
        w.node
            .interrupt_supervisor(|| panic!("a fault that a test asked for"));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(calls(), before, "nobody is made anew");
        assert_eq!(w.view_of("bad").state, "degraded");
        assert_eq!((epoch(&w, FLEET), w.restarts()), (1, 0));
        gate.open();
        assert!(reload.await.unwrap().unwrap());
    });
}
