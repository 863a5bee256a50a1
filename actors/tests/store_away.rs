//! A store that takes no changes, or takes them late: what callers are told, and what remains of what waits.

mod support;

use maestro_actors::CallError;
use maestro_core::domain::{InstanceStatus, OperationStatus, PingStatus};
use maestro_core::ports::Change;
use maestro_core::state::{Command, Reply, RoomQuery};
use maestro_testkit::eventually;
use maestro_testkit::fake::{Gate, StoreCall, StoreFault};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use support::{FLEET, LONG, Setup, room_id};
use tokio::time::Instant;

const CAUSE: &str = "no space left on device";

fn is_refused(told: &Result<Reply, CallError>) -> bool {
    matches!(told, Err(CallError::Store(why)) if why.to_string().contains(CAUSE))
}

#[test]
fn changes_are_refused_before_they_are_decided_and_looks_are_answered() {
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        w.store.set_down(true);
        let changes = [
            Command::Allocate,
            Command::AddRooms {
                amount: 1,
                version: None,
            },
            Command::DeleteScheduler,
            Command::SetPaused(true),
        ];
        for command in changes {
            let told = w.ask(command.clone()).await;
            assert!(is_refused(&told), "{command:?}: {told:?}");
        }
        let new = maestro_testkit::build::scheduler("new").build();
        let create = Command::CreateScheduler(Box::new(new));
        let told = w.node.ask("new", create, None).await;
        assert!(is_refused(&told), "{told:?}");
        let view = w.view();
        assert_eq!((view.handled["allocate"], view.handled["command"]), (0, 0));
        assert!(
            matches!(w.node.directory().find("new"), Ok(None)),
            "no owner is made for it"
        );

        let query = RoomQuery {
            status: None,
            version: None,
            offset: 0,
            limit: 10,
            ..RoomQuery::default()
        };
        for look in [
            Command::Rooms(query),
            Command::Room(room_id(0)),
            Command::Rollout,
            Command::Address(room_id(0)),
        ] {
            w.ask(look).await.unwrap();
        }
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        w.store.set_down(false);
        w.allocate().await.unwrap();
    });
}

#[test]
fn a_look_does_not_wait_for_what_is_not_stored_yet() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let ping = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        gate.reached_by(1).await;
        w.ask(Command::Room(room_id(0))).await.unwrap();
        w.ask(Command::Rollout).await.unwrap();
        gate.open();
        ping.await.unwrap().unwrap();
    });
}

#[test]
fn a_ping_that_was_taken_is_a_success_however_the_store_is() {
    let hasty = |s: &mut maestro_actors::ActorSettings| {
        s.timeouts.ping = Duration::from_millis(300);
    };
    Setup::fleet(3).settings(hasty).run(|w| async move {
        w.running(FLEET).await;
        // A slow store: pings wait as long as usual, and are answered correctly.
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        let refused = w.ping(&room_id(9), PingStatus::Ready).await;
        assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
        gate.open();
        // An unavailable store: the same answers, without waiting.
        w.store.set_down(true);
        w.ping(&room_id(1), PingStatus::Occupied).await.unwrap();
        w.ping(&room_id(2), PingStatus::Occupied).await.unwrap();
        let refused = w.ping(&room_id(2), PingStatus::Terminated).await;
        assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
        w.store.set_down(false);
        for room in 0..3 {
            let stored = || {
                let room = w.store.stored_room(FLEET, room_id(room).as_str());
                room.is_some_and(|r| r.reported.ping == PingStatus::Occupied)
            };
            eventually(LONG, "it is stored", stored).await;
        }
        assert_eq!(w.restarts(), 0);
    });
}

#[test]
fn a_status_is_answered_at_once_while_the_store_takes_nothing() {
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        w.store.set_down(true);
        for (room, status) in [
            (0, PingStatus::Occupied),
            (1, PingStatus::Occupied),
            (0, PingStatus::Ready),
        ] {
            let room = room_id(room);
            let told = tokio::time::timeout(LONG / 2, w.ping(&room, status)).await;
            told.expect("nobody waits for the store").unwrap();
        }
    });
}

#[test]
fn of_a_creation_that_came_to_nothing_no_rooms_are_expected() {
    Setup::empty().run(|w| async move {
        eventually(LONG, "it is known who exists", || {
            w.node.directory().is_complete()
        })
        .await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Acquire, StoreFault::Held(gate.clone()));
        let new = maestro_testkit::build::scheduler(FLEET).build();
        let create = Command::CreateScheduler(Box::new(new));
        let soon = Some(Duration::from_millis(50));
        let told = w.node.ask(FLEET, create, soon).await.unwrap_err();
        assert!(matches!(told, CallError::Restarting(_)), "{told}");
        gate.open();
        let lives = || w.view().state == "running";
        eventually(LONG, "it has an owner, and nobody created it", lives).await;
        let told = w.allocate().await.unwrap_err();
        assert!(
            told.to_string().contains("there is no such scheduler"),
            "{told}"
        );
        let gone = || matches!(w.node.directory().find(FLEET), Ok(None));
        eventually(LONG, "its owner goes, as nobody creates it", gone).await;
        // It comes back for who does.
        let new = maestro_testkit::build::scheduler(FLEET).build();
        w.ask(Command::CreateScheduler(Box::new(new)))
            .await
            .unwrap();
    });
}

