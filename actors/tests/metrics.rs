//! The page of metrics reflects what has happened, series by series (contract 9).

mod support;

use maestro_core::domain::*;
use maestro_core::ports::RuntimeError;
use maestro_core::state::{Command, Reply};
use maestro_testkit::build;
use maestro_testkit::eventually;
use maestro_testkit::fake::{Gate, RuntimeCall, RuntimeFault, StoreCall, StoreFault};
use std::time::Duration;
use support::*;

impl World {
    /// The value of a series that has all of these labels.
    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let page = self.page();
        let mut found = page.lines().filter(|line| {
            let (series, _) = line.rsplit_once(' ').unwrap_or_default();
            let (family, own) = series.split_once('{').unwrap_or((series, ""));
            let has = |(label, value): &(&str, &str)| own.contains(&format!("{label}=\"{value}\""));
            family == name && labels.iter().all(has)
        });
        let line = found.next()?;
        assert_eq!(found.next(), None, "more than one {name} with {labels:?}");
        line.rsplit_once(' ')?.1.parse().ok()
    }
    fn of_fleet(&self, name: &str) -> Option<f64> {
        self.metric(name, &[("scheduler", FLEET)])
    }
    async fn shows(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let what = format!("{name}{labels:?} is {value}");
        let shown = || self.metric(name, labels) == Some(value);
        eventually(LONG, &what, shown).await;
    }
    async fn fleet_shows(&self, name: &str, value: f64) {
        self.shows(name, &[("scheduler", FLEET)], value).await;
    }
    fn worked(&self, operation: &str, success: &str) -> Option<f64> {
        let labels = [
            ("game", "game"),
            ("scheduler", FLEET),
            ("operation", operation),
            ("success", success),
        ];
        self.metric("maestro_worker_operation_execution_latency_count", &labels)
    }
    /// Sends a command and waits until its operation has ended.
    async fn done(&self, command: Command) -> OperationStatus {
        let Ok(Reply::Operation(id)) = self.ask(command).await else {
            panic!("no operation");
        };
        let stored = || self.store.stored_operation(FLEET, id);
        let ended = || stored().is_some_and(|o| o.status.is_final());
        eventually(LONG, "the operation ends", ended).await;
        stored().expect("it is stored").status
    }
}

const FAMILIES_OF_A_FLEET: [(&str, f64); 16] = [
    ("maestro_worker_gru_ready", 2.0),
    ("maestro_worker_gru_occupied", 1.0),
    ("maestro_worker_gru_pending", 0.0),
    ("maestro_worker_gru_unready", 0.0),
    ("maestro_worker_gru_terminating", 0.0),
    ("maestro_worker_gru_error", 0.0),
    ("maestro_worker_gru_active", 0.0),
    ("maestro_worker_gru_allocated", 0.0),
    ("maestro_worker_instance_ready", 3.0),
    ("maestro_worker_instance_pending", 0.0),
    ("maestro_worker_instance_error", 0.0),
    ("maestro_worker_current_rooms", 3.0),
    ("maestro_worker_desired_rooms", 3.0),
    ("maestro_worker_running_matches", 1.0),
    ("maestro_worker_max_matches", 1.0),
    ("maestro_worker_rooms_properly_terminated", 0.0),
];

