//! The manifests are what the API server and the binary expect.

use crate::site::{MAESTRO, install, plane};
use crate::support::{BINARY, eventually, seconds};
use maestro_testkit::control_plane::ControlPlane;
use serde_json::Value;
use std::process::Command;

const DOCKERFILE: &str = include_str!("../../Dockerfile");
const COMPOSE: &str = include_str!("../../docker-compose.yml");
/// What stands for the secrets and the fields of a pod. Nothing listens there.
const POSTGRES: &str = "postgres://maestro@127.0.0.1:1/maestro?sslmode=disable";
const REDIS: &str = "redis://127.0.0.1:1/0";
const POD_IP: &str = "127.0.0.1";

fn list(plane: &ControlPlane, kind: &str) -> Vec<Value> {
    let text = plane.kubectl(&["get", kind, "-n", MAESTRO, "-o", "json"]);
    let list: Value = serde_json::from_str(&text.unwrap()).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn all<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let found = value.pointer(path).and_then(Value::as_array);
    found.into_iter().flatten().collect()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// The environment of a container, as a kubelet makes it.
fn environment(container: &Value) -> Vec<(String, String)> {
    let variables = all(container, "/env").into_iter().map(|variable| {
        let name = variable["name"].as_str().unwrap();
        let key = variable.pointer("/valueFrom/secretKeyRef/key");
        let value = match (variable["value"].as_str(), key.and_then(Value::as_str)) {
            (Some(value), _) => value.replace("$(POD_IP)", POD_IP),
            (None, Some("postgres-url")) => POSTGRES.to_owned(),
            (None, Some("redis-url")) => REDIS.to_owned(),
            (None, None) => POD_IP.to_owned(),
            (None, Some(other)) => panic!("{other} is in no secret"),
        };
        (name.to_owned(), value)
    });
    variables.collect()
}

/// The settings of a container are known, are taken as they are written, and say nothing that has no effect.
fn settings_are_known(container: &Value) -> Value {
    let environment = environment(container);
    let mut command = Command::new(BINARY);
    command.env_clear().envs(environment.iter().cloned());
    let output = command.args(["check-config", "--format", "json"]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["warnings"], Value::Array(Vec::new()), "{shown:#}");
    let settings = shown["settings"].as_array().unwrap();
    for (variable, _) in environment.iter().filter(|(name, _)| name != "POD_IP") {
        let setting = settings.iter().find(|one| one["variable"] == **variable);
        let setting = setting.unwrap_or_else(|| panic!("{variable} is no setting"));
        assert_eq!(setting["from"], format!("variable {variable}"), "{setting}");
        assert_eq!(setting["noEffect"], Value::Null, "{setting}");
    }
    shown
}

/// The ports of a container are those of its settings, and its probes ask for pages of the internal server.
fn ports_are_those_of_the_settings(container: &Value, shown: &Value) {
    let settings = shown["settings"].as_array().unwrap();
    let value = |key: &str| {
        let setting = settings.iter().find(|one| one["key"] == key);
        setting.unwrap()["value"].as_str().unwrap().to_owned()
    };
    for port in all(container, "/ports") {
        let key = match port["name"].as_str().unwrap() {
            "management" => "api.port",
            "rooms" => "roomsApi.port",
            "grpc" => "grpc.port",
            "internal" => "internalApi.port",
            "nodes" => "cluster.listen",
            other => panic!("no setting has the port {other}"),
        };
        let value = value(key);
        let number = value.rsplit(':').next().unwrap();
        assert_eq!(port["containerPort"].to_string(), number, "{key}");
    }
    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        assert_eq!(container[probe]["httpGet"]["port"], "internal");
        assert_eq!(container[probe]["httpGet"]["path"], path);
    }
}

/// The binary understands the arguments, and takes no others.
fn arguments_are_understood(container: &Value) {
    let arguments = all(container, "/args").into_iter();
    let arguments: Vec<_> = arguments.map(|word| word.as_str().unwrap()).collect();
    let understood = |more: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(&arguments).args(more).arg("--help");
        command.output().unwrap().status.success()
    };
    assert!(understood(&[]), "{arguments:?}");
    assert!(!understood(&["--no-such-option"]), "{arguments:?}");
}

