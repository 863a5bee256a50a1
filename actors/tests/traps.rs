//! The pitfalls of the actor library, each with the rule that avoids it.

mod support;

use maestro_actors::CallError;
use maestro_core::domain::{InstanceStatus, OperationStatus, PingStatus};
use maestro_core::state::{Command, Reply};
use maestro_testkit::eventually;
use maestro_testkit::fake::{Gate, RuntimeCall, RuntimeFault, StoreCall, StoreFault};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use support::{FLEET, IO_THREAD, LONG, Setup, room_id};
use tokio::time::Instant;

#[test]
fn a_panic_costs_one_turn_and_no_acknowledged_change() {
    Setup::fleet(3).run(|w| async move {
        w.running(FLEET).await;
        w.ping(&room_id(1), PingStatus::Occupied).await.unwrap();
        w.node.panic(FLEET);
        eventually(LONG, "it is restarted", || w.restarts() == 1).await;
        w.running(FLEET).await;
        eventually(LONG, "what was stored is loaded", || {
            w.rooms("occupied") == 1 && w.rooms("ready") == 2
        })
        .await;
        let view = w.view();
        assert_eq!(view.restarts.last_cause.as_deref(), Some("it panicked"));
        assert_eq!(
            view.scheduler.unwrap().epoch.0,
            2,
            "the old owner is fenced off"
        );
        w.ping(&room_id(1), PingStatus::Ready).await.unwrap();
    });
}

