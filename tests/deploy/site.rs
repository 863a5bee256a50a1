//! One control plane with one node for all tests of this program, on which Maestro's namespace and rights are
//! installed as an operator does it.

use crate::support::BINARY;
use crate::support::{eventually, seconds};
use maestro_testkit::control_plane::{AuditEvent, ControlPlane, TestNode, User, kept};
use maestro_testkit::kubelet::Kubelet;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock};

/// The node of the rooms.
const NODE: &str = "deploy";
/// The namespace and the service account of the manifests.
pub const MAESTRO: &str = "maestro";
/// All accounts of this namespace have the role of the manifests.
pub const FUNCTIONS: &str = "functions";

static PLANE: LazyLock<Option<Arc<ControlPlane>>> = LazyLock::new(|| kept(start));

async fn start() -> Option<(Arc<ControlPlane>, Kubelet)> {
    let plane = ControlPlane::start().await;
    // Roles and namespaces of Maestro are not put into somebody's cluster.
    let plane = plane.filter(ControlPlane::is_own_or_skip)?;
    install(&plane, "common");
    // The functions of the port are called by accounts of their own, which have the same role.
    plane.kubectl(&["create", "namespace", FUNCTIONS]).unwrap();
    let group = format!("--group=system:serviceaccounts:{FUNCTIONS}");
    let bound = [
        "create",
        "clusterrolebinding",
        FUNCTIONS,
        "--clusterrole=maestro",
        &group,
    ];
    plane.kubectl(&bound).unwrap();
    let node = TestNode::new(NODE).label("topology.kubernetes.io/zone", "one");
    plane.register_node(&node).await;
    let kubelet = Kubelet::of(&plane, &[NODE]).await;
    let kubelet = kubelet.program("maestro", Path::new(BINARY)).start();
    Some((Arc::new(plane), kubelet))
}

/// `None` without the programs, and on a cluster that is not to be changed.
pub async fn plane() -> Option<Arc<ControlPlane>> {
    let plane = tokio::task::spawn_blocking(|| PLANE.clone());
    plane.await.unwrap()
}

/// What `kubectl apply -k deploy/kubernetes/…` does, with unknown fields and warnings as errors.
pub fn install(plane: &ControlPlane, what: &str) {
    let folder = format!("{}/deploy/kubernetes/{what}", env!("CARGO_MANIFEST_DIR"));
    let strict = ["--server-side", "--validate=strict", "--warnings-as-errors"];
    let applied = plane.kubectl(&[&["apply", "-k", &folder], &strict[..]].concat());
    applied.unwrap_or_else(|words| panic!("{what}: {words}"));
}

/// An account of the namespace `default` with a role of these rules: resource, and verbs.
pub async fn account(plane: &ControlPlane, name: &str, rules: &[(&str, &[&str])]) -> User {
    let user = plane.user("default", name).await;
    let rules: Vec<_> = rules
        .iter()
        .map(
            |(resource, verbs)| json!({"apiGroups": [""], "resources": [resource], "verbs": verbs}),
        )
        .collect();
    let Some((first, _)) = rules.first().zip(rules.last()) else {
        return user;
    };
    let can = format!("{} {}", first["verbs"][0], first["resources"][0]).replace('"', "");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name}, "rules": rules,
    });
    let file = user.folder().join("role.json");
    std::fs::write(&file, role.to_string()).unwrap();
    let file = file.display().to_string();
    plane.kubectl(&["create", "-f", &file]).unwrap();
    let (role, who) = (
        format!("--clusterrole={name}"),
        format!("--serviceaccount=default:{name}"),
    );
    let bound = plane.kubectl(&["create", "clusterrolebinding", name, &role, &who]);
    bound.unwrap();
    until_allowed(plane, &user, &can).await;
    user
}

/// The API server hears of a new binding after a moment.
pub async fn until_allowed(plane: &ControlPlane, user: &User, what: &str) {
    let who = format!("--as={}", user.name());
    let words: Vec<&str> = what.split(' ').collect();
    let asked = [&["auth", "can-i"], &words[..], &[&who, "--all-namespaces"]].concat();
    let allowed = || async { plane.kubectl(&asked).is_ok() };
    assert!(eventually(seconds(30), allowed).await, "{what}");
}

/// A call as `maestro doctor kubernetes` and `kubectl auth can-i` name its right.
pub fn right_of(event: &AuditEvent) -> String {
    let mut name = format!("{} {}", event.verb, event.resource);
    for (mark, more) in [(".", &event.group), ("/", &event.subresource)] {
        if !more.is_empty() {
            name = format!("{name}{mark}{more}");
        }
    }
    name
}

/// The calls for resources that an account made so far; asking for its own rights is not counted.
pub fn calls_of(plane: &ControlPlane, user: &str) -> Vec<AuditEvent> {
    let mut calls = plane.audit();
    let counts = |event: &AuditEvent| {
        event.user == user && !event.resource.is_empty() && event.group != "authorization.k8s.io"
    };
    calls.retain(counts);
    calls
}

/// The rights of these calls.
pub fn rights(calls: &[AuditEvent]) -> BTreeSet<String> {
    calls.iter().map(right_of).collect()
}

/// `maestro doctor kubernetes` with a kubeconfig.
pub fn doctor(kubeconfig: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.env("MAESTRO_RUNTIME_TYPE", "kubernetes");
    command.env("MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_KUBECONFIG", kubeconfig);
    command.envs(environment.iter().copied());
    command.args(["doctor", "kubernetes"]).args(arguments);
    command.output().unwrap()
}