#[test]
fn an_order_that_is_late_is_named() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let soon = Some(Duration::from_millis(500));
        let add = Command::AddRooms {
            amount: 1,
            version: None,
        };
        let told = w.node.ask(FLEET, add, soon).await.unwrap_err();
        let text = told.to_string();
        let CallError::Late {
            operation, cause, ..
        } = told
        else {
            panic!("{text}");
        };
        assert_eq!(cause, None);
        assert!(
            text.contains(&operation.to_string()) && text.contains("accepted"),
            "{text}"
        );
        gate.open();
        let done = || {
            let stored = w.store.stored_operation(FLEET, operation);
            stored.is_some_and(|o| o.status == OperationStatus::Finished)
        };
        eventually(LONG, "it is carried out", done).await;
    });
}

#[test]
fn a_creation_that_is_late_names_its_operation() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let new = maestro_testkit::build::scheduler("new").build();
        let create = Command::CreateScheduler(Box::new(new));
        let soon = Some(Duration::from_millis(500));
        let told = w.node.ask("new", create, soon).await.unwrap_err();
        let text = told.to_string();
        let CallError::Late { operation, .. } = told else {
            panic!("{text}");
        };
        gate.open();
        let stored = || w.store.stored_operation("new", operation);
        eventually(LONG, "it is stored", || stored().is_some()).await;
        assert_eq!(stored().unwrap().definition.name(), "create_scheduler");
    });
}

#[test]
fn who_waits_when_the_store_fails_is_told_at_once() {
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let add = w.spawn(|w| {
            Box::pin(async move {
                w.ask(Command::AddRooms {
                    amount: 1,
                    version: None,
                })
                .await
            })
        });
        gate.reached_by(1).await;
        // Decided, and queued in the writer behind the first one.
        let allocation = w.spawn_allocate();
        eventually(LONG, "it is decided", || w.rooms("allocated") == 1).await;
        w.store.set_down(true);
        gate.open();
        let began = Instant::now();
        let told = add.await.unwrap().unwrap_err();
        let text = told.to_string();
        let CallError::Late {
            operation, cause, ..
        } = told
        else {
            panic!("{text}");
        };
        assert_eq!(cause.as_deref(), Some(CAUSE));
        let told = allocation.await.unwrap().unwrap_err();
        assert!(matches!(told, CallError::Store(_)), "{told}");
        let text = told.to_string();
        assert!(
            !text.contains("may still"),
            "the room is given back: {text}"
        );
        assert!(began.elapsed() < Duration::from_secs(1), "nobody waits");
        w.store.set_down(false);
        let done = || {
            let stored = w.store.stored_operation(FLEET, operation);
            stored.is_some_and(|o| o.status == OperationStatus::Finished)
        };
        eventually(LONG, "it is carried out", done).await;
        eventually(LONG, "the room is given back", || w.rooms("allocated") == 0).await;
        assert_eq!(w.restarts(), 0);
    });
}

#[test]
fn a_ping_that_came_after_a_change_is_stored_after_it() {
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        let (tried, waits) = (room_id(0), room_id(1));
        for room in [&tried, &waits] {
            w.ping(room, PingStatus::Ready).await.unwrap();
        }
        let begun = w.store.log(FLEET).len();
        w.store.set_down(true);
        // One change is being tried, the other one waits behind it.
        for room in [&tried, &waits] {
            let before = w.handled("runtime");
            let status = InstanceStatus::Ready;
            w.runtime.set_status(FLEET, room, status, "says something new");
            eventually(LONG, "it is decided", || w.handled("runtime") > before).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        w.ping(&waits, PingStatus::Ready).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        w.store.set_down(false);
        let changes = || w.store.log(FLEET)[begun..].concat();
        let put = |c: &Change| matches!(c, Change::PutRoom(room) if room.id == waits);
        let touch = |c: &Change| matches!(c, Change::TouchRooms(all) if all.iter().any(|t| t.room == waits));
        let both = || changes().iter().any(put) && changes().iter().any(touch);
        eventually(LONG, "both are stored", both).await;
        let all = changes();
        assert!(all.iter().position(put) < all.iter().position(touch), "{all:?}");
    });
}

