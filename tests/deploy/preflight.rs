//! `maestro doctor kubernetes` says what is missing, and leaves nothing behind.

use crate::site::{MAESTRO, account, calls_of, doctor, plane, until_allowed};
use crate::support::{BINARY, eventually, seconds};
use maestro_testkit::control_plane::{ControlPlane, User};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The list of the Go Maestro's documents: read is get, list and watch.
pub const SEED: &[(&str, &[&str])] = &[
    ("nodes", &["get", "list", "watch"]),
    (
        "pods",
        &["get", "list", "watch", "create", "update", "delete"],
    ),
    (
        "namespaces",
        &["get", "list", "watch", "create", "update", "delete"],
    ),
];
/// What Maestro does beyond it.
const BEYOND: [&str; 7] = [
    "create events",
    "create poddisruptionbudgets.policy",
    "get poddisruptionbudgets.policy",
    "get pods/log",
    "patch namespaces",
    "patch pods",
    "patch poddisruptionbudgets.policy",
];

/// The exit status, and the checks.
struct Report {
    status: Option<i32>,
    checks: Vec<Value>,
}

impl Report {
    fn of(kubeconfig: &Path, environment: &[(&str, &str)]) -> Self {
        let output = doctor(kubeconfig, environment, &["--json"]);
        let checks = serde_json::from_slice(&output.stdout);
        Self {
            status: output.status.code(),
            checks: checks.unwrap_or_else(|error| panic!("{error}: {output:?}")),
        }
    }

    fn with(&self, key: &str, value: &str) -> Vec<&Value> {
        let checks = self.checks.iter();
        checks.filter(|check| check[key] == value).collect()
    }

    /// The rights with this verdict.
    fn rights(&self, verdict: &str) -> BTreeSet<&str> {
        let rights = self.with("check", "right").into_iter();
        let rights = rights.filter(|check| check["verdict"] == verdict);
        let found = rights.map(|check| check["found"].as_str().unwrap());
        let names = found.map(|found| found.split(" is missing").next().unwrap());
        names.collect()
    }

    /// The only check of this name whose verdict is not `ok`.
    fn trouble(&self, check: &str) -> &Value {
        let mut troubles = self.with("check", check).into_iter();
        let trouble = troubles.find(|check| check["verdict"] != "ok");
        trouble.unwrap_or_else(|| panic!("{check}: {:?}", self.checks))
    }
}