#[test]
fn gauges_are_those_of_the_fleet_and_go_with_it() {
    Setup::fleet(3).run(|w| async move {
        w.running(FLEET).await;
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        w.fleet_shows("maestro_worker_gru_occupied", 1.0).await;
        for (name, value) in FAMILIES_OF_A_FLEET {
            w.fleet_shows(name, value).await;
        }
        // Without a policy there is no target.
        assert_eq!(w.of_fleet("maestro_worker_ready_target"), None);
        assert_eq!(w.of_fleet("maestro_worker_fixed_buffer"), None);
        for component in ["operation_execution", "runtime_watcher", "metrics_reporter"] {
            let labels = [("scheduler", FLEET), ("maestro_component", component)];
            w.shows("maestro_current_workers", &labels, 1.0).await;
        }
        let looks = || w.metric("maestro_workers_sync_total", &[]);
        eventually(LONG, "somebody looks", || looks() > Some(0.0)).await;
        w.runtime.crash(FLEET, &room_id(1), Exit::default());
        let ended = [
            ("scheduler", FLEET),
            ("instanceEventType", "deleted"),
            ("success", "true"),
        ];
        let events = "maestro_watcher_number_of_events_processed_total";
        w.shows(events, &ended, 1.0).await;
        w.ask(Command::DeleteScheduler).await.unwrap();
        let gone = || w.of_fleet("maestro_worker_gru_ready").is_none();
        eventually(LONG, "its gauges go", gone).await;
        // The counters are still shown for a while, with their last values.
        assert!(w.metric(events, &ended) >= Some(1.0));
        let labels = [
            ("scheduler", FLEET),
            ("maestro_component", "runtime_watcher"),
        ];
        assert_eq!(w.metric("maestro_current_workers", &labels), None);
        assert!(w.of_fleet("maestro_actor_mailbox_depth").is_none());
        assert!(w.of_fleet("maestro_actor_late_wakes_total").is_some());
    });
}

#[test]
fn the_targets_of_a_policy_are_shown_as_they_were_written() {
    let setup = Setup::empty();
    for (name, kind) in [("share", "roomOccupancy"), ("free", "fixedBuffer")] {
        let mut scheduler = build::scheduler(name).replicas(0).build();
        scheduler.autoscaling = Some(Autoscaling {
            enabled: false,
            policy: Policy {
                kind: kind.into(),
                parameters: PolicyParameters {
                    room_occupancy: Some(RoomOccupancy {
                        ready_target: 0.3,
                        down_threshold: 0.5,
                    }),
                    fixed_buffer: Some(FixedBuffer { amount: 7 }),
                },
            },
            ..Autoscaling::default()
        });
        setup.store.insert(scheduler, [], []);
    }
    setup.run(|w| async move {
        w.running("share").await;
        w.running("free").await;
        let of = |name, scheduler| w.metric(name, &[("scheduler", scheduler)]);
        let (target, buffer) = ("maestro_worker_ready_target", "maestro_worker_fixed_buffer");
        w.shows(target, &[("scheduler", "share")], 0.3).await;
        w.shows(buffer, &[("scheduler", "free")], 7.0).await;
        assert_eq!(of(target, "free"), None);
        assert_eq!(of(buffer, "share"), None);
    });
}

#[test]
fn operations_are_counted_by_how_they_ended() {
    Setup::fleet(2).run(|w| async move {
        w.running(FLEET).await;
        let done = w
            .done(Command::AddRooms {
                amount: 1,
                version: None,
            })
            .await;
        assert_eq!(done, OperationStatus::Finished);
        eventually(LONG, "it is counted", || {
            w.worked("add_rooms", "true") == Some(1.0)
        })
        .await;
        let created = [
            ("scheduler", FLEET),
            ("instanceEventType", "added"),
            ("success", "true"),
        ];
        let events = "maestro_watcher_number_of_events_processed_total";
        // The two existing ones are known from the store.
        w.shows(events, &created, 1.0).await;

        let away = RuntimeError::Invalid("no".into());
        w.runtime
            .fail(RuntimeCall::Create, RuntimeFault::Fails(away.clone()));
        let done = w
            .done(Command::AddRooms {
                amount: 1,
                version: None,
            })
            .await;
        assert_eq!(done, OperationStatus::Error);
        let failed = "maestro_worker_add_rooms_operation_execution_failed_total";
        w.fleet_shows(failed, 1.0).await;
        let undone = [("operation", "add_rooms"), ("success", "true")];
        w.shows(
            "maestro_worker_operation_rollback_latency_count",
            &undone,
            1.0,
        )
        .await;
        assert_eq!(w.worked("add_rooms", "false"), Some(1.0));
        assert_eq!(w.worked("add_rooms", "true"), Some(1.0));

        w.runtime
            .fail(RuntimeCall::Terminate, RuntimeFault::Fails(away));
        let done = w
            .done(Command::RemoveRoom {
                room: room_id(0),
                force: true,
            })
            .await;
        assert_eq!(done, OperationStatus::Error);
        let failed = "maestro_worker_remove_rooms_operation_deletion_failed_total_total";
        w.fleet_shows(failed, 1.0).await;

        let sleep = Command::TestOperation {
            sleep_seconds: 3600,
        };
        let Ok(Reply::Operation(id)) = w.ask(sleep).await else {
            panic!("no operation");
        };
        w.ask(Command::Cancel(id)).await.unwrap();
        let canceled = || w.worked("test_operation", "false") == Some(1.0);
        eventually(LONG, "it was canceled", canceled).await;
        assert_eq!(w.worked("test_operation", "true"), None);

        let strange = OperationRecord {
            id: OperationId(uuid::Uuid::from_u128(9)),
            definition: Definition::Unknown {
                name: "dance".into(),
                contents: "{}".into(),
            },
            status: OperationStatus::Pending,
            history: Vec::new(),
            resume: ResumeState::default(),
            ..OperationRecord::clone(&w.store.stored_operation(FLEET, id).unwrap())
        };
        w.store.push(strange);
        let evicted = [("scheduler", FLEET), ("operation", "dance")];
        w.shows("maestro_worker_operation_evicted_total", &evicted, 1.0)
            .await;
    });
}

