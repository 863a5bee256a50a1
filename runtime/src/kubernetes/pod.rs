//! The pod of a room (contract 4.8).

use super::labels;
use super::settings::{PodDefaults, TopologySpread};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use maestro_core::domain::{Container, ContainerPort, Environment, Resources, Scheduler};
use maestro_core::ports::RoomOrder;
use std::collections::BTreeMap;

/// Variables of Maestro, which nobody can override.
const SCHEDULER_NAME: &str = "MAESTRO_SCHEDULER_NAME";
const ROOM_ID: &str = "MAESTRO_ROOM_ID";

/// The pod that an order asks for.
///
/// # Errors
/// If no pod can be made of it.
pub fn of_room(
    order: &RoomOrder,
    spread: Option<&TopologySpread>,
    defaults: &PodDefaults,
) -> Result<core::Pod, String> {
    Ok(core::Pod {
        metadata: ObjectMeta {
            name: Some(order.room.to_string()),
            namespace: Some(order.scheduler.name.to_string()),
            labels: Some(labels_of(order)),
            annotations: Some(annotations_of(order)),
            ..Default::default()
        },
        spec: Some(spec_of(order, spread, defaults)?),
        status: None,
    })
}

fn labels_of(order: &RoomOrder) -> BTreeMap<String, String> {
    let scheduler = &order.scheduler;
    let version = scheduler.version().as_str();
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: &str| all.insert(name.to_owned(), value.to_owned());
    set(labels::HERITAGE, labels::MAESTRO);
    set(labels::SCHEDULER, scheduler.name.as_str());
    set(labels::VERSION, version);
    set(labels::VERSION_NAME, version);
    set(labels::TYPE, labels::NODE);
    // The room of a scheduler with a name of 58 characters has 64, one too many for a label.
    if labels::fits(order.room.as_str()) {
        set(labels::NODE_ID, order.room.as_str());
    }
    let own = scheduler.labels.iter().flatten();
    for (name, value) in own.filter(|(name, _)| !labels::is_ours(name)) {
        set(name, value);
    }
    all
}

fn annotations_of(order: &RoomOrder) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([(labels::SAFE_TO_EVICT.to_owned(), "true".to_owned())]);
    all.extend(order.scheduler.annotations.clone().unwrap_or_default());
    // Ours is the last word: a user's annotation must not make a room one that is only a test.
    for ours in [labels::VALIDATION, labels::PINNED] {
        all.remove(ours);
    }
    // The annotation itself follows the protection of the room.
    if all
        .get(labels::SAFE_TO_EVICT)
        .is_some_and(|safe| safe == "false")
    {
        all.insert(labels::PINNED.to_owned(), "true".to_owned());
    }
    if order.validation {
        all.insert(labels::VALIDATION.to_owned(), "true".to_owned());
    }
    all
}

fn spec_of(
    order: &RoomOrder,
    spread: Option<&TopologySpread>,
    defaults: &PodDefaults,
) -> Result<core::PodSpec, String> {
    let scheduler = &*order.scheduler;
    let grace = i64::try_from(scheduler.spec.grace().as_secs()).unwrap_or(i64::MAX);
    let mut host_ports = order.host_ports.iter().copied();
    let containers = scheduler.spec.containers.iter();
    let containers = containers.map(|container| container_of(order, container, &mut host_ports));
    let containers = containers.collect::<Result<Vec<_>, _>>()?;
    if host_ports.next().is_some() {
        return Err("the order has more host ports than the spec has ports".into());
    }
    let toleration = &scheduler.spec.toleration;
    let affinity = &scheduler.spec.affinity;
    let secrets = defaults.image_pull_secrets.iter();
    let secrets: Vec<_> = secrets
        .map(|name| core::LocalObjectReference { name: name.clone() })
        .collect();
    Ok(core::PodSpec {
        containers,
        restart_policy: Some(scheduler.spec.restart_policy.effective().to_string()),
        termination_grace_period_seconds: (grace > 0).then_some(grace),
        tolerations: (!toleration.is_empty()).then(|| vec![dedicated(toleration)]),
        affinity: (!affinity.is_empty()).then(|| on_nodes_with(affinity)),
        topology_spread_constraints: spread.map(|spread| vec![spread_of(scheduler, spread)]),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        automount_service_account_token: defaults.automount_service_account_token,
        security_context: defaults.security_context.clone(),
        priority_class_name: defaults.priority_class_name.clone(),
        service_account_name: defaults.service_account_name.clone(),
        ..Default::default()
    })
}