async fn installed(plane: &ControlPlane) -> User {
    let user = plane.user(MAESTRO, MAESTRO).await;
    until_allowed(plane, &user, "list nodes").await;
    user
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_preflight_says_what_is_missing() {
    let Some(plane) = plane().await else {
        return;
    };
    let user = installed(&plane).await;
    let full = Report::of(&user.kubeconfig(), &[]);
    assert_eq!(full.status, Some(0), "{:?}", full.checks);
    let all = full.with("verdict", "ok").len();
    assert_eq!(all, full.checks.len(), "{:?}", full.checks);
    let names: BTreeSet<&str> = full
        .checks
        .iter()
        .filter_map(|c| c["check"].as_str())
        .collect();
    let expected = [
        "api-server",
        "clock",
        "nodes",
        "pod-security",
        "ports",
        "right",
        "topology",
    ];
    assert_eq!(names, expected.into());
    assert!(full.rights("ok").is_superset(&BEYOND.into()));

    let seed = account(&plane, "preflight-seed", SEED).await;
    let report = Report::of(&seed.kubeconfig(), &[]);
    assert_eq!(report.status, Some(0), "rooms run: {:?}", report.checks);
    assert_eq!(report.rights("warn"), BEYOND.into());
    assert!(report.rights("error").is_empty());

    let nobody = account(&plane, "preflight-nobody", &[]).await;
    let report = Report::of(&nobody.kubeconfig(), &[]);
    assert_eq!(report.status, Some(1));
    assert!(report.rights("ok").is_empty());
    assert!(report.rights("error").contains("create pods"));
    let text = doctor(&nobody.kubeconfig(), &[], &[]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert_eq!(text.lines().count(), report.checks.len(), "{text}");
    assert!(text.contains("error  right         create pods is missing: no room runs; grant it"));

    settings_are_looked_at(&plane, &user).await;
    nothing_is_left(&plane, &user).await;
}

async fn settings_are_looked_at(plane: &ControlPlane, user: &User) {
    let level = "MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_NAMESPACE_PODSECURITY";
    let key = "MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_TOPOLOGYSPREADCONSTRAINT_TOPOLOGYKEY";
    let range = "MAESTRO_ADAPTERS_PORTALLOCATOR_RANDOM_RANGE";
    let report = Report::of(
        &user.kubeconfig(),
        &[(level, "baseline"), (range, "30000-30100"), (key, "rack")],
    );
    assert_eq!(report.status, Some(1));
    let trouble = report.trouble("pod-security");
    assert_eq!(trouble["verdict"], "error");
    let remedy = trouble["do"].as_str().unwrap();
    assert!(
        remedy.contains("namespace.podSecurity to privileged"),
        "{remedy}"
    );
    assert_eq!(report.trouble("ports")["verdict"], "warn");
    assert_eq!(report.trouble("topology")["verdict"], "error");
    let report = Report::of(&user.kubeconfig(), &[(level, "privileged")]);
    assert_eq!(report.status, Some(0), "{:?}", report.checks);

    // A namespace with a room, to which somebody gave another level.
    let namespace = "preflight-strict";
    plane.kubectl(&["create", "namespace", namespace]).unwrap();
    let account = || async {
        plane
            .kubectl(&["get", "serviceaccount", "default", "-n", namespace])
            .is_ok()
    };
    assert!(eventually(seconds(30), account).await);
    let room = [
        "--labels=heritage=maestro",
        "--overrides",
        r#"{"spec":{"nodeName":"none"}}"#,
    ];
    let run = ["run", "room", "--image=room", "-n", namespace];
    plane.kubectl(&[&run[..], &room].concat()).unwrap();
    let strict = "pod-security.kubernetes.io/enforce=baseline";
    plane
        .kubectl(&["label", "namespace", namespace, strict])
        .unwrap();
    let report = Report::of(&user.kubeconfig(), &[]);
    assert_eq!(report.status, Some(1));
    let trouble = report.trouble("pod-security");
    let remedy = trouble["do"].as_str().unwrap().to_owned();
    let command: Vec<&str> = remedy.split(' ').skip(1).collect();
    plane.kubectl(&command).unwrap();
    let report = Report::of(&user.kubeconfig(), &[]);
    assert_eq!(report.status, Some(0), "{:?}", report.checks);
    let pod = ["delete", "pod", "room", "-n", namespace, "--force"];
    plane.kubectl(&pod).unwrap();
}

async fn nothing_is_left(plane: &ControlPlane, user: &User) {
    let writes = || {
        let calls = calls_of(plane, &user.name());
        let writes = calls.into_iter().filter(|call| {
            let reads = ["get", "list", "watch"].contains(&call.verb.as_str());
            !reads && call.uri.contains("/namespaces/default/")
        });
        writes.collect::<Vec<_>>()
    };
    assert!(eventually(seconds(10), || async { !writes().is_empty() }).await);
    let stays = |uri: &str| !uri.contains("dryRun=All");
    assert!(
        !writes().iter().any(|call| stays(&call.uri)),
        "{:?}",
        writes()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_away_is_the_only_finding() {
    let Some(plane) = plane().await else {
        return;
    };
    let away = plane.kubeconfig_at("127.0.0.1:1");
    let report = Report::of(&away, &[]);
    assert_eq!(report.status, Some(1));
    assert_eq!(report.checks.len(), 1, "{:?}", report.checks);
    let found = report.checks[0]["found"].as_str().unwrap();
    assert!(found.contains("refused"), "{found}");
}

#[test]
fn without_kubernetes_in_the_settings_it_says_what_to_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command
        .args(["doctor", "kubernetes"])
        .current_dir(folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("runtime.type: kubernetes"), "{said}");
}
