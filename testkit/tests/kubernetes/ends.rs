//! What the tests of a program do when they have no control plane, another one, or are killed: this program is started
//! again for that.

use crate::support::{bare_namespace, bound, create, namespace, phase, pod_that, script, until};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use maestro_testkit::control_plane::{ControlPlane, TestNode};
use maestro_testkit::kubelet::Kubelet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for this program when it plays the other one.
const OTHER: &str = "MAESTRO_TESTKIT_OTHER";
const NAP: &str = "exec sleep 1000";

fn is_other() -> bool {
    std::env::var_os(OTHER).is_some()
}

/// This program with one test.
fn other(test: &str) -> Command {
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", test, "--nocapture"]).env(OTHER, "1");
    other
}

#[tokio::test]
async fn nothing_is_left_when_the_tests_are_killed() {
    if is_other() {
        return stay().await;
    }
    let mut other = other("ends::nothing_is_left_when_the_tests_are_killed");
    let mut other = other.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(other.stdout.take().unwrap()).lines();
    let mut said = lines.map_while(Result::ok);
    let left = said.find_map(|line| Some(line.split_once("left: ")?.1.to_owned()));
    let Some(left) = left else {
        assert!(other.wait().unwrap().success(), "it is skipped or fails");
        return;
    };
    let exists = |path: &str| Path::new(path).exists();
    let left: Vec<_> = left.split(' ').collect();
    assert!(
        left.len() == 5 && left.iter().copied().all(exists),
        "{left:?}"
    );
    other.kill().unwrap();
    other.wait().unwrap();
    until("all of it is gone", async || {
        !left.iter().copied().any(exists)
    })
    .await;
}

/// Starts what there is, and says what must not be left.
async fn stay() {
    let Some(plane) = ControlPlane::start_api_server().await else {
        return;
    };
    if !plane.is_own_or_skip() {
        return;
    }
    plane.register_node(&TestNode::new("here")).await;
    let kubelet = Kubelet::of(&plane, &["here"]).await.start();
    // There are no controllers, nor a scheduler.
    let pods = bare_namespace(&plane, "rooms").await;
    create(&pods, "room", bound("here", NAP)).await;
    pod_that(&pods, "room", "it runs", |pod| phase(pod) == "Running").await;
    let pids = [plane.pids().await, kubelet.pids("rooms", "room")].concat();
    let left = pids.iter().map(|pid| format!("/proc/{pid}"));
    let folders = [plane.audit_log().parent().unwrap(), kubelet.folder()];
    let folders = folders.map(|folder| folder.display().to_string());
    let left: Vec<_> = left.chain(folders).collect();
    println!("left: {}", left.join(" "));
    std::future::pending().await
}

#[tokio::test]
async fn a_missing_control_plane_is_said_and_fails_in_ci() {
    if is_other() {
        assert!(ControlPlane::start().await.is_none());
        return;
    }
    if Path::new("/usr/local/kubebuilder/bin/etcd").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let production = folder.path().join("kubeconfig");
    fs::write(&production, "current-context: production").unwrap();
    let run = |variable: &str, value: &Path| {
        let mut other = other("ends::a_missing_control_plane_is_said_and_fails_in_ci");
        other.env_remove("KUBECONFIG").env_remove("CI");
        other
            .env("KUBEBUILDER_ASSETS", "/nowhere")
            .env(variable, value);
        let output = other.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), words)
    };
    let (passes, words) = run(OTHER, Path::new("1"));
    let said = "SKIPPED: no etcd and kube-apiserver in /nowhere";
    assert!(passes && words.contains(said), "{words}");
    let (passes, words) = run("KUBECONFIG", &production);
    let said = "at \"production\", which is no cluster of kind or k3d";
    assert!(passes && words.contains(said), "{words}");
    // What setup-envtest brings.
    for program in ["etcd", "kube-apiserver"] {
        fs::write(folder.path().join(program), "").unwrap();
    }
    let (passes, words) = run("KUBEBUILDER_ASSETS", folder.path());
    let said = "SKIPPED: no kube-controller-manager and kube-scheduler in";
    assert!(passes && words.contains(said), "{words}");
    let (passes, words) = run("CI", Path::new("true"));
    assert!(!passes, "{words}");
}

#[tokio::test]
async fn a_cluster_of_a_kubeconfig_is_used() {
    if is_other() {
        return visit().await;
    }
    let Some(plane) = ControlPlane::shared().await else {
        return;
    };
    if !plane.is_own_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let text = fs::read_to_string(plane.kubeconfig()).unwrap();
    let named = text.replace("current-context: test", "current-context: kind-test");
    let named = named.replace("contexts: [{name: test", "contexts: [{name: kind-test");
    fs::write(&kubeconfig, named).unwrap();
    let mut other = other("ends::a_cluster_of_a_kubeconfig_is_used");
    other
        .env("KUBEBUILDER_ASSETS", "/nowhere")
        .env("KUBECONFIG", &kubeconfig);
    let output = other.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !words.contains("SKIPPED"),
        "{words}"
    );
}

/// Somebody else's cluster.
async fn visit() {
    let plane = ControlPlane::start().await.unwrap();
    assert!(!plane.is_own() && plane.has_controllers());
    plane.register_node(&TestNode::new("guest")).await;
    let _kubelet = Kubelet::of(&plane, &["guest"]).await.start();
    let pods = namespace(&plane.client().await, "guests").await;
    create(&pods, "room", script("guest", "Never", NAP)).await;
    pod_that(&pods, "room", "it runs", |pod| phase(pod) == "Running").await;
    let user = plane.user("guests", "nobody").await;
    let pods: Api<Pod> = Api::namespaced(user.client().await, "guests");
    let refused = pods.get("room").await.unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 403),
        "{refused}"
    );
    plane.remove_node("guest").await;
}
