//! Runtimes with the rights of the manifests: what is granted is what is used, apart from what is granted only to be
//! given to operators; and the operator itself, with the rights that it is given.

use crate::site::{MAESTRO, calls_of, plane, rights, until_allowed};
use crate::support::{BINARY, eventually, seconds};
use maestro_core::domain::{ConfigPairs, SchedulerName};
use maestro_core::ports::{PlatformObjects, Published, ServicePort, Shown, VersionConfig};
use maestro_runtime::kubernetes::{
    Access, KubernetesRuntime, KubernetesSettings, Operator, OperatorImage, PlatformSettings,
};
use maestro_testkit::contract::runtime::operation;
use maestro_testkit::control_plane::{ApiCall, ApiProxy, ControlPlane, User};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The namespace of the accounts of these tests.
const ACCOUNTS: &str = "runtimes";

fn object(plane: &ControlPlane, arguments: &[&str]) -> Option<Value> {
    let found = plane.kubectl(&[&["get"], arguments, &["-o", "json"]].concat());
    let found: Value = serde_json::from_str(&found.ok()?).unwrap();
    Some(found)
}

/// The rules of a role, each right by itself.
fn granted(role: &Value) -> BTreeSet<String> {
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten();
        texts
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    let mut all = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let group = texts(&rule["apiGroups"]).concat();
        for resource in texts(&rule["resources"]) {
            let resource = match group.as_str() {
                "" => resource,
                group => format!("{resource}.{group}"),
            };
            all.extend(
                texts(&rule["verbs"])
                    .iter()
                    .map(|verb| format!("{verb} {resource}")),
            );
        }
    }
    all
}

/// An account with the roles of the manifests.
async fn manager(plane: &ControlPlane, account: &str) -> User {
    let _ = plane.kubectl(&["create", "namespace", ACCOUNTS]);
    let user = plane.user(ACCOUNTS, account).await;
    for role in [MAESTRO, "maestro-runtimes", "maestro-runtimes-granted"] {
        let (name, role) = (format!("{account}-{role}"), format!("--clusterrole={role}"));
        let who = format!("--serviceaccount={ACCOUNTS}:{account}");
        let bound = ["create", "clusterrolebinding", &name, &role, &who];
        plane.kubectl(&bound).unwrap();
    }
    until_allowed(plane, &user, "create roles").await;
    until_allowed(plane, &user, "list runtimes.runtime.maestro.dev").await;
    user
}

async fn platform(user: &User) -> (Arc<KubernetesRuntime>, Arc<dyn PlatformObjects>) {
    let mut settings = KubernetesSettings::new(Access::Kubeconfig {
        path: user.kubeconfig(),
        master_url: None,
    });
    settings.platform = PlatformSettings {
        base_domain: "games.example".to_owned(),
        development: true,
        operator: Some(OperatorImage {
            image: "maestro/lost:1".to_owned(),
        }),
    };
    let runtime = KubernetesRuntime::open(settings).await.unwrap();
    let platform = runtime.platform();
    (runtime, platform)
}