fn check(deployment: &Value) {
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["enableServiceLinks"], false);
    let user = pod["securityContext"]["runAsUser"].to_string();
    assert!(DOCKERFILE.contains(&format!("--uid {user} ")), "{user}");
    let image = format!("maestro:{}", env!("CARGO_PKG_VERSION"));
    assert!(COMPOSE.contains("\n  image: maestro\n"));
    let [started] = all(pod, "/containers")[..] else {
        panic!("one process in a pod: {pod}");
    };
    for container in all(pod, "/initContainers").into_iter().chain([started]) {
        assert_eq!(container["image"], *image);
        settings_are_known(container);
        arguments_are_understood(container);
    }
    ports_are_those_of_the_settings(started, &settings_are_known(started));
    // Who makes calls to Kubernetes has the rights, and nobody else.
    let asks = environment(started);
    let asks = asks.iter().any(|(name, _)| name.contains("KUBERNETES"));
    assert_eq!(pod["automountServiceAccountToken"], asks);
    let account = pod["serviceAccountName"].as_str();
    assert_eq!(account, asks.then_some(MAESTRO));
    let module = deployment["metadata"]["labels"]["app.kubernetes.io/component"].as_str();
    assert_eq!(asks, matches!(module, Some("all" | "worker")));
    assert_eq!(
        started["args"].get(1).and_then(Value::as_str),
        module,
        "the label says what is started"
    );
}

/// Each port of a Service is one of the pods that it selects.
fn services_find_their_pods(plane: &ControlPlane, deployments: &[Value]) {
    let services = list(plane, "services");
    assert_eq!(services.len(), 2);
    for service in &services {
        let selector = service["spec"]["selector"].as_object().unwrap();
        let mut selected = deployments.iter().filter(|deployment| {
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            selector
                .iter()
                .all(|(label, value)| labels[label] == *value)
        });
        let (Some(found), None) = (selected.next(), selected.next()) else {
            panic!("{} selects not one Deployment", name(service));
        };
        let ports = all(found, "/spec/template/spec/containers/0/ports");
        for port in all(service, "/spec/ports") {
            let there = ports.iter().any(|one| one["name"] == port["targetPort"]);
            assert!(there, "{}: {port}", name(service));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_of_installing_are_taken_by_the_api_server_and_by_the_binary() {
    let Some(plane) = plane().await else {
        return;
    };
    for (way, expected) in [("all", 1), ("modules", 5)] {
        install(&plane, way);
        let deployments = list(&plane, "deployments");
        assert_eq!(deployments.len(), expected, "{way}");
        deployments.iter().for_each(check);
        services_find_their_pods(&plane, &deployments);
        // The namespace lets their pods in, which is decided when they are created.
        let created = || async {
            list(&plane, "deployments").iter().all(|deployment| {
                deployment["status"]["replicas"] == deployment["spec"]["replicas"]
            })
        };
        let reasons = || plane.kubectl(&["get", "events", "-n", MAESTRO]);
        assert!(eventually(seconds(30), created).await, "{:?}", reasons());
        let budget = || async {
            let budgets = list(&plane, "poddisruptionbudgets");
            let pods = list(&plane, "pods").len();
            budgets[0]["status"]["expectedPods"].as_u64() == u64::try_from(pods).ok()
        };
        assert!(eventually(seconds(30), budget).await);
        let gone = plane.kubectl(&["delete", "deployments", "--all", "-n", MAESTRO]);
        gone.unwrap();
    }
}

#[test]
fn no_file_has_a_secret() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes");
    let mut files = 0;
    for folder in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(
                !text.contains("://") && !text.contains("kind: Secret"),
                "{text}"
            );
            files += 1;
        }
    }
    assert!(files > 10, "{files}");
}
