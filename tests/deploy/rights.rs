//! The role of the manifests is what the audit log of the API server shows, and what `docs/kubernetes.md` says of each
//! function of the runtime port.

use crate::site::{FUNCTIONS, MAESTRO, calls_of, doctor, plane, rights, until_allowed};
use crate::support::{eventually, seconds};
use futures_util::stream::{BoxStream, StreamExt};
use maestro_core::domain::{
    ConfigPairs, Instance, InstanceStatus, RemovalReason, RoomId, Scheduler,
};
use maestro_core::ports::{Protection, RoomOrder, Runtime, RuntimeError, RuntimeEvent};
use maestro_runtime::kubernetes::{Access, KubernetesRuntime, KubernetesSettings};
use maestro_testkit::contract::runtime::{self as contract, Harness, RUNS, operation, scheduler};
use maestro_testkit::control_plane::{AuditEvent, ControlPlane, User};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const PAGE: &str = include_str!("../../docs/kubernetes.md");

type Rights = BTreeSet<String>;

/// `update` and `patch` are one right.
fn merged(rights: impl IntoIterator<Item = String>) -> Rights {
    let merged = rights.into_iter();
    merged
        .map(|right| right.replace("patch ", "update "))
        .collect()
}

/// What the role grants on this API server.
fn granted(plane: &ControlPlane) -> Rights {
    let role = plane.kubectl(&["get", "clusterrole", MAESTRO, "-o", "json"]);
    let role: Value = serde_json::from_str(&role.unwrap()).unwrap();
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().unwrap().iter();
        texts
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    let mut all = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        let group = texts(&rule["apiGroups"]).concat();
        for resource in texts(&rule["resources"]) {
            let resource = match group.as_str() {
                "" => resource,
                group => format!("{resource}.{group}"),
            };
            let verbs = texts(&rule["verbs"]).into_iter();
            all.extend(verbs.map(|verb| format!("{verb} {resource}")));
        }
    }
    merged(all)
}

/// The calls of each function by the table of the page, and of the preflight.
fn documented() -> BTreeMap<String, Rights> {
    let (_, table) = PAGE
        .split_once("| function |")
        .expect("the table of functions");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let quoted = |cell: &str| -> Vec<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    let mut all = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').collect();
        let calls = merged(quoted(cells[3]));
        for function in quoted(cells[1]) {
            all.insert(function, calls.clone());
        }
    }
    all
}

struct Site(Arc<KubernetesRuntime>);

impl Harness for Site {
    fn runtime(&self) -> Arc<dyn Runtime> {
        self.0.clone()
    }

    fn patience(&self) -> Duration {
        seconds(60)
    }
}

async fn runtime_of(user: &User) -> Arc<KubernetesRuntime> {
    let settings = KubernetesSettings::new(Access::Kubeconfig {
        path: user.kubeconfig(),
        master_url: None,
    });
    KubernetesRuntime::open(settings).await.unwrap()
}

/// All checks that every runtime passes, at the same time.
async fn suite(site: &Site) {
    tokio::join!(
        contract::a_created_room_becomes_ready_and_is_listed(site),
        contract::a_repeated_creation_returns_the_room_as_it_is(site),
        contract::a_terminated_room_goes_through_terminating_to_gone(site),
        contract::a_termination_may_be_repeated(site),
        contract::a_namesake_is_never_terminated(site),
        contract::a_room_that_never_was_is_not_found(site),
        contract::rooms_are_given_distinct_ports(site),
        contract::an_order_that_can_never_succeed_is_invalid(site),
        contract::a_place_can_be_made_and_removed_again_and_again(site),
        contract::a_place_is_removed_by_the_operation_that_made_it(site),
        contract::schedulers_do_not_see_each_other(site),
    );
}

async fn until(
    events: &mut BoxStream<'static, RuntimeEvent>,
    is_wanted: impl Fn(&RuntimeEvent) -> bool,
) {
    let wanted = async { while !is_wanted(&events.next().await.unwrap()) {} };
    tokio::time::timeout(seconds(60), wanted).await.unwrap();
}

