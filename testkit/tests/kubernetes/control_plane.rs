//! The parts of a control plane are real: admission, rights, scheduling, history.

use crate::support::{bare_namespace, bound, condition, create, namespace, phase, pod_that, until};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, VersionMatch};
use maestro_testkit::control_plane::{ControlPlane, TestNode};
use maestro_testkit::kubelet::Kubelet;
use serde_json::json;
use std::path::Path;

#[tokio::test]
async fn pods_are_bound_unless_their_host_port_is_taken() {
    let Some(plane) = ControlPlane::alone().await else {
        return;
    };
    plane.register_node(&TestNode::new("only")).await;
    let pods = namespace(&plane.client().await, "ports").await;
    let ports = json!([{"containerPort": 7777, "hostPort": 21000, "protocol": "UDP"}]);
    let spec = json!({"containers": [{"name": "game", "image": "game", "ports": ports}]});
    let decided = |pod: &Pod| condition(pod, "PodScheduled").is_some();
    let mut bound = Vec::new();
    for name in ["first", "second"] {
        create(&pods, name, spec.clone()).await;
        let pod = pod_that(&pods, name, "the scheduler has decided", decided).await;
        bound.push(pod.spec.unwrap().node_name);
    }
    assert_eq!(bound, [Some("only".to_owned()), None]);
    let status = pods.get("second").await.unwrap().status.unwrap();
    let refusal = status.conditions.unwrap().remove(0).message.unwrap();
    assert!(refusal.contains("free ports"), "{refusal}");
}

#[tokio::test]
async fn a_service_account_has_its_rights_alone_and_its_calls_are_logged() {
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    namespace(&plane.client().await, "rights").await;
    let user = plane.user("rights", "guest").await;
    let pods: Api<Pod> = Api::namespaced(user.client().await, "rights");
    let code = async || match pods.list(&ListParams::default()).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(code().await, 403);
    let role = ["role", "reader", "--verb=list", "--resource=pods"];
    let binding = [
        "rolebinding",
        "reader",
        "--role=reader",
        "--serviceaccount=rights:guest",
    ];
    for words in [role, binding] {
        let create = [&["create", "--namespace=rights"], &words[..]].concat();
        plane.kubectl(&create).unwrap();
    }
    until("the role counts", async || code().await == 200).await;
    plane.renew_token(&user, 600).await;
    if !plane.is_own_or_skip() {
        return;
    }
    let calls = || {
        plane
            .audit()
            .into_iter()
            .filter(|event| event.user == user.name())
    };
    let is_logged = async || calls().any(|event| event.code == 200);
    until("the calls are in the log", is_logged).await;
    let first = calls().next().unwrap();
    let seen = (
        &*first.verb,
        &*first.resource,
        &*first.namespace,
        first.code,
        &*first.decision,
    );
    assert_eq!(seen, ("list", "pods", "rights", 403, "forbid"));
    let is_of_harness = |user: &str| user.contains("harness") || user.contains("controller");
    assert!(
        plane
            .audit()
            .iter()
            .all(|event| !is_of_harness(&event.user))
    );
}

#[tokio::test]
async fn the_api_server_fails_and_comes_back_and_nothing_is_left_behind() {
    let Some(plane) = ControlPlane::start_api_server().await else {
        return;
    };
    if !plane.is_own_or_skip() {
        return;
    }
    plane.register_node(&TestNode::new("here")).await;
    let kubelet = Kubelet::of(&plane, &["here"]).await.start();
    let pods = bare_namespace(&plane, "rooms").await;
    let is_running = |pod: &Pod| phase(pod) == "Running";
    let run = async |name: &str| {
        create(&pods, name, bound("here", "exec sleep 1000")).await;
        let pod = pod_that(&pods, name, "it runs", is_running).await;
        let pids = kubelet.pids("rooms", name);
        (pod.metadata.resource_version.unwrap(), pids)
    };
    let alive = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
    let (version, kept) = run("before").await;
    let snapshot = plane.snapshot().await;
    let (_, lost) = run("after").await;

    plane.stop_api_server().await;
    assert!(pods.get("after").await.is_err());
    plane.compact().await;
    plane.start_api_server_again().await;
    assert!(pods.get("after").await.is_ok());
    let then = ListParams::default().at(&version);
    let then = then.matching(VersionMatch::Exact);
    let error = pods.list(&then).await.unwrap_err();
    assert!(
        matches!(&error, kube::Error::Api(status) if status.code == 410),
        "{error}"
    );

    plane.restore(&snapshot).await;
    assert!(pods.get("before").await.is_ok());
    assert!(pods.get_opt("after").await.unwrap().is_none());
    until("the lost pod has ended", async || !lost.iter().any(alive)).await;
    assert!(kept.len() == 1 && kept.iter().all(alive));
    run("later").await;

    drop(kubelet);
    let (pids, folder) = (
        plane.pids().await,
        plane.audit_log().parent().unwrap().to_owned(),
    );
    assert!(pids.len() == 2 && pids.iter().all(alive) && folder.exists());
    drop(plane);
    assert!(!pids.iter().any(alive) && !folder.exists());
}
