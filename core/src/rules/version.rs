//! Versions of a scheduler: which edits make a major version, and the number of the next one (contract 4.2, 4.3, D4,
//! D5).

use crate::domain::{Container, ContainerPort, Scheduler, SchedulerVersion, Spec};
use std::collections::HashMap;

/// Whether rooms of `active` must be replaced to become rooms of `new`.
///
/// Changes that affect the room itself are major: spec, port range, annotations and labels (D5; forwarders are minor,
/// unlike in the original). Absent and empty annotations or labels differ (contract 4.2).
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
        || active.restart_policy.effective() != new.restart_policy.effective()
        || containers_differ(&active.containers, &new.containers)
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

/// Ports present in both lists are removed before the lists are compared: changing the order or removing a port is
/// minor, adding or changing one is major (contract 4.2). A list that is empty on one side only is major, because the
/// original distinguishes absent from non-empty lists.
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

/// The document's host port does not matter: each room draws its own.
fn same_port(a: &ContainerPort, b: &ContainerPort) -> bool {
    a.name == b.name
        && a.protocol == b.protocol
        && a.port == b.port
        && a.host_port_range == b.host_port_range
}

/// Number of the next version (contract 4.3).
///
/// A major version is one above the highest major of the active and all stored versions, a minor one is one above the
/// highest minor of the active major; the patch number is not used. Stored texts that are not versions are ignored; an
/// active one counts as v1.0.0.
pub fn next_version<'a>(
    active: &SchedulerVersion,
    stored: impl Iterator<Item = &'a SchedulerVersion>,
    major: bool,
) -> SchedulerVersion {
    let first = semver::Version::new(1, 0, 0);
    let active = active.semver().unwrap_or(&first);
    let stored = stored.filter_map(SchedulerVersion::semver);
    let (highest_major, highest_minor) =
        stored.fold((active.major, active.minor), |(major, minor), version| {
            let minor = match version.major == active.major {
                true => minor.max(version.minor),
                false => minor,
            };
            (major.max(version.major), minor)
        });
    SchedulerVersion::from(match major {
        true => format!("v{}.0.0", highest_major.saturating_add(1)),
        false => format!("v{}.{}.0", active.major, highest_minor.saturating_add(1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Autoscaling, Environment, Forwarder, MatchAllocation, PortRange, Resources,
    };
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn port(name: &str, port: i32) -> ContainerPort {
        ContainerPort {
            name: name.into(),
            protocol: "udp".into(),
            port,
            ..Default::default()
        }
    }

    fn scheduler() -> Scheduler {
        Scheduler {
            name: "arena".into(),
            spec: Spec {
                version: "v1.0.0".into(),
                termination_grace_period: 1,
                containers: vec![Container {
                    name: "game".into(),
                    ports: vec![port("client", 1), port("admin", 2)],
                    ..Default::default()
                }],
                ..Default::default()
            },
            ..Default::default()
        }
    }

    fn major(change: impl FnOnce(&mut Scheduler)) -> bool {
        let active = scheduler();
        let mut new = active.clone();
        change(&mut new);
        is_major(&active, &new)
    }

    fn ports(new: &mut Scheduler) -> &mut Vec<ContainerPort> {
        &mut new.spec.containers[0].ports
    }

    #[test]
    fn what_does_not_touch_the_room_is_minor() {
        let changes: [fn(&mut Scheduler); 12] = [
            |_| {},
            |s| s.name = "other".into(),
            |s| s.game = "other".into(),
            |s| s.state = "creating".into(),
            |s| s.rollback_version = "v0.1.0".into(),
            |s| s.spec.version = "v9.0.0".into(),
            |s| s.max_surge = "50%".into(),
            |s| s.rooms_replicas = 9,
            |s| s.autoscaling = Some(Autoscaling::default()),
            |s| s.match_allocation = Some(MatchAllocation { max_matches: 3 }),
            |s| {
                s.forwarders
                    .get_or_insert_default()
                    .push(Forwarder::default())
            },
            |s| s.created_at = jiff::Timestamp::MAX,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(!major(change), "change {index}");
        }
    }

    #[test]
    fn what_touches_the_room_is_major() {
        let changes: [fn(&mut Scheduler); 16] = [
            |s| s.spec.termination_grace_period = 2,
            |s| s.spec.toleration = "t".into(),
            |s| s.spec.affinity = "a".into(),
            |s| s.spec.restart_policy = "Always".into(),
            |s| s.port_range = Some(PortRange::default()),
            |s| s.annotations = Some(BTreeMap::from([("a".into(), "1".into())])),
            |s| s.annotations = Some(BTreeMap::new()),
            |s| s.labels = Some(BTreeMap::new()),
            |s| s.spec.containers.push(Container::default()),
            |s| s.spec.containers.clear(),
            |s| s.spec.containers[0].name = "other".into(),
            |s| s.spec.containers[0].image = "other".into(),
            |s| s.spec.containers[0].command = vec!["x".into()],
            |s| s.spec.containers[0].environment = vec![Environment::default()],
            |s| s.spec.containers[0].limits = resources("1"),
            |s| s.spec.containers[0].image_pull_policy = "Never".into(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(major(change), "change {index}");
        }
    }

    fn resources(cpu: &str) -> Resources {
        Resources {
            cpu: cpu.into(),
            ..Default::default()
        }
    }

    #[test]
    fn containers_are_compared_in_order() {
        let mut active = scheduler();
        active.spec.containers.push(Container::default());
        let mut new = active.clone();
        new.spec.containers.reverse();
        assert!(is_major(&active, &new));
    }

    #[test]
    fn an_absent_restart_policy_is_never() {
        let mut active = scheduler();
        let mut new = scheduler();
        new.spec.restart_policy = "Never".into();
        assert!(!is_major(&active, &new));
        assert!(!is_major(&new, &active));
        active.spec.restart_policy = "OnFailure".into();
        assert!(is_major(&active, &new));
    }

    #[test]
    fn ports_may_be_reordered_removed_and_bound_within_a_major() {
        assert!(!major(|s| ports(s).reverse()));
        assert!(!major(|s| drop(ports(s).remove(0))));
        assert!(!major(|s| ports(s)[1].host_port = 4000));
    }

    #[test]
    fn added_and_changed_ports_are_major() {
        assert!(major(|s| ports(s).push(port("new", 3))));
        assert!(major(|s| ports(s)[0].port = 9));
        assert!(major(|s| ports(s)[0].protocol = "tcp".into()));
        assert!(major(|s| ports(s)[0].name = "other".into()));
        assert!(major(
            |s| ports(s)[0].host_port_range = Some(PortRange::default())
        ));
        // The original distinguishes an absent list from a present one.
        assert!(major(|s| ports(s).clear()));
    }

    #[test]
    fn a_later_container_hides_a_port_of_the_same_name() {
        let mut active = scheduler();
        active.spec.containers.push(Container {
            ports: vec![port("client", 7)],
            ..Default::default()
        });
        assert!(!is_major(&active, &active));
        let mut new = active.clone();
        new.spec.containers[0].ports[0].port = 7;
        assert!(is_major(&active, &new));
    }

    fn next(active: &str, stored: &[&str], major: bool) -> String {
        let stored: Vec<SchedulerVersion> = stored.iter().map(|&v| v.into()).collect();
        next_version(&active.into(), stored.iter(), major).to_string()
    }

    #[test]
    fn numbers_follow_all_stored_versions() {
        let stored = ["v1.0.0", "v1.1.0", "v2.0.0"];
        assert_eq!(next("v1.0.0", &stored, false), "v1.2.0");
        assert_eq!(next("v1.0.0", &stored, true), "v3.0.0");
        assert_eq!(next("v2.0.0", &stored, false), "v2.1.0");
        assert_eq!(next("v1.0.0", &[], false), "v1.1.0");
        assert_eq!(next("v1.4.2", &["v1.0.0"], false), "v1.5.0");
        assert_eq!(next("v3.0.0", &["v1.0.0"], true), "v4.0.0");
        assert_eq!(next("v1.9.0", &["v1.10.0"], false), "v1.11.0");
    }

    #[test]
    fn texts_that_are_no_version_are_passed_over() {
        assert_eq!(next("v1.0.0", &["banana", "", "v1.3.0"], false), "v1.4.0");
        assert_eq!(next("", &["v2.0.0"], true), "v3.0.0");
        assert_eq!(next("banana", &["v1.3.0"], false), "v1.4.0");
    }

    fn versions() -> impl Strategy<Value = Vec<(u64, u64)>> {
        prop::collection::vec((0_u64..6, 0_u64..20), 0..12)
    }

    proptest! {
        #[test]
        fn a_version_is_above_all_it_follows(
            active in (0_u64..6, 0_u64..20), stored in versions(), major: bool,
        ) {
            let text = |(major, minor): (u64, u64)| SchedulerVersion::from(format!("v{major}.{minor}.0"));
            let all: Vec<_> = stored.iter().copied().map(text).collect();
            let made = next_version(&text(active), all.iter(), major);
            let made = made.semver().unwrap();
            prop_assert_eq!(made.patch, 0);
            for (other_major, other_minor) in stored.into_iter().chain([active]) {
                let other = semver::Version::new(other_major, other_minor, 0);
                if major {
                    prop_assert!(*made > other);
                } else if other_major == active.0 {
                    prop_assert!(*made > other && made.major == active.0);
                }
            }
        }
    }
}
