//! A store that lost changes: its owner writes everything again, and nobody notices.

mod support;

use maestro_actors::CallError;
use maestro_core::domain::{OperationId, OperationStatus, PingStatus, RoomStatus};
use maestro_core::ports::{Change, StoreError};
use maestro_core::state::{Command, Reply};
use maestro_testkit::build;
use maestro_testkit::eventually;
use maestro_testkit::fake::{Gate, StoreCall, StoreFault};
use std::time::Duration;
use support::{FLEET, LONG, Setup, World, room_id};
use tokio::time::Instant;

fn stored_statuses(w: &World) -> Vec<RoomStatus> {
    let rooms = w.store.stored_rooms(FLEET);
    rooms.iter().map(|room| room.reported.status).collect()
}

fn republished(w: &World) -> u64 {
    let line = format!("maestro_store_republished_total{{scheduler=\"{FLEET}\"}} ");
    let page = w.page();
    let value = page.lines().find_map(|found| found.strip_prefix(&line));
    value.expect("it is on the page").parse().expect("a number")
}

/// Number of commits with a snapshot.
fn snapshots(w: &World) -> usize {
    let log = w.store.log(FLEET);
    log.iter()
        .filter(|batch| batch.contains(&Change::Clear))
        .count()
}

async fn enqueued(w: &World, command: Command) -> OperationId {
    match w.ask(command).await {
        Ok(Reply::Operation(id)) => id,
        other => panic!("an order answered {other:?}"),
    }
}

#[test]
fn what_was_acknowledged_is_stored_again_and_the_owner_goes_on() {
    Setup::fleet(3).patient().run(|w| async move {
        w.running(FLEET).await;
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        w.store.lose_last_commit(FLEET);
        w.ping(&room_id(1), PingStatus::Occupied).await.unwrap();
        use RoomStatus::{Occupied, Ready};
        assert_eq!(stored_statuses(&w), [Occupied, Occupied, Ready]);
        w.ping(&room_id(2), PingStatus::Occupied).await.unwrap();
        assert_eq!(stored_statuses(&w), [Occupied; 3]);
        assert_eq!((w.restarts(), republished(&w), snapshots(&w)), (0, 1, 1));
    });
}

#[test]
fn an_operation_whose_order_was_lost_is_there_again() {
    let paused = |core: &mut maestro_core::settings::CoreSettings| core.paused = true;
    Setup::fleet(1).core(paused).patient().run(|w| async move {
        w.running(FLEET).await;
        let sleep = |sleep_seconds| Command::TestOperation { sleep_seconds };
        let first = enqueued(&w, sleep(1)).await;
        let lost = enqueued(&w, sleep(2)).await;
        w.store.lose_rooms_and_operations(FLEET);
        let next = enqueued(&w, sleep(3)).await;
        let stored = w.store.open_operations(FLEET);
        let stored: Vec<_> = stored.iter().map(|o| o.id).collect();
        assert_eq!(stored, [first, lost, next], "in the order of the queue");
        assert_eq!(stored_statuses(&w), [RoomStatus::Ready]);
        assert_eq!((w.restarts(), republished(&w)), (0, 1));
    });
}

#[test]
fn an_operation_that_ended_is_there_again() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let ended = enqueued(&w, Command::TestOperation { sleep_seconds: 1 }).await;
        let is_final = |w: &World| {
            let stored = w.store.stored_operation(FLEET, ended);
            stored.is_some_and(|o| o.status.is_final())
        };
        eventually(LONG, "it ends", || is_final(&w)).await;
        w.store.lose_rooms_and_operations(FLEET);
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        assert!(is_final(&w));
    });
}

