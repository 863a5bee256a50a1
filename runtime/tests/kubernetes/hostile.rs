//! What others do to our objects, and orders that no cluster takes.

use crate::open_site;
use crate::site::{Site, plane};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use maestro_core::domain::InstanceStatus;
use maestro_core::ports::{Protection, RuntimeError, RuntimeEvent};
use maestro_testkit::contract::runtime::{RUNS, Stage, operation, scheduler};
use serde_json::{Value, json};
use std::time::Duration;

/// The namespace's service account may not be there yet.
pub async fn pod_of_somebody(pods: &Api<Pod>, metadata: Value) -> Pod {
    let container = json!({"name": "x", "image": "x", "command": ["sleep", "1000"]});
    let pod = json!({"metadata": metadata, "spec": {"containers": [container]}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    loop {
        match pods.create(&PostParams::default(), &pod).await {
            Ok(pod) => return pod,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_pod_of_a_rooms_name_is_left_alone_and_another_name_works() {
    let site = open_site!();
    let stage = Stage::set(&site, scheduler("hostile-name", RUNS)).await;
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), "hostile-name");
    let foreign = pod_of_somebody(&pods, json!({"name": "hostile-name-one"})).await;
    let refused = stage.create("hostile-name-one").await;
    assert!(
        matches!(refused, Err(RuntimeError::Exhausted(_))),
        "{refused:?}"
    );
    stage.create("hostile-name-two").await.unwrap();
    let there = pods.get("hostile-name-one").await.unwrap();
    assert_eq!(there.metadata.uid, foreign.metadata.uid);
    assert!(there.metadata.deletion_timestamp.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_held_by_a_finalizer_is_ending_until_it_is_gone() {
    let site = open_site!();
    let mut stage = Stage::set(&site, scheduler("hostile-held", RUNS)).await;
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), "hostile-held");
    let room = "hostile-held-one";
    stage.create(room).await.unwrap();
    let finalizers = async |finalizers: Value| {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
        let patched = pods.patch(room, &PatchParams::default(), &patch).await;
        patched.unwrap();
    };
    finalizers(json!(["example.com/held"])).await;
    stage.terminate(room, None).await.unwrap();
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) => (i.status == InstanceStatus::Terminating).then_some(()),
            RuntimeEvent::Gone { .. } => panic!("its pod is there"),
            RuntimeEvent::Listed(_) => None,
        })
        .await;
    // It is told to end once more, which changes nothing.
    stage.terminate(room, None).await.unwrap();
    assert!(pods.get_opt(room).await.unwrap().is_some());
    finalizers(Value::Null).await;
    stage.until_gone(&room.into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_does_not_go_is_waited_for() {
    let site = open_site!();
    let stage = Stage::set(&site, scheduler("hostile-stuck", RUNS)).await;
    let all: Api<Namespace> = Api::all(site.client.clone());
    let finalizers = async |finalizers: Value| {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
        let how = PatchParams::default();
        let patched = all.patch("hostile-stuck", &how, &patch).await;
        patched.unwrap();
    };
    finalizers(json!(["example.com/held"])).await;
    let name = &stage.scheduler.name;
    let removed = stage.runtime.remove(name, None).await;
    assert!(
        matches!(removed, Err(RuntimeError::Terminating(_))),
        "{removed:?}"
    );
    let waits = |error: &RuntimeError| match error {
        RuntimeError::Terminating(why) => why.text().contains("example.com/held"),
        _ => false,
    };
    for _ in 0..3 {
        let removed = stage.runtime.remove(name, None).await;
        assert!(removed.as_ref().is_err_and(waits), "{removed:?}");
        let prepared = stage.runtime.prepare(&stage.scheduler, operation(2)).await;
        assert!(prepared.as_ref().is_err_and(waits), "{prepared:?}");
        // Nobody's fault, and no version is blamed for it.
        let created = stage.create("hostile-stuck-one").await;
        assert!(
            matches!(created, Err(RuntimeError::Unavailable(_))),
            "{created:?}"
        );
        // The budget goes with it, and no other can be made.
        let order = Protection {
            all: true,
            ..Protection::default()
        };
        stage.runtime.protect(name, &order).await.unwrap();
    }
    finalizers(Value::Null).await;
    while let Err(error) = stage.runtime.prepare(&stage.scheduler, operation(2)).await {
        assert!(matches!(error, RuntimeError::Terminating(_)), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(stage.runtime.remove(name, Some(operation(3))).await.is_ok());
    let there = all.get("hostile-stuck").await.unwrap();
    assert!(
        there.metadata.deletion_timestamp.is_none(),
        "another made it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_cluster_takes_is_refused_at_once() {
    let site = open_site!();
    let stage = Stage::set(&site, scheduler("hostile-size", RUNS)).await;
    let order = stage.order("hostile-size-one").await.unwrap();
    let of_size = |kilobytes: usize| {
        let mut large = stage.scheduler.clone();
        let command = &mut large.spec.containers[0].command;
        command.push("x".repeat(kilobytes * 1024));
        large
    };
    let mut many = stage.scheduler.clone();
    let mut container = many.spec.containers[0].clone();
    container.ports.clear();
    many.spec.containers.extend(vec![container; 20]);
    let mut annotated = stage.scheduler.clone();
    annotated.annotations = Some([("a".to_owned(), "x".repeat(300 * 1024))].into());
    for (document, words) in [
        (of_size(1600), "too large"),
        (of_size(2500), "larger than max"),
        (of_size(4000), "too large"),
        (many, "Duplicate value"),
        (annotated, "annotations"),
    ] {
        let order = maestro_core::ports::RoomOrder {
            scheduler: document.into(),
            ..order.clone()
        };
        let refused = stage.runtime.create(&order).await;
        let Err(RuntimeError::Invalid(cause)) = refused else {
            panic!("{words}: {refused:?}");
        };
        assert!(
            cause.text().to_lowercase().contains(&words.to_lowercase()),
            "{cause}"
        );
    }
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), "hostile-size");
    let all = pods.list(&ListParams::default()).await.unwrap().items;
    assert!(all.is_empty(), "nothing is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_with_the_longest_name_runs() {
    let site = open_site!();
    let name = "hostile-".to_owned() + &"x".repeat(55);
    let mut stage = Stage::set(&site, scheduler(&name, RUNS)).await;
    let room = format!("{}-zzzzz", &name[..58]);
    stage.create(&room).await.unwrap();
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) => (i.status == InstanceStatus::Ready).then_some(()),
            _ => None,
        })
        .await;
    stage.terminate(&room, None).await.unwrap();
    stage.until_gone(&room.as_str().into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_taken_away_are_named_and_work_goes_on_when_they_are_back() {
    let Some(plane) = plane().await else {
        return;
    };
    if !plane.is_own() {
        return;
    }
    let user = plane.user("default", "changing").await;
    let role = [
        "create",
        "clusterrole",
        "rooms-changing",
        "--verb=*",
        "--resource=pods,namespaces,nodes,events,poddisruptionbudgets.policy",
    ];
    plane.kubectl(&role).unwrap();
    let bind = || {
        let binding = [
            "create",
            "clusterrolebinding",
            "rooms-changing",
            "--clusterrole=rooms-changing",
            "--serviceaccount=default:changing",
        ];
        plane.kubectl(&binding).unwrap();
    };
    bind();
    let site = Site::by(&plane, user.kubeconfig()).await;
    let mut stage = Stage::set(&site, scheduler("hostile-rights", RUNS)).await;
    stage.create("hostile-rights-one").await.unwrap();
    plane
        .kubectl(&["delete", "clusterrolebinding", "rooms-changing"])
        .unwrap();
    let mut number = 0;
    let text = loop {
        number += 1;
        // The API server hears of it a moment later.
        match stage.create(&format!("hostile-rights-{number}")).await {
            Ok(_) => {}
            Err(RuntimeError::Unavailable(cause)) => break cause.text().to_owned(),
            Err(other) => panic!("{other}"),
        }
    };
    assert!(text.contains("cannot create resource"), "{text}");
    assert!(text.contains("grant it"), "{text}");
    bind();
    while stage.create("hostile-rights-last").await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) => (i.room.as_str() == "hostile-rights-last"
                && i.status == InstanceStatus::Ready)
                .then_some(()),
            _ => None,
        })
        .await;
}
