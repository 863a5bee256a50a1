//! Answers of a node for schedulers that exist, that do not exist, and that may be created.

mod support;

use maestro_actors::CallError;
use maestro_core::domain::*;
use maestro_core::ports::{Claim, ContainerProcess, Ownership, RuntimeError};
use maestro_core::state::{Command, RefusalKind, Reply};
use maestro_testkit::build;
use maestro_testkit::eventually;
use maestro_testkit::fake::{Gate, RuntimeCall, RuntimeFault, StoreCall, StoreFault};
use std::time::Duration;
use support::*;
use tokio::time::Instant;

fn refused(answer: Result<impl Sized, CallError>) -> (RefusalKind, String) {
    match answer.err() {
        Some(CallError::Refused(refusal)) => (refusal.kind, refusal.message),
        other => panic!("no refusal: {other:?}"),
    }
}

#[test]
fn what_is_asked_of_nobody_is_refused_and_makes_no_owner() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        let ask = |command| w.node.ask("nobody", command, None);
        let missing = (
            RefusalKind::NotFound,
            "scheduler nobody not found".to_owned(),
        );
        assert_eq!(
            refused(
                ask(Command::AddRooms {
                    amount: 1,
                    version: None
                })
                .await
            ),
            missing
        );
        let pinged = w
            .node
            .ping("nobody", ping(&room_id(0), PingStatus::Ready))
            .await;
        assert_eq!(refused(pinged), missing);
        assert!(!w.node.reload("nobody").await.unwrap());
        assert!(w.node.debug(Some("nobody")).actors.is_empty());
        let owners: Vec<_> = w.node.directory().all();
        assert_eq!(owners.len(), 1);
        assert_eq!(owners[0].name().as_str(), FLEET);
        // An existing scheduler is reloaded.
        let before = w.view().scheduler.unwrap().epoch;
        assert!(w.node.reload(FLEET).await.unwrap());
        w.running(FLEET).await;
        let anew = || w.view().scheduler.is_some_and(|s| s.epoch > before);
        eventually(LONG, "it has another epoch", anew).await;
    });
}

#[test]
fn a_scheduler_comes_into_being_by_its_creation_alone() {
    Setup::empty().run(|w| async move {
        w.node.loaded(LONG).await;
        let create = |name: &str| {
            let document = build::scheduler(name).replicas(0).build();
            Command::CreateScheduler(Box::new(document))
        };
        let made = w.node.ask("new", create("new"), None).await.unwrap();
        assert!(matches!(made, Reply::Scheduler(s) if s.name.as_str() == "new"));
        w.running("new").await;
        let again = refused(w.node.ask("new", create("new"), None).await);
        assert_eq!(again.0, RefusalKind::AlreadyExists);
        w.node
            .ask("new", Command::DeleteScheduler, None)
            .await
            .unwrap();
        let gone = || w.node.directory().find("new").unwrap().is_none();
        eventually(LONG, "its owner goes", gone).await;
        w.node.ask("new", create("new"), None).await.unwrap();
        assert!(w.store.stored_scheduler("new").is_some());
    });
}

#[test]
fn who_comes_second_with_a_name_is_told_so() {
    Setup::empty().patient().run(|w| async move {
        w.node.loaded(LONG).await;
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let document = build::scheduler("new").replicas(0).build();
        let create = Command::CreateScheduler(Box::new(document.clone()));
        let second = w.spawn(|w| Box::pin(async move { w.node.ask("new", create, None).await }));
        gate.reached_by(1).await;
        // Another program creates it at the same time.
        w.store.insert(document, [], []);
        gate.open();
        let (kind, text) = refused(second.await.unwrap());
        assert_eq!(kind, RefusalKind::AlreadyExists, "{text}");
    });
}

/// What a claim without an answer has taken is this node's own, and nobody else would take it.
#[test]
fn what_the_store_has_as_this_nodes_own_is_taken() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        w.store.insert(build::scheduler("late").build(), [], []);
        let claims = w.store.acquire(&["late".into()]).await.unwrap();
        assert!(matches!(claims[..], [Claim::Owned { .. }]));
        w.running("late").await;
    });
}

