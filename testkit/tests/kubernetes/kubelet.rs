//! Pods are processes, and their status says what these do.

use crate::support::{
    condition, container, create, gone, namespace, phase, pod_that, script, until, waits_for,
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use maestro_testkit::control_plane::{ControlPlane, TestNode};
use maestro_testkit::kubelet::Kubelet;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const NAP: &str = "exec sleep 1000";

fn is_running(pod: &Pod) -> bool {
    phase(pod) == "Running" && condition(pod, "Ready").as_deref() == Some("True")
}

fn is_alive(pid: &u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_process_sees_its_environment_and_its_exit_code_is_seen() {
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    let client = plane.client().await;
    plane.register_node(&TestNode::new("exits")).await;
    let kubelet = Kubelet::of(&plane, &["exits"]).await.start();
    let pods = namespace(&client, "exits").await;
    let secrets: Api<Secret> = Api::namespaced(client, "exits");
    let mut spec = script("exits", "Never", "env; echo $0 $1; exit 3");
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    spec["containers"][0]["env"] = json!([
        {"name": "PLAIN", "value": "a b"},
        {"name": "BUILT", "value": "<$(PLAIN)>"},
        field("NAME", "metadata.name"),
        field("NAMESPACE", "metadata.namespace"),
        field("POD_UID", "metadata.uid"),
        field("NODE", "spec.nodeName"),
        field("HOST", "status.hostIP"),
        field("ADDRESS", "status.podIP"),
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "one"}}},
    ]);
    spec["containers"][0]["args"] = json!(["zero", "$(NAME)"]);
    create(&pods, "room", spec).await;
    let refused = |pod: &Pod| waits_for(pod).as_deref() == Some("CreateContainerConfigError");
    pod_that(&pods, "room", "the secret is missed", refused).await;
    let keys = json!({"metadata": {"name": "keys"}, "stringData": {"one": "1 €"}});
    let keys = serde_json::from_value(keys).unwrap();
    secrets.create(&PostParams::default(), &keys).await.unwrap();
    let pod = pod_that(&pods, "room", "it has ended", |pod| phase(pod) == "Failed").await;
    let status = pod.status.as_ref().unwrap();
    let ended = container(&pod).unwrap().state.unwrap().terminated.unwrap();
    assert_eq!(
        (ended.exit_code, ended.reason.as_deref()),
        (3, Some("Error"))
    );
    let log = kubelet.log("exits", "room", "game");
    let address = status.pod_ip.as_ref().unwrap();
    assert!(address.starts_with("10."), "{address}");
    let uid = pod.metadata.uid.as_ref().unwrap();
    for line in [
        "PLAIN=a b",
        "BUILT=<a b>",
        "NAME=room",
        "NAMESPACE=exits",
        "NODE=exits",
        "HOST=127.0.0.1",
        "KEY=1 €",
        "zero room",
        &format!("POD_UID={uid}"),
        &format!("ADDRESS={address}"),
    ] {
        assert!(
            log.lines().any(|seen| seen == line),
            "{line} is not in\n{log}"
        );
    }
}

#[tokio::test]
async fn a_deleted_pod_has_its_grace_and_no_more() {
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    plane.register_node(&TestNode::new("ends")).await;
    let kubelet = Kubelet::of(&plane, &["ends"]).await.start();
    let pods = namespace(&plane.client().await, "ends").await;
    // Its child would live on.
    let deaf = "trap '' TERM; sleep 1000 & echo up; wait; wait";
    create(
        &pods,
        "polite",
        script(
            "ends",
            "Always",
            "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done",
        ),
    )
    .await;
    create(&pods, "deaf", script("ends", "Always", deaf)).await;
    let mut pids = Vec::new();
    for name in ["polite", "deaf"] {
        pod_that(&pods, name, "it runs", is_running).await;
        let is_up = async || kubelet.log("ends", name, "game").contains("up");
        until("its trap is set", is_up).await;
        pids.extend(kubelet.pids("ends", name));
    }
    assert!(pids.len() == 2 && pids.iter().all(is_alive));
    for (name, seconds) in [("polite", 30), ("deaf", 1)] {
        let grace = DeleteParams::default().grace_period(seconds);
        pods.delete(name, &grace).await.unwrap();
        gone(&pods, name).await;
    }
    assert!(kubelet.log("ends", "polite", "game").contains("bye"));
    until("the processes are gone", async || {
        !pids.iter().any(is_alive)
    })
    .await;
}