fn container_of(
    order: &RoomOrder,
    container: &Container,
    host_ports: &mut impl Iterator<Item = u16>,
) -> Result<core::Container, String> {
    let ports = container.ports.iter().map(|port| {
        let host_port = host_ports.next();
        let host_port =
            host_port.ok_or("the order has fewer host ports than the spec has ports")?;
        port_of(port, host_port)
    });
    let ports = ports.collect::<Result<Vec<_>, String>>()?;
    let own = |name: &str| {
        [SCHEDULER_NAME, ROOM_ID].contains(&name)
            || container.environment.iter().any(|entry| entry.name == name)
    };
    let config = order.config.iter().filter(|(name, _)| !own(name));
    let config = config.map(|(name, value)| plain(name, value));
    let mut env: Vec<_> = config
        .chain(container.environment.iter().map(variable))
        .collect();
    env.push(plain(SCHEDULER_NAME, order.scheduler.name.as_str()));
    env.push(plain(ROOM_ID, order.room.as_str()));
    let policy = &container.image_pull_policy;
    Ok(core::Container {
        name: container.name.clone(),
        image: Some(container.image.clone()),
        image_pull_policy: (!policy.is_empty()).then(|| policy.clone()),
        command: (!container.command.is_empty()).then(|| container.command.clone()),
        ports: (!ports.is_empty()).then_some(ports),
        resources: Some(core::ResourceRequirements {
            requests: quantities(&container.requests),
            limits: quantities(&container.limits),
            ..Default::default()
        }),
        env: Some(env),
        ..Default::default()
    })
}

fn port_of(port: &ContainerPort, host_port: u16) -> Result<core::ContainerPort, String> {
    let protocol = match port.protocol.as_str() {
        "tcp" => "TCP",
        "udp" => "UDP",
        other => {
            return Err(format!(
                "port {:?}: protocol {other:?} is not supported, use tcp or udp",
                port.name
            ));
        }
    };
    Ok(core::ContainerPort {
        name: (!port.name.is_empty()).then(|| port.name.clone()),
        container_port: port.port,
        host_port: Some(i32::from(host_port)),
        protocol: Some(protocol.to_owned()),
        ..Default::default()
    })
}

fn plain(name: &str, value: &str) -> core::EnvVar {
    core::EnvVar {
        name: name.to_owned(),
        value: (!value.is_empty()).then(|| value.to_owned()),
        value_from: None,
    }
}

fn variable(entry: &Environment) -> core::EnvVar {
    let Some(from) = &entry.value_from else {
        return plain(&entry.name, &entry.value);
    };
    let field = from.field_ref.as_ref();
    let secret = from.secret_key_ref.as_ref();
    core::EnvVar {
        name: entry.name.clone(),
        value: None,
        value_from: Some(core::EnvVarSource {
            field_ref: field.map(|field| core::ObjectFieldSelector {
                api_version: None,
                field_path: field.field_path.clone(),
            }),
            secret_key_ref: secret.map(|secret| core::SecretKeySelector {
                name: secret.name.clone(),
                key: secret.key.clone(),
                optional: None,
            }),
            ..Default::default()
        }),
    }
}

/// An absent amount is left out; a malformed one is refused by the API server, in its own words.
fn quantities(resources: &Resources) -> Option<BTreeMap<String, Quantity>> {
    let all = [("cpu", &resources.cpu), ("memory", &resources.memory)];
    let set = all.into_iter().filter(|(_, amount)| !amount.is_empty());
    let set: BTreeMap<_, _> = set
        .map(|(name, amount)| (name.to_owned(), Quantity(amount.clone())))
        .collect();
    (!set.is_empty()).then_some(set)
}

fn dedicated(value: &str) -> core::Toleration {
    core::Toleration {
        key: Some("dedicated".to_owned()),
        operator: Some("Equal".to_owned()),
        value: Some(value.to_owned()),
        effect: Some("NoSchedule".to_owned()),
        toleration_seconds: None,
    }
}

fn on_nodes_with(label: &str) -> core::Affinity {
    let requirement = core::NodeSelectorRequirement {
        key: label.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec!["true".to_owned()]),
    };
    let term = core::NodeSelectorTerm {
        match_expressions: Some(vec![requirement]),
        match_fields: None,
    };
    core::Affinity {
        node_affinity: Some(core::NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(core::NodeSelector {
                node_selector_terms: vec![term],
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn spread_of(scheduler: &Scheduler, spread: &TopologySpread) -> core::TopologySpreadConstraint {
    let anyway = if spread.schedule_anyway {
        "ScheduleAnyway"
    } else {
        "DoNotSchedule"
    };
    let own = (labels::SCHEDULER.to_owned(), scheduler.name.to_string());
    core::TopologySpreadConstraint {
        max_skew: spread.max_skew,
        topology_key: spread.topology_key.clone(),
        when_unsatisfiable: anyway.to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([own])),
            match_expressions: None,
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
