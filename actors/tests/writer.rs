//! The ordered writer: promised changes are durable and in order, whatever the store does.

mod support;

use maestro_actors::{CallError, Location};
use maestro_core::domain::{PingStatus, RoomStatus};
use maestro_core::ports::{Change, Ownership};
use maestro_core::state::{Command, RefusalKind};
use maestro_testkit::eventually;
use maestro_testkit::fake::{Gate, RuntimeCall, StoreCall, StoreFault};
use std::time::Duration;
use support::{FLEET, LONG, Setup, World, room_id};
use tokio::time::Instant;

/// Every status of a room that was stored, in order.
fn stored_statuses(w: &World, room: u16) -> Vec<RoomStatus> {
    let id = room_id(room);
    let log = w.store.log(FLEET);
    let of_it = log.iter().flatten().filter_map(|change| match change {
        Change::PutRoom(record) if record.id == id => Some(record.reported.status),
        _ => None,
    });
    of_it.collect()
}

fn stored_status(w: &World, room: u16) -> RoomStatus {
    let stored = w.store.stored_room(FLEET, room_id(room).as_str());
    stored.expect("the room is stored").reported.status
}

#[test]
fn what_was_not_applied_is_written_again_in_its_order() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        for _ in 0..4 {
            w.store.fail(StoreCall::Commit, StoreFault::NotApplied);
        }
        let occupied = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        eventually(LONG, "it is decided", || w.rooms("occupied") == 1).await;
        let ready = w.spawn_ping(&room_id(0), PingStatus::Ready);
        eventually(LONG, "it is decided", || w.rooms("ready") == 1).await;
        let room = w.spawn_allocate();
        occupied.await.unwrap().unwrap();
        ready.await.unwrap().unwrap();
        room.await.unwrap().unwrap();
        let order = [
            RoomStatus::Occupied,
            RoomStatus::Ready,
            RoomStatus::Allocated,
        ];
        assert_eq!(stored_statuses(&w, 0), order);
        assert_eq!(w.view().scheduler.unwrap().writer.retries, 4);
        assert_eq!(w.restarts(), 0);
    });
}

#[test]
fn an_unknown_outcome_is_looked_up() {
    let unknown = [
        StoreFault::AppliedUnknown,
        StoreFault::NotAppliedUnknown,
        StoreFault::AppliedUnknown,
    ];
    for (i, fault) in unknown.into_iter().enumerate() {
        Setup::fleet(1).patient().run(|w| async move {
            w.running(FLEET).await;
            w.store.fail(StoreCall::Commit, fault);
            if i == 2 {
                // And the outcome cannot be looked up for a while.
                w.store.fail(StoreCall::StoredSeq, StoreFault::NotApplied);
                w.store.fail(StoreCall::StoredSeq, StoreFault::NotApplied);
            }
            w.allocate().await.unwrap();
            w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
            let once = [RoomStatus::Allocated, RoomStatus::Occupied];
            assert_eq!(stored_statuses(&w, 0), once, "written once");
            assert_eq!(w.restarts(), 0);
        });
    }
}

/// Whether the node knows that another one owns the fleet.
fn is_elsewhere(w: &World) -> bool {
    let owner = w.node.directory().locate(FLEET);
    matches!(owner, Ok(Some(Location::Remote(holder))) if holder.address == "elsewhere:1")
}

#[test]
fn a_fenced_owner_ends_and_comes_back_when_it_may() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        w.store.steal(FLEET, "elsewhere:1");
        let told = w.ping(&room_id(0), PingStatus::Occupied).await.unwrap_err();
        assert!(matches!(told, CallError::Restarting(_)), "{told}");
        assert_eq!(
            stored_status(&w, 0),
            RoomStatus::Ready,
            "nothing is written"
        );
        eventually(LONG, "the other is known", || is_elsewhere(&w)).await;
        w.store.expire(FLEET);
        w.running(FLEET).await;
        assert_eq!(w.restarts(), 0, "it is nobody's fault");
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        assert_eq!(stored_status(&w, 0), RoomStatus::Occupied);
    });
}

