//! The control plane of tests is real, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use maestro_testkit::control_plane::{ControlPlane, TestNode};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long controllers, scheduler and kubelet may take together.
const SOON: Duration = Duration::from_secs(30);

async fn namespace(client: &Client, name: &str) {
    let namespace = json!({"metadata": {"name": name}});
    let namespace: Namespace = serde_json::from_value(namespace).unwrap();
    let all: Api<Namespace> = Api::all(client.clone());
    all.create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    // The service account without which no pod is let in.
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(client.clone(), name);
    until("the service account", async || {
        accounts.get_opt("default").await.unwrap().is_some()
    })
    .await;
}

async fn until(what: &str, mut level: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + SOON;
    while !level().await {
        assert!(Instant::now() < until, "not within {SOON:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn pod(name: &str, spec: &Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

#[tokio::test]
async fn pods_are_bound_unless_their_host_port_is_taken() {
    let Some(plane) = ControlPlane::alone().await else {
        return;
    };
    let client = plane.client().await;
    plane.register_node(&TestNode::new("only")).await;
    namespace(&client, "ports").await;
    let pods: Api<Pod> = Api::namespaced(client, "ports");
    let spec = json!({"containers": [{"name": "game", "image": "game",
        "ports": [{"containerPort": 7777, "hostPort": 21000, "protocol": "UDP"}]}]});
    for name in ["first", "second"] {
        pods.create(&PostParams::default(), &pod(name, &spec))
            .await
            .unwrap();
        let decided = async || {
            let status = pods.get(name).await.unwrap().status.unwrap();
            status
                .conditions
                .is_some_and(|all| all.iter().any(|one| one.type_ == "PodScheduled"))
        };
        until("the scheduler has seen the pod", decided).await;
    }
    let node = |pod: &Pod| pod.spec.as_ref().unwrap().node_name.clone();
    let list = pods.list(&ListParams::default()).await.unwrap();
    let bound: Vec<_> = list.iter().map(node).collect();
    assert_eq!(bound, [Some("only".to_owned()), None]);
    let refused = list.items[1]
        .status
        .as_ref()
        .unwrap()
        .conditions
        .as_ref()
        .unwrap();
    assert!(
        refused[0].message.as_ref().unwrap().contains("free ports"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_service_account_has_its_rights_alone_and_its_calls_are_logged() {
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    let client = plane.client().await;
    namespace(&client, "rights").await;
    let user = plane.user("rights", "guest").await;
    let pods: Api<Pod> = Api::namespaced(user.client().await, "rights");
    let code = async || match pods.list(&ListParams::default()).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(code().await, 403);
    let role = [
        "create",
        "role",
        "reader",
        "--verb=list",
        "--resource=pods",
        "-n",
        "rights",
    ];
    plane.kubectl(&role).unwrap();
    let binding = [
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        "-n",
        "rights",
    ];
    let binding = [&binding[..], &["--serviceaccount=rights:guest"]].concat();
    plane.kubectl(&binding).unwrap();
    until("the role counts", async || code().await == 200).await;
    plane.renew_token(&user, 600).await;
    if !plane.is_own() {
        return;
    }
    let calls = || {
        plane
            .audit()
            .into_iter()
            .filter(|event| event.user == user.name())
    };
    until("the calls are in the log", async || {
        calls().any(|event| event.code == 200)
    })
    .await;
    let first = calls().next().unwrap();
    let seen = (
        &*first.verb,
        &*first.resource,
        &*first.namespace,
        first.code,
        &*first.decision,
    );
    assert_eq!(seen, ("list", "pods", "rights", 403, "forbid"));
    assert!(
        plane
            .audit()
            .iter()
            .all(|event| !event.user.contains("harness"))
    );
}

#[tokio::test]
async fn the_api_server_fails_and_comes_back_and_nothing_is_left_behind() {
    let Some(plane) = ControlPlane::start_api_server().await else {
        return;
    };
    if !plane.is_own() {
        return;
    }
    let namespaces: Api<Namespace> = Api::all(plane.client().await);
    namespace_object(&namespaces, "before").await;
    let snapshot = plane.snapshot().await;
    namespace_object(&namespaces, "after").await;
    plane.stop_api_server().await;
    assert!(namespaces.get("after").await.is_err());
    plane.start_api_server_again().await;
    assert!(namespaces.get("after").await.is_ok());
    let old = namespaces
        .list(&ListParams::default().limit(1))
        .await
        .unwrap();
    let version = old.metadata.resource_version.unwrap();
    namespace_object(&namespaces, "later").await;
    plane.compact().await;
    let at = kube::api::ListParams::default()
        .at(&version)
        .matching(kube::api::VersionMatch::Exact);
    let error = namespaces.list(&at).await.unwrap_err();
    assert!(
        matches!(&error, kube::Error::Api(status) if status.code == 410),
        "{error}"
    );
    plane.restore(&snapshot).await;
    assert!(namespaces.get("before").await.is_ok());
    assert!(namespaces.get_opt("after").await.unwrap().is_none());
    let (pids, folder) = (
        plane.pids().await,
        plane.audit_log().parent().unwrap().to_owned(),
    );
    let alive = |pid: &u32| Path::new(&format!("/proc/{pid}")).exists();
    assert!(pids.len() == 2 && pids.iter().all(alive) && folder.exists());
    drop(plane);
    assert!(!pids.iter().any(alive) && !folder.exists());
}

async fn namespace_object(namespaces: &Api<Namespace>, name: &str) {
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
}
