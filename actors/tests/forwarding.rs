//! Delivery of events to forwarders: which calls wait for others, and which do not.

mod support;

use maestro_core::domain::{Forwarder, PingStatus, SchedulerName};
use maestro_core::ports::ForwardedEvent::{self, Resync, RoomEvent, Terminated};
use maestro_core::state::{Command, EventRequest, RequestedEvent};
use maestro_testkit::eventually;
use maestro_testkit::fake::{Gate, StoreCall, StoreFault};
use maestro_testkit::{build, fake::FakeForwarders};
use std::sync::Arc;
use std::time::Duration;
use support::{FLEET, IO_THREAD, LONG, Setup, World, moment, ping, room_id};
use tokio::time::Instant;

fn forwarder(name: &str) -> Forwarder {
    Forwarder {
        name: name.into(),
        enabled: true,
        forward_type: "gRPC".into(),
        address: format!("{name}:80"),
        options: None,
    }
}

/// A fleet of ready rooms with two forwarders.
fn told(rooms: u16) -> Setup {
    let setup = Setup::empty().patient();
    let records = (0..rooms).map(|i| {
        let id = room_id(i);
        setup.runtime.insert(FLEET, build::instance(id.as_str()));
        let room = build::room(id.as_str()).ready();
        room.host_ports(&[20_000 + i]).build()
    });
    let records: Vec<_> = records.collect();
    let scheduler = build::scheduler(FLEET).replicas(i32::from(rooms));
    let scheduler =
        scheduler.edit(|s| s.forwarders = Some(vec![forwarder("one"), forwarder("two")]));
    setup.store.insert(scheduler.build(), records, []);
    setup
}

async fn told_of(w: &World, forwarder: &str, room: u16, count: usize) -> Vec<ForwardedEvent> {
    let heard = || w.forwarders.events(forwarder, &room_id(room));
    eventually(LONG, "it is told", || heard().len() >= count).await;
    heard()
}

async fn request(w: &World, room: u16, word: &str) -> Result<(), String> {
    let request = EventRequest {
        room: room_id(room),
        metadata: "{}".into(),
        event: RequestedEvent::Room(word.into()),
    };
    let sent = w.node.forward(FLEET, request, None).await;
    sent.map_err(|error| error.to_string())
}

const READY: ForwardedEvent = Resync(PingStatus::Ready);
const OCCUPIED: ForwardedEvent = Resync(PingStatus::Occupied);

#[test]
fn a_call_that_hangs_holds_up_its_room_only() {
    told(2).run_on_threads(|w| async move {
        w.running(FLEET).await;
        let gate = w.forwarders.hold(room_id(0).as_str());
        for _ in 0..3 {
            w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
            w.ping(&room_id(1), PingStatus::Ready).await.unwrap();
        }
        assert_eq!(told_of(&w, "one", 1, 3).await, [READY, READY, READY]);
        assert_eq!(told_of(&w, "one", 0, 1).await, [READY]);
        // Nor does anyone who asks for something else.
        w.allocate().await.unwrap();
        gate.open();
        assert_eq!(told_of(&w, "one", 0, 3).await.len(), 3);
        let threads = w.forwarders.told();
        assert!(threads.iter().all(|t| t.thread == IO_THREAD), "{threads:?}");
    });
}

#[test]
fn a_forwarder_that_hangs_or_fails_holds_up_no_other() {
    told(1).run(|w| async move {
        w.running(FLEET).await;
        let _gate = w.forwarders.hold("one");
        w.forwarders.fail("two");
        for count in 1..=5 {
            w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
            told_of(&w, "two", 0, count).await;
        }
        assert_eq!(w.forwarders.events("one", &room_id(0)), [READY]);
        // The node shuts down although a call hangs, which every test checks at its end.
    });
}

