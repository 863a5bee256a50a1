//! Evictions leave protected rooms alone (contract 4.9, D11, D38).

use crate::faults::behind_proxy;
use crate::open_site;
use crate::site::{Site, plane};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use maestro_core::domain::{InstanceStatus, RoomId};
use maestro_core::ports::{Protection, RuntimeError, RuntimeEvent};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use maestro_testkit::control_plane::{ApiCall, ControlPlane, Fault};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const PROTECTED: &str = "maestro-protected";
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// A scheduler with ready rooms, its pods and its budget.
struct Cluster {
    stage: Stage,
    pods: Api<Pod>,
    budgets: Api<PodDisruptionBudget>,
    name: String,
    rooms: Vec<RoomId>,
}

impl Cluster {
    async fn with(site: &Site, name: &str, count: usize) -> Self {
        let mut of = scheduler(name, RUNS);
        of.spec.containers[0].requests.cpu = "1m".into();
        let mut stage = Stage::set(site, of).await;
        let rooms: Vec<RoomId> = (0..count)
            .map(|n| format!("{name}-{n}").as_str().into())
            .collect();
        for room in &rooms {
            stage.create(room.as_str()).await.unwrap();
        }
        let mut ready = HashSet::new();
        while ready.len() < count {
            match stage.next().await {
                RuntimeEvent::Changed(i) if i.status == InstanceStatus::Ready => {
                    ready.insert(i.room);
                }
                _ => {}
            }
        }
        Self {
            stage,
            pods: Api::namespaced(site.client.clone(), name),
            budgets: Api::namespaced(site.client.clone(), name),
            name: name.to_owned(),
            rooms,
        }
    }

    async fn order(&self, on: &[usize], off: &[usize], number: usize, all: bool) {
        let named = |rooms: &[usize]| rooms.iter().map(|n| self.rooms[*n].clone()).collect();
        let order = Protection {
            on: named(on),
            off: named(off),
            number,
            all,
        };
        let runtime = &self.stage.runtime;
        runtime
            .protect(&self.stage.scheduler.name, &order)
            .await
            .unwrap();
    }

    /// The label and the annotation of a room's pod.
    async fn marks(&self, room: usize) -> (Option<String>, Option<String>) {
        let pod = self.pods.get(self.rooms[room].as_str()).await.unwrap();
        let annotation = pod.annotations().get(SAFE_TO_EVICT).cloned();
        (pod.labels().get(PROTECTED).cloned(), annotation)
    }