#[test]
fn turns_faults_and_refused_pings_are_counted() {
    Setup::fleet(1).run_on_threads(|w| async move {
        w.running(FLEET).await;
        for _ in 0..3 {
            w.ask(Command::Rollout).await.unwrap();
        }
        // A turn ends after its caller was answered.
        eventually(LONG, "its turns are over", || w.handled("command") == 3).await;
        let turns = [("actor", "scheduler"), ("message", "command")];
        let count = "maestro_actor_turn_seconds_count";
        w.shows(count, &turns, 3.0).await;
        w.node.ping_failed(FLEET);
        w.node.ping_failed("nobody");
        w.node.ping_failed("nobody");
        let failures = "maestro_api_ping_handler_update_room_failures_total";
        w.fleet_shows(failures, 1.0).await;
        w.shows(failures, &[("scheduler", "unknown")], 2.0).await;

        let release = w.hold(FLEET).await;
        let waits = w.spawn_allocate();
        let depth = [("actor", "scheduler"), ("scheduler", FLEET)];
        w.shows("maestro_actor_mailbox_depth", &depth, 1.0).await;
        let age = "maestro_actor_oldest_message_seconds";
        eventually(LONG, "it waits", || w.metric(age, &depth) > Some(0.01)).await;
        assert_eq!(w.view().turn.map(|t| t.message), Some("control"));
        drop(release);
        // The room has not pinged yet.
        drop(waits.await.unwrap());
        w.shows("maestro_actor_mailbox_depth", &depth, 0.0).await;
        assert_eq!(w.metric(age, &depth), Some(0.0));

        assert_eq!(w.of_fleet("maestro_actor_restarts_total"), Some(0.0));
        w.node.panic(FLEET);
        w.fleet_shows("maestro_actor_restarts_total", 1.0).await;
        w.running(FLEET).await;
        let reason = [("scheduler", FLEET), ("reason", "start_operation_failed")];
        let faults = "maestro_worker_operation_execution_worker_failed_total";
        w.shows(faults, &reason, 1.0).await;
        let reason = [("scheduler", FLEET), ("reason", "next_operation_failed")];
        assert_eq!(w.metric(faults, &reason), Some(0.0));
        // Across all incarnations of the actor.
        w.shows(count, &turns, 3.0).await;
        w.ask(Command::PauseRollout).await.unwrap();
        let commits = || w.of_fleet("maestro_actor_writer_commits_total");
        eventually(LONG, "it is durable", || commits() > Some(0.0)).await;
        w.fleet_shows("maestro_actor_writer_queue", 0.0).await;
        assert_eq!(w.of_fleet("maestro_actor_writer_retries_total"), Some(0.0));
        assert_eq!(w.of_fleet("maestro_actor_stale_results_total"), Some(0.0));
    });
}