#[test]
fn events_of_a_room_come_in_their_order() {
    told(4).run(|w| async move {
        w.running(FLEET).await;
        let mut expected = Vec::new();
        for n in 0..40 {
            let (status, event) = match n % 3 {
                0 => (PingStatus::Occupied, OCCUPIED),
                _ => (PingStatus::Ready, READY),
            };
            for room in 0..4 {
                w.ping(&room_id(room), status).await.unwrap();
            }
            expected.push(event);
        }
        w.ask(Command::DeleteScheduler).await.unwrap();
        expected.push(Terminated);
        for room in 0..4 {
            for forwarder in ["one", "two"] {
                let heard = told_of(&w, forwarder, room, expected.len()).await;
                assert_eq!(heard, expected, "room {room} at {forwarder}");
            }
        }
    });
}

#[test]
fn the_ends_of_rooms_are_told_although_their_owner_is_gone() {
    told(3).run(|w| async move {
        w.running(FLEET).await;
        let gate = w.forwarders.hold("one");
        w.ask(Command::DeleteScheduler).await.unwrap();
        eventually(LONG, "it is gone", || {
            w.store.stored_scheduler(FLEET).is_none()
        })
        .await;
        gate.open();
        for room in 0..3 {
            assert_eq!(told_of(&w, "one", room, 1).await, [Terminated]);
        }
    });
}

#[test]
fn what_depends_on_a_change_waits_until_it_is_durable() {
    told(1).run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let occupied = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        gate.reached_by(1).await;
        // Steady and answered at once, but not forwarded before earlier events that are still being written.
        let began = Instant::now();
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1));
        request(&w, 0, "goal").await.unwrap();
        let heard = w.forwarders.events("one", &room_id(0));
        assert_eq!(heard, [RoomEvent("goal".into())]);
        gate.open();
        occupied.await.unwrap().unwrap();
        let heard = told_of(&w, "one", 0, 3).await;
        assert_eq!(heard[1..], [OCCUPIED, OCCUPIED]);
    });
}

#[test]
fn a_change_that_cannot_be_stored_silences_its_room_only() {
    told(3).run(|w| async move {
        w.running(FLEET).await;
        w.store.set_down(true);
        // Accepted: an outage of the store does not concern rooms.
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        for count in 1..=2 {
            for room in [1, 2] {
                w.ping(&room_id(room), PingStatus::Ready).await.unwrap();
                assert_eq!(told_of(&w, "one", room, count).await, vec![READY; count]);
            }
            w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        }
        assert_eq!(told_of(&w, "two", 1, 2).await, [READY, READY]);
        assert_eq!(w.forwarders.events("one", &room_id(0)), []);
        w.store.set_down(false);
        assert_eq!(
            told_of(&w, "one", 0, 3).await,
            [OCCUPIED, OCCUPIED, OCCUPIED]
        );
        // Now events wait for nothing.
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        assert_eq!(told_of(&w, "one", 0, 4).await.len(), 4);
        // Not for the commits of others either.
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let other = w.spawn_ping(&room_id(1), PingStatus::Occupied);
        gate.reached_by(1).await;
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        assert_eq!(told_of(&w, "one", 0, 5).await.len(), 5);
        assert_eq!(gate.waiting(), 1, "that commit is still under way");
        gate.open();
        other.await.unwrap().unwrap();
    });
}

#[test]
fn a_request_is_answered_with_what_the_first_failing_forwarder_said() {
    told(1).run(|w| async move {
        w.running(FLEET).await;
        request(&w, 0, "goal").await.unwrap();
        w.forwarders.fail("two");
        let why = "failed to forward event room at \"two\" with code Unavailable: it is down";
        assert_eq!(request(&w, 0, "goal").await, Err(why.into()));
        w.forwarders.fail("one");
        let why = "failed to forward event room at \"one\" with code Unavailable: it is down";
        assert_eq!(request(&w, 0, "goal").await, Err(why.into()));
        let calls = |name: &str| w.forwarders.events(name, &room_id(0)).len();
        assert_eq!((calls("one"), calls("two")), (3, 2));
        let unknown = "scheduler fleet-9 not found";
        let request = EventRequest {
            room: room_id(0),
            metadata: "{}".into(),
            event: RequestedEvent::Room("goal".into()),
        };
        let error = w.node.forward("fleet-9", request, None).await.unwrap_err();
        assert_eq!(error.to_string(), unknown);
    });
}