#[test]
fn what_happens_while_the_store_is_away_for_long_is_folded_and_written_when_it_is_back() {
    const ROOMS: u16 = 100;
    const ROUNDS: u64 = 90;
    Setup::fleet(ROOMS).patient().run(|w| async move {
        w.running(FLEET).await;
        w.store.set_down(true);
        let before = w.handled("runtime");
        // More than the capacity of the writer's queue.
        for round in 1..=ROUNDS {
            let status = match round % 2 {
                0 => InstanceStatus::Ready,
                _ => InstanceStatus::Error,
            };
            for room in 0..ROOMS {
                w.runtime.set_status(FLEET, &room_id(room), status, "flaps");
            }
            // Waits for each decision, because the runtime coalesces events that were not taken yet.
            let seen = || w.handled("runtime") >= before + u64::from(ROOMS) * round;
            eventually(LONG, "it is decided", seen).await;
        }
        assert_eq!(w.restarts(), 0);
        let waiting = || w.view().scheduler.unwrap().writer.waiting;
        assert!(waiting() > 8_192, "{}", waiting());
        let written = || {
            let log = w.store.log(FLEET);
            let changes = log.iter().flatten();
            changes.filter(|c| matches!(c, Change::PutRoom(_))).count()
        };
        let begun = written();
        w.store.set_down(false);
        let soon = Duration::from_secs(2);
        eventually(soon, "all is written", || waiting() == 0).await;
        let rows = written() - begun;
        assert!(rows > 0 && rows < 2_000, "only what is left of it: {rows}");
        assert_eq!(w.restarts(), 0);
        w.ask(Command::Room(room_id(0))).await.unwrap();
    });
}

#[test]
fn looks_at_the_stored_seq_become_rarer_while_the_store_is_away() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let looks: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let seen = looks.clone();
        let mut commits = 0;
        w.store.fail_when(move |call, _| match call {
            StoreCall::Commit => {
                commits += 1;
                (commits == 1).then_some(StoreFault::NotAppliedUnknown)
            }
            StoreCall::StoredSeq => {
                let mut seen = seen.lock();
                seen.push(Instant::now());
                (seen.len() < 8).then_some(StoreFault::NotApplied)
            }
            _ => None,
        });
        let ping = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        ping.await.unwrap().unwrap();
        let looks = looks.lock().clone();
        let pauses: Vec<_> = looks.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(pauses.len(), 7);
        let least = [20, 40, 80, 160, 320, 640, 1_000].map(Duration::from_millis);
        for (pause, least) in pauses.iter().zip(least) {
            assert!(*pause >= least, "{pauses:?}");
        }
    });
}

#[test]
fn a_store_that_refuses_one_scheduler_alone_says_why_and_is_tried_again() {
    Setup::fleet(2).run(|w| async move {
        w.running(FLEET).await;
        w.store
            .fail_always(StoreCall::Commit, StoreFault::NotApplied);
        let began = Instant::now();
        let told = w.ask(Command::Allocate).await.unwrap_err();
        assert!(matches!(told, CallError::Store(_)), "{told}");
        assert!(
            began.elapsed() >= Duration::from_secs(1),
            "it may be over with the next try"
        );
        // Whoever comes later need not wait as long.
        let began = Instant::now();
        let told = w.ask(Command::Allocate).await.unwrap_err();
        assert!(matches!(told, CallError::Store(_)), "{told}");
        assert!(began.elapsed() < Duration::from_secs(1));
        w.store.heal();
        tokio::time::sleep(Duration::from_secs(2)).await;
        // It is stored behind what was decided before.
        w.ask(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .await
        .unwrap();
        assert_eq!(w.rooms("allocated"), 0, "nobody was told of them");
    });
}

#[test]
fn what_cannot_be_read_is_tried_ever_more_seldom_and_at_once_when_ordered() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        for _ in 0..3 {
            w.store.fail(StoreCall::Load, StoreFault::Unreadable);
        }
        let began = Instant::now();
        assert!(w.node.reload(FLEET).await.unwrap());
        assert_eq!(began.elapsed().as_secs(), 1 + 2 + 4);
        w.store.fail_always(StoreCall::Load, StoreFault::Unreadable);
        let loads = || w.store.calls(StoreCall::Load);
        let before = loads();
        let began = Instant::now();
        let first = w.spawn(|w| Box::pin(async move { w.node.reload(FLEET).await }));
        let often = || loads() == before + 6;
        eventually(LONG, "it has been tried often", often).await;
        assert!(began.elapsed() > Duration::from_secs(30));
        // Somebody mends it, and need not wait for a minute.
        w.store.heal();
        let mended = Instant::now();
        assert!(w.node.reload(FLEET).await.unwrap());
        assert!(mended.elapsed() <= Duration::from_secs(2));
        // Its caller stopped waiting.
        assert!(first.await.unwrap().is_err());
    });
}

#[test]
fn a_lease_counts_from_before_the_store_was_asked() {
    let seldom = |s: &mut maestro_actors::ActorSettings| s.lease_renewal = LONG;
    let setup = Setup::fleet(1).settings(seldom);
    let slow = Duration::from_millis(2_500);
    setup.store.fail(StoreCall::Load, StoreFault::Slow(slow));
    setup.run(|w| async move {
        w.running(FLEET).await;
        let left = w.view().scheduler.unwrap().lease_left_ms;
        assert!((1..=500).contains(&left), "{left} ms");
    });
}