#[test]
fn the_state_of_a_scheduler_is_one_of_the_known_words() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        let state = "maestro_scheduler_state";
        for (word, is) in [
            ("in-sync", 1.0),
            ("creating", 0.0),
            ("on-error", 0.0),
            ("terminating", 0.0),
        ] {
            let labels = [("scheduler", FLEET), ("state", word)];
            w.shows(state, &labels, is).await;
        }
        let paused = "maestro_scheduler_paused";
        w.fleet_shows(paused, 0.0).await;
        w.ask(Command::SetPaused(true)).await.unwrap();
        w.fleet_shows(paused, 1.0).await;
        w.ask(Command::SetPaused(false)).await.unwrap();
        w.ask(Command::DeleteScheduler).await.unwrap();
        let gone = || w.page().contains("maestro_worker_gru_ready{");
        eventually(LONG, "it goes", || !gone()).await;
        assert!(
            !w.page().contains("maestro_scheduler_state{"),
            "{}",
            w.page()
        );
        assert!(!w.page().contains("maestro_scheduler_paused{"));
        assert!(w.page().contains("maestro_rooms_ended_total{"));
        // One that comes back under its name is one.
        let again = build::scheduler(FLEET).replicas(0).build();
        w.ask(Command::CreateScheduler(Box::new(again)))
            .await
            .unwrap();
        w.running(FLEET).await;
        w.fleet_shows(paused, 0.0).await;
        assert_eq!(w.of_fleet("maestro_actor_late_wakes_total"), Some(0.0));
    });
}

#[test]
fn a_scheduler_may_be_called_unknown() {
    let setup = Setup::empty();
    setup.add_fleet("unknown", 0);
    setup.run(|w| async move {
        w.running("unknown").await;
        w.node.ping_failed("nobody");
        w.node.ping_failed("unknown");
        let failures = "maestro_api_ping_handler_update_room_failures_total";
        w.shows(failures, &[("scheduler", "unknown")], 1.0).await;
    });
}

#[test]
fn what_an_owner_hears_is_counted_and_that_it_hears() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        let strange = "maestro_watcher_failed_instance_conversion_total";
        w.fleet_shows(strange, 0.0).await;
        let events = "maestro_watcher_number_of_events_processed_total";
        let of = |kind| {
            let labels = [
                ("scheduler", FLEET),
                ("instanceEventType", kind),
                ("success", "true"),
            ];
            w.metric(events, &labels)
        };
        // The one that was known is in the list.
        assert_eq!((of("added"), of("updated")), (Some(0.0), Some(1.0)));
        let lost = Instance {
            address: None,
            ..build::instance("lost")
        };
        let pending = Instance {
            status: InstanceStatus::Pending,
            room: "pending".into(),
            ..lost.clone()
        };
        w.runtime.insert(FLEET, lost);
        w.runtime.insert(FLEET, pending);
        let heard = || of("added") == Some(2.0);
        eventually(LONG, "both are heard of", heard).await;
        assert_eq!(w.of_fleet(strange), Some(1.0));
        let runs = |component| {
            let labels = [("scheduler", FLEET), ("maestro_component", component)];
            w.metric("maestro_current_workers", &labels)
        };
        w.runtime.end_watches(FLEET);
        let deaf = || runs("runtime_watcher") == Some(0.0);
        eventually(LONG, "it hears nothing", deaf).await;
        assert_eq!(runs("operation_execution"), Some(1.0));
        // Nothing of it runs while it is loaded anew.
        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Load, StoreFault::Held(gate.clone()));
        let reload = w.spawn(|w| Box::pin(async move { w.node.reload(FLEET).await }));
        gate.reached_by(1).await;
        assert_eq!(runs("operation_execution"), Some(0.0));
        assert_eq!(runs("runtime_watcher"), Some(0.0));
        gate.open();
        reload.await.unwrap().unwrap();
        w.running(FLEET).await;
        let hears = || runs("runtime_watcher") == Some(1.0);
        eventually(LONG, "it hears again", hears).await;
    });
}

