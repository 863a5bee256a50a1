use super::*;
use maestro_core::domain::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn recorded() -> Scheduler {
    let variable = |name: &str, value: &str, field: Option<&str>| Environment {
        name: name.into(),
        value: value.into(),
        value_from: field.map(|path| ValueFrom {
            field_ref: Some(FieldRef {
                field_path: path.into(),
            }),
            secret_key_ref: None,
        }),
    };
    let port = |name: &str, protocol: &str, port| ContainerPort {
        name: name.into(),
        protocol: protocol.into(),
        port,
        ..Default::default()
    };
    let resources = |memory: &str, cpu: &str| Resources {
        memory: memory.into(),
        cpu: cpu.into(),
    };
    let texts = |all: &[(&str, &str)]| {
        let all = all
            .iter()
            .map(|(name, text)| ((*name).into(), (*text).into()));
        Some(all.collect())
    };
    Scheduler {
        name: "arena-eu".into(),
        labels: texts(&[("tier", "gold")]),
        annotations: texts(&[("imageregistry", "https://r.example/x"), ("team", "core")]),
        spec: Spec {
            version: "v2.0.0".into(),
            termination_grace_period: 20_900_000_000,
            containers: vec![Container {
                name: "game".into(),
                image: "registry/game:1.4.2".into(),
                image_pull_policy: "IfNotPresent".into(),
                command: vec!["./server".into(), "--map=dust".into()],
                environment: vec![
                    variable("LOG", "info", None),
                    variable("POD", "", Some("metadata.name")),
                ],
                requests: resources("64Mi", "50m"),
                limits: resources("128Mi", "100m"),
                ports: vec![port("gameport", "udp", 7777), port("query", "tcp", 7778)],
            }],
            ..Default::default()
        },
        ..Default::default()
    }
}

fn order(scheduler: Scheduler, room: &str) -> RoomOrder {
    RoomOrder {
        room: room.into(),
        scheduler: Arc::new(scheduler),
        validation: false,
        host_ports: [20_179, 20_567].into(),
        config: ConfigPairs::default(),
    }
}

fn made(order: &RoomOrder) -> Value {
    let spread = TopologySpread {
        max_skew: 5,
        topology_key: "topology.kubernetes.io/zone".into(),
        schedule_anyway: false,
    };
    let pod = of_room(order, Some(&spread), &PodDefaults::default()).unwrap();
    serde_json::to_value(pod).unwrap()
}

/// As the Go Maestro's pod was recorded, without what the API server adds, and with three labels more.
#[test]
fn every_container_has_the_configuration_but_for_variables_of_its_own() {
    let mut fleet = recorded();
    let mut second = fleet.spec.containers[0].clone();
    (second.name, second.ports) = ("second".into(), Vec::new());
    second.environment.clear();
    fleet.spec.containers.push(second);
    let mut order = order(fleet, "arena-eu-52jhv");
    let pairs = ["A", "LOG", "MAESTRO_ROOM_ID"].map(|name| (name.to_owned(), "1".to_owned()));
    order.config = ConfigPairs::new(pairs).unwrap();
    let pod = made(&order);
    let names = |container: usize| {
        let env = pod["spec"]["containers"][container]["env"]
            .as_array()
            .unwrap();
        let names = env
            .iter()
            .map(|entry| entry["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let ours = ["MAESTRO_SCHEDULER_NAME", "MAESTRO_ROOM_ID"];
    assert_eq!(names(0), ["A", "LOG", "POD", ours[0], ours[1]]);
    assert_eq!(names(1), ["A", "LOG", ours[0], ours[1]]);
    assert_eq!(pod["spec"]["containers"][0]["env"][1]["value"], "info");
    assert_eq!(pod["spec"]["containers"][1]["env"][1]["value"], "1");
}

#[test]
fn a_pod_is_that_of_the_contract() {
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "arena-eu-52jhv",
            "namespace": "arena-eu",
            "labels": {
                "heritage": "maestro",
                "maestro-scheduler": "arena-eu",
                "version": "v2.0.0",
                "tier": "gold",
                "version-name": "v2.0.0",
                "node-id": "arena-eu-52jhv",
                "type": "node",
            },
            "annotations": {
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
                "imageregistry": "https://r.example/x",
                "team": "core",
            },
        },
        "spec": {
            "containers": [{
                "name": "game",
                "image": "registry/game:1.4.2",
                "imagePullPolicy": "IfNotPresent",
                "command": ["./server", "--map=dust"],
                "env": [
                    {"name": "LOG", "value": "info"},
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "MAESTRO_SCHEDULER_NAME", "value": "arena-eu"},
                    {"name": "MAESTRO_ROOM_ID", "value": "arena-eu-52jhv"},
                ],
                "ports": [
                    {"name": "gameport", "protocol": "UDP", "containerPort": 7777, "hostPort": 20_179},
                    {"name": "query", "protocol": "TCP", "containerPort": 7778, "hostPort": 20_567},
                ],
                "resources": {
                    "requests": {"cpu": "50m", "memory": "64Mi"},
                    "limits": {"cpu": "100m", "memory": "128Mi"},
                },
            }],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 20,
            "topologySpreadConstraints": [{
                "labelSelector": {"matchLabels": {"maestro-scheduler": "arena-eu"}},
                "maxSkew": 5,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
            }],
        },
    });
    assert_eq!(made(&order(recorded(), "arena-eu-52jhv")), expected);
}