/// A runtime for each function of the port, with an account of its own.
struct Functions(BTreeMap<&'static str, (User, Arc<KubernetesRuntime>)>);

impl Functions {
    async fn open(plane: &ControlPlane) -> Self {
        let mut all = BTreeMap::new();
        for function in [
            "prepare",
            "remove",
            "create",
            "terminate",
            "protect",
            "watch",
            "log_tail",
        ] {
            // Names of accounts have no underscores.
            let user = plane.user(FUNCTIONS, &function.replace('_', "-")).await;
            until_allowed(plane, &user, "list pods").await;
            let runtime = runtime_of(&user).await;
            all.insert(function, (user, runtime));
        }
        Self(all)
    }

    fn of(&self, function: &str) -> &KubernetesRuntime {
        &self.0[function].1
    }

    /// The life of a room, each step by another account.
    async fn run(&self, plane: &ControlPlane) {
        let fleet = scheduler("rights-functions", RUNS);
        let name = &fleet.name;
        let made = self.of("prepare").prepare(&fleet, operation(1)).await;
        assert!(made.unwrap().created);
        let again = self.of("prepare").prepare(&fleet, operation(2)).await;
        assert!(!again.unwrap().created);
        self.adopt(plane).await;

        let mut events = self.of("watch").watch(name);
        let room = RoomId::from("rights-functions-one");
        let creating = self.of("create");
        let host_ports = creating.reserve_ports(&room, &fleet).await.unwrap();
        let order = RoomOrder {
            room: room.clone(),
            scheduler: Arc::new(fleet.clone()),
            validation: false,
            host_ports,
            config: ConfigPairs::default(),
        };
        let created = creating.create(&order).await.unwrap();
        // As after a lost answer.
        assert_eq!(creating.create(&order).await.unwrap().uid, created.uid);
        let is_ready = |i: &Instance| i.status == InstanceStatus::Ready;
        until(&mut events, |event| match event {
            RuntimeEvent::Changed(i) => is_ready(i),
            // Its first list may have been late.
            RuntimeEvent::Listed(all) => all.iter().any(is_ready),
            RuntimeEvent::Gone { .. } => false,
        })
        .await;
        let mut protection = Protection {
            on: vec![room.clone()],
            off: Vec::new(),
            number: 1,
            all: true,
        };
        self.of("protect").protect(name, &protection).await.unwrap();
        // A number that is too low is raised.
        (protection.number, protection.all) = (2, false);
        self.of("protect").protect(name, &protection).await.unwrap();
        protection = Protection {
            on: Vec::new(),
            off: vec![room.clone()],
            number: 0,
            all: false,
        };
        self.of("protect").protect(name, &protection).await.unwrap();
        // There is no node that could be asked.
        let log = self.of("log_tail").log_tail(name, &room, 5).await;
        assert!(
            matches!(log, Ok(_) | Err(RuntimeError::Unavailable(_))),
            "{log:?}"
        );
        let (grace, why) = (fleet.spec.grace(), RemovalReason::ScaleDown);
        let uid = Some(created.uid.as_str());
        let ended = self.of("terminate").terminate(name, &room, uid, grace, why);
        ended.await.unwrap();
        until(&mut events, |event| {
            matches!(event, RuntimeEvent::Gone { .. })
        })
        .await;
        self.removed(&fleet).await;
    }

    /// A namespace of the Go Maestro: it has a budget, and no label.
    async fn adopt(&self, plane: &ControlPlane) {
        let fleet = scheduler("rights-adopted", RUNS);
        let name = fleet.name.as_str();
        plane.kubectl(&["create", "namespace", name]).unwrap();
        let budget = ["create", "poddisruptionbudget", name, "-n", name];
        let selector = format!("--selector=maestro-scheduler={name}");
        plane
            .kubectl(&[&budget[..], &["--min-available=0", &selector]].concat())
            .unwrap();
        let label = ["label", "poddisruptionbudget", name, "-n", name];
        plane
            .kubectl(&[&label[..], &["app.kubernetes.io/managed-by=maestro"]].concat())
            .unwrap();
        let adopted = self.of("prepare").prepare(&fleet, operation(3)).await;
        assert!(!adopted.unwrap().created);
        self.removed(&fleet).await;
    }

    async fn removed(&self, fleet: &Scheduler) {
        let gone = || async { self.of("remove").remove(&fleet.name, None).await.is_ok() };
        assert!(eventually(seconds(60), gone).await);
    }

    /// What each of them did, once the watches have ended.
    async fn calls(&self, plane: &ControlPlane) -> BTreeMap<&'static str, Vec<AuditEvent>> {
        for (_, runtime) in self.0.values() {
            runtime.shutdown().await;
        }
        let mut all = BTreeMap::new();
        for (function, (user, _)) in &self.0 {
            let calls = || calls_of(plane, &user.name());
            let watched = || async { rights(&calls()).contains("watch pods") };
            assert!(
                eventually(seconds(10), watched).await,
                "{function}: {:?}",
                rights(&calls())
            );
            all.insert(*function, calls());
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_granted_is_what_is_used_and_what_the_page_says_of_each_function() {
    let Some(plane) = plane().await else {
        return;
    };
    let user = plane.user(MAESTRO, MAESTRO).await;
    until_allowed(&plane, &user, "list nodes").await;
    let site = Site(runtime_of(&user).await);
    let functions = Functions::open(&plane).await;
    tokio::join!(suite(&site), functions.run(&plane));
    site.0.shutdown().await;
    let output = doctor(&user.kubeconfig(), &[], &["--json"]);
    let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
    let by_function = functions.calls(&plane).await;

    let (granted, documented) = (granted(&plane), documented());
    let of_preflight = documented.values().flatten().cloned().collect::<Rights>();
    assert_eq!(of_preflight, granted, "the page and the role");
    let checked = checks.as_array().unwrap().iter();
    let checked = checked.filter(|check| check["check"] == "right");
    let checked = checked.map(|check| check["found"].as_str().unwrap().to_owned());
    assert_eq!(merged(checked), granted, "the preflight and the role");

    let used = || {
        let mut calls = calls_of(&plane, &user.name());
        calls.extend(by_function.values().flatten().cloned());
        calls
    };
    let complete = || async { merged(rights(&used())).is_superset(&granted) };
    assert!(
        eventually(seconds(10), complete).await,
        "granted and not used: {:?}",
        granted
            .difference(&merged(rights(&used())))
            .collect::<Vec<_>>()
    );
    let mut refused = used();
    refused.retain(|call| call.decision != "allow");
    assert!(refused.is_empty(), "used and not granted: {refused:?}");
    assert_eq!(merged(rights(&used())), granted);

    let watching = &documented["watch"];
    for (function, calls) in &by_function {
        let mut calls = merged(rights(calls));
        if *function != "watch" {
            // Each process watches, whatever else it does.
            calls.retain(|call| !watching.contains(call) || documented[*function].contains(call));
        }
        let unsaid: Vec<_> = calls.difference(&documented[*function]).collect();
        assert!(unsaid.is_empty(), "{function} also does {unsaid:?}");
    }
    let reads = |call: &AuditEvent| ["get", "list", "watch"].contains(&call.verb.as_str());
    assert!(
        by_function["watch"].iter().all(reads),
        "watching writes nothing"
    );
    let nothing = json!([]);
    assert_eq!(json!(documented["reserve_ports"]), nothing);
}