#[test]
fn a_lost_lease_ends_the_owner() {
    let short = |s: &mut maestro_actors::ActorSettings| {
        s.lease_renewal = Duration::from_millis(50);
    };
    Setup::fleet(1).settings(short).run(|w| async move {
        w.running(FLEET).await;
        w.store.steal(FLEET, "elsewhere:1");
        eventually(LONG, "it ends by itself", || is_elsewhere(&w)).await;
        w.store.expire(FLEET);
        w.running(FLEET).await;
        assert_eq!(w.restarts(), 0, "it is nobody's fault");
    });
}

#[test]
fn an_intent_is_durable_before_the_runtime_is_asked() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let (order, intent, removal) = (Gate::closed(), Gate::closed(), Gate::closed());
        let held = (order.clone(), intent.clone(), removal.clone());
        w.store.fail_when(move |call, changes| {
            // Decisions made together share a commit, of which the last step counts.
            let step = |change: &Change| match change {
                Change::PutRoom(r) if r.intent.removal.is_some() => Some((2, &held.2)),
                Change::PutRoom(r) if r.instance.is_none() => Some((1, &held.1)),
                Change::PutOperation(o) if o.definition.name() == "add_rooms" => Some((0, &held.0)),
                _ => None,
            };
            let held = changes
                .iter()
                .filter_map(step)
                .max_by_key(|(step, _)| *step);
            let held = held.map(|(_, gate)| gate);
            let held = held.filter(|_| call == StoreCall::Commit)?;
            Some(StoreFault::Held(held.clone()))
        });
        let add = w.spawn(|w| {
            Box::pin(async move {
                w.ask(Command::AddRooms {
                    amount: 1,
                    version: None,
                })
                .await
            })
        });
        order.reached_by(1).await;
        assert_eq!(w.runtime.calls(RuntimeCall::ReservePorts), 0);
        assert!(
            !add.is_finished(),
            "nothing is promised before it is durable"
        );
        order.open();
        add.await.unwrap().unwrap();
        intent.reached_by(1).await;
        assert_eq!(w.runtime.calls(RuntimeCall::Create), 0);
        intent.open();
        eventually(LONG, "it is made", || w.runtime.rooms(FLEET).len() == 2).await;

        let remove = w.spawn(|w| {
            Box::pin(async move {
                w.ask(Command::RemoveRooms {
                    amount: 1,
                    force: false,
                    version: None,
                })
                .await
            })
        });
        removal.reached_by(1).await;
        assert_eq!(w.runtime.calls(RuntimeCall::Terminate), 0);
        removal.open();
        remove.await.unwrap().unwrap();
        eventually(LONG, "it is ended", || w.runtime.rooms(FLEET).len() == 1).await;
    });
}

#[test]
fn a_promise_made_twice_waits_for_the_store_both_times() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        let gate = Gate::closed();
        w.store
            .fail_always(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let remove = |w: World| async move {
            let (room, force) = (room_id(0), false);
            w.ask(Command::RemoveRoom { room, force }).await
        };
        let first = w.spawn(move |w| Box::pin(remove(w)));
        gate.reached_by(1).await;
        let second = w.spawn(move |w| Box::pin(remove(w)));
        eventually(LONG, "both are decided", || w.handled("command") == 2).await;
        eventually(LONG, "both wait", || {
            w.view().scheduler.unwrap().writer.waiting == 1
        })
        .await;
        assert!(!first.is_finished() && !second.is_finished());
        gate.open();
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
    });
}

#[test]
fn without_a_store_pings_go_on_and_changes_wait() {
    Setup::fleet(2).run(|w| async move {
        w.running(FLEET).await;
        w.store.set_down(true);
        w.ping(&room_id(1), PingStatus::Occupied).await.unwrap();
        let told = w.allocate().await.unwrap_err();
        assert!(matches!(told, CallError::Store(_)), "{told}");
        w.ping(&room_id(1), PingStatus::Occupied).await.unwrap();
        assert_eq!(stored_status(&w, 1), RoomStatus::Ready);
        w.store.set_down(false);
        eventually(LONG, "the change is written", || {
            stored_status(&w, 1) == RoomStatus::Occupied
        })
        .await;
        assert_eq!(w.restarts(), 0);
    });
}