#[test]
fn orders_for_schedulers_that_may_come_are_bounded() {
    Setup::empty().patient().run(|w| async move {
        w.node.loaded(LONG).await;
        let switch = || Command::SwitchVersion("v1.0.0".into());
        for n in 0..256 {
            let name = format!("stranger-{n}");
            w.node.ask(&name, switch(), None).await.unwrap();
        }
        let (kind, text) = refused(w.node.ask("one-more", switch(), None).await);
        assert_eq!(kind, RefusalKind::Exhausted);
        assert!(text.contains("scheduler one-more not found"), "{text}");
        // A scheduler that is created takes none of these places.
        let document = build::scheduler("fresh").replicas(0).build();
        let create = Command::CreateScheduler(Box::new(document));
        w.node.ask("fresh", create, None).await.unwrap();
        let (kind, _) = refused(w.node.ask("one-more", switch(), None).await);
        assert_eq!(kind, RefusalKind::Exhausted);
        // Creating one of these schedulers frees a place for another name.
        let document = build::scheduler("stranger-7").replicas(0).build();
        let create = Command::CreateScheduler(Box::new(document));
        w.node.ask("stranger-7", create, None).await.unwrap();
        w.node.ask("one-more", switch(), None).await.unwrap();
    });
}

#[test]
fn before_all_are_loaded_absence_means_nothing() {
    let setup = Setup::fleet(1);
    let gate = Gate::closed();
    setup
        .store
        .fail(StoreCall::Discover, StoreFault::Held(gate.clone()));
    setup.run(|w| async move {
        gate.reached_by(1).await;
        let asked = w.node.ask(FLEET, Command::Rollout, None).await;
        assert!(matches!(asked, Err(CallError::Restarting(_))), "{asked:?}");
        assert!(!w.node.directory().is_complete());
        w.node.loaded(Duration::from_millis(1)).await;
        gate.open();
        w.node.loaded(LONG).await;
        assert!(w.node.directory().is_complete());
        w.node.ask(FLEET, Command::Rollout, None).await.unwrap();
    });
}

#[test]
fn a_node_is_loaded_once_every_owner_runs() {
    let setup = Setup::fleet(1);
    let gate = Gate::closed();
    setup
        .store
        .fail(StoreCall::Acquire, StoreFault::Held(gate.clone()));
    setup.run(|w| async move {
        gate.reached_by(1).await;
        let most = Duration::from_millis(100);
        let began = Instant::now();
        w.node.loaded(most).await;
        let late = began.elapsed() - most;
        assert!(late < Duration::from_millis(10), "{late:?}");
        // Who may bring it into being waits for that, others are told.
        let looked = w.ask(Command::Rollout).await;
        assert!(
            matches!(looked, Err(CallError::Restarting(_))),
            "{looked:?}"
        );
        let create = |w: World| async move {
            let document = build::scheduler(FLEET).build();
            w.ask(Command::CreateScheduler(Box::new(document))).await
        };
        let created = [(); 2].map(|()| w.spawn(move |w| Box::pin(create(w))));
        tokio::time::sleep(most).await;
        assert!(created.iter().all(|created| !created.is_finished()));
        gate.open();
        let began = Instant::now();
        w.node.loaded(LONG).await;
        assert!(began.elapsed() < most);
        for created in created {
            let refused = refused(created.await.unwrap());
            assert_eq!(refused.0, RefusalKind::AlreadyExists);
        }
    });
}

#[test]
fn a_store_that_takes_nothing_is_seen_wherever_one_looks() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        let seen = || {
            let fails = w.page().contains("\nmaestro_store_failing 1\n");
            let shown = w.node.debug(None).store.is_some();
            (w.node.outage().is_some(), shown, fails)
        };
        assert_eq!(seen(), (false, false, false));
        w.store.set_down(true);
        assert_eq!(seen(), (true, true, true));
        w.store.set_down(false);
        assert_eq!(seen(), (false, false, false));
    });
}

