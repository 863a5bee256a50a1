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
/// In clusters of either family.
const POD_IPS: [&str; 2] = ["127.0.0.1", "2001:db8::1"];

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
fn environment(container: &Value, pod_ip: &str) -> Vec<(String, String)> {
    let variables = all(container, "/env").into_iter().map(|variable| {
        let name = variable["name"].as_str().unwrap();
        let key = variable.pointer("/valueFrom/secretKeyRef/key");
        let value = match (variable["value"].as_str(), key.and_then(Value::as_str)) {
            (Some(value), _) => value.replace("$(POD_IP)", pod_ip),
            (None, Some("postgres-url")) => POSTGRES.to_owned(),
            (None, Some("redis-url")) => REDIS.to_owned(),
            (None, None) => pod_ip.to_owned(),
            (None, Some(other)) => panic!("{other} is in no secret"),
        };
        (name.to_owned(), value)
    });
    variables.collect()
}

/// The settings of a container are known, are taken as they are written, and say nothing that has no effect.
fn settings_are_known(container: &Value, pod_ip: &str) -> Value {
    let environment = environment(container, pod_ip);
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
        for pod_ip in POD_IPS {
            settings_are_known(container, pod_ip);
        }
        arguments_are_understood(container);
    }
    ports_are_those_of_the_settings(started, &settings_are_known(started, POD_IPS[0]));
    // Who makes calls to Kubernetes has the rights, and nobody else.
    let asks = environment(started, POD_IPS[0]);
    let asks = asks.iter().any(|(name, _)| name.contains("KUBERNETES"));
    assert_eq!(pod["automountServiceAccountToken"], asks);
    // Who makes runtimes starts their operators from its own image.
    let variables = environment(started, POD_IPS[0]);
    let operator = |part: &str| {
        let name = format!("MAESTRO_KUBERNETES_OPERATOR_{part}");
        let variable = variables.iter().find(|(known, _)| *known == name);
        variable.map(|(_, value)| value.clone())
    };
    let operator = operator("IMAGE").zip(operator("VERSION"));
    let operator = operator.map(|(image, version)| format!("{image}:{version}"));
    assert_eq!(operator, asks.then_some(image));
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

/// Each port that the policy opens is one of the pods, and rooms reach that of the rooms API alone.
fn the_policy_opens_ports_of_the_pods(plane: &ControlPlane, deployments: &[Value]) {
    let policies = list(plane, "networkpolicies");
    let [policy] = &policies[..] else {
        panic!("{policies:?}");
    };
    let of_pods = deployments
        .iter()
        .flat_map(|one| all(one, "/spec/template/spec/containers/0/ports"));
    let of_pods: Vec<&str> = of_pods.map(|port| port["name"].as_str().unwrap()).collect();
    for rule in all(policy, "/spec/ingress") {
        let ports = all(rule, "/ports");
        let ports: Vec<&str> = ports.iter().map(|p| p["port"].as_str().unwrap()).collect();
        assert!(!ports.is_empty(), "all ports are open: {rule}");
        assert!(ports.iter().all(|port| of_pods.contains(port)), "{rule}");
        let of_rooms = "/from/0/namespaceSelector/matchLabels/heritage";
        if rule.pointer(of_rooms).is_some() {
            assert_eq!(ports, ["rooms"]);
        }
    }
    let selected = &policy["spec"]["podSelector"]["matchLabels"];
    for deployment in deployments {
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let is_selected = selected.as_object().unwrap().iter();
        assert!(
            is_selected
                .clone()
                .all(|(label, value)| labels[label] == *value)
        );
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
        the_policy_opens_ports_of_the_pods(&plane, &deployments);
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

/// What one file says to another: the worker of the profile finds the credentials that K3s writes, by settings that the
/// binary takes.
#[test]
fn the_local_kubernetes_is_found_by_its_worker() {
    let compose: Value = serde_saphyr::from_str(COMPOSE).unwrap();
    let (k3s, worker) = (
        &compose["services"]["k3s"],
        &compose["services"]["worker-k8s"],
    );
    for service in [k3s, worker] {
        assert_eq!(service["profiles"], serde_json::json!(["k8s"]));
    }
    let tag = k3s["image"].as_str().unwrap().split(":v1.").nth(1).unwrap();
    let minor: u32 = tag.split('.').next().unwrap().parse().unwrap();
    assert!(minor >= 30, "docs/kubernetes.md names the oldest: {tag}");
    let mounts = |service: &Value| {
        let volume = service["volumes"][0].as_str().unwrap().to_owned();
        let parts: Vec<String> = volume.split(':').map(str::to_owned).collect();
        (parts[0].clone(), parts[1].clone())
    };
    let ((written, output), (read, input)) = (mounts(k3s), mounts(worker));
    assert_eq!(written, read);
    let output_file = k3s["environment"]["K3S_KUBECONFIG_OUTPUT"]
        .as_str()
        .unwrap();
    let environment = worker["environment"].as_object().unwrap();
    let kubeconfig = "MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_KUBECONFIG";
    let name = output_file.strip_prefix(&output).unwrap();
    assert_eq!(environment[kubeconfig], format!("{input}{name}"));
    let names: Vec<&str> = k3s["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    let server = environment["MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_MASTERURL"].as_str();
    let host = server.unwrap().trim_start_matches("https://");
    let host = host.split(':').next().unwrap();
    assert!(names.windows(2).any(|pair| pair == ["--tls-san", host]));
    assert_eq!(worker["depends_on"][host]["condition"], "service_healthy");
    let mut command = Command::new(BINARY);
    let variables = environment.iter().filter(|(name, _)| *name != "<<");
    let stores = environment.get("<<").and_then(Value::as_object);
    let variables = variables.chain(stores.into_iter().flatten());
    command.env_clear();
    command.envs(variables.map(|(name, value)| (name, value.as_str().unwrap())));
    let output = command.args(["check-config", "--format", "json"]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["warnings"], serde_json::json!([]), "{shown:#}");
}
