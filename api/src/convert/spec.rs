//! The spec of a room and its containers (contract 2.3, 15.21).

use maestro_core::domain::{
    Container, ContainerPort, Environment, FieldRef, PortRange, Resources, RestartPolicy,
    SchedulerVersion, SecretKeyRef, Spec, ValueFrom,
};

use crate::codec::{Duration, messages};

/// The version in a request is ignored; the scheduler's owner sets it.
pub fn to_domain(spec: messages::Spec) -> Spec {
    Spec {
        version: SchedulerVersion::initial(),
        termination_grace_period: spec.termination_grace_period.map_or(0, Duration::to_nanos),
        containers: spec
            .containers
            .into_iter()
            .map(container_to_domain)
            .collect(),
        toleration: spec.toleration,
        affinity: spec.affinity,
        restart_policy: restart_policy(spec.restart_policy.unwrap_or_default()),
    }
}

/// Documents represent the default by an empty string; an unknown word counts as absent (contract 2.3).
fn restart_policy(word: String) -> RestartPolicy {
    match word.into() {
        policy @ (RestartPolicy::Always | RestartPolicy::OnFailure) => policy,
        _ => RestartPolicy::Unset,
    }
}

fn restart_policy_to_message(policy: &RestartPolicy) -> &str {
    match policy {
        RestartPolicy::Always | RestartPolicy::OnFailure => policy.as_str(),
        _ => RestartPolicy::Never.as_str(),
    }
}

fn container_to_domain(container: messages::Container) -> Container {
    Container {
        name: container.name,
        image: container.image,
        image_pull_policy: container.image_pull_policy,
        command: container.command,
        environment: environment_to_domain(container.environment),
        requests: container
            .requests
            .map(resources_to_domain)
            .unwrap_or_default(),
        limits: container
            .limits
            .map(resources_to_domain)
            .unwrap_or_default(),
        ports: ports_to_domain(container.ports),
    }
}

pub fn resources_to_domain(resources: messages::ContainerResources) -> Resources {
    Resources {
        memory: resources.memory,
        cpu: resources.cpu,
    }
}

pub fn environment_to_domain(variables: Vec<messages::ContainerEnvironment>) -> Vec<Environment> {
    variables.into_iter().map(variable_to_domain).collect()
}

/// A value, even an empty one, takes precedence over a reference, and a secret over a field.
fn variable_to_domain(variable: messages::ContainerEnvironment) -> Environment {
    let reference = match variable.value {
        Some(_) => None,
        None => variable.value_from.and_then(reference_to_domain),
    };
    Environment {
        name: variable.name,
        value: variable.value.unwrap_or_default(),
        value_from: reference,
    }
}

fn reference_to_domain(from: messages::ContainerEnvironmentValueFrom) -> Option<ValueFrom> {
    if let Some(secret) = from.secret_key_ref {
        let secret_key_ref = Some(SecretKeyRef {
            name: secret.name,
            key: secret.key,
        });
        return Some(ValueFrom {
            field_ref: None,
            secret_key_ref,
        });
    }
    from.field_ref.map(|field| ValueFrom {
        field_ref: Some(FieldRef {
            field_path: field.field_path,
        }),
        secret_key_ref: None,
    })
}

pub fn ports_to_domain(ports: Vec<messages::ContainerPort>) -> Vec<ContainerPort> {
    ports
        .into_iter()
        .map(|port| ContainerPort {
            name: port.name,
            protocol: port.protocol,
            port: port.port,
            host_port: port.host_port,
            host_port_range: port.host_port_range.map(range_to_domain),
        })
        .collect()
}

pub fn range_to_domain(range: messages::PortRange) -> PortRange {
    PortRange {
        start: range.start,
        end: range.end,
    }
}

/// A spec without a version is not shown (contract 15.22).
pub fn to_message(spec: &Spec) -> Option<messages::Spec> {
    if spec.version.as_str().is_empty() {
        return None;
    }
    Some(messages::Spec {
        version: spec.version.to_string(),
        termination_grace_period: Some(Duration::from_nanos(spec.termination_grace_period)),
        containers: spec.containers.iter().map(container_to_message).collect(),
        toleration: spec.toleration.clone(),
        affinity: spec.affinity.clone(),
        restart_policy: Some(restart_policy_to_message(&spec.restart_policy).to_owned()),
    })
}

fn container_to_message(container: &Container) -> messages::Container {
    messages::Container {
        name: container.name.clone(),
        image: container.image.clone(),
        image_pull_policy: container.image_pull_policy.clone(),
        command: container.command.clone(),
        environment: container
            .environment
            .iter()
            .map(variable_to_message)
            .collect(),
        requests: Some(resources_to_message(&container.requests)),
        limits: Some(resources_to_message(&container.limits)),
        ports: container.ports.iter().map(port_to_message).collect(),
    }
}

fn resources_to_message(resources: &Resources) -> messages::ContainerResources {
    messages::ContainerResources {
        memory: resources.memory.clone(),
        cpu: resources.cpu.clone(),
    }
}

/// An empty value is omitted; at most one reference is shown.
fn variable_to_message(variable: &Environment) -> messages::ContainerEnvironment {
    let value = (!variable.value.is_empty()).then(|| variable.value.clone());
    let value_from = match value {
        Some(_) => None,
        None => variable.value_from.as_ref().and_then(reference_to_message),
    };
    messages::ContainerEnvironment {
        name: variable.name.clone(),
        value,
        value_from,
    }
}

fn reference_to_message(from: &ValueFrom) -> Option<messages::ContainerEnvironmentValueFrom> {
    let secret_key_ref = from.secret_key_ref.as_ref().map(|secret| {
        messages::ContainerEnvironmentValueFromSecretKeyRef {
            name: secret.name.clone(),
            key: secret.key.clone(),
        }
    });
    let field_ref =
        from.field_ref
            .as_ref()
            .map(|field| messages::ContainerEnvironmentValueFromFieldRef {
                field_path: field.field_path.clone(),
            });
    if secret_key_ref.is_none() && field_ref.is_none() {
        return None;
    }
    Some(messages::ContainerEnvironmentValueFrom {
        field_ref: field_ref.filter(|_| secret_key_ref.is_none()),
        secret_key_ref,
    })
}

fn port_to_message(port: &ContainerPort) -> messages::ContainerPort {
    messages::ContainerPort {
        name: port.name.clone(),
        protocol: port.protocol.clone(),
        port: port.port,
        host_port: port.host_port,
        host_port_range: port.host_port_range.map(range_to_message),
    }
}

pub fn range_to_message(range: PortRange) -> messages::PortRange {
    messages::PortRange {
        start: range.start,
        end: range.end,
    }
}