/// Whoever waits for it reads the store.
#[test]
fn a_wait_outlives_the_loss_of_its_operation() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        let id = enqueued(&w, Command::TestOperation { sleep_seconds: 3 }).await;
        let wait = |time| {
            let until = Instant::now() + time;
            w.spawn(move |w| {
                Box::pin(async move { w.node.await_operation(FLEET, id, until).await })
            })
        };
        w.store.lose_rooms_and_operations(FLEET);
        let short = wait(Duration::from_millis(500)).await.unwrap();
        match short {
            Err(CallError::Store(StoreError::Unavailable(why))) => {
                assert!(why.text().contains("writes it again"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        let long = wait(LONG);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(w.store.stored_operation(FLEET, id).is_none(), "it is lost");
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        let ended = long.await.unwrap().expect("it is there again");
        assert_eq!(ended.status, OperationStatus::Finished);
    });
}

/// What the owner writes again does not say what is gone: that is in the changes that wait.
#[test]
fn what_is_deleted_meanwhile_is_gone_with_it() {
    Setup::empty().patient().run(|w| async move {
        w.node.loaded(LONG).await;
        let slow = Gate::closed();
        w.platform.hold(&slow);
        enqueued(&w, Command::CreateRuntime).await;
        let document = build::scheduler(FLEET).build();
        w.ask(Command::CreateScheduler(Box::new(document)))
            .await
            .unwrap();
        // It waits for the runtime.
        let open = w.store.open_operations(FLEET);
        let creation = open
            .iter()
            .find(|o| o.definition.name() == "create_scheduler");
        let creation = creation.expect("it is queued").id;
        w.store.lose_rooms_and_operations(FLEET);
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let test = Command::TestOperation { sleep_seconds: 1 };
        let behind = w.spawn(|w| Box::pin(async move { w.ask(test).await }));
        gate.reached_by(1).await;
        assert!(w.store.stored_scheduler(FLEET).is_some());
        let before = w.handled("command");
        let cancel = Command::Cancel(creation);
        let canceled = w.spawn(|w| Box::pin(async move { w.ask(cancel).await }));
        let decided = || w.handled("command") > before;
        eventually(LONG, "it is decided", decided).await;
        gate.open();
        behind.await.unwrap().unwrap();
        canceled.await.unwrap().unwrap();
        assert!(w.store.stored_scheduler(FLEET).is_none());
        assert_eq!((w.restarts(), snapshots(&w)), (0, 1));
        slow.open();
    });
}

#[test]
fn what_is_decided_meanwhile_becomes_durable_with_it() {
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        w.store.lose_last_commit(FLEET);
        // The store refuses the repair too, and loses no more.
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let behind = w.spawn_ping(&room_id(1), PingStatus::Occupied);
        gate.reached_by(1).await;
        w.store.fail(StoreCall::Commit, StoreFault::NotApplied);
        w.store
            .fail(StoreCall::Commit, StoreFault::NotAppliedUnknown);
        let later = w.spawn_ping(&room_id(0), PingStatus::Ready);
        eventually(LONG, "it is decided", || w.rooms("ready") == 1).await;
        gate.open();
        behind.await.unwrap().unwrap();
        later.await.unwrap().unwrap();
        use RoomStatus::{Occupied, Ready};
        assert_eq!(stored_statuses(&w), [Ready, Occupied]);
        assert_eq!((w.restarts(), republished(&w), snapshots(&w)), (0, 1, 1));
        assert_eq!(w.view().scheduler.unwrap().writer.waiting, 0);
    });
}

#[test]
fn a_store_that_loses_the_repair_as_well_is_repaired_again() {
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        for i in 0..2 {
            w.ping(&room_id(i), PingStatus::Occupied).await.unwrap();
        }
        w.store.fail(StoreCall::Commit, StoreFault::Behind);
        let mut commits = 0;
        let store = w.store.clone();
        w.store.fail_when(move |call, _| {
            let commit = call == StoreCall::Commit;
            commits += u32::from(commit);
            // Before the repair, and before its first repetition.
            if commit && (2..4).contains(&commits) {
                return Some(StoreFault::Behind);
            }
            let _ = &store;
            None
        });
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        use RoomStatus::{Occupied, Ready};
        assert_eq!(stored_statuses(&w), [Ready, Occupied]);
        assert_eq!((w.restarts(), republished(&w)), (0, 1), "it is one episode");
    });
}