#[test]
fn requests_that_hang_are_bounded_and_keep_nobody_from_allocating() {
    told(1).run(|w| async move {
        w.running(FLEET).await;
        let gate = w.forwarders.hold("one");
        let hanging: Vec<_> = (0..256)
            .map(|_| w.spawn(|w| Box::pin(async move { request(&w, 0, "goal").await })))
            .collect();
        let calls = |f: &Arc<FakeForwarders>| f.events("one", &room_id(0)).len();
        eventually(LONG, "all of them hang", || calls(&w.forwarders) == 256).await;
        let busy = request(&w, 0, "goal").await.unwrap_err();
        assert!(busy.contains("too many requests"), "{busy}");
        w.allocate().await.unwrap();
        gate.open();
        for request in hanging {
            request.await.unwrap().unwrap();
        }
        request(&w, 0, "goal").await.unwrap();
    });
}

#[test]
fn while_the_store_is_away_steady_pings_are_answered_and_the_surplus_is_not_told() {
    told(1).run(|w| async move {
        w.running(FLEET).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let occupied = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        gate.reached_by(1).await;
        for _ in 0..1500 {
            w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        }
        gate.open();
        occupied.await.unwrap().unwrap();
        let heard = told_of(&w, "one", 0, 1024).await;
        // The waiting ones, and the few that were delivered before any had to wait.
        assert!(heard.len() < 1100, "{}", heard.len());
        let dropped =
            r#"maestro_forwarding_dropped_events_total{scheduler="fleet",forwarder="one"}"#;
        assert!(metric(&w, dropped) > 400.0, "{}", w.page());
        assert_eq!(w.restarts(), 0);
        let name = SchedulerName::from(FLEET);
        assert!(
            w.forwarders
                .told()
                .iter()
                .all(|t| t.event.scheduler == name)
        );
    });
}

/// A value of the page, by the beginning of its line.
fn metric(w: &World, line: &str) -> f64 {
    let page = w.page();
    let found = page.lines().find_map(|l| l.strip_prefix(line));
    found.map_or(0.0, |value| value.trim().parse().expect("a number"))
}

#[test]
fn dropped_and_failed_events_are_counted() {
    told(1).run(|w| async move {
        w.running(FLEET).await;
        let gate = w.forwarders.hold("one");
        w.forwarders.fail("two");
        let dropped =
            r#"maestro_forwarding_dropped_events_total{scheduler="fleet",forwarder="one"}"#;
        let failed = r#"maestro_api_failed_ping_forwarding_total{scheduler="fleet"}"#;
        let pings = 1_030;
        for _ in 0..pings {
            w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        }
        // One is in progress, 1,024 are waiting.
        let count = || metric(&w, dropped);
        eventually(LONG, "the others are counted", || count() >= 5.0).await;
        assert_eq!(count(), 5.0, "{}", w.page());
        let all = || metric(&w, failed) == f64::from(pings);
        eventually(LONG, "each that failed is counted", all).await;
        gate.open();
    });
}

#[test]
fn the_end_of_one_scheduler_forgets_no_counts_of_others_and_its_own_not_at_once() {
    let setup = told(1);
    setup.add_fleet("other", 0);
    setup.run(|w| async move {
        w.running(FLEET).await;
        w.running("other").await;
        w.forwarders.fail("one");
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        let failed = r#"maestro_api_failed_ping_forwarding_total{scheduler="fleet"}"#;
        let all = || metric(&w, failed) == 1.0;
        eventually(LONG, "it is counted", all).await;
        for name in ["other", FLEET] {
            let ended = w.node.ask(name, Command::DeleteScheduler, None).await;
            ended.unwrap();
            let gone = || matches!(w.node.directory().find(name), Ok(None));
            eventually(LONG, "it is gone", gone).await;
            // A scrape shows the final counts of a scheduler that has ended.
            assert!(all(), "after the end of {name}: {}", w.page());
        }
    });
}

