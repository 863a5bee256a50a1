//! Whose a namespace is (D17).

use crate::faults::behind_proxy_with;
use crate::hostile::pod_of_somebody;
use crate::open_site;
use crate::site::plane;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use maestro_core::ports::{Protection, Runtime, RuntimeError};
use maestro_testkit::contract::runtime::{RUNS, Stage, operation, scheduler};
use maestro_testkit::control_plane::ApiCall;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

async fn namespace(all: &Api<Namespace>, name: &str) {
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    all.create(&PostParams::default(), &namespace)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_namespace_is_refused_and_stays() {
    let site = open_site!();
    let all: Api<Namespace> = Api::all(site.client.clone());
    let foreign = scheduler("ns-foreign", RUNS);
    namespace(&all, "ns-foreign").await;
    let refused = site.runtime.prepare(&foreign, operation(1)).await;
    let Err(RuntimeError::Invalid(cause)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        cause.text().contains("app.kubernetes.io/managed-by"),
        "{cause}"
    );
    site.runtime.remove(&foreign.name, None).await.unwrap();
    let there = all.get("ns-foreign").await.unwrap();
    assert!(there.metadata.deletion_timestamp.is_none());
}

/// Rooms are protected from the beginning on, so an order comes before the namespace is prepared, and again and again:
/// what it would write is a mark of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_to_protect_makes_a_foreign_namespace_no_more_ours() {
    let site = open_site!();
    let all: Api<Namespace> = Api::all(site.client.clone());
    let foreign = scheduler("ns-unprotected", RUNS);
    namespace(&all, "ns-unprotected").await;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(site.client.clone(), "ns-unprotected");
    let order = Protection {
        all: true,
        ..Protection::default()
    };
    site.runtime.protect(&foreign.name, &order).await.unwrap();
    assert!(budgets.get_opt("ns-unprotected").await.unwrap().is_none());
    // One of somebody else stays as it is.
    let theirs = json!({
        "metadata": {"name": "ns-unprotected"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "theirs"}}},
    });
    let theirs: PodDisruptionBudget = serde_json::from_value(theirs).unwrap();
    let theirs = budgets.create(&PostParams::default(), &theirs).await;
    let theirs = theirs.unwrap();
    site.runtime.protect(&foreign.name, &order).await.unwrap();
    let there = budgets.get("ns-unprotected").await.unwrap();
    assert_eq!(there.spec, theirs.spec);
    let refused = site.runtime.prepare(&foreign, operation(1)).await;
    assert!(
        matches!(refused, Err(RuntimeError::Invalid(_))),
        "{refused:?}"
    );
}

/// What others have in a namespace makes it no more ours than an empty one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_with_objects_of_others_is_refused_and_stays() {
    let site = open_site!();
    let all: Api<Namespace> = Api::all(site.client.clone());
    let by_others = json!({"app.kubernetes.io/managed-by": "Helm"});
    let object = json!({"metadata": {"name": "ns-others", "labels": by_others}});
    let object = serde_json::from_value(object).unwrap();
    all.create(&PostParams::default(), &object).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), "ns-others");
    // Like a room, but of no scheduler, and of another one.
    for (name, labels) in [
        ("plain", json!({"maestro-scheduler": "ns-others"})),
        (
            "other",
            json!({"heritage": "maestro", "maestro-scheduler": "ns-other"}),
        ),
    ] {
        pod_of_somebody(&pods, json!({"name": name, "labels": labels})).await;
    }
    let budget = json!({
        "metadata": {"name": "ns-others", "labels": by_others},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"maestro-scheduler": "ns-others"}}},
    });
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(site.client.clone(), "ns-others");
    let budget = serde_json::from_value(budget).unwrap();
    budgets
        .create(&PostParams::default(), &budget)
        .await
        .unwrap();
    let of_others = scheduler("ns-others", RUNS);
    let refused = site.runtime.prepare(&of_others, operation(1)).await;
    assert!(
        matches!(refused, Err(RuntimeError::Invalid(_))),
        "{refused:?}"
    );
    site.runtime.remove(&of_others.name, None).await.unwrap();
    let there = all.get("ns-others").await.unwrap();
    assert!(there.metadata.deletion_timestamp.is_none());
    assert_eq!(
        there.labels()["app.kubernetes.io/managed-by"],
        "Helm",
        "nothing was written"
    );
}