#[test]
fn what_cannot_be_loaded_and_what_waits_is_counted() {
    Setup::fleet(1).patient().run(|w| async move {
        w.running(FLEET).await;
        for _ in 0..2 {
            w.store.fail(StoreCall::Load, StoreFault::NotApplied);
        }
        let began = tokio::time::Instant::now();
        assert!(w.node.reload(FLEET).await.unwrap());
        assert_eq!(began.elapsed().as_secs(), 2, "it is tried each second");
        let reason = [("scheduler", FLEET), ("reason", "next_operation_failed")];
        let faults = "maestro_worker_operation_execution_worker_failed_total";
        assert_eq!(w.metric(faults, &reason), Some(2.0));
        w.running(FLEET).await;

        let turns = "maestro_actor_turn_seconds_count";
        let of = |actor, message| w.metric(turns, &[("actor", actor), ("message", message)]);
        assert_eq!(of("scheduler", "untaken"), Some(0.0), "all are shown");
        assert_eq!(of("supervisor", "ping"), None);
        assert!(of("supervisor", "command") >= Some(1.0));
        let handled = w.node.debug(None).actors.remove(0).handled;
        assert!(!handled.contains_key("ping"), "{handled:?}");

        // Seen in a turn that takes two seconds, while another message waits.
        let depth = [("actor", "scheduler"), ("scheduler", FLEET)];
        let seen = w.during(FLEET, move |w| {
            w.node.interrupt(FLEET, || {});
            pass(Duration::from_secs(2));
            let age = "maestro_actor_oldest_message_seconds";
            let of = |name| w.metric(name, &depth);
            (of("maestro_actor_mailbox_depth"), of(age))
        });
        assert_eq!(seen.await, (Some(1.0), Some(2.0)));

        let gate = Gate::closed();
        w.store
            .fail(StoreCall::Commit, StoreFault::Held(gate.clone()));
        let waits = w.spawn_ping(&room_id(0), PingStatus::Occupied);
        gate.reached_by(1).await;
        let next = w.spawn_ping(&room_id(0), PingStatus::Ready);
        let queue = "maestro_actor_writer_queue";
        eventually(LONG, "a decision waits", || w.of_fleet(queue) >= Some(1.0)).await;
        gate.open();
        waits.await.unwrap().unwrap();
        next.await.unwrap().unwrap();
        let retries = "maestro_actor_writer_retries_total";
        assert_eq!(w.of_fleet(retries), Some(0.0));
        w.store.fail(StoreCall::Commit, StoreFault::NotApplied);
        w.ping(&room_id(0), PingStatus::Occupied).await.unwrap();
        assert_eq!(w.of_fleet(retries), Some(1.0));
    });
}

#[test]
fn a_scheduler_that_the_store_refuses_alone_is_told_from_an_outage() {
    Setup::fleet(1).run(|w| async move {
        w.running(FLEET).await;
        let is = |value| w.of_fleet("maestro_store_refused") == Some(value);
        assert!(is(0.0), "{}", w.page());
        w.store
            .fail_always(StoreCall::Commit, StoreFault::NotApplied);
        let refused = w.ask(Command::SetPaused(true)).await;
        assert!(refused.is_err(), "{refused:?}");
        eventually(LONG, "it is told", || is(1.0)).await;
        assert!(w.page().contains("maestro_store_failing 0"), "{}", w.page());
        // An answer that is lost once says nothing.
        let tried = w.store.calls(StoreCall::Commit);
        w.store
            .fail(StoreCall::Commit, StoreFault::NotAppliedUnknown);
        while w.store.calls(StoreCall::Commit) < tried + 4 {
            assert!(is(1.0), "{}", w.page());
            moment().await;
        }
        // Nobody is refused alone while nobody can write.
        w.store.set_down(true);
        eventually(LONG, "it is an outage", || is(0.0)).await;
        w.store.set_down(false);
        eventually(LONG, "it is told again", || is(1.0)).await;
        // A commit whose success is found out later ends it too.
        w.store.heal();
        w.store.fail(StoreCall::Commit, StoreFault::AppliedUnknown);
        eventually(LONG, "it is over", || is(0.0)).await;
    });
}
