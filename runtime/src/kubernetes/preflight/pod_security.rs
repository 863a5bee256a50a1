//! Whether Pod Security lets rooms have host ports: the levels `baseline` and `restricted` do not.

use super::super::labels::{OUR_PODS, POD_SECURITY};
use super::super::settings::KubernetesSettings;
use super::check::Check;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::BTreeSet;

const NAME: &str = "pod-security";
/// The namespace that every cluster has.
const DEFAULT: &str = "default";
const SETTING: &str = "adapters.runtime.kubernetes.namespace.podSecurity";
const PRIVILEGED: &str = "privileged";
/// Pods that are looked at for their namespaces.
const PODS: u32 = 500;
/// Namespaces of schedulers that are looked at.
const NAMESPACES: usize = 50;
/// A port for the dry run if none is set.
const PORT: i32 = 60_001;

/// By the setting, or by a dry run in a namespace that has only the default of the cluster.
pub async fn of_new_namespaces(client: &Client, settings: &KubernetesSettings) -> Check {
    let remedy = format!("set {SETTING} to {PRIVILEGED}");
    match settings.pod_security.as_deref() {
        Some(PRIVILEGED) => {
            let found = "new namespaces of schedulers are privileged: rooms have host ports";
            return Check::ok(NAME, found.into());
        }
        Some(level) => {
            let found = format!("{SETTING} is {level}, which refuses the host ports of all rooms");
            return Check::error(NAME, found, &remedy);
        }
        None => {}
    }
    let all: Api<Namespace> = Api::all(client.clone());
    let unknown = "the default of the cluster is not known";
    match all.get(DEFAULT).await {
        Err(error) => return Check::unknown(NAME, unknown, &error),
        Ok(namespace) if namespace.labels().contains_key(POD_SECURITY) => {
            let found = format!("{unknown}: the namespace {DEFAULT} has a level of its own");
            let remedy = format!("{remedy}, to be sure that rooms have host ports");
            return Check::warn(NAME, found, &remedy);
        }
        Ok(_) => {}
    }
    match dry_run(client, settings).await {
        Ok(()) => Check::ok(
            NAME,
            "new namespaces have the default of the cluster, which lets host ports in".into(),
        ),
        Err(kube::Error::Api(status)) if status.message.contains("violates PodSecurity") => {
            let found = format!(
                "the default of the cluster refuses the host ports of all rooms: {}",
                status.message
            );
            Check::error(NAME, found, &remedy)
        }
        Err(error) => Check::unknown(NAME, unknown, &error),
    }
}

async fn dry_run(client: &Client, settings: &KubernetesSettings) -> kube::Result<()> {
    let port = settings.default_ports.map_or(PORT, |range| range.start);
    let pod = json!({
        "metadata": {"generateName": "maestro-preflight-"},
        "spec": {"containers": [{
            "name": "room", "image": "room",
            "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}},
            "ports": [{"containerPort": 7777, "hostPort": port}],
        }]},
    });
    let pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), DEFAULT);
    pods.create(&dry, &pod).await.map(drop)
}

/// Somebody may have given a level to the namespaces of schedulers since: their next room is refused.
pub async fn of_existing_namespaces(client: &Client) -> Check {
    let unknown = "the namespaces with rooms are not known";
    let pods: Api<Pod> = Api::all(client.clone());
    let some = ListParams::default().labels(OUR_PODS).limit(PODS);
    let namespaces: BTreeSet<String> = match pods.list(&some).await {
        Ok(listed) => listed.iter().filter_map(ResourceExt::namespace).collect(),
        Err(error) => return Check::unknown(NAME, unknown, &error),
    };
    let all: Api<Namespace> = Api::all(client.clone());
    let mut refusing = Vec::new();
    let looked_at = namespaces.len().min(NAMESPACES);
    for name in namespaces.into_iter().take(NAMESPACES) {
        match all.get_opt(&name).await {
            Ok(Some(namespace)) if refuses(&namespace) => refusing.push(name),
            Ok(_) => {}
            Err(error) => return Check::unknown(NAME, unknown, &error),
        }
    }
    if refusing.is_empty() {
        let found = format!("{looked_at} namespaces with rooms let host ports in");
        return Check::ok(NAME, found);
    }
    let names = refusing.join(" ");
    let found = format!("these namespaces refuse host ports: {names}");
    let remedy = format!("kubectl label namespace {names} {POD_SECURITY}={PRIVILEGED} --overwrite");
    Check::error(NAME, found, &remedy)
}

fn refuses(namespace: &Namespace) -> bool {
    let level = namespace.labels().get(POD_SECURITY);
    level.is_some_and(|level| level != PRIVILEGED)
}
