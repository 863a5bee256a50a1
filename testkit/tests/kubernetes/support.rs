//! Namespaces, pods, and waiting for what they become.

use k8s_openapi::api::core::v1::{ContainerStatus, Namespace, Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use maestro_testkit::control_plane::ControlPlane;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long controllers, scheduler and kubelet may take together.
const SOON: Duration = Duration::from_secs(60);

pub async fn until(what: &str, mut level: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + SOON;
    while !level().await {
        assert!(Instant::now() < until, "not within {SOON:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A namespace that lets pods in: it has the service account that they need.
pub async fn namespace(client: &Client, name: &str) -> Api<Pod> {
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    let all: Api<Namespace> = Api::all(client.clone());
    all.create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
    let exists = async || accounts.get_opt("default").await.unwrap().is_some();
    until("the service account exists", exists).await;
    Api::namespaced(client.clone(), name)
}

/// The same where no controllers are.
pub async fn bare_namespace(plane: &ControlPlane, name: &str) -> Api<Pod> {
    let client = plane.client().await;
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    let all: Api<Namespace> = Api::all(client.clone());
    all.create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    plane.user(name, "default").await;
    Api::namespaced(client, name)
}

/// A pod that no scheduler has to bind, which runs a script.
pub fn bound(node: &str, script: &str) -> Value {
    let mut spec = self::script(node, "Never", script);
    spec["nodeName"] = json!(node);
    spec
}

pub async fn create(pods: &Api<Pod>, name: &str, spec: Value) {
    let pod = json!({"metadata": {"name": name}, "spec": spec});
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
}

/// A pod for one node, of one container that runs a script.
pub fn script(node: &str, restart: &str, script: &str) -> Value {
    json!({
        "nodeSelector": {"kubernetes.io/hostname": node},
        "restartPolicy": restart,
        "containers": [{"name": "game", "image": "game", "command": ["sh", "-c", script]}],
    })
}

/// The state of its only container.
pub fn container(pod: &Pod) -> Option<ContainerStatus> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?;
    status.first().cloned()
}

/// The reason for which its only container waits.
pub fn waits_for(pod: &Pod) -> Option<String> {
    container(pod)?.state?.waiting?.reason
}

pub fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// The status of a condition, such as `True`.
pub fn condition(pod: &Pod, kind: &str) -> Option<String> {
    let all = pod.status.as_ref()?.conditions.as_ref()?;
    let found = all.iter().find(|one| one.type_ == kind);
    found.map(|one| one.status.clone())
}

/// The pod, once this holds.
pub async fn pod_that(pods: &Api<Pod>, name: &str, what: &str, is: impl Fn(&Pod) -> bool) -> Pod {
    let until = Instant::now() + SOON;
    loop {
        let pod = pods.get(name).await.unwrap();
        if is(&pod) {
            return pod;
        }
        assert!(
            Instant::now() < until,
            "not within {SOON:?}: {what}: {:?}",
            pod.status
        );
        sleep(Duration::from_millis(10)).await;
    }
}

pub async fn gone(pods: &Api<Pod>, name: &str) {
    let is_gone = async || pods.get_opt(name).await.unwrap().is_none();
    until("the pod is gone", is_gone).await;
}
