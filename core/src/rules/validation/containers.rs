//! The spec and its containers (contract 2.5).

use super::checks::{Findings, greater_than, required, rule};
use super::names::name_rules;
use super::ports;
use crate::domain::{Container, Resources, Spec};

pub fn check_spec(spec: &Spec, findings: &mut Findings) {
    let path = "Scheduler.Spec";
    findings.field(
        path,
        "TerminationGracePeriod",
        [greater_than(spec.termination_grace_period, 0)],
    );
    findings.field(path, "Containers", [required(!spec.containers.is_empty())]);
    for (index, container) in spec.containers.iter().enumerate() {
        if findings.is_full() {
            break;
        }
        check(&format!("{path}.Containers[{index}]"), container, findings);
    }
}

fn check(path: &str, container: &Container, findings: &mut Findings) {
    let pull_policy = container.image_pull_policy.as_str();
    findings.field(path, "Name", name_rules(&container.name));
    findings.field(path, "Image", [required(!container.image.is_empty())]);
    findings.field(
        path,
        "ImagePullPolicy",
        [
            required(!pull_policy.is_empty()),
            rule(
                matches!(pull_policy, "Always" | "Never" | "IfNotPresent"),
                "image_pull_policy",
                "must be one of the following options: Always, Never, IfNotPresent",
            ),
        ],
    );
    for (index, variable) in container.environment.iter().enumerate() {
        if findings.is_full() {
            break;
        }
        let path = format!("{path}.Environment[{index}]");
        findings.field(&path, "Name", [required(!variable.name.is_empty())]);
    }
    check_resources(&format!("{path}.Requests"), &container.requests, findings);
    check_resources(&format!("{path}.Limits"), &container.limits, findings);
    for (index, port) in container.ports.iter().enumerate() {
        if findings.is_full() {
            break;
        }
        ports::check_port(&format!("{path}.Ports[{index}]"), port, findings);
    }
}

fn check_resources(path: &str, resources: &Resources, findings: &mut Findings) {
    findings.field(path, "Memory", [required(!resources.memory.is_empty())]);
    findings.field(path, "CPU", [required(!resources.cpu.is_empty())]);
}
