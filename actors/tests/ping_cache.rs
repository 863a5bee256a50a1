//! Steady pings are answered where they arrive, and none of them is lost.

mod support;

use maestro_core::domain::PingStatus;
use maestro_core::state::Ping;
use maestro_testkit::eventually;
use maestro_testkit::fake::{StoreCall, StoreFault};
use std::time::Duration;
use support::*;

fn ping(status: PingStatus, metadata: &str) -> Ping {
    Ping {
        room: room_id(0),
        status,
        running_matches: 0,
        metadata: metadata.into(),
    }
}

impl World {
    async fn say(&self, metadata: &str) {
        let said = ping(PingStatus::Ready, metadata);
        let answer = self.node.ping(FLEET, said).await;
        answer.expect("the ping is taken");
    }
    fn answered(&self) -> u64 {
        self.view().scheduler.map_or(0, |s| s.board.answered)
    }
    fn stored_metadata(&self) -> Option<String> {
        let room = self.store.stored_room(FLEET, room_id(0).as_str())?;
        room.reported.metadata.as_deref().map(str::to_owned)
    }
}

#[test]
fn a_steady_ping_is_answered_while_the_actor_is_busy_and_another_waits_for_it() {
    Setup::fleet(1).patient().run_on_threads(|w| async move {
        w.running(FLEET).await;
        w.say("{}").await;
        let release = w.hold(FLEET).await;
        for _ in 0..100 {
            w.say("{}").await;
        }
        assert_eq!(w.answered(), 100);
        let change = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        eventually(LONG, "a change waits", || w.view().mailbox_depth > 0).await;
        assert!(!change.is_finished());
        drop(release);
        change.await.unwrap().unwrap();
        // The room now reports something else.
        let before = w.answered();
        w.say("{}").await;
        assert_eq!(w.answered(), before);
    });
}

#[test]
fn what_was_answered_from_the_board_is_written_soon_and_before_a_reload() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        w.say("{}").await;
        moment().await;
        w.say(r#"{"map":"north"}"#).await;
        assert_eq!(w.answered(), 1);
        let north = || w.stored_metadata().as_deref() == Some(r#"{"map":"north"}"#);
        eventually(LONG, "it is written", north).await;
        moment().await;
        w.say(r#"{"map":"south"}"#).await;
        assert_eq!(w.answered(), 2);
        w.node.reload(FLEET).await.unwrap();
        assert_eq!(w.stored_metadata().as_deref(), Some(r#"{"map":"south"}"#));
        // Another incarnation has another cache.
        w.running(FLEET).await;
        assert_eq!(w.answered(), 0);
    });
}

#[test]
fn nothing_is_answered_from_the_board_of_an_owner_without_a_lease() {
    let short = |s: &mut maestro_actors::ActorSettings| {
        s.lease_ttl = Duration::from_secs(2);
        s.lease_renewal = Duration::from_millis(200);
    };
    let setup = Setup::fleet(1).settings(short);
    setup.store.set_lease(Duration::from_secs(2));
    setup.run(|w| async move {
        w.running(FLEET).await;
        w.say("{}").await;
        // It is not taken over either.
        w.store
            .fail_always(StoreCall::Renew, StoreFault::NotApplied);
        w.store
            .fail_always(StoreCall::Acquire, StoreFault::NotApplied);
        let lease = || w.view().scheduler.map(|s| s.lease_left_ms);
        eventually(LONG, "its lease is about to run out", || lease() < Some(20)).await;
        w.say("{}").await;
        let (answered, looked_at) = (w.answered(), w.handled("ping"));
        assert_eq!(answered, 1);
        eventually(LONG, "its lease runs out", || lease() == Some(0)).await;
        // Less than a millisecond of the lease may be left.
        moment().await;
        w.say("{}").await;
        moment().await;
        assert_eq!((w.answered(), w.handled("ping")), (answered, looked_at + 1));
    });
}

#[test]
fn a_large_fleet_is_told_of_in_pieces() {
    let pieces = |c: &mut maestro_core::settings::CoreSettings| c.rooms_per_turn = 3;
    Setup::fleet(20).core(pieces).run(|w| async move {
        w.running(FLEET).await;
        for round in 0..3 {
            moment().await;
            for i in 0..20 {
                let said = Ping {
                    room: room_id(i),
                    ..ping(PingStatus::Ready, &format!(r#"{{"round":{round}}}"#))
                };
                w.node.ping(FLEET, said).await.unwrap();
            }
        }
        let last = |i: u16| {
            let room = w.store.stored_room(FLEET, room_id(i).as_str());
            room.is_some_and(|r| r.reported.metadata.as_deref() == Some(r#"{"round":2}"#))
        };
        eventually(LONG, "all are written", || (0..20).all(last)).await;
        assert_eq!(w.handled("pinged"), 7, "three rooms each");
        assert_eq!(w.view().scheduler.unwrap().board.waiting, 0);
    });
}

#[test]
fn what_comes_while_the_actor_is_told_is_told_soon_as_well() {
    let pieces = |c: &mut maestro_core::settings::CoreSettings| c.rooms_per_turn = 1;
    // More than an actor does before anybody else has a turn.
    const ROOMS: u16 = 1_200;
    Setup::fleet(ROOMS).core(pieces).run(|w| async move {
        w.running(FLEET).await;
        let say = async |room, metadata: &str| {
            let said = Ping {
                room: room_id(room),
                ..ping(PingStatus::Ready, metadata)
            };
            w.node.ping(FLEET, said).await.unwrap();
        };
        for _ in 0..2 {
            for room in 0..ROOMS {
                say(room, "{}").await;
            }
            moment().await;
        }
        let waiting = || w.view().scheduler.map_or(0, |s| s.board.waiting);
        assert_eq!(waiting(), usize::from(ROOMS));
        tokio::time::advance(Duration::from_secs(1)).await;
        while waiting() == usize::from(ROOMS) {
            tokio::task::yield_now().await;
        }
        assert!(waiting() > 0, "it is in the middle of them");
        say(0, r#"{"map":"north"}"#).await;
        let stored = || w.stored_metadata().as_deref() == Some(r#"{"map":"north"}"#);
        let soon = Duration::from_millis(1_500);
        eventually(soon, "the last one is stored", stored).await;
    });
}

#[test]
fn a_room_whose_pings_are_answered_from_the_board_is_not_silent() {
    let late = |c: &mut maestro_core::settings::CoreSettings| {
        c.ping_timeout = Duration::from_secs(2);
        c.health_interval = Duration::from_secs(1);
        // The actor is told of them when it is about to look.
        c.touch_interval = LONG * 10;
    };
    Setup::fleet(1).core(late).run(|w| async move {
        w.running(FLEET).await;
        for _ in 0..60 {
            w.say("{}").await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert_eq!(w.runtime.terminations(), []);
        assert!(w.answered() > 50);
        let replaced = || !w.runtime.terminations().is_empty();
        let soon = Duration::from_secs(10);
        eventually(soon, "a silent one is replaced", replaced).await;
    });
}