#[tokio::test]
async fn a_container_that_fails_is_started_again_and_then_backs_off() {
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    plane.register_node(&TestNode::new("fails")).await;
    let kubelet = Kubelet::of(&plane, &["fails"]).await;
    let kubelet = kubelet.broken_image("lost", "ImagePullBackOff").start();
    let pods = namespace(&plane.client().await, "fails").await;
    create(&pods, "crashes", script("fails", "OnFailure", "exit 7")).await;
    create(&pods, "succeeds", script("fails", "OnFailure", "exit 0")).await;
    let mut unknown = script("fails", "Never", NAP);
    unknown["containers"][0]["command"] = json!(["no-such-program"]);
    create(&pods, "unknown", unknown).await;
    let mut lost = script("fails", "Never", NAP);
    lost["containers"][0]["image"] = json!("lost");
    create(&pods, "lost", lost).await;

    let backs_off = |pod: &Pod| waits_for(pod).as_deref() == Some("CrashLoopBackOff");
    let pod = pod_that(&pods, "crashes", "it backs off", backs_off).await;
    let status = container(&pod).unwrap();
    let last = status.last_state.unwrap().terminated.unwrap();
    assert_eq!(
        (phase(&pod), status.restart_count, last.exit_code),
        ("Running", 1, 7)
    );
    assert_eq!(condition(&pod, "ContainersReady").as_deref(), Some("False"));
    assert_eq!(condition(&pod, "PodScheduled").as_deref(), Some("True"));
    pod_that(&pods, "succeeds", "it has ended", |pod| {
        phase(pod) == "Succeeded"
    })
    .await;
    let pod = pod_that(&pods, "unknown", "it has ended", |pod| {
        phase(pod) == "Failed"
    })
    .await;
    let ended = container(&pod).unwrap().state.unwrap().terminated.unwrap();
    assert_eq!(
        (ended.exit_code, ended.reason.as_deref()),
        (128, Some("StartError"))
    );
    let waits = |pod: &Pod| waits_for(pod).as_deref() == Some("ImagePullBackOff");
    let pod = pod_that(&pods, "lost", "it waits for its image", waits).await;
    assert_eq!(phase(&pod), "Pending");
    kubelet.mend_image("lost");
    pod_that(&pods, "lost", "it runs", is_running).await;
}

#[tokio::test]
async fn a_machine_fails_and_comes_back() {
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    plane
        .register_nodes(&[TestNode::new("weak"), TestNode::new("cut")])
        .await;
    let kubelet = Kubelet::of(&plane, &["weak", "cut"]).await.start();
    let pods = namespace(&plane.client().await, "machines").await;
    for (name, node, restart) in [
        ("again", "weak", "Always"),
        ("once", "weak", "Never"),
        ("deleted", "weak", "Always"),
        ("apart", "cut", "Always"),
    ] {
        create(&pods, name, script(node, restart, NAP)).await;
    }
    let mut pids = Vec::new();
    for name in ["again", "once", "deleted", "apart"] {
        pod_that(&pods, name, "it runs", is_running).await;
        pids.extend(kubelet.pids("machines", name));
    }
    kubelet.vanish("weak");
    kubelet.cut_off("cut");
    until("processes are gone", async || {
        !pids[..3].iter().any(is_alive)
    })
    .await;
    for name in ["deleted", "apart"] {
        pods.delete(name, &DeleteParams::default()).await.unwrap();
    }
    plane.set_node_ready("weak", "Unknown").await;
    for name in ["again", "once", "deleted", "apart"] {
        let pod = pods.get(name).await.unwrap();
        assert_eq!(
            phase(&pod),
            "Running",
            "nobody says anything else of {name}"
        );
        let ready = if name == "apart" { "True" } else { "False" };
        assert_eq!(condition(&pod, "Ready").as_deref(), Some(ready), "{name}");
    }
    assert!(is_alive(&pids[3]));
    for node in ["weak", "cut"] {
        kubelet.come_back(node).await;
    }
    for name in ["deleted", "apart"] {
        gone(&pods, name).await;
    }
    assert!(!is_alive(&pids[3]));
    pod_that(&pods, "once", "it has ended", |pod| phase(pod) == "Failed").await;
    let restarted = |pod: &Pod| container(pod).is_some_and(|one| one.restart_count == 1);
    let pod = pod_that(&pods, "again", "it runs again", |pod| {
        restarted(pod) && is_running(pod)
    })
    .await;
    let last = container(&pod)
        .unwrap()
        .last_state
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(
        (last.exit_code, last.reason.as_deref()),
        (255, Some("Unknown"))
    );
    let pids = kubelet.pids("machines", "again");
    drop(kubelet);
    assert!(pids.len() == 1, "{pids:?}");
    until("its processes are gone", async || {
        !pids.iter().any(is_alive)
    })
    .await;
}

#[tokio::test]
async fn many_pods_are_ready_without_processes() {
    const PODS: usize = 40;
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    let client = plane.client().await;
    plane.register_node(&TestNode::new("many")).await;
    let kubelet = Kubelet::of(&plane, &["many"]).await;
    let _kubelet = kubelet.status_only(Duration::from_millis(50)).start();
    let pods = namespace(&client, "many").await;
    for number in 0..PODS {
        create(
            &pods,
            &format!("room-{number}"),
            script("many", "Never", ""),
        )
        .await;
    }
    let all = ListParams::default();
    let are_ready = async || {
        pods.list(&all)
            .await
            .unwrap()
            .iter()
            .filter(|pod| is_running(pod))
            .count()
            == PODS
    };
    until("all are ready", are_ready).await;
    let deleted = pods.delete_collection(&DeleteParams::default(), &all).await;
    deleted.unwrap();
    until("all are gone", async || {
        pods.list(&all).await.unwrap().items.is_empty()
    })
    .await;
}
