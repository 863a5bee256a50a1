//! Runtimes that are created by themselves, and what a namespace shows of versions.

use crate::faults::behind_proxy;
use crate::open_site;
use crate::site::{Site, plane};
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt};
use maestro_core::domain::{ConfigPairs, PlatformFault, SchedulerName};
use maestro_core::ports::{Published, Runtime, ServicePort, Shown, VersionConfig};
use maestro_testkit::contract::runtime::{RUNS, operation, scheduler};
use maestro_testkit::control_plane::Fault;
use serde_json::{Value, json};
use std::sync::Arc;

fn kind(group: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural)
}

fn objects(client: &Client, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, resource)
}

/// The kinds of the objects of a runtime without an operator.
fn rights() -> [(ApiResource, &'static str); 3] {
    let rbac = "rbac.authorization.k8s.io";
    [
        (kind(rbac, "Role", "roles"), "maestro-runtime"),
        (
            kind("", "ServiceAccount", "serviceaccounts"),
            "maestro-runtime",
        ),
        (kind(rbac, "RoleBinding", "rolebindings"), "maestro-runtime"),
    ]
}

async fn versions(client: &Client, namespace: &str) -> Vec<Option<String>> {
    let mut all = Vec::new();
    for (resource, name) in rights() {
        let api = objects(client, namespace, &resource);
        all.push(api.get(name).await.unwrap().resource_version());
    }
    all
}

fn config(version: &str, pairs: &[(&str, &str)]) -> VersionConfig {
    let pairs = pairs
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    VersionConfig {
        version: version.into(),
        revision: 1,
        pairs: ConfigPairs::new(pairs).unwrap(),
    }
}

fn shown(published: Option<(&str, &[u16])>, configs: Vec<VersionConfig>) -> Arc<Shown> {
    Arc::new(Shown {
        is_runtime: false,
        published: published.map(|(version, ports)| Published {
            version: version.into(),
            ports: ports
                .iter()
                .map(|port| ServicePort {
                    protocol: "udp".into(),
                    port: *port,
                })
                .collect(),
        }),
        configs,
    })
}

async fn service(site: &Site, namespace: &str) -> Option<Value> {
    let api = objects(&site.client, namespace, &kind("", "Service", "services"));
    let found = api.get_opt("active-entrypoint").await.unwrap();
    found.map(|found| serde_json::to_value(found).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_is_made_once_and_a_second_order_changes_nothing() {
    let site = open_site!();
    let platform = site.runtime.platform();
    let name = SchedulerName::from("rt-twice");
    let before = platform.runtime_status(&name).await.unwrap();
    assert!(
        before.iter().all(|condition| !condition.holds),
        "{before:?}"
    );
    let made = platform.ensure_runtime(&name, operation(1)).await.unwrap();
    assert!(made.created);
    let first = versions(&site.client, "rt-twice").await;
    let again = platform.ensure_runtime(&name, operation(2)).await.unwrap();
    assert!(!again.created);
    assert_eq!(versions(&site.client, "rt-twice").await, first);
    let after = platform.runtime_status(&name).await.unwrap();
    assert!(after.iter().all(|condition| condition.holds), "{after:?}");
    // A scheduler of the name adopts it.
    let adopted = site
        .runtime
        .prepare(&scheduler("rt-twice", RUNS), operation(3))
        .await;
    assert!(!adopted.unwrap().created);
    // What somebody edits is repaired.
    let api = objects(&site.client, "rt-twice", &rights()[0].0);
    let edit = kube::api::Patch::Merge(json!({"rules": []}));
    let parameters = kube::api::PatchParams::default();
    api.patch("maestro-runtime", &parameters, &edit)
        .await
        .unwrap();
    let edited = platform.runtime_status(&name).await.unwrap();
    assert_eq!(edited.iter().filter(|c| !c.holds).count(), 1, "{edited:?}");
    let mut kept = Shown::clone(&shown(None, Vec::new()));
    kept.is_runtime = true;
    platform.show(&name, Arc::new(kept)).await.unwrap();
    let after = platform.runtime_status(&name).await.unwrap();
    assert!(after.iter().all(|condition| condition.holds), "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_foreign_is_refused_and_stays_as_it_is() {
    let site = open_site!();
    let platform = site.runtime.platform();
    let plane = plane().await.unwrap();
    plane
        .kubectl(&["create", "namespace", "rt-foreign"])
        .unwrap();
    let name = SchedulerName::from("rt-foreign");
    let refused = platform.ensure_runtime(&name, operation(1)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.fault, PlatformFault::Foreign, "{refused}");
    for (resource, name) in rights() {
        let api = objects(&site.client, "rt-foreign", &resource);
        assert!(api.get_opt(name).await.unwrap().is_none());
    }
    let name = SchedulerName::from("rt-service");
    platform.ensure_runtime(&name, operation(1)).await.unwrap();
    let create = ["create", "service", "clusterip", "active-entrypoint"];
    let of = ["--tcp=80:80", "-n", "rt-service"];
    plane.kubectl(&[&create[..], &of[..]].concat()).unwrap();
    let before = service(&site, "rt-service").await;
    let order = shown(Some(("v1.0.0", &[7777])), Vec::new());
    let refused = platform.show(&name, order).await.unwrap_err();
    assert_eq!(refused.fault, PlatformFault::Foreign, "{refused}");
    platform.show(&name, shown(None, Vec::new())).await.unwrap();
    assert_eq!(service(&site, "rt-service").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_selects_the_published_version_and_configurations_follow() {
    let site = open_site!();
    let platform = site.runtime.platform();
    let name = SchedulerName::from("rt-shown");
    platform.ensure_runtime(&name, operation(1)).await.unwrap();
    let one = config("v1.0.0", &[("A", "1"), ("B", "2")]);
    let two = config("v2.0.0", &[]);
    let order = shown(Some(("v1.0.0", &[7777])), vec![one, two.clone()]);
    platform.show(&name, order.clone()).await.unwrap();
    let first = service(&site, "rt-shown").await.unwrap();
    let selector = json!({
        "heritage": "maestro", "maestro-scheduler": "rt-shown", "version-name": "v1.0.0",
    });
    assert_eq!(first["spec"]["selector"], selector);
    assert_eq!(first["spec"]["ports"][0]["port"], 7777);
    assert_eq!(first["spec"]["ports"][0]["protocol"], "UDP");
    platform.show(&name, order).await.unwrap();
    let again = service(&site, "rt-shown").await.unwrap();
    assert_eq!(again["metadata"], first["metadata"], "nothing was written");
    // The second version is published over the first one: the Service stays the same object.
    let less = config("v1.0.0", &[("A", "3")]);
    let order = shown(Some(("v2.0.0", &[7777, 7778])), vec![less, two]);
    platform.show(&name, order).await.unwrap();
    let second = service(&site, "rt-shown").await.unwrap();
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(second["spec"]["selector"]["version-name"], "v2.0.0");
    assert_eq!(second["spec"]["ports"].as_array().unwrap().len(), 2);
    let configs = objects(
        &site.client,
        "rt-shown",
        &kind("", "ConfigMap", "configmaps"),
    );
    let changed = configs.get("v1.0.0-global").await.unwrap();
    assert_eq!(changed.data["data"], json!({"A": "3"}), "B is dropped");
    assert_eq!(changed.labels()["version-name"], "v1.0.0");
    // A version without ports has no address of its own.
    let order = shown(Some(("v2.0.0", &[])), Vec::new());
    platform.show(&name, order).await.unwrap();
    let bare = service(&site, "rt-shown").await.unwrap();
    assert_eq!(bare["spec"]["clusterIP"], "None");
    assert!(configs.get_opt("v1.0.0-global").await.unwrap().is_none());
    // The next one has ports, and its Service an address.
    let order = shown(Some(("v2.0.0", &[7777])), Vec::new());
    platform.show(&name, order).await.unwrap();
    let addressed = service(&site, "rt-shown").await.unwrap();
    assert_ne!(addressed["spec"]["clusterIP"], "None");
    assert_eq!(addressed["spec"]["ports"][0]["port"], 7777);
    platform.show(&name, shown(None, Vec::new())).await.unwrap();
    assert_eq!(service(&site, "rt-shown").await, None);
    // The ConfigMap that Kubernetes itself puts there is nobody's business.
    let left = configs.list(&Default::default()).await.unwrap();
    assert!(
        left.iter()
            .all(|left| !left.labels().contains_key("version-name"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_was_cut_short_is_completed_by_the_next() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let platform = site.runtime.platform();
    for step in ["namespaces", "roles", "serviceaccounts", "rolebindings"] {
        let name = SchedulerName::from(format!("rt-cut-{step}").as_str());
        let end = format!("/{step}");
        proxy.set(move |call| {
            let is_step = call.method == "POST" && call.path.ends_with(&end);
            is_step.then_some(Fault::Reset)
        });
        let cut = platform.ensure_runtime(&name, operation(1)).await;
        let cut = cut.unwrap_err();
        assert_eq!(cut.fault, PlatformFault::Unavailable, "{step}: {cut}");
        proxy.set(|_| None);
        platform.ensure_runtime(&name, operation(1)).await.unwrap();
        let status = platform.runtime_status(&name).await.unwrap();
        assert!(status.iter().all(|c| c.holds), "{step}: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_and_a_missing_server_are_told_apart() {
    let Some(plane) = plane().await else {
        return;
    };
    let user = plane.user("default", "no-runtimes").await;
    let site = Site::by(&plane, user.kubeconfig()).await;
    let platform = site.runtime.platform();
    let name = SchedulerName::from("rt-forbidden");
    let refused = platform.ensure_runtime(&name, operation(1)).await;
    assert_eq!(refused.unwrap_err().fault, PlatformFault::Forbidden);
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    proxy.set(|_| Some(Fault::Reset));
    let platform = site.runtime.platform();
    let away = platform.ensure_runtime(&name, operation(1)).await;
    assert_eq!(away.unwrap_err().fault, PlatformFault::Unavailable);
    let away = platform.runtime_status(&name).await;
    assert_eq!(away.unwrap_err().fault, PlatformFault::Unavailable);
}