#[test]
fn there_are_two_threads_at_least() {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let settings = maestro_actors::ActorSettings::default();
    assert_eq!(settings.threads, cores.max(2));
}

#[test]
fn the_last_lines_of_a_room_are_those_of_its_runtime() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        w.runtime.set_log(&room_id(0), &["one", "two", "three"]);
        let lines = w
            .node
            .log_tail(FLEET, room_id(0).as_str(), 2)
            .await
            .unwrap();
        assert_eq!(lines, ["two", "three"]);
        let process = ContainerProcess {
            container: "room".into(),
            pid: 7,
        };
        w.runtime.set_processes(&room_id(0), vec![process.clone()]);
        let processes = w.node.room_processes(FLEET, room_id(0).as_str());
        assert_eq!(processes, [process]);
        let missing = refused(w.node.log_tail(FLEET, "r-99999", 2).await);
        assert_eq!(missing.0, RefusalKind::NotFound);
        assert!(missing.1.contains("r-99999"), "{}", missing.1);
        let nobody = refused(w.node.log_tail("nobody", "r-99999", 2).await);
        assert_eq!(nobody.1, "room r-99999 of scheduler nobody has no log here");
        let away = RuntimeError::Unavailable("its disk is away".into());
        w.runtime
            .fail(RuntimeCall::LogTail, RuntimeFault::Fails(away));
        let away = refused(w.node.log_tail(FLEET, room_id(0).as_str(), 2).await);
        assert_eq!(away, (RefusalKind::Unavailable, "its disk is away".into()));
    });
}

#[test]
fn what_other_programs_order_reaches_the_owner() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        let id = OperationId(uuid::Uuid::from_u128(5));
        w.store.push(OperationRecord {
            id,
            scheduler: FLEET.into(),
            definition: Definition::TestOperation {
                sleep_seconds: 3600,
            },
            status: OperationStatus::Pending,
            created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            status_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            history: Vec::new(),
            priority: false,
            lease_until: None,
            resume: ResumeState::default(),
        });
        let status = || w.store.stored_operation(FLEET, id).map(|o| o.status);
        let runs = || status() == Some(OperationStatus::InProgress);
        eventually(LONG, "it runs", runs).await;
        w.store.request_cancel(FLEET, id);
        let canceled = || status() == Some(OperationStatus::Canceled);
        eventually(LONG, "it is canceled", canceled).await;
    });
}

#[test]
fn a_caller_waits_no_longer_than_it_says() {
    Setup::fleet(1).patient().run_on_threads(|w| async move {
        w.running(FLEET).await;
        let release = w.hold(FLEET).await;
        let moment = Some(Duration::from_millis(20));
        let said = ping(&room_id(0), PingStatus::Occupied);
        let pinged = w.node.ping_within(FLEET, said.clone(), moment).await;
        assert!(matches!(pinged, Err(CallError::Timeout(name)) if name == FLEET));
        let asked = w.node.ask(FLEET, Command::Rollout, moment).await;
        assert!(matches!(asked, Err(CallError::Timeout(_))), "{asked:?}");
        drop(release);
        w.node
            .ping_within(FLEET, said.clone(), Some(LONG))
            .await
            .unwrap();
        w.node.ping_within(FLEET, said, None).await.unwrap();
    });
}