#[test]
fn who_waits_for_an_actor_that_panics_is_told() {
    Setup::fleet(1).patient().run_on_threads(|w| async move {
        w.running(FLEET).await;
        let go = w.hold_then(FLEET, || panic!("a fault that a test asked for"));
        let go = go.await;
        let asks: Vec<_> = (0..5).map(|_| w.spawn_allocate()).collect();
        let pings: Vec<_> = (0..5)
            .map(|_| w.spawn_ping(&room_id(0), PingStatus::Ready))
            .collect();
        eventually(LONG, "all wait", || w.view().mailbox_depth == 10).await;
        drop(go);
        for ask in asks {
            assert!(matches!(ask.await.unwrap(), Err(CallError::Restarting(_))));
        }
        for ping in pings {
            assert!(matches!(ping.await.unwrap(), Err(CallError::Restarting(_))));
        }
        w.running(FLEET).await;
        // A message answers its caller before it is counted as done, so the depth drops a little later.
        let emptied = || w.view().mailbox_depth == 0;
        eventually(LONG, "those who died with it wait no more", emptied).await;
        // The owner shown as running may have been the one that was about to panic.
        let until = tokio::time::Instant::now() + LONG;
        while let Err(error) = w.allocate().await {
            let passing = matches!(error, CallError::Restarting(_));
            assert!(passing && tokio::time::Instant::now() < until, "{error}");
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn one_that_panics_again_and_again_is_degraded_and_the_node_goes_on() {
    let setup = Setup::fleet(1);
    setup.add_fleet("other", 1);
    setup.run(|w| async move {
        w.running("other").await;
        for restarts in 1..=5 {
            w.running(FLEET).await;
            w.node.panic(FLEET);
            eventually(LONG, "it is restarted", || w.restarts() == restarts).await;
        }
        w.running(FLEET).await;
        w.node.panic(FLEET);
        eventually(LONG, "it is degraded", || w.view().state == "degraded").await;
        let refused = w.allocate().await.unwrap_err();
        assert!(matches!(refused, CallError::Degraded { .. }), "{refused}");
        assert_eq!(w.view().degraded_because.as_deref(), Some("it panicked"));
        w.node.ask("other", Command::Allocate, None).await.unwrap();

        assert!(w.node.reload(FLEET).await.unwrap());
        w.running(FLEET).await;
        w.allocate().await.unwrap();
        assert_eq!(w.restarts(), 5, "a reload is no restart");
        // It has its full budget again.
        w.node.panic(FLEET);
        eventually(LONG, "it is restarted", || w.restarts() == 6).await;
        w.running(FLEET).await;
    });
}

#[test]
fn a_flood_starves_neither_timers_nor_runtime_events() {
    // An operation that renews its lease every 20 ms, which only a wake-up can do.
    let often = |c: &mut maestro_core::settings::CoreSettings| {
        c.operation_lease_ttl = Duration::from_millis(40);
    };
    Setup::fleet(3).core(often).run_on_threads(|w| async move {
        w.running(FLEET).await;
        let long = Command::TestOperation { sleep_seconds: 600 };
        w.ask(long).await.unwrap();
        let (stop, answers) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let floods: Vec<_> = (0..240)
            .map(|i| {
                let (stop, answers) = (stop.clone(), answers.clone());
                w.spawn(move |w| {
                    Box::pin(async move {
                        while !stop.load(Relaxed) {
                            let count = answers.fetch_add(1, Relaxed);
                            // `Busy` is fine as well: the test is about the load.
                            match (i % 3, count % 2) {
                                (0, _) => drop(w.ask(Command::Address(room_id(0))).await),
                                // The ping cache answers most of these, without occupying the thread.
                                (1, _) => drop(w.ping(&room_id(0), PingStatus::Ready).await),
                                (_, 0) => drop(w.ping(&room_id(1), PingStatus::Ready).await),
                                (_, _) => drop(w.ping(&room_id(1), PingStatus::Occupied).await),
                            }
                        }
                    })
                })
            })
            .collect();
        eventually(LONG, "the flood has begun", || {
            answers.load(Relaxed) > 5_000
        })
        .await;
        let (wakes, began) = (w.handled("wake"), answers.load(Relaxed));
        eventually(LONG, "timers fire", || w.handled("wake") >= wakes + 20).await;
        let each = (answers.load(Relaxed) - began) / 20;
        assert!(
            each < 50_000,
            "{each} calls were answered between two wake-ups"
        );
        w.runtime
            .set_status(FLEET, &room_id(2), InstanceStatus::Error, "broken");
        eventually(LONG, "runtime events come", || w.rooms("error") == 1).await;
        stop.store(true, Relaxed);
        for flood in floods {
            flood.await.unwrap();
        }
    });
}

#[test]
fn pings_beyond_the_bound_are_refused_after_a_moment() {
    Setup::fleet(1).patient().run_on_threads(|w| async move {
        w.running(FLEET).await;
        let held = w.hold(FLEET).await;
        let pings: Vec<_> = (0..4096)
            .map(|_| w.spawn_ping(&room_id(0), PingStatus::Ready))
            .collect();
        eventually(LONG, "all wait", || w.view().mailbox_depth == 4096).await;
        let before = Instant::now();
        let refused = w.ping(&room_id(0), PingStatus::Ready).await.unwrap_err();
        assert!(matches!(refused, CallError::Busy(_)), "{refused}");
        assert!(before.elapsed() >= Duration::from_millis(250));
        drop(held);
        for ping in pings {
            ping.await.unwrap().unwrap();
        }
    });
}

#[test]
fn asks_in_flight_are_bounded_and_all_of_them_are_answered() {
    Setup::fleet(300).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail_always(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let asks: Vec<_> = (0..256).map(|_| w.spawn_allocate()).collect();
        eventually(LONG, "all are decided", || w.handled("allocate") == 256).await;
        let refused = w.allocate().await.unwrap_err();
        assert!(matches!(refused, CallError::Busy(_)), "{refused}");
        gate.open();
        let mut rooms = BTreeSet::new();
        for ask in asks {
            rooms.insert(ask.await.unwrap().unwrap());
        }
        assert_eq!(rooms.len(), 256, "no room is given to two");
        w.allocate().await.unwrap();
    });
}

#[test]
fn a_long_operation_leaves_the_actor_free() {
    Setup::fleet(2)
        .core(|c| c.add_timeout = LONG)
        .run(|w| async move {
            w.running(FLEET).await;
            let gate = Gate::closed();
            w.runtime
                .fail_always(RuntimeCall::Create, RuntimeFault::Held(gate.clone()));
            w.ask(Command::AddRooms {
                amount: 1,
                version: None,
            })
            .await
            .unwrap();
            gate.reached_by(1).await;
            w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
            w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
            assert_eq!(w.allocate().await.unwrap(), room_id(1));
            w.ask(Command::Address(room_id(1))).await.unwrap();
            assert_eq!(gate.waiting(), 1, "it still runs");
            let running = w.store.open_operations(FLEET);
            assert_eq!(running[0].definition.name(), "add_rooms");
            gate.open();
            eventually(LONG, "it ends", || {
                w.store.open_operations(FLEET).is_empty()
            })
            .await;
        });
}

#[test]
fn clients_are_called_on_the_io_runtime_only() {
    Setup::fleet(1).run_on_threads(|w| async move {
        w.running(FLEET).await;
        let create = maestro_testkit::build::scheduler("new").replicas(1).build();
        let create = Command::CreateScheduler(Box::new(create));
        w.node.ask("new", create, None).await.unwrap();
        eventually(LONG, "a room is made", || {
            !w.runtime.rooms("new").is_empty()
        })
        .await;
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        w.allocate().await.unwrap();
        w.node.panic(FLEET);
        eventually(LONG, "it is restarted", || w.restarts() == 1).await;
        w.running(FLEET).await;
        let read = |reads: Arc<dyn maestro_core::ports::Reads>| -> maestro_actors::Query<_> {
            Box::pin(async move { reads.room_counts(&[FLEET]).await })
        };
        assert_eq!(w.node.catalog().read(read).await.unwrap()[0].total(), 1);
        w.node
            .ask("new", Command::DeleteScheduler, None)
            .await
            .unwrap();
        eventually(LONG, "it is gone", || {
            matches!(w.node.directory().find("new"), Ok(None))
        })
        .await;
        assert_eq!(w.store.threads(), [IO_THREAD]);
        assert_eq!(w.runtime.threads(), [IO_THREAD]);
    });
}

#[test]
fn a_call_is_given_up_at_its_deadline_and_undone() {
    Setup::fleet(1)
        .core(|c| c.add_timeout = Duration::from_millis(100))
        .run(|w| async move {
            w.running(FLEET).await;
            let gate = Gate::closed();
            w.runtime
                .fail_always(RuntimeCall::Create, RuntimeFault::Held(gate.clone()));
            let Reply::Operation(id) = w
                .ask(Command::AddRooms {
                    amount: 1,
                    version: None,
                })
                .await
                .unwrap()
            else {
                panic!("an order is an operation");
            };
            eventually(LONG, "it ends", || {
                w.store
                    .stored_operation(FLEET, id)
                    .is_some_and(|o| o.status == OperationStatus::Error)
            })
            .await;
            assert_eq!(gate.waiting(), 0, "nobody goes on waiting for it");
            w.runtime.heal();
            gate.open();
            eventually(LONG, "its room is taken back", || {
                w.store.stored_rooms(FLEET).len() == 1
            })
            .await;
            assert_eq!(w.runtime.rooms(FLEET).len(), 1);
        });
}

#[test]
fn a_canceled_operation_ends_though_its_call_hangs() {
    let short = |c: &mut maestro_core::settings::CoreSettings| {
        c.runtime_timeout = Duration::from_millis(200);
    };
    Setup::empty().core(short).run(|w| async move {
        eventually(LONG, "the node is up", || w.node.directory().is_complete()).await;
        let gate = Gate::closed();
        w.runtime
            .fail(RuntimeCall::Prepare, RuntimeFault::Held(gate.clone()));
        let create = maestro_testkit::build::scheduler(FLEET).build();
        let create = Command::CreateScheduler(Box::new(create));
        w.ask(create).await.unwrap();
        gate.reached_by(1).await;
        let id = w.store.open_operations(FLEET)[0].id;
        w.ask(Command::Cancel(id)).await.unwrap();
        eventually(LONG, "the call is dropped", || gate.waiting() == 0).await;
        eventually(LONG, "it ends", || {
            w.store
                .stored_operation(FLEET, id)
                .is_some_and(|o| o.status.is_final())
        })
        .await;
    });
}

#[test]
fn a_call_that_queues_behind_others_keeps_its_time() {
    let short = |c: &mut maestro_core::settings::CoreSettings| {
        c.runtime_timeout = Duration::from_millis(200);
    };
    Setup::empty().core(short).run(|w| async move {
        eventually(LONG, "the node is up", || w.node.directory().is_complete()).await;
        let gate = Gate::closed();
        w.runtime.queue_calls(gate.clone());
        let create = maestro_testkit::build::scheduler(FLEET).build();
        let create = Command::CreateScheduler(Box::new(create));
        w.ask(create).await.unwrap();
        gate.reached_by(1).await;
        let id = w.store.open_operations(FLEET)[0].id;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(w.runtime.calls(RuntimeCall::Prepare), 0, "it is not sent");
        gate.open();
        eventually(LONG, "it succeeds", || {
            w.store
                .stored_operation(FLEET, id)
                .is_some_and(|o| o.status == OperationStatus::Finished)
        })
        .await;
    });
}

#[test]
fn a_stream_that_ends_does_not_stop_the_actor() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        w.runtime.end_watches(FLEET);
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        let wakes = w.handled("wake");
        eventually(LONG, "its timers go on", || w.handled("wake") > wakes).await;
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        w.allocate().await.unwrap();
        assert_eq!(w.restarts(), 0);
        assert_eq!(
            w.view().scheduler.unwrap().epoch.0,
            1,
            "it is the same owner"
        );
    });
}