#[test]
fn one_that_comes_back_after_long_counts_anew() {
    let setup = told(1);
    setup.add_fleet("other", 0);
    setup.run(|w| async move {
        w.running(FLEET).await;
        w.running("other").await;
        w.forwarders.fail("one");
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        let failed = r#"maestro_api_failed_ping_forwarding_total{scheduler="fleet"}"#;
        eventually(LONG, "it is counted", || metric(&w, failed) == 1.0).await;
        for name in [FLEET, "other"] {
            let ended = w.node.ask(name, Command::DeleteScheduler, None).await;
            ended.unwrap();
            let gone = || matches!(w.node.directory().find(name), Ok(None));
            eventually(LONG, "it is gone", gone).await;
            tokio::time::sleep(Duration::from_secs(301)).await;
        }
        let again = build::scheduler(FLEET).replicas(0).build();
        let again = Command::CreateScheduler(Box::new(again));
        w.ask(again).await.unwrap();
        w.running(FLEET).await;
        assert_eq!(metric(&w, failed), 0.0);
    });
}

fn calls_of(w: &World, forwarder: &str) -> usize {
    let told = w.forwarders.told();
    told.iter().filter(|t| t.forwarder == forwarder).count()
}

#[test]
fn a_forwarder_has_so_many_calls_at_once_and_the_rest_waits() {
    told(40).run(|w| async move {
        w.running(FLEET).await;
        for begun in [0, 40] {
            let gate = w.forwarders.hold("one");
            for room in 0..40 {
                w.ping(&room_id(room), PingStatus::Ready).await.unwrap();
            }
            moment().await;
            assert_eq!(calls_of(&w, "one"), begun + 32);
            gate.let_one_pass();
            moment().await;
            assert_eq!(calls_of(&w, "one"), begun + 33);
            gate.open();
            moment().await;
            assert_eq!(calls_of(&w, "one"), begun + 40);
        }
    });
}

#[test]
fn forwarders_that_share_a_name_or_an_address_are_told_apart() {
    let setup = Setup::empty().patient();
    setup.runtime.insert(FLEET, build::instance("r-00000"));
    let room = build::room("r-00000").ready().host_ports(&[20_000]);
    let of = |name: &str, address: &str| Forwarder {
        address: address.into(),
        ..forwarder(name)
    };
    let forwarders = vec![of("one", "a:80"), of("two", "a:80"), of("one", "b:80")];
    let scheduler = build::scheduler(FLEET)
        .replicas(1)
        .edit(|s| s.forwarders = Some(forwarders));
    setup.store.insert(scheduler.build(), [room.build()], []);
    setup.run(|w| async move {
        w.running(FLEET).await;
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        moment().await;
        let told = w.forwarders.told();
        let mut told: Vec<_> = told
            .iter()
            .map(|t| (t.forwarder.as_str(), t.address.as_str()))
            .collect();
        told.sort_unstable();
        assert_eq!(told, [("one", "a:80"), ("one", "b:80"), ("two", "a:80")]);
    });
}

/// A fleet of one ready room, with a forwarder of its own.
fn add_told(setup: &Setup, name: &str) {
    let room = format!("{name}-room");
    setup.runtime.insert(name, build::instance(&room));
    let record = build::room(&room).ready().build();
    let scheduler = build::scheduler(name)
        .replicas(1)
        .edit(|s| s.forwarders = Some(vec![forwarder(&format!("{name}-forwarder"))]));
    setup.store.insert(scheduler.build(), [record], []);
}