/// With the rights of its documents, the Go Maestro has no budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_with_a_room_of_the_go_maestro_is_adopted() {
    let site = open_site!();
    let all: Api<Namespace> = Api::all(site.client.clone());
    namespace(&all, "ns-room").await;
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), "ns-room");
    let labels = json!({"heritage": "maestro", "maestro-scheduler": "ns-room"});
    pod_of_somebody(&pods, json!({"name": "ns-room-1", "labels": labels})).await;
    let of_room = scheduler("ns-room", RUNS);
    let prepared = site.runtime.prepare(&of_room, operation(1)).await;
    assert!(!prepared.unwrap().created, "it was there before");
    let labels = all.get("ns-room").await.unwrap().labels().clone();
    assert_eq!(labels["app.kubernetes.io/managed-by"], "maestro");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_of_the_go_maestro_is_adopted_with_its_rooms() {
    let site = open_site!();
    let all: Api<Namespace> = Api::all(site.client.clone());
    namespace(&all, "ns-adopted").await;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "ns-adopted", "labels": {"app.kubernetes.io/managed-by": "maestro"}},
        "spec": {"minAvailable": 0, "selector": {"matchLabels": {"maestro-scheduler": "ns-adopted"}}},
    });
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(site.client.clone(), "ns-adopted");
    let budget = serde_json::from_value(budget).unwrap();
    budgets
        .create(&PostParams::default(), &budget)
        .await
        .unwrap();
    let stage = Stage::set(&site, scheduler("ns-adopted", RUNS)).await;
    let labels = all.get("ns-adopted").await.unwrap().labels().clone();
    assert_eq!(labels["app.kubernetes.io/managed-by"], "maestro");
    assert_eq!(labels["heritage"], "maestro");
    stage.create("ns-adopted-one").await.unwrap();
    stage.strike().await;
    assert!(all.get_opt("ns-adopted").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_somebody_removed_is_made_again_for_a_room() {
    let site = open_site!();
    let all: Api<Namespace> = Api::all(site.client.clone());
    let stage = Stage::set(&site, scheduler("ns-again", RUNS)).await;
    all.delete("ns-again", &DeleteParams::default())
        .await
        .unwrap();
    let until = Instant::now() + stage.patience;
    while let Err(error) = stage.create("ns-again-one").await {
        let passes = matches!(error, RuntimeError::Unavailable(_));
        assert!(passes && Instant::now() < until, "{error}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Between the look at a namespace and the order to delete it, somebody deletes it, and may make another of its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_was_replaced_meanwhile_stays() {
    let slow = behind_proxy_with(|settings| settings.call_timeout = Duration::from_secs(60));
    let Some((site, proxy)) = slow.await else {
        return;
    };
    let plane = plane().await.unwrap();
    let all: Api<Namespace> = Api::all(site.client.clone());
    for is_replaced in [false, true] {
        let stage = Stage::set(&site, scheduler("ns-replaced", RUNS)).await;
        let (plane, is_first) = (plane.clone(), AtomicBool::new(true));
        let is_deletion =
            |call: &ApiCall| call.method == "DELETE" && call.path.ends_with("/ns-replaced");
        proxy.set(move |call| {
            if is_deletion(call) && is_first.swap(false, Ordering::Relaxed) {
                let by_hand = || {
                    plane
                        .kubectl(&["delete", "namespace", "ns-replaced"])
                        .unwrap();
                    if is_replaced {
                        plane
                            .kubectl(&["create", "namespace", "ns-replaced"])
                            .unwrap();
                    }
                };
                tokio::task::block_in_place(by_hand);
            }
            None
        });
        let removed = stage.runtime.remove(&stage.scheduler.name, None).await;
        assert!(
            matches!(removed, Err(RuntimeError::Terminating(_))),
            "the next look shows what became of it: {removed:?}"
        );
        let there = all.get_opt("ns-replaced").await.unwrap();
        assert_eq!(there.is_some(), is_replaced);
        let deleted = there.and_then(|there| there.metadata.deletion_timestamp);
        assert!(deleted.is_none(), "it is another one");
        proxy.set(|_| None);
        let removed = stage.runtime.remove(&stage.scheduler.name, None).await;
        assert!(removed.is_ok(), "there is none of ours: {removed:?}");
    }
}
