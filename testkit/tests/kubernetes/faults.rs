//! The network to the API server, and single calls, fail as a test says.

use crate::support::{create, namespace, script};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, Config};
use maestro_testkit::control_plane::{ApiProxy, ControlPlane, Fault};
use maestro_testkit::proxy::{Network, Proxy};
use std::time::Duration;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_millis(200);

#[tokio::test]
async fn calls_fail_as_the_test_says() {
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    let direct = namespace(&plane.client().await, "faults").await;
    let proxy = ApiProxy::start(plane.kubeconfig()).await;
    let pods: Api<Pod> = Api::namespaced(proxy.client().await, "faults");
    create(&pods, "passes", script("nowhere", "Never", "")).await;
    assert_eq!(
        pods.list(&ListParams::default()).await.unwrap().items.len(),
        1
    );

    proxy.set(|call| {
        (call.method == "GET").then_some(Fault::Refuse {
            code: 429,
            reason: "TooManyRequests",
            retry_after: Some(1),
        })
    });
    let refused = pods.get("passes").await.unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 429),
        "{refused}"
    );

    proxy.set(|call| call.body.contains("lost").then_some(Fault::LoseAnswer));
    let lost = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "lost"}, "spec": script("nowhere", "Never", ""),
    }));
    assert!(
        pods.create(&Default::default(), &lost.unwrap())
            .await
            .is_err()
    );
    assert!(direct.get("lost").await.is_ok(), "it was made all the same");

    proxy.set(|call| (call.method == "DELETE").then_some(Fault::Reset));
    assert!(pods.delete("lost", &Default::default()).await.is_err());
    assert!(direct.get("lost").await.is_ok());

    proxy.set(|call| call.path.ends_with("passes").then_some(Fault::Ignore));
    assert!(timeout(NEVER, pods.get("passes")).await.is_err());
    assert!(pods.get("lost").await.is_ok());
    let last = proxy.calls().pop().unwrap();
    assert_eq!(
        (&*last.method, &*last.path),
        ("GET", "/api/v1/namespaces/faults/pods/lost")
    );
}

#[tokio::test]
async fn watches_fall_silent_and_are_reset() {
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    let direct = namespace(&plane.client().await, "watches").await;
    let proxy = ApiProxy::start(plane.kubeconfig()).await;
    let pods: Api<Pod> = Api::namespaced(proxy.client().await, "watches");
    let open = async || {
        pods.watch(&WatchParams::default(), "0")
            .await
            .unwrap()
            .boxed()
    };
    let mut watch = open().await;
    create(&direct, "heard", script("nowhere", "Never", "")).await;
    timeout(SOON, hears(&mut watch, "heard")).await.unwrap();
    proxy.mute_watches(true);
    create(&direct, "lost", script("nowhere", "Never", "")).await;
    assert!(timeout(NEVER, hears(&mut watch, "lost")).await.is_err());
    proxy.mute_watches(false);
    create(&direct, "late", script("nowhere", "Never", "")).await;
    assert!(timeout(NEVER, hears(&mut watch, "late")).await.is_err());
    proxy.reset_watches();
    let end = timeout(SOON, watch.next()).await.unwrap();
    assert!(end.is_none_or(|event| event.is_err()));
    timeout(SOON, hears(&mut open().await, "late"))
        .await
        .unwrap();
}

/// Returns when this pod was added.
async fn hears(watch: &mut BoxStream<'_, kube::Result<WatchEvent<Pod>>>, name: &str) {
    loop {
        match watch.try_next().await.unwrap().expect("it goes on") {
            WatchEvent::Added(pod) if pod.metadata.name.as_deref() == Some(name) => return,
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_encrypted_connection_fails() {
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    if !plane.is_own_or_skip() {
        return;
    }
    let proxy = Proxy::start(plane.address()).await;
    let kubeconfig = plane.kubeconfig_at(&proxy.address());
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    assert!(client.apiserver_version().await.is_ok());
    proxy.set(Network::Loses);
    assert!(timeout(NEVER, client.apiserver_version()).await.is_err());
    proxy.set(Network::Resets);
    assert!(
        timeout(SOON, client.apiserver_version())
            .await
            .unwrap()
            .is_err()
    );
}