fn shown(published: Option<&str>) -> Arc<Shown> {
    let pair = [("A".to_owned(), "1".to_owned())];
    Arc::new(Shown {
        is_runtime: true,
        published: published.map(|version| Published {
            version: version.into(),
            ports: vec![ServicePort {
                protocol: "tcp".into(),
                port: 9000,
            }],
        }),
        configs: published
            .map(|version| VersionConfig {
                version: version.into(),
                revision: 1,
                pairs: ConfigPairs::new(pair).unwrap(),
            })
            .into_iter()
            .collect(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_granted_for_runtimes_is_what_is_used_or_given() {
    let Some(plane) = plane().await else {
        return;
    };
    let user = manager(&plane, "granted").await;
    let (runtime, platform) = platform(&user).await;
    let name = SchedulerName::from("rt-granted");
    platform.ensure_runtime(&name, operation(1)).await.unwrap();
    let status = platform.runtime_status(&name).await.unwrap();
    let missing: Vec<_> = status.iter().filter(|condition| !condition.holds).collect();
    assert!(
        missing.len() == 1 && missing[0].name == "Operator",
        "{missing:?}"
    );
    for published in [Some("v1.0.0"), Some("v2.0.0"), None] {
        platform.show(&name, shown(published)).await.unwrap();
    }
    let edits = [
        ("role", r#"{"rules": []}"#),
        (
            "serviceaccount",
            r#"{"metadata": {"labels": {"version-name": "x"}}}"#,
        ),
        ("rolebinding", r#"{"subjects": []}"#),
    ];
    for (kind, edit) in edits {
        let at = ["patch", kind, "maestro-runtime", "-n", "rt-granted"];
        let how = ["--type=merge", "-p", edit];
        plane.kubectl(&[&at[..], &how[..]].concat()).unwrap();
    }
    let at = ["scale", "deployment", "maestro-operator", "--replicas=2"];
    plane
        .kubectl(&[&at[..], &["-n", "rt-granted"]].concat())
        .unwrap();
    platform.show(&name, shown(Some("v3.0.0"))).await.unwrap();
    let edited = ["patch", "configmap", "v3.0.0-global", "-n", "rt-granted"];
    let edit = ["--type=merge", "-p", r#"{"data": {"A": "2"}}"#];
    plane.kubectl(&[&edited[..], &edit[..]].concat()).unwrap();
    platform.show(&name, shown(Some("v3.0.0"))).await.unwrap();
    let repaired = object(&plane, &["role", "maestro-runtime", "-n", "rt-granted"]);
    runtime.shutdown().await;

    // Nobody can give what he has not: exactly that is listed.
    let listed = object(&plane, &["clusterrole", "maestro-runtimes-granted"]).unwrap();
    assert_eq!(repaired.unwrap()["rules"], listed["rules"]);
    let role = object(&plane, &["clusterrole", "maestro-runtimes"]).unwrap();
    let granted_for_use = granted(&role);
    let rooms = granted(&object(&plane, &["clusterrole", MAESTRO]).unwrap());
    let used = || rights(&calls_of(&plane, &user.name()));
    // The account exists as it has to be once it is there, so that nothing of it is patched.
    let unused = |used: &BTreeSet<String>| -> Vec<String> {
        let unused = granted_for_use.difference(used);
        unused
            .filter(|right| *right != "patch serviceaccounts")
            .cloned()
            .collect()
    };
    let complete = || async { unused(&used()).is_empty() };
    assert!(
        eventually(seconds(10), complete).await,
        "granted and not used: {:?}",
        unused(&used())
    );
    let beyond: Vec<_> = used()
        .into_iter()
        .filter(|right| !granted_for_use.contains(right) && !rooms.contains(right))
        .collect();
    assert!(beyond.is_empty(), "used and not granted: {beyond:?}");
}

/// The operator as a process, with the account that its runtime gives it.
struct Running(Child);

impl Running {
    fn start(user: &User, namespace: &str, port: u16) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["start", "operator"]);
        command.env("WATCH_NAMESPACE", namespace);
        command.env("MAESTRO_INTERNALAPI_PORT", port.to_string());
        command.env(
            "MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_KUBECONFIG",
            user.kubeconfig(),
        );
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_keeps_the_service_of_its_runtime_and_says_how_it_is() {
    let Some(plane) = plane().await else {
        return;
    };
    let user = manager(&plane, "operated").await;
    let (_runtime, platform) = platform(&user).await;
    let name = SchedulerName::from("rt-operated");
    platform.ensure_runtime(&name, operation(1)).await.unwrap();
    platform.show(&name, shown(Some("v1.0.0"))).await.unwrap();
    let deployment = object(
        &plane,
        &["deployment", "maestro-operator", "-n", "rt-operated"],
    );
    let container = &deployment.unwrap()["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["start", "operator"]));

    let account = plane.user("rt-operated", "maestro-runtime").await;
    let port = free_port();
    let mut running = Running::start(&account, "rt-operated", port);
    let client = reqwest::Client::new();
    let ready = || async {
        let url = format!("http://127.0.0.1:{port}/readyz");
        let answer = client.get(url).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    };
    assert!(eventually(seconds(60), ready).await, "it is never ready");
    let at = [
        "runtimes.runtime.maestro.dev",
        "rt-operated",
        "-n",
        "rt-operated",
    ];
    let status = || object(&plane, &at).unwrap()["status"].clone();
    let started = || async { status()["phase"] == "STARTED" };
    assert!(eventually(seconds(30), started).await, "{}", status());

    let selected = || {
        let found = object(
            &plane,
            &["service", "active-entrypoint", "-n", "rt-operated"],
        );
        found.map(|found| found["spec"]["selector"]["version-name"].clone())
    };
    let deleted = [
        "delete",
        "service",
        "active-entrypoint",
        "-n",
        "rt-operated",
    ];
    plane.kubectl(&deleted).unwrap();
    let restored = || async { selected() == Some(json!("v1.0.0")) };
    assert!(eventually(seconds(30), restored).await, "{:?}", selected());
    // A restart finds everything as it is.
    drop(running);
    platform.show(&name, shown(Some("v2.0.0"))).await.unwrap();
    let edit = r#"{"spec": {"selector": {"version-name": "v1.0.0"}}}"#;
    let edited = ["patch", "service", "active-entrypoint", "-n", "rt-operated"];
    plane
        .kubectl(&[&edited[..], &["--type=merge", "-p", edit]].concat())
        .unwrap();
    running = Running::start(&account, "rt-operated", port);
    let corrected = || async { selected() == Some(json!("v2.0.0")) };
    assert!(eventually(seconds(30), corrected).await, "{:?}", selected());
    // The ConfigMap of the published version is the manager's: the operator only misses it.
    let lost = ["delete", "configmap", "v2.0.0-global", "-n", "rt-operated"];
    plane.kubectl(&lost).unwrap();
    let missed = || async { status()["phase"] == "ERROR" };
    assert!(eventually(seconds(60), missed).await, "{}", status());
    drop(running);
    let calls = calls_of(&plane, &account.name());
    let refused: Vec<_> = calls
        .iter()
        .filter(|call| call.decision != "allow")
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_has_watches_that_last_and_looks_once_at_what_changes_together() {
    let Some(plane) = plane().await else {
        return;
    };
    let user = manager(&plane, "watched").await;
    let (_runtime, platform) = platform(&user).await;
    let name = SchedulerName::from("rt-watched");
    platform.ensure_runtime(&name, operation(1)).await.unwrap();
    platform.show(&name, shown(Some("v1.0.0"))).await.unwrap();
    let account = plane.user("rt-watched", "maestro-runtime").await;
    let proxy = ApiProxy::start(&account.kubeconfig()).await;
    let mut settings = KubernetesSettings::new(Access::Kubeconfig {
        path: proxy.kubeconfig(),
        master_url: None,
    });
    // Watches are silent for longer than any call takes.
    settings.call_timeout = Duration::from_millis(500);
    let operator = Operator::open(&settings, name.as_str()).await.unwrap();
    let (ready, stop) = (operator.is_ready(), CancellationToken::new());
    let running = tokio::spawn(operator.run(stop.clone()));
    let count = |of: fn(&ApiCall) -> bool| proxy.calls().iter().filter(|call| of(call)).count();
    let watches = || count(|call| call.query.contains("watch="));
    let looks = || count(|call| call.path.contains("/roles/"));
    let watching = || async { ready.load(Relaxed) && watches() >= 3 };
    assert!(eventually(seconds(30), watching).await, "{}", watches());
    let before = watches();
    let again = || async { watches() > before };
    assert!(!eventually(seconds(2), again).await, "a watch ended");

    let before = looks();
    let pairs = || ConfigPairs::new([("A".to_owned(), "1".to_owned())]).unwrap();
    let configs = (1..=30).map(|number| VersionConfig {
        version: format!("v{number}.0.0").as_str().into(),
        revision: 1,
        pairs: pairs(),
    });
    let last = shown(Some("v30.0.0"));
    let order = Shown {
        is_runtime: true,
        published: last.published.clone(),
        configs: configs.collect(),
    };
    platform.show(&name, Arc::new(order)).await.unwrap();
    let told = || async {
        let at = [
            "runtimes.runtime.maestro.dev",
            "rt-watched",
            "-n",
            "rt-watched",
        ];
        let found = object(&plane, &at).unwrap();
        found["status"].to_string().contains("v30.0.0")
    };
    assert!(eventually(seconds(30), told).await, "no status");
    let looks = looks() - before;
    assert!((1..=15).contains(&looks), "{looks} looks at 31 changes");
    stop.cancel();
    running.await.unwrap();
}