#[test]
fn without_a_lease_nothing_is_begun_and_nothing_fails() {
    let short = |s: &mut maestro_actors::ActorSettings| {
        s.lease_ttl = Duration::from_secs(2);
        s.lease_renewal = Duration::from_millis(100);
    };
    Setup::fleet(1).settings(short).run(|w| async move {
        w.running(FLEET).await;
        w.store
            .fail_always(StoreCall::Renew, StoreFault::NotApplied);
        eventually(LONG, "the lease runs out", || {
            w.view().scheduler.unwrap().lease_left_ms < 1_000
        })
        .await;
        w.ask(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .await
        .unwrap();
        eventually(LONG, "the operation waits", || {
            let view = w.view().scheduler.unwrap().state;
            view.running.first().is_some_and(|r| r.in_flight == 1)
        })
        .await;
        // The writer has processed the order once a later change is answered; then a moment more.
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        let called = eventually(LONG, "it is called", || {
            w.runtime.calls(RuntimeCall::ReservePorts) > 0
        });
        let called = tokio::time::timeout(Duration::from_millis(300), called).await;
        assert!(called.is_err(), "a call began without a lease");
        w.store.heal();
        eventually(LONG, "it goes on", || w.runtime.rooms(FLEET).len() == 2).await;
    });
}