#[test]
fn a_room_whose_caller_left_is_given_out_again() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let soon = Some(Duration::from_millis(20));
        let left = w.node.ask(FLEET, Command::Allocate, soon).await;
        let left = left.unwrap_err();
        assert!(matches!(left, CallError::Timeout(_)), "{left}");
        assert!(
            !left.to_string().contains("operation"),
            "it has none: {left}"
        );
        eventually(LONG, "it is held for nobody", || w.rooms("allocated") == 1).await;
        gate.open();
        eventually(LONG, "it is ready again", || w.rooms("ready") == 1).await;
        assert_eq!(w.allocate().await.unwrap(), room_id(0));
        let all = [
            RoomStatus::Allocated,
            RoomStatus::Ready,
            RoomStatus::Allocated,
        ];
        assert_eq!(stored_statuses(&w, 0), all);
    });
}

#[test]
fn a_caller_who_left_takes_no_room_from_the_next_one() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let soon = Some(Duration::from_millis(20));
        let left = w.node.ask(FLEET, Command::Allocate, soon).await;
        assert!(matches!(left, Err(CallError::Timeout(_))));
        // A whole match, before it is known that the first caller had stopped waiting.
        let occupied = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        eventually(LONG, "it is decided", || w.rooms("occupied") == 1).await;
        let ready = w.spawn_ping(&room_id(0), PingStatus::Ready);
        eventually(LONG, "it is decided", || w.rooms("ready") == 1).await;
        let next = w.spawn_allocate();
        eventually(LONG, "it is decided", || w.rooms("allocated") == 1).await;
        gate.open();
        occupied.await.unwrap().unwrap();
        ready.await.unwrap().unwrap();
        assert_eq!(next.await.unwrap().unwrap(), room_id(0));
        eventually(LONG, "it is noticed", || w.handled("untaken") == 1).await;
        let third = w.allocate().await;
        assert!(
            matches!(&third, Err(CallError::Refused(r)) if r.kind == RefusalKind::Unavailable),
            "{third:?}"
        );
    });
}

#[test]
fn what_has_arrived_is_one_commit() {
    Setup::fleet(200).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let mut pings = vec![w.spawn_ping(&room_id(0), PingStatus::Occupied)];
        gate.reached_by(1).await;
        let before = w.store.commits();
        pings.extend((1..200).map(|i| w.spawn_ping(&room_id(i), PingStatus::Occupied)));
        eventually(LONG, "all are decided", || w.rooms("occupied") == 200).await;
        gate.open();
        for ping in pings {
            ping.await.unwrap().unwrap();
        }
        let log = w.store.log(FLEET);
        let touches = |batch: &&Vec<Change>| matches!(batch[..], [Change::TouchRooms(_)]);
        let steady = log[before..].iter().filter(touches).count();
        let commits = log.len() - before - steady;
        // One commit for the blocked decision, and one for all others.
        assert_eq!(commits, 2, "{log:#?}");
    });
}

#[test]
fn a_commit_takes_no_more_than_so_many_decisions() {
    Setup::fleet(600).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let mut pings = vec![w.spawn_ping(&room_id(0), PingStatus::Occupied)];
        gate.reached_by(1).await;
        let before = w.store.commits();
        pings.extend((1..600).map(|i| w.spawn_ping(&room_id(i), PingStatus::Occupied)));
        eventually(LONG, "all are decided", || w.rooms("occupied") == 600).await;
        gate.open();
        for ping in pings {
            ping.await.unwrap().unwrap();
        }
        let rooms = |batch: &Vec<Change>| {
            let put = |change: &&Change| matches!(change, Change::PutRoom(_));
            batch.iter().filter(put).count()
        };
        let commits: Vec<_> = w.store.log(FLEET)[before..].iter().map(rooms).collect();
        let commits: Vec<_> = commits.into_iter().filter(|rooms| *rooms > 0).collect();
        assert_eq!(commits, [1, 512, 87]);
    });
}

#[test]
fn a_store_that_says_nothing_is_asked_what_it_has() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        w.store
            .fail(StoreCall::Commit, StoreFault::LostAcknowledgement);
        let began = Instant::now();
        w.allocate().await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 10);
        assert_eq!(stored_statuses(&w, 0), [RoomStatus::Allocated]);
        assert_eq!(w.restarts(), 0);
    });
}

fn touch_commits(w: &World) -> Vec<usize> {
    let log = w.store.log(FLEET);
    let touches = log.iter().flatten().filter_map(|change| match change {
        Change::TouchRooms(touches) => Some(touches.len()),
        _ => None,
    });
    touches.collect()
}