    /// The budget is ours, with this number, which it gets once the disruption controller has counted.
    async fn expect_number(&self, number: i32) {
        let expected = Some(IntOrString::Int(number));
        let until = Instant::now() + Duration::from_secs(5);
        let budget = loop {
            let budget = self.budgets.get(&self.name).await.unwrap();
            let found = budget.spec.as_ref().unwrap().min_available.clone();
            if found == expected {
                break budget;
            }
            assert!(Instant::now() < until, "{found:?} is not {number}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let managed = budget.labels().get("app.kubernetes.io/managed-by");
        assert_eq!(managed.map(String::as_str), Some("maestro"));
        let spec = budget.spec.unwrap();
        assert_eq!(spec.max_unavailable, None);
        let selector = spec.selector.unwrap();
        let ours = BTreeMap::from([(PROTECTED.to_owned(), "true".to_owned())]);
        assert_eq!(selector.match_labels, Some(ours));
        assert!(selector.match_expressions.is_none_or(|all| all.is_empty()));
    }

    /// Waits until the controller has counted so many healthy pods.
    async fn until_healthy(&self, count: i32) {
        loop {
            let budget = self.budgets.get(&self.name).await.unwrap();
            let observed = budget.status.as_ref().and_then(|s| s.observed_generation);
            let counted = budget.status.as_ref().map(|status| status.current_healthy);
            if observed == budget.metadata.generation && counted == Some(count) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The HTTP code of the answer to an eviction.
    async fn evict(&self, room: usize) -> u16 {
        let room = self.rooms[room].as_str();
        match self.pods.evict(room, &EvictParams::default()).await {
            Ok(_) => 200,
            Err(kube::Error::Api(status)) => status.code,
            Err(other) => panic!("{other}"),
        }
    }

    async fn edit(&self, patch: Value) {
        let patch = Patch::Merge(patch);
        self.budgets
            .patch(&self.name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
}

fn marked(on: bool) -> (Option<String>, Option<String>) {
    let safe = if on { "false" } else { "true" };
    (on.then(|| "true".to_owned()), Some(safe.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protected_rooms_are_not_evicted_and_others_are() {
    let site = open_site!();
    let cluster = Cluster::with(&site, "budget-evict", 4).await;
    cluster.order(&[0, 1], &[], 2, true).await;
    cluster.expect_number(2).await;
    for room in 0..4 {
        assert_eq!(cluster.marks(room).await, marked(room < 2), "{room}");
    }
    assert_eq!(cluster.evict(0).await, 429);
    cluster.until_healthy(2).await;
    assert_eq!(cluster.evict(0).await, 429);
    assert!([200, 201].contains(&cluster.evict(3).await));
    // Another takes its place, and one is released.
    cluster.order(&[2], &[0], 2, false).await;
    cluster.expect_number(2).await;
    assert_eq!(cluster.marks(0).await, marked(false));
    assert_eq!(cluster.marks(2).await, marked(true));
    cluster.order(&[], &[1], 1, false).await;
    cluster.expect_number(1).await;
    assert_eq!(cluster.marks(1).await, marked(false));
    assert_eq!(cluster.evict(2).await, 429);
    assert!([200, 201].contains(&cluster.evict(0).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_gone_or_was_released_and_is_taken_again_is_no_trouble() {
    let site = open_site!();
    let cluster = Cluster::with(&site, "budget-again", 1).await;
    cluster.order(&[], &[], 0, true).await;
    cluster.expect_number(0).await;
    for _ in 0..3 {
        cluster.order(&[0], &[], 1, false).await;
        assert_eq!(cluster.marks(0).await, marked(true));
        cluster.order(&[], &[0], 0, true).await;
        assert_eq!(cluster.marks(0).await, marked(false));
        cluster.order(&[0], &[], 1, true).await;
        assert_eq!(cluster.marks(0).await, marked(true));
        cluster.order(&[], &[0], 0, false).await;
        cluster.expect_number(0).await;
    }
    let gone = Protection {
        on: vec!["budget-again-gone".into()],
        off: vec!["budget-again-lost".into()],
        number: 1,
        all: false,
    };
    let name = &cluster.stage.scheduler.name;
    cluster.stage.runtime.protect(name, &gone).await.unwrap();
    cluster.expect_number(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_edited_or_deleted_by_hand_is_repaired() {
    let site = open_site!();
    let cluster = Cluster::with(&site, "budget-hand", 2).await;
    // That of the Go Maestro.
    let old = json!({
        "metadata": {"name": "budget-hand", "labels": {"app.kubernetes.io/managed-by": "maestro"}},
        "spec": {"minAvailable": 0, "selector": {"matchLabels": {"maestro-scheduler": "budget-hand"}}},
    });
    let old = serde_json::from_value(old).unwrap();
    cluster
        .budgets
        .create(&PostParams::default(), &old)
        .await
        .unwrap();
    cluster.order(&[0], &[], 1, true).await;
    cluster.expect_number(1).await;
    let foreign = json!({"key": "x", "operator": "Exists"});
    for edit in [
        json!({"spec": {"minAvailable": 0}}),
        json!({"spec": {"minAvailable": null, "maxUnavailable": "100%"}}),
        json!({"spec": {"selector": {"matchLabels": {"x": "y"}, "matchExpressions": [&foreign]}}}),
        json!({"spec": {"selector": {"matchExpressions": [&foreign]}}}),
        json!({"metadata": {"labels": null}, "spec": {"selector": null}}),
    ] {
        cluster.edit(edit).await;
        cluster.order(&[0], &[], 1, true).await;
        cluster.expect_number(1).await;
    }
    let before = cluster.budgets.get("budget-hand").await.unwrap();
    cluster.order(&[0], &[], 1, true).await;
    let after = cluster.budgets.get("budget-hand").await.unwrap();
    assert_eq!(before.metadata.generation, after.metadata.generation);
    let deleted = DeleteParams::default();
    cluster
        .budgets
        .delete("budget-hand", &deleted)
        .await
        .unwrap();
    cluster.order(&[0], &[], 1, true).await;
    cluster.expect_number(1).await;
    assert_eq!(cluster.marks(0).await, marked(true));
    // An order for some rooms makes it as well.
    cluster
        .budgets
        .delete("budget-hand", &deleted)
        .await
        .unwrap();
    cluster.order(&[1], &[], 2, false).await;
    cluster.expect_number(2).await;
    // A label that is taken off by hand does not pin the room for good.
    let off = Patch::Merge(json!({"metadata": {"labels": {PROTECTED: null}}}));
    let name = cluster.rooms[0].as_str();
    cluster
        .pods
        .patch(name, &PatchParams::default(), &off)
        .await
        .unwrap();
    while cluster.marks(0).await != marked(true) {
        cluster.order(&[0, 1], &[], 2, true).await;
    }
    cluster.order(&[1], &[0], 1, true).await;
    assert_eq!(cluster.marks(0).await, marked(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_an_owner_that_left_is_none_of_the_next_one() {
    let (Some((site, late)), Some((next, slow))) = (behind_proxy().await, behind_proxy().await)
    else {
        return;
    };
    let Cluster {
        stage,
        pods,
        budgets,
        name,
        rooms,
    } = Cluster::with(&site, "budget-owners", 3).await;
    let of = stage.scheduler.clone();
    let mut theirs = Stage::resume(&next, of.clone()).await;
    let order = |on: &[usize], off: &[usize], all: bool| Protection {
        on: on.iter().map(|n| rooms[*n].clone()).collect(),
        off: off.iter().map(|n| rooms[*n].clone()).collect(),
        number: on.len(),
        all,
    };
    let mine = &stage.runtime;
    let all = order(&[0, 1, 2], &[], true);
    mine.protect(&of.name, &all).await.unwrap();
    let lowers = |call: &ApiCall| {
        call.path.contains("poddisruptionbudgets")
            && call.body.contains("resourceVersion")
            && call.body.contains("minAvailable")
    };
    late.set(move |call| lowers(call).then_some(Fault::Delay(Duration::from_secs(2))));
    let fewer = Protection {
        number: 1,
        ..order(&[], &[1, 2], false)
    };
    mine.protect(&of.name, &fewer).await.unwrap();
    let mut versions = HashMap::new();
    for room in &rooms[1..] {
        let pod = pods.get(room.as_str()).await.unwrap();
        let version: u64 = pod.resource_version().unwrap().parse().unwrap();
        versions.insert(room.clone(), version);
    }
    // The next owner knows who is protected.
    while !versions.is_empty() {
        let seen = match theirs.next().await {
            RuntimeEvent::Listed(all) => all,
            RuntimeEvent::Changed(one) => vec![one],
            RuntimeEvent::Gone { .. } => panic!("nothing ends"),
        };
        for i in seen {
            if versions
                .get(&i.room)
                .is_some_and(|v| *v <= i.resource_version)
            {
                versions.remove(&i.room);
            }
        }
    }
    while !late.calls().iter().any(lowers) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Its number is on its way when the scheduler goes to the next owner, whose labels are slow.
    drop(stage);
    let labels = |call: &ApiCall| call.method == "PATCH" && call.path.contains("/pods/");
    slow.set(move |call| labels(call).then_some(Fault::Delay(Duration::from_secs(3))));
    theirs.runtime.protect(&of.name, &all).await.unwrap();
    assert!(slow.calls().iter().any(labels));
    let budget = budgets.get(&name).await.unwrap();
    let number = budget.spec.unwrap().min_available;
    assert_eq!(number, Some(IntOrString::Int(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_protected_is_known_before_the_watch_tells() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let mut cluster = Cluster::with(&site, "budget-mute", 1).await;
    cluster.order(&[0], &[], 1, true).await;
    let pod = cluster.pods.get("budget-mute-0").await.unwrap();
    let version: u64 = pod.resource_version().unwrap().parse().unwrap();
    cluster
        .stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) => (i.resource_version >= version).then_some(()),
            _ => None,
        })
        .await;
    proxy.mute_watches(true);
    cluster.order(&[], &[0], 0, false).await;
    cluster.order(&[0], &[], 1, true).await;
    assert_eq!(cluster.marks(0).await, marked(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_finds_who_is_protected() {
    let site = open_site!();
    let cluster = Cluster::with(&site, "budget-next", 3).await;
    cluster.order(&[0, 1], &[], 2, true).await;
    let next = Site::open().await.unwrap();
    let mut taken_over = Cluster {
        stage: Stage::resume(&next, cluster.stage.scheduler.clone()).await,
        ..cluster
    };
    taken_over
        .stage
        .until(|event| matches!(event, RuntimeEvent::Listed(all) if all.len() == 3).then_some(()))
        .await;
    taken_over.order(&[1, 2], &[], 2, true).await;
    taken_over.expect_number(2).await;
    for room in 0..3 {
        assert_eq!(taken_over.marks(room).await, marked(room > 0), "{room}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_autoscalers_never_move_stays_so_when_it_is_released() {
    let site = open_site!();
    let mut pinned = scheduler("budget-pinned", RUNS);
    pinned.annotations = Some([(SAFE_TO_EVICT.to_owned(), "false".to_owned())].into());
    let stage = Stage::set(&site, pinned).await;
    stage.create("budget-pinned-0").await.unwrap();
    let cluster = Cluster {
        stage,
        pods: Api::namespaced(site.client.clone(), "budget-pinned"),
        budgets: Api::namespaced(site.client.clone(), "budget-pinned"),
        name: "budget-pinned".into(),
        rooms: vec!["budget-pinned-0".into()],
    };
    let never = |on: bool| (on.then(|| "true".to_owned()), Some("false".to_owned()));
    for _ in 0..2 {
        cluster.order(&[0], &[], 1, true).await;
        assert_eq!(cluster.marks(0).await, never(true));
        cluster.order(&[], &[0], 0, true).await;
        assert_eq!(cluster.marks(0).await, never(false));
    }
}

fn allow(plane: &ControlPlane, role: &str, verbs: &str, resources: &str) {
    let resources = format!("--resource={resources}");
    plane
        .kubectl(&["create", "clusterrole", role, verbs, &resources])
        .unwrap();
    let role_of = format!("--clusterrole={role}");
    let user = "--serviceaccount=default:unprotecting";
    plane
        .kubectl(&["create", "clusterrolebinding", role, &role_of, user])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_write_budgets_rooms_run_and_are_marked() {
    let Some(plane) = plane().await else {
        return;
    };
    let user = plane.user("default", "unprotecting").await;
    let rooms = "pods,namespaces,nodes,events";
    allow(&plane, "rooms-unprotecting", "--verb=*", rooms);
    let site = Site::by(&plane, user.kubeconfig()).await;
    let cluster = Cluster::with(&site, "budget-refused", 2).await;
    cluster.order(&[0], &[], 1, true).await;
    assert_eq!(cluster.marks(0).await, marked(true));
    let found = async || cluster.budgets.get_opt("budget-refused").await.unwrap();
    assert!(found().await.is_none());
    let verbs = "--verb=get,create,patch";
    let budgets = "poddisruptionbudgets.policy";
    allow(&plane, "budgets-unprotecting", verbs, budgets);
    // The API server learns of it in a moment.
    while found().await.is_none() {
        cluster.order(&[0], &[], 1, true).await;
    }
    cluster.expect_number(1).await;
    cluster.order(&[1], &[], 2, false).await;
    cluster.expect_number(2).await;
    assert_eq!(cluster.evict(1).await, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_is_raised_before_labels_and_lowered_after_them() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let cluster = Cluster::with(&site, "budget-order", 2).await;
    cluster.order(&[0], &[], 1, true).await;
    let writes = |skipped: usize| -> Vec<&'static str> {
        let calls = proxy.calls().into_iter().skip(skipped);
        let writes = calls.filter(|call| ["POST", "PATCH"].contains(&call.method.as_str()));
        let kinds = writes.map(|call| match call.path.contains("poddisruptionbudgets") {
            true => "budget",
            false => "pod",
        });
        kinds.collect()
    };
    let before = proxy.calls().len();
    cluster.order(&[1], &[0], 1, false).await;
    assert_eq!(writes(before)[..3], ["budget", "pod", "pod"]);
    cluster.expect_number(1).await;
    assert!(writes(before)[3..].iter().all(|kind| *kind == "budget"));
    let before = proxy.calls().len();
    cluster.order(&[0], &[], 2, false).await;
    assert_eq!(writes(before), ["budget", "pod"]);
    let before = proxy.calls().len();
    cluster.order(&[], &[0], 1, false).await;
    cluster.expect_number(1).await;
    // The controller may have to be asked to count before the number is lowered.
    let after = writes(before);
    assert_eq!(after[..2], ["pod", "budget"]);
    assert!(after[2..].iter().all(|kind| *kind == "budget"));
    let before = proxy.calls().len();
    cluster.order(&[1], &[], 1, true).await;
    assert!(writes(before).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_caller_went_away_is_not_overtaken_by_the_next() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let cluster = Cluster::with(&site, "budget-left", 1).await;
    cluster.order(&[], &[], 0, true).await;
    let labels = |call: &ApiCall| call.method == "PATCH" && call.path.ends_with("/budget-left-0");
    let slow = AtomicU32::new(0);
    proxy.set(move |call| {
        let first = labels(call) && slow.fetch_add(1, Ordering::Relaxed) == 0;
        first.then_some(Fault::Delay(Duration::from_secs(2)))
    });
    let began = Instant::now();
    let left = async {
        while !proxy.calls().iter().any(labels) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = cluster.order(&[0], &[], 1, false) => panic!("its label takes two seconds"),
        () = left => {}
    }
    cluster.order(&[], &[0], 0, false).await;
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    assert_eq!(cluster.marks(0).await, marked(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_failed_half_way_is_completed_by_the_next() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let cluster = Cluster::with(&site, "budget-half", 2).await;
    let lost = AtomicU32::new(0);
    let is_label = |call: &ApiCall| call.method == "PATCH" && call.path.ends_with("/budget-half-1");
    let refusal = || Fault::Refuse {
        code: 503,
        reason: "ServiceUnavailable",
        retry_after: None,
    };
    proxy.set(move |call| {
        let is_budget = call.method == "POST" && call.path.contains("poddisruptionbudgets");
        if is_budget && lost.fetch_add(1, Ordering::Relaxed) == 0 {
            return Some(Fault::LoseAnswer);
        }
        is_label(call).then(refusal)
    });
    let order = Protection {
        on: cluster.rooms.clone(),
        number: 2,
        all: true,
        ..Protection::default()
    };
    let (runtime, name) = (&cluster.stage.runtime, &cluster.stage.scheduler.name);
    let failed = runtime.protect(name, &order).await;
    assert!(
        matches!(failed, Err(RuntimeError::Unavailable(_))),
        "{failed:?}"
    );
    cluster.expect_number(2).await;
    assert_eq!(cluster.marks(0).await, marked(true));
    proxy.set(|_| None);
    runtime.protect(name, &order).await.unwrap();
    assert_eq!(cluster.marks(1).await, marked(true));
    // After a failure everything is in doubt: an order for some rooms looks for the budget, too.
    proxy.set(move |call| is_label(call).then(refusal));
    let one = Protection {
        off: vec![cluster.rooms[1].clone()],
        number: 1,
        ..Protection::default()
    };
    assert!(runtime.protect(name, &one).await.is_err());
    let by_hand = DeleteParams::default();
    let deleted = cluster.budgets.delete(&cluster.name, &by_hand).await;
    deleted.unwrap();
    proxy.set(|_| None);
    runtime.protect(name, &one).await.unwrap();
    cluster.expect_number(1).await;
    assert_eq!(cluster.marks(1).await, marked(false));
}