#[test]
fn a_store_that_loses_more_during_the_repair_is_repaired_from_there() {
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        for i in 0..2 {
            w.ping(&room_id(i), PingStatus::Occupied).await.unwrap();
        }
        w.store.lose_last_commit(FLEET);
        let gate = Gate::closed();
        let (mut commits, held) = (0, gate.clone());
        w.store.fail_when(move |call, _| {
            commits += u32::from(call == StoreCall::Commit);
            let is_repair = call == StoreCall::Commit && commits == 2;
            is_repair.then(|| StoreFault::Held(held.clone()))
        });
        let told = w.spawn_ping(&room_id(0), PingStatus::Ready);
        gate.reached_by(1).await;
        w.store.lose_rooms_and_operations(FLEET);
        gate.open();
        let told = tokio::time::timeout(LONG, told).await;
        told.expect("it is repaired").unwrap().unwrap();
        use RoomStatus::{Occupied, Ready};
        assert_eq!(stored_statuses(&w), [Ready, Occupied]);
        assert_eq!((w.restarts(), republished(&w)), (0, 1), "it is one episode");
    });
}

#[test]
fn steady_pings_notice_it_too() {
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        eventually(LONG, "its touch is written", || {
            w.view().scheduler.unwrap().writer.waiting == 0
        })
        .await;
        w.store.lose_rooms_and_operations(FLEET);
        w.ping(&room_id(1), PingStatus::Ready).await.unwrap();
        eventually(LONG, "it is repaired", || republished(&w) == 1).await;
        use RoomStatus::{Occupied, Ready};
        eventually(LONG, "it is stored", || {
            stored_statuses(&w) == [Occupied, Ready]
        })
        .await;
        assert_eq!(w.restarts(), 0);
    });
}

#[test]
fn another_owner_ends_it_before_it_is_written() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        w.store.lose_last_commit(FLEET);
        let gate = Gate::closed();
        let mut commits = 0;
        let held = gate.clone();
        w.store.fail_when(move |call, _| {
            commits += u32::from(call == StoreCall::Commit);
            let repair = call == StoreCall::Commit && commits == 2;
            repair.then(|| StoreFault::Held(held.clone()))
        });
        let told = w.spawn_ping(&room_id(0), PingStatus::Ready);
        gate.reached_by(1).await;
        w.store.steal(FLEET, "elsewhere:1");
        gate.open();
        told.await.unwrap().unwrap_err();
        assert_eq!(snapshots(&w), 0);
        w.store.expire(FLEET);
        w.running(FLEET).await;
    });
}

#[test]
fn an_owner_without_a_lease_repairs_nothing() {
    Setup::fleet(2).patient().run(|w| async move {
        w.running(FLEET).await;
        w.allocate().await.unwrap();
        w.store
            .fail_always(StoreCall::Renew, StoreFault::NotApplied);
        let left = || w.view().scheduler.unwrap().lease_left_ms;
        eventually(LONG, "its lease ends", || left() < 1_000).await;
        w.store.lose_rooms_and_operations(FLEET);
        let told = w.spawn_allocate();
        eventually(LONG, "the loss is noticed", || republished(&w) == 1).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!((snapshots(&w), stored_statuses(&w).len()), (0, 0));
        w.store.heal();
        assert_eq!(told.await.unwrap().unwrap(), room_id(1));
        assert_eq!(stored_statuses(&w), [RoomStatus::Allocated; 2]);
        assert_eq!((w.restarts(), snapshots(&w)), (0, 1));
    });
}

#[test]
fn an_owner_that_loads_what_is_left_gives_out_no_room_that_may_be_held() {
    let hold = Duration::from_secs(30);
    let setup = Setup::fleet(2).core(|core| core.allocation_hold = hold);
    // An earlier owner wrote something, which is gone.
    setup.store.lose_rooms_and_operations(FLEET);
    setup.patient().run(|w| async move {
        w.running(FLEET).await;
        for i in 0..2 {
            w.ping(&room_id(i), PingStatus::Ready).await.unwrap();
        }
        eventually(LONG, "no room is replaced", || w.rooms("ready") == 2).await;
        w.allocate().await.unwrap_err();
        w.ping(&room_id(1), PingStatus::Occupied).await.unwrap();
        w.ping(&room_id(1), PingStatus::Ready).await.unwrap();
        assert_eq!(w.allocate().await.unwrap(), room_id(1), "its match is over");
        tokio::time::sleep(hold).await;
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        assert_eq!(w.allocate().await.unwrap(), room_id(0));
    });
}