#[test]
fn steady_pings_are_written_behind_and_together() {
    Setup::fleet(600).patient().run(|w| async move {
        w.running(FLEET).await;
        let before = w.store.commits();
        let began = Instant::now();
        for _ in 0..5 {
            for i in 0..600 {
                w.ping(&room_id(i), PingStatus::Ready).await.unwrap();
            }
        }
        eventually(LONG, "all are stored", || {
            let rooms = w.store.stored_rooms(FLEET);
            rooms.iter().all(|r| r.reported.metadata.is_some())
        })
        .await;
        let commits = touch_commits(&w);
        assert!(began.elapsed() < Duration::from_secs(2));
        // One write a second, of 600 rows at most: three chunks.
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
        assert!(commits.len() <= 3 * seconds, "{commits:?} in {seconds} s");
        assert!(commits.iter().all(|rows| *rows <= 256), "{commits:?}");
        assert!(w.store.commits() - before <= 3 * seconds);
    });
}

#[test]
fn an_older_steady_ping_does_not_undo_a_change() {
    // The next steady ping is written a second later: time to see what comes before it.
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let held = w.spawn_ping(&room_id(1), PingStatus::Occupied);
        gate.reached_by(1).await;
        let waiting = || w.view().scheduler.unwrap().writer.waiting;
        eventually(LONG, "its own touch waits", || waiting() >= 1).await;
        let before = waiting();
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        eventually(LONG, "the steady ping waits", || waiting() > before).await;
        let changed = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        eventually(LONG, "it is decided", || w.rooms("occupied") == 2).await;
        gate.open();
        held.await.unwrap().unwrap();
        changed.await.unwrap().unwrap();
        let touches_of_it = || -> Vec<PingStatus> {
            let log = w.store.log(FLEET);
            let touches = log.iter().flatten().filter_map(|change| match change {
                Change::TouchRooms(touches) => Some(touches.clone()),
                _ => None,
            });
            let touches = touches.flatten().filter(|t| t.room == room_id(0));
            touches.map(|t| t.ping).collect()
        };
        eventually(LONG, "its own steady ping is written", || {
            touches_of_it().contains(&PingStatus::Occupied)
        })
        .await;
        assert!(
            !touches_of_it().contains(&PingStatus::Ready),
            "an older one is written behind the change"
        );
    });
}

/// A writer whose commit does not end yet.
async fn writing(w: &World) -> Gate {
    let gate = Gate::closed();
    w.store
        .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
    drop(w.spawn_ping(&room_id(0), PingStatus::Occupied));
    gate.reached_by(1).await;
    gate
}

/// Less than the last attempt of a writer.
const MOMENT: Duration = Duration::from_secs(1);

#[test]
fn a_scheduler_is_given_back_when_nothing_of_its_owner_is_left() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        w.store.set_lease(LONG);
        let other = w.store.node("elsewhere:1");
        other.renew(&[]).await.unwrap();
        let gate = writing(&w).await;
        assert!(w.node.drain(true, true).await.unwrap());
        let ends = || w.node.directory().find(FLEET).is_err();
        eventually(LONG, "it is handed over", ends).await;
        tokio::time::sleep(MOMENT).await;
        assert_eq!((gate.waiting(), w.store.calls(StoreCall::Release)), (1, 0));
        gate.open();
        let is_free = || w.store.owner_of(FLEET).is_none();
        eventually(LONG, "it is given back", is_free).await;
        assert_eq!(stored_status(&w, 0), RoomStatus::Occupied);
    });
}

#[test]
fn the_next_incarnation_begins_when_nothing_of_the_last_one_is_left() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        let claims = w.store.calls(StoreCall::Acquire);
        let gate = writing(&w).await;
        let again = w.spawn(|w| Box::pin(async move { w.node.reload(FLEET).await }));
        let ends = || w.view().state != "running";
        eventually(LONG, "it ends", ends).await;
        tokio::time::sleep(MOMENT).await;
        assert_eq!(
            (gate.waiting(), w.store.calls(StoreCall::Acquire)),
            (1, claims)
        );
        gate.open();
        again.await.unwrap().unwrap();
        w.running(FLEET).await;
        assert_eq!(w.rooms("occupied"), 1, "it was written before");
    });
}
