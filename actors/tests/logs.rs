//! What the log says of a node, and what its traces show.

mod support;

use maestro_core::domain::{Exit, Forwarder, PingStatus};
use maestro_core::ports::RuntimeError;
use maestro_core::state::Command;
use maestro_testkit::fake::{RuntimeCall, RuntimeFault, StoreCall, StoreFault};
use maestro_testkit::{build, eventually};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use support::{FLEET, LONG, Setup, World, moment, room_id};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

type Fields = BTreeMap<&'static str, String>;

/// Keeps what is logged and traced in the thread of a test, where all of its node lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    lines: Vec<(Level, Fields)>,
    /// Of each span: its name, the number of the one above it, its fields.
    spans: Vec<(&'static str, Option<u64>, Fields)>,
    entered: Vec<u64>,
}

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("maestro")
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        let mut kept = self.0.lock();
        let above = match attributes.is_contextual() {
            true => kept.entered.last().copied(),
            false => attributes.parent().map(Id::into_u64),
        };
        let name = attributes.metadata().name();
        kept.spans.push((name, above, fields));
        Id::from_u64(kept.spans.len() as u64)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Reader(&mut fields));
        let level = *event.metadata().level();
        self.0.lock().lines.push((level, fields));
    }
    fn enter(&self, id: &Id) {
        self.0.lock().entered.push(id.into_u64());
    }
    fn exit(&self, _: &Id) {
        self.0.lock().entered.pop();
    }
}

impl Log {
    /// Level and text of all lines since the last look that have this text in them.
    fn take(&self, part: &str) -> Vec<(Level, String)> {
        let lines = std::mem::take(&mut self.0.lock().lines).into_iter();
        let lines = lines.map(|(level, mut fields)| {
            let text = fields.remove("message").unwrap_or_default();
            (level, text)
        });
        lines.filter(|(_, text)| text.contains(part)).collect()
    }

    /// Level, phase and text of each line about operations of this kind.
    fn course(&self, kind: &str) -> Vec<(Level, String, String)> {
        let kept = self.0.lock();
        let of = kept.lines.iter().filter(|(_, fields)| {
            fields
                .get("operation_definition")
                .is_some_and(|of| of == kind)
        });
        of.map(|(level, fields)| {
            let text = fields["message"].clone();
            (*level, fields["operation_phase"].clone(), text)
        })
        .collect()
    }
}

fn logged<F: Future<Output = ()>>(setup: Setup, test: impl FnOnce(World, Log) -> F) {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || setup.run(|w| test(w, log)));
}

async fn ended(w: &World, count: usize) {
    let all = || {
        let stored = w.store.stored_operations(FLEET);
        let final_ = stored.iter().filter(|o| o.status.is_final()).count();
        final_ == count
    };
    eventually(LONG, "they end", all).await;
    moment().await;
}