#[test]
fn tolerations_affinity_secrets_and_policies_are_those_of_the_spec() {
    let mut scheduler = recorded();
    scheduler.spec.toleration = "game".into();
    scheduler.spec.affinity = "rooms".into();
    scheduler.spec.restart_policy = RestartPolicy::OnFailure;
    scheduler.spec.termination_grace_period = 900_000_000;
    scheduler.spec.containers[0].environment = vec![Environment {
        name: "KEY".into(),
        value_from: Some(ValueFrom {
            field_ref: None,
            secret_key_ref: Some(SecretKeyRef {
                name: "keys".into(),
                key: "one".into(),
            }),
        }),
        ..Default::default()
    }];
    let pod = made(&order(scheduler, "arena-eu-52jhv"));
    let spec = &pod["spec"];
    let toleration =
        json!([{"key": "dedicated", "operator": "Equal", "value": "game", "effect": "NoSchedule"}]);
    assert_eq!(spec["tolerations"], toleration);
    let terms =
        json!([{"matchExpressions": [{"key": "rooms", "operator": "In", "values": ["true"]}]}]);
    let affinity =
        &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(affinity["nodeSelectorTerms"], terms);
    assert_eq!(spec["restartPolicy"], "OnFailure");
    assert!(spec.get("terminationGracePeriodSeconds").is_none());
    let secret = json!({"secretKeyRef": {"name": "keys", "key": "one"}});
    assert_eq!(spec["containers"][0]["env"][0]["valueFrom"], secret);
}

#[test]
fn a_user_cannot_hide_a_room_or_make_it_a_test() {
    let mut scheduler = recorded();
    let own = [
        (labels::HERITAGE, "other"),
        (labels::PROTECTED, "true"),
        ("tier", "iron"),
    ];
    scheduler.labels = Some(own.map(|(name, value)| (name.into(), value.into())).into());
    let own = [labels::VALIDATION, labels::PINNED].map(|name| (name.into(), "true".into()));
    scheduler.annotations = Some(own.into());
    let mut order = order(scheduler, "arena-eu-52jhv");
    let pod = made(&order);
    assert_eq!(pod["metadata"]["labels"]["heritage"], "maestro");
    assert_eq!(pod["metadata"]["labels"]["tier"], "iron");
    assert!(pod["metadata"]["labels"].get(labels::PROTECTED).is_none());
    for ours in [labels::VALIDATION, labels::PINNED] {
        assert!(pod["metadata"]["annotations"].get(ours).is_none(), "{ours}");
    }
    order.validation = true;
    assert_eq!(
        made(&order)["metadata"]["annotations"][labels::VALIDATION],
        "true"
    );
}

#[test]
fn a_room_that_autoscalers_never_move_is_marked_with_its_creation() {
    for (own, expected) in [("false", Some("true")), ("true", None)] {
        let mut scheduler = recorded();
        scheduler.annotations = Some([(labels::SAFE_TO_EVICT.into(), own.into())].into());
        let pod = made(&order(scheduler, "arena-eu-52jhv"));
        let mark = pod["metadata"]["annotations"].get(labels::PINNED);
        assert_eq!(mark.and_then(|mark| mark.as_str()), expected);
    }
}

#[test]
fn the_longest_name_of_a_room_is_no_label() {
    let room = format!("{}-bcdfg", "x".repeat(58));
    let pod = made(&order(recorded(), &room));
    assert_eq!(pod["metadata"]["name"], room);
    assert!(pod["metadata"]["labels"].get(labels::NODE_ID).is_none());
}

#[test]
fn the_operators_defaults_are_in_every_pod() {
    let defaults = PodDefaults {
        image_pull_secrets: vec!["registry".into()],
        automount_service_account_token: Some(false),
        security_context: Some(core::PodSecurityContext {
            run_as_non_root: Some(true),
            ..Default::default()
        }),
        priority_class_name: Some("rooms".into()),
        service_account_name: Some("room".into()),
    };
    let pod = of_room(&order(recorded(), "arena-eu-52jhv"), None, &defaults).unwrap();
    let spec = serde_json::to_value(pod).unwrap()["spec"].take();
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["securityContext"], json!({"runAsNonRoot": true}));
    assert_eq!(spec["priorityClassName"], "rooms");
    assert_eq!(spec["serviceAccountName"], "room");
    assert!(spec.get("topologySpreadConstraints").is_none());
}

#[test]
fn ports_that_cannot_be_are_refused() {
    let none = PodDefaults::default();
    let mut scheduler = recorded();
    for ports in [vec![], vec![1], vec![1, 2, 3]] {
        let mut order = order(scheduler.clone(), "arena-eu-52jhv");
        order.host_ports = ports.into();
        assert!(of_room(&order, None, &none).is_err());
    }
    scheduler.spec.containers[0].ports[0].protocol = "sctp".into();
    let refusal = of_room(&order(scheduler, "arena-eu-52jhv"), None, &none).unwrap_err();
    assert!(refusal.contains("sctp"), "{refusal}");
}