#[test]
fn the_view_of_an_owner_is_what_it_does() {
    let setup = Setup::fleet(2);
    setup.add_fleet("another", 0);
    setup.run(|w| async move {
        w.running(FLEET).await;
        w.running("another").await;
        let all = w.node.debug(None).actors;
        let names: Vec<_> = all.iter().map(|a| (a.kind, a.name.as_str())).collect();
        assert_eq!(
            names,
            [
                ("supervisor", "supervisor"),
                ("catalog", "catalog"),
                ("scheduler", "another"),
                ("scheduler", FLEET)
            ]
        );
        assert!(all.iter().all(|a| a.state == "running"), "{all:?}");
        for _ in 0..5 {
            w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
        }
        let said = || w.view().scheduler.map(|s| s.board.answered);
        assert_eq!(said(), Some(4), "the first one was looked at");
        // The turn ends after the answer was sent.
        eventually(LONG, "its turn is over", || w.handled("ping") == 1).await;
        // The actor is probed now and then.
        let idle = || {
            let view = w.view();
            (view.mailbox_depth, view.oldest_message_us) == (0, 0)
        };
        eventually(LONG, "nothing waits", idle).await;
        let view = w.view();
        assert!(view.turn_times.contains_key("ping"));
        assert!(!view.turn_times.contains_key("untaken"), "none came");
        assert_eq!(view.degraded_because, None);
        // Reported within a second, in one turn.
        let told = || w.handled("pinged") == 1;
        eventually(LONG, "the owner is told", told).await;
        w.ask(Command::PauseRollout).await.unwrap();
        let writer = || w.view().scheduler.map(|s| s.writer).unwrap_or_default();
        eventually(LONG, "it is written", || {
            writer().commits > 0 && writer().waiting == 0
        })
        .await;
        assert_eq!(writer().seq, w.store.seq_of(FLEET).0);
        let owner = w.view().scheduler.unwrap();
        assert_eq!(owner.epoch, w.store.epoch_of(FLEET));
        assert!(owner.lease_left_ms > 0 && owner.lease_left_ms <= 10_000);
        assert!(owner.next_wake_ms.is_some() && owner.timers.health.is_some());
        assert_eq!(owner.state.rooms["ready"], 2);
        assert_eq!(owner.watch.state, "alive");
        assert!(owner.watch.events > 0);
        assert!(owner.watch.last_list_at.is_some());
        w.runtime.end_watches(FLEET);
        let ended = || w.view().scheduler.is_some_and(|s| s.watch.state == "ended");
        eventually(LONG, "its watch ends", ended).await;
    });
}

#[test]
fn a_name_with_operations_alone_keeps_its_owner_until_they_have_ended() {
    Setup::empty().run(|w| async move {
        w.node.loaded(LONG).await;
        let switch = Command::SwitchVersion("v1.0.0".into());
        w.node.ask("nobody", switch, None).await.unwrap();
        assert_eq!(w.store.open_operations("nobody").len(), 1);
        let ended = || w.store.open_operations("nobody").is_empty();
        eventually(2 * LONG, "the operation ends", ended).await;
        assert_eq!(
            w.store.epoch_of("nobody"),
            Epoch(1),
            "one owner all the time"
        );
        let is_gone = || w.node.directory().count() == 0;
        eventually(LONG, "nobody owns the name", is_gone).await;
    });
}

#[test]
fn a_runtime_without_a_scheduler_keeps_its_owner() {
    Setup::empty().run(|w| async move {
        w.node.loaded(LONG).await;
        let made = w.node.ask("new", Command::CreateRuntime, None).await;
        assert!(matches!(made, Ok(Reply::Operation(_))), "{made:?}");
        eventually(LONG, "it is made", || w.platform.made() == ["new"]).await;
        let runs = || w.is_running("new");
        eventually(LONG, "its owner runs", runs).await;
        // Several times as long as an owner waits for the creation of its scheduler.
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(w.store.epoch_of("new"), Epoch(1));
        }
        assert!(w.is_running("new"));
    });
}

#[test]
fn the_view_of_an_owner_that_cannot_be_loaded_says_why() {
    let setup = Setup::fleet(1);
    setup
        .store
        .fail_always(StoreCall::Load, StoreFault::NotApplied);
    setup.run(|w| async move {
        let said = || {
            let actors = w.node.debug(Some(FLEET)).actors;
            actors.first().and_then(|a| a.degraded_because.clone())
        };
        eventually(LONG, "the cause is told", || said().is_some()).await;
        assert_eq!(w.view().state, "loading");
        let cause = said().unwrap();
        assert!(cause.contains("ordered fault"), "{cause}");
        w.store.heal();
        w.running(FLEET).await;
        assert_eq!(said(), None);
    });
}
