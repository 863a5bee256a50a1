//! What happens to pods beside what the runtime orders.

use crate::open_site;
use crate::site::Site;
use k8s_openapi::api::core::v1::{Event, Pod, ResourceQuota};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use maestro_core::domain::{InstanceStatus, RoomId};
use maestro_core::ports::{Runtime, RuntimeError, RuntimeEvent};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_deleted_by_hand_is_told_and_an_event_says_why_others_end() {
    let site = open_site!();
    let mut stage = Stage::set(&site, scheduler("pods-hand", RUNS)).await;
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), "pods-hand");
    let created = stage.create("pods-hand-one").await.unwrap();
    pods.delete("pods-hand-one", &DeleteParams::default())
        .await
        .unwrap();
    let (uid, _) = stage.until_gone(&"pods-hand-one".into()).await;
    assert_eq!(uid, created.uid);
    stage.create("pods-hand-two").await.unwrap();
    stage.terminate("pods-hand-two", None).await.unwrap();
    stage.until_gone(&"pods-hand-two".into()).await;
    let events: Api<Event> = Api::namespaced(site.client.clone(), "pods-hand");
    let ours = ListParams::default().fields("reason=GameRoomDeleted");
    let found = async || {
        let found = events.list(&ours).await.unwrap();
        found.items.into_iter().next()
    };
    let event = loop {
        if let Some(event) = found().await {
            break event;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(event.message.as_deref(), Some("scale_down"));
    assert_eq!(event.involved_object.name.as_deref(), Some("pods-hand-two"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_container_is_an_error_and_its_end_is_told() {
    let site = open_site!();
    let mut stage = Stage::set(&site, scheduler("pods-fail", "exit 3")).await;
    stage.create("pods-fail-one").await.unwrap();
    let text = stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) if i.status == InstanceStatus::Error => {
                Some(i.description.clone())
            }
            _ => None,
        })
        .await;
    assert!(text.contains("code 3") || text == "Error", "{text}");
    stage.terminate("pods-fail-one", None).await.unwrap();
    let (_, exit) = stage.until_gone(&"pods-fail-one".into()).await;
    assert_eq!(exit.code, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_without_a_node_says_why_it_waits() {
    let site = open_site!();
    let mut nowhere = scheduler("pods-nowhere", RUNS);
    nowhere.spec.affinity = "no-such-label".into();
    let mut stage = Stage::set(&site, nowhere).await;
    stage.create("pods-nowhere-one").await.unwrap();
    let text = stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) if !i.description.is_empty() => Some(i.description.clone()),
            _ => None,
        })
        .await;
    assert!(text.starts_with("Unschedulable: "), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_exhausted_in_its_own_words() {
    let site = open_site!();
    let stage = Stage::set(&site, scheduler("pods-quota", RUNS)).await;
    let quotas: Api<ResourceQuota> = Api::namespaced(site.client.clone(), "pods-quota");
    let quota = json!({"metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}}});
    let quota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    let mut rooms = 0;
    let cause = loop {
        match stage.create(&format!("pods-quota-{rooms}")).await {
            Err(RuntimeError::Exhausted(cause)) => break cause,
            // The API server has not heard of it yet.
            Ok(_) if rooms < 50 => rooms += 1,
            // Its controller has not counted yet.
            Err(RuntimeError::Unavailable(_)) => {
                tokio::time::sleep(Duration::from_millis(50)).await
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(cause.text().contains("quota"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_operator_defaults_pod_security_refuses_host_ports_in_its_own_words() {
    let Some(site) = Site::with(|settings| settings.pod_security = Some("baseline".into())).await
    else {
        return;
    };
    let stage = Stage::set(&site, scheduler("pods-secure", RUNS)).await;
    let refused = stage.create("pods-secure-one").await;
    let Err(RuntimeError::Invalid(cause)) = &refused else {
        panic!("{refused:?}");
    };
    assert!(cause.text().contains("hostPort"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_comes_from_the_node_or_an_error_says_that_it_does_not() {
    let site = open_site!();
    let mut stage = Stage::set(&site, scheduler("pods-log", RUNS)).await;
    let room = RoomId::from("pods-log-one");
    stage.create("pods-log-one").await.unwrap();
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) if i.status == InstanceStatus::Ready => Some(()),
            _ => None,
        })
        .await;
    match site.runtime.log_tail(&stage.scheduler.name, &room, 5).await {
        Ok(lines) => assert_eq!(lines, ["up"]),
        Err(RuntimeError::Unavailable(cause)) => {
            assert!(cause.text().contains("pods-log-one"), "{cause}");
        }
        Err(other) => panic!("{other:?}"),
    }
}