#[test]
fn the_course_of_an_operation_is_told_step_by_step() {
    logged(Setup::fleet(1), |w, log| async move {
        w.running(FLEET).await;
        w.ask(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .await
        .unwrap();
        ended(&w, 1).await;
        let course = log.course("add_rooms");
        let steps: Vec<_> = course.iter().map(|(l, p, _)| (*l, p.as_str())).collect();
        assert_eq!(steps, [(Level::INFO, "Execution"); 2], "{course:?}");
        assert_eq!(course[1].2, "Operation finished");

        log.0.lock().lines.clear();
        let no = RuntimeError::Invalid("no".into());
        w.runtime.fail(RuntimeCall::Create, RuntimeFault::Fails(no));
        w.ask(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .await
        .unwrap();
        ended(&w, 2).await;
        let course = log.course("add_rooms");
        let steps: Vec<_> = course
            .iter()
            .map(|(level, phase, text)| (*level, phase.as_str(), text.as_str()))
            .collect();
        let expected = [
            (Level::WARN, "Execution", "operation execution failed"),
            (Level::INFO, "Rollback", "Starting operation rollback"),
            (Level::INFO, "Rollback", "rollback succeeded"),
        ];
        assert_eq!(steps[1..], expected);

        log.0.lock().lines.clear();
        w.ask(Command::TestOperation { sleep_seconds: 600 })
            .await
            .unwrap();
        moment().await;
        let id = w.store.open_operations(FLEET)[0].id;
        w.ask(Command::Cancel(id)).await.unwrap();
        ended(&w, 3).await;
        let canceled = log.course("test_operation");
        let told = |(level, _, text): &(Level, String, String)| {
            *level == Level::INFO && text == "operation canceled"
        };
        assert!(canceled.iter().any(told), "{canceled:?}");
    });
}

#[test]
fn what_runs_each_minute_is_told_on_debug_level() {
    let each = |c: &mut maestro_core::settings::CoreSettings| c.event_driven = false;
    logged(Setup::fleet(1).core(each), |w, log| async move {
        w.running(FLEET).await;
        tokio::time::sleep(Duration::from_secs(200)).await;
        let course = log.course("health_controller");
        assert!(course.len() >= 2, "{course:?}");
        assert!(
            course.iter().all(|(level, ..)| *level == Level::DEBUG),
            "{course:?}"
        );
    });
}

#[test]
fn only_an_end_of_a_room_that_nobody_planned_is_a_warning() {
    logged(Setup::fleet(2), |w, log| async move {
        w.running(FLEET).await;
        let force = true;
        let remove = Command::RemoveRoom {
            room: room_id(0),
            force,
        };
        w.ask(remove).await.unwrap();
        let gone = |room| w.store.stored_room(FLEET, room_id(room).as_str()).is_none();
        eventually(LONG, "it is gone", || gone(0)).await;
        assert_eq!(
            log.take("ended"),
            [(Level::DEBUG, "a room ended".to_owned())]
        );
        w.runtime.crash(FLEET, &room_id(1), Exit::default());
        eventually(LONG, "it is gone", || gone(1)).await;
        let unexpected = "a room ended unexpectedly".to_owned();
        assert_eq!(log.take("ended"), [(Level::WARN, unexpected)]);
    });
}

#[test]
fn rooms_that_hang_and_rooms_that_keep_failing_are_warned_of() {
    let soon = |c: &mut maestro_core::settings::CoreSettings| {
        c.ping_timeout = Duration::from_secs(5);
        c.health_interval = Duration::from_secs(1);
    };
    logged(Setup::fleet(1).core(soon), |w, log| async move {
        w.running(FLEET).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let hangs = log.take("a room hangs");
        assert!(!hangs.is_empty() && hangs.iter().all(|(level, _)| *level == Level::WARN));
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            for room in w.runtime.rooms(FLEET) {
                w.runtime.crash(FLEET, &room, Exit::default());
            }
        }
        let on_error = log.take("on-error");
        assert_eq!(on_error.len(), 1, "{on_error:?}");
        assert_eq!(on_error[0].0, Level::WARN);
    });
}

#[test]
fn a_forwarder_that_fails_is_warned_of_once_and_told_of_when_it_is_back() {
    let setup = Setup::empty();
    setup.runtime.insert(FLEET, build::instance("r-00000"));
    let room = build::room("r-00000").ready().host_ports(&[20_000]);
    let forwarder = Forwarder {
        name: "one".into(),
        enabled: true,
        forward_type: "gRPC".into(),
        address: "one:80".into(),
        options: None,
    };
    let scheduler = build::scheduler(FLEET)
        .replicas(1)
        .edit(|s| s.forwarders = Some(vec![forwarder]));
    setup.store.insert(scheduler.build(), [room.build()], []);
    logged(setup, |w, log| async move {
        w.running(FLEET).await;
        let say = async || {
            w.ping(&room_id(0), PingStatus::Ready).await.unwrap();
            moment().await;
            let lines = log.take("forward").into_iter();
            lines.map(|(level, _)| level).collect::<Vec<_>>()
        };
        assert!(say().await.is_empty());
        w.forwarders.fail("one");
        assert_eq!(say().await, [Level::WARN]);
        assert_eq!(say().await, [Level::DEBUG]);
        w.forwarders.heal();
        assert_eq!(say().await, [Level::INFO]);
        assert!(say().await.is_empty());
    });
}

#[test]
fn a_store_that_fails_is_told_of_once_by_each_who_needs_it() {
    logged(Setup::fleet(1), |w, log| async move {
        w.running(FLEET).await;
        let renewed = |log: &Log| log.take("leases");
        w.store
            .fail_always(StoreCall::Renew, StoreFault::NotApplied);
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let lines = renewed(&log);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].0, Level::WARN);
        w.store.heal();
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let lines = renewed(&log);
        assert_eq!(
            lines,
            [(Level::INFO, "the leases are renewed again".to_owned())]
        );
        // The store has told of its outage itself.
        w.store.set_down(true);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(renewed(&log), []);
        w.store.set_down(false);

        w.store.fail_always(StoreCall::Load, StoreFault::NotApplied);
        for _ in 0..2 {
            let reload = w.spawn(|w| Box::pin(async move { w.node.reload(FLEET).await }));
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            let lines = log.take("cannot be loaded");
            assert_eq!(lines.len(), 1, "{lines:?}");
            w.store.heal();
            assert!(reload.await.unwrap().unwrap());
            w.store.fail_always(StoreCall::Load, StoreFault::NotApplied);
        }
        w.store.heal();
    });
}

