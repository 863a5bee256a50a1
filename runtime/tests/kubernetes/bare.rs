//! An API server without controllers, a scheduler and nodes: what happens to its objects, the tests do themselves.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use maestro_testkit::control_plane::{ControlPlane, kept};
use serde_json::json;
use std::sync::{Arc, LazyLock};

static PLANE: LazyLock<Option<Arc<ControlPlane>>> = LazyLock::new(|| {
    kept(async || {
        let plane = ControlPlane::start_api_server().await?;
        let plane = Some(plane).filter(ControlPlane::is_own_or_skip)?;
        Some((Arc::new(plane), ()))
    })
});

/// `None` without the programs, and on a cluster that has controllers of its own.
pub async fn plane() -> Option<Arc<ControlPlane>> {
    let plane = tokio::task::spawn_blocking(|| PLANE.clone());
    plane.await.unwrap()
}

/// That of the pods in a namespace, which a controller would make.
pub async fn account(client: &Client, namespace: &str) {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
    let made = accounts.create(&PostParams::default(), &account).await;
    made.unwrap();
}

/// Changes that account until the version of the cluster's contents is above this one.
pub async fn grow(client: &Client, namespace: &str, above: u64) {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    for number in 0.. {
        let change = json!({"metadata": {"annotations": {"number": number.to_string()}}});
        let (how, change) = (PatchParams::default(), Patch::Merge(change));
        let changed = accounts.patch("default", &how, &change).await.unwrap();
        let version: u64 = changed.resource_version().unwrap().parse().unwrap();
        if version > above {
            return;
        }
    }
}
