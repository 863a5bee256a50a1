//! Versions of a scheduler: which change is a major one, and the next number
//! (contract 4.2, 4.3, D4, D5).

use crate::domain::{Container, ContainerPort, Scheduler, SchedulerVersion, Spec};
use std::collections::HashMap;

/// Whether rooms of `active` must be replaced to become rooms of `new`.
///
/// Major is what touches the room itself: spec, port range, annotations and labels
/// (D5; forwarders are minor, unlike in the original). Absent and empty annotations or
/// labels differ (contract 4.2).
pub fn is_major(active: &Scheduler, new: &Scheduler) -> bool {
    active.port_range != new.port_range
        || active.annotations != new.annotations
        || active.labels != new.labels
        || spec_differs(&active.spec, &new.spec)
}

fn spec_differs(active: &Spec, new: &Spec) -> bool {
    active.termination_grace_period != new.termination_grace_period
        || active.toleration != new.toleration
        || active.affinity != new.affinity
        || restart_policy(active) != restart_policy(new)
        || containers_differ(&active.containers, &new.containers)
}

/// Absent and empty mean `Never` (D4).
fn restart_policy(spec: &Spec) -> &str {
    match spec.restart_policy.as_str() {
        "" => "Never",
        policy => policy,
    }
}

fn containers_differ(active: &[Container], new: &[Container]) -> bool {
    if active.len() != new.len() {
        return true;
    }
    // A later container's port hides an earlier one of the same name (contract 4.2).
    let known: HashMap<&str, &ContainerPort> = active
        .iter()
        .flat_map(|container| &container.ports)
        .map(|port| (port.name.as_str(), port))
        .collect();
    active.iter().zip(new).any(|(a, n)| {
        a.name != n.name
            || a.image != n.image
            || a.image_pull_policy != n.image_pull_policy
            || a.command != n.command
            || a.environment != n.environment
            || a.requests != n.requests
            || a.limits != n.limits
            || ports_differ(&a.ports, &n.ports, &known)
    })
}

/// Ports that are known are dropped from both lists before these are compared: order
/// and removal are minor, an added or a changed port is major (contract 4.2). A list
/// that is empty on one side only is major: the original tells absent from non-empty.
fn ports_differ(
    active: &[ContainerPort],
    new: &[ContainerPort],
    known: &HashMap<&str, &ContainerPort>,
) -> bool {
    if active.is_empty() != new.is_empty() {
        return true;
    }
    let is_new = |port: &&ContainerPort| {
        known
            .get(port.name.as_str())
            .is_none_or(|known| !same_port(known, port))
    };
    let mut left = active.iter().filter(is_new);
    let mut right = new.iter().filter(is_new);
    loop {
        match (left.next(), right.next()) {
            (None, None) => return false,
            (Some(a), Some(n)) if same_port(a, n) => {}
            _ => return true,
        }
    }
}

/// The host port of the document is never the room's: it is drawn for each room.
fn same_port(a: &ContainerPort, b: &ContainerPort) -> bool {
    a.name == b.name
        && a.protocol == b.protocol
        && a.port == b.port
        && a.host_port_range == b.host_port_range
}

/// Number of the next version (contract 4.3).
///
/// Major: one above the highest major of the active and all stored versions. Minor: one
/// above the highest minor of the active's major; the patch number is not used.
/// Stored texts that are no version are passed over; an active one counts as v1.0.0.
pub fn next_version<'a>(
    active: &SchedulerVersion,
    stored: impl Iterator<Item = &'a SchedulerVersion>,
    major: bool,
) -> SchedulerVersion {
    let active = active.semver().unwrap_or(semver::Version::new(1, 0, 0));
    let stored = stored.filter_map(SchedulerVersion::semver);
    let (highest_major, highest_minor) =
        stored.fold((active.major, active.minor), |(major, minor), version| {
            let minor = match version.major == active.major {
                true => minor.max(version.minor),
                false => minor,
            };
            (major.max(version.major), minor)
        });
    SchedulerVersion(match major {
        true => format!("v{}.0.0", highest_major.saturating_add(1)),
        false => format!("v{}.{}.0", active.major, highest_minor.saturating_add(1)),
    })
}