#[test]
fn a_trace_follows_an_order_to_its_commits_and_its_work_and_comes_to_an_end() {
    logged(Setup::fleet(1), |w, log| async move {
        w.running(FLEET).await;
        log.0.lock().spans.clear();
        w.ask(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .await
        .unwrap();
        ended(&w, 1).await;
        let kept = log.0.lock();
        let root = kept.spans.iter().position(|(name, _, fields)| {
            *name == "message" && fields.get("kind").is_some_and(|kind| kind == "add_rooms")
        });
        let root = root.expect("the order is traced") as u64 + 1;
        assert_eq!(kept.spans[root as usize - 1].2["scheduler_name"], FLEET);
        // Each span, as the words on the way to the order.
        let way = |mut id: u64| {
            let mut way = Vec::new();
            while let Some((name, above, fields)) = kept.spans.get(id as usize - 1) {
                let kind = fields.get("kind").map_or("", String::as_str);
                way.push(format!("{name} {kind}"));
                match above {
                    Some(above) => id = *above,
                    None => break,
                }
            }
            (id == root).then_some(way)
        };
        let ways: Vec<_> = (1..=kept.spans.len() as u64).filter_map(way).collect();
        let has = |wanted: &[&str]| ways.iter().any(|way| way == wanted);
        let order = "message add_rooms";
        assert!(has(&["commit ", order]), "{ways:#?}");
        assert!(has(&["work reserve_ports", order]), "{ways:#?}");
        let back = ["message work_done", "work reserve_ports", order];
        assert!(has(&back), "{ways:#?}");
        let mut created = vec!["work create_room"];
        created.extend(back);
        assert!(has(&created), "{ways:#?}");
    });
}

#[test]
fn a_trace_that_goes_on_and_on_is_followed_for_eight_calls() {
    let one_by_one = |c: &mut maestro_core::settings::CoreSettings| c.add_batch = 1;
    logged(Setup::fleet(1).core(one_by_one), |w, log| async move {
        w.running(FLEET).await;
        log.0.lock().spans.clear();
        w.ask(Command::AddRooms {
            amount: 10,
            version: None,
        })
        .await
        .unwrap();
        ended(&w, 1).await;
        let kept = log.0.lock();
        // Calls on the way to the order; `None`: it belongs to another trace.
        let calls = |id: usize| {
            let (mut at, mut calls) = (id as u64, 0);
            loop {
                let (name, above, _) = &kept.spans[at as usize - 1];
                calls += usize::from(*name == "work");
                match above {
                    Some(above) => at = *above,
                    None => return (*name == "message").then_some(calls),
                }
            }
        };
        let longest = (1..=kept.spans.len()).filter_map(calls).max();
        assert_eq!(longest, Some(8));
        let begins =
            |(name, above, _): &&(&str, Option<u64>, Fields)| *name == "work" && above.is_none();
        assert!(
            kept.spans.iter().any(|span| begins(&span)),
            "another begins"
        );
    });
}