#[test]
fn a_forwarder_that_is_told_nothing_for_long_is_forgotten_when_another_is_told() {
    let ages = Duration::from_secs(1_000_000);
    let setup = Setup::empty().core(|c| c.ping_timeout = ages);
    for name in ["first", "hangs", "second", "third"] {
        add_told(&setup, name);
    }
    setup.run(|w| async move {
        let say = async |name: &str| {
            let room = format!("{name}-room").as_str().into();
            w.node
                .ping(name, ping(&room, PingStatus::Ready))
                .await
                .unwrap();
        };
        for name in ["first", "hangs", "second", "third"] {
            w.running(name).await;
        }
        let gate = w.forwarders.hold("hangs-forwarder");
        say("hangs").await;
        let told_at = Instant::now();
        say("first").await;
        assert_eq!(told_at.elapsed(), Duration::ZERO);
        moment().await;
        assert_eq!(w.forwarders.told().len(), 2);
        let long = Duration::from_secs(600);
        tokio::time::advance(long - Duration::from_millis(1) - told_at.elapsed()).await;
        say("second").await;
        assert_eq!(w.forwarders.ended(), [], "it is not long enough");
        tokio::time::advance(long - told_at.elapsed()).await;
        assert_eq!(told_at.elapsed(), long);
        say("third").await;
        assert_eq!(w.forwarders.ended(), ["first".into()]);
        moment().await;
        // What is under way is as before: one call at a time.
        say("hangs").await;
        moment().await;
        assert_eq!(calls_of(&w, "hangs-forwarder"), 1);
        gate.open();
        moment().await;
        assert_eq!(calls_of(&w, "hangs-forwarder"), 2);
    });
}

#[test]
fn nothing_is_kept_for_a_scheduler_that_has_told_its_last() {
    told(1).run(|w| async move {
        w.running(FLEET).await;
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        told_of(&w, "one", 0, 1).await;
        let gate = w.forwarders.hold("one");
        w.ask(Command::DeleteScheduler).await.unwrap();
        told_of(&w, "one", 0, 2).await;
        let gone = || matches!(w.node.directory().find(FLEET), Ok(None));
        eventually(LONG, "its owner is gone", gone).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(w.forwarders.ended(), [], "its last is still on its way");
        gate.open();
        let ended = || w.forwarders.ended() == [FLEET.into()];
        eventually(LONG, "it is told", ended).await;
    });
}

#[test]
fn what_became_of_events_is_on_the_page() {
    told(1).run(|w| async move {
        w.running(FLEET).await;
        let player = || EventRequest {
            room: room_id(0),
            metadata: "{}".into(),
            event: RequestedEvent::Player {
                event: "playerJoin".into(),
                player: Some("p".into()),
            },
        };
        let of = |result: &str, kind: &str, code: &str| {
            let name = format!("maestro_api_{result}_{kind}_event_forwarding_total");
            let labels = format!(r#"{{game="game",scheduler="fleet",code="{code}"}}"#);
            metric(&w, &(name + &labels))
        };
        request(&w, 0, "goal").await.unwrap();
        w.node.forward(FLEET, player(), None).await.unwrap();
        assert_eq!(of("success", "room", "OK"), 2.0, "{}", w.page());
        assert_eq!(of("success", "player", "OK"), 2.0);
        for name in ["one", "two"] {
            w.forwarders.fail(name);
        }
        w.node.forward(FLEET, player(), None).await.unwrap_err();
        w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        moment().await;
        let failed = r#"maestro_api_failed_ping_forwarding_total{scheduler="fleet"}"#;
        assert_eq!(metric(&w, failed), 1.0, "however many do not take it");
        assert_eq!(of("failed", "player", "Unavailable"), 1.0);
        assert_eq!(of("failed", "room", "Unavailable"), 2.0);
        assert_eq!(of("success", "room", "Unavailable"), 0.0);
        w.ask(Command::DeleteScheduler).await.unwrap();
        let ends = || of("failed", "room", "Unavailable") == 4.0;
        eventually(LONG, "its end is told to both", ends).await;
        assert_eq!(metric(&w, failed), 1.0, "an end is no ping");
        assert_eq!(of("success", "room", "OK"), 2.0);
    });
}
