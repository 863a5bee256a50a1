//! The runtime with the rights and the credentials of a service account.

use crate::faults::behind_proxy;
use crate::open_site;
use crate::site::{Site, plane, settings};
use maestro_core::domain::InstanceStatus;
use maestro_core::ports::RuntimeEvent;
use maestro_runtime::kubernetes::{Access, KubernetesRuntime, KubernetesSettings};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use maestro_testkit::control_plane::{ApiCall, ApiProxy, ControlPlane, Fault};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Runs a room from its creation to its end.
async fn serves(site: &Site, name: &str) {
    let mut stage = Stage::set(site, scheduler(name, RUNS)).await;
    let room = format!("{name}-one");
    stage.create(&room).await.unwrap();
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) if i.status == InstanceStatus::Ready => Some(()),
            _ => None,
        })
        .await;
    stage.terminate(&room, None).await.unwrap();
    stage.until_gone(&room.as_str().into()).await;
}

pub fn allow(plane: &ControlPlane, role: &str, rules: &[&str], user: &str) {
    plane
        .kubectl(&[&["create", "clusterrole", role], rules].concat())
        .unwrap();
    let role_of = format!("--clusterrole={role}");
    let user = format!("--serviceaccount={user}");
    plane
        .kubectl(&["create", "clusterrolebinding", role, &role_of, &user])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_with_a_mounted_token_that_is_rotated_serves_rooms() {
    let Some(plane) = plane().await else {
        return;
    };
    if !plane.is_own() {
        return;
    }
    let user = plane.user("default", "mounted").await;
    let rules = ["--verb=*", "--resource=pods,namespaces,nodes,events"];
    allow(&plane, "rooms-mounted", &rules, "default:mounted");
    let settings = KubernetesSettings::new(Access::ServiceAccount {
        server: plane.server().to_owned(),
        folder: user.folder().to_owned(),
    });
    let site = Site {
        runtime: KubernetesRuntime::open(settings).await.unwrap(),
        client: plane.client().await,
    };
    serves(&site, "rights-mounted").await;
    plane.renew_token(&user, 600).await;
    serves(&site, "rights-rotated").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_watch_the_cluster_each_namespace_is_watched() {
    let Some(plane) = plane().await else {
        return;
    };
    let user = plane.user("default", "narrow").await;
    let rules = ["--verb=*", "--resource=namespaces,nodes"];
    allow(&plane, "rooms-narrow", &rules, "default:narrow");
    let site = Site::by(&plane, user.kubeconfig()).await;
    let name = "rights-narrow";
    plane.kubectl(&["create", "namespace", name]).unwrap();
    let label = "app.kubernetes.io/managed-by=maestro";
    plane.kubectl(&["label", "namespace", name, label]).unwrap();
    let edit = [
        "create",
        "rolebinding",
        "rooms",
        "--clusterrole=edit",
        "-n",
        name,
    ];
    plane
        .kubectl(&[&edit[..], &["--serviceaccount=default:narrow"]].concat())
        .unwrap();
    serves(&site, name).await;
}

/// An API server that starts does not know all rights yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_to_watch_the_cluster_that_is_refused_a_few_times_is_not_missing() {
    let Some(plane) = plane().await else {
        return;
    };
    let proxy = ApiProxy::start(plane.kubeconfig()).await;
    let refused = AtomicU32::new(0);
    proxy.set(move |call| {
        let is_watch = call.path == "/api/v1/pods";
        let refuses = is_watch && refused.fetch_add(1, Ordering::Relaxed) < 4;
        refuses.then_some(Fault::Refuse {
            code: 403,
            reason: "Forbidden",
            retry_after: None,
        })
    });
    let site = Site::by(&plane, proxy.kubeconfig()).await;
    serves(&site, "rights-early").await;
    let calls = proxy.calls();
    let all = calls.iter().filter(|call| call.path == "/api/v1/pods");
    assert!(all.count() > 4);
    let one_by_one = |call: &&ApiCall| {
        call.path.ends_with("/namespaces/rights-early/pods") && call.method == "GET"
    };
    let each = calls.iter().find(one_by_one);
    assert!(each.is_none(), "{each:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_cluster_may_be_watched_no_more_the_list_of_each_namespace_decides() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let mut stage = Stage::set(&site, scheduler("rights-lost", RUNS)).await;
    proxy.set(|call| {
        (call.path == "/api/v1/pods").then_some(Fault::Refuse {
            code: 403,
            reason: "Forbidden",
            retry_after: None,
        })
    });
    proxy.reset_watches();
    let is_watched = |name: &str| {
        let path = format!("/api/v1/namespaces/{name}/pods");
        let calls = proxy.calls();
        calls
            .iter()
            .any(|call| call.path == path && call.query.contains("watch=true"))
    };
    while !is_watched("rights-lost") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Another process made a room since. An old list would tell its owner that it has ended.
    let other = open_site!();
    let theirs = Stage::set(&other, scheduler("rights-unseen", RUNS)).await;
    theirs.create("rights-unseen-one").await.unwrap();
    let mut next = Stage::resume(&site, theirs.scheduler.clone()).await;
    let listed = next.next().await;
    assert!(
        matches!(&listed, RuntimeEvent::Listed(rooms) if rooms.len() == 1),
        "{listed:?}"
    );
    while !is_watched("rights-unseen") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.create("rights-lost-one").await.unwrap();
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) if i.status == InstanceStatus::Ready => Some(()),
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_that_is_set_replaces_that_of_the_file() {
    let Some(plane) = plane().await else {
        return;
    };
    if !plane.is_own() {
        return;
    }
    let wrong = tempfile::tempdir().unwrap();
    let file = std::fs::read_to_string(plane.kubeconfig()).unwrap();
    let path = wrong.path().join("kubeconfig");
    let elsewhere = file.replace(plane.server(), "https://127.0.0.1:1");
    assert_ne!(file, elsewhere);
    std::fs::write(&path, elsewhere).unwrap();
    let mut settings = settings(&plane);
    settings.access = Access::Kubeconfig {
        path,
        master_url: Some(plane.server().to_owned()),
    };
    let site = Site {
        runtime: KubernetesRuntime::open(settings).await.unwrap(),
        client: plane.client().await,
    };
    serves(&site, "rights-master").await;
}
