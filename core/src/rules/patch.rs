//! A partial edit of a scheduler (contract 2.4, PATCH).
//!
//! Absent fields keep their values. Lists cannot be emptied, because a request does not distinguish an empty list from
//! an absent one. Maps can be emptied.

use crate::domain::{
    Autoscaling, Container, ContainerPort, Environment, Forwarder, MatchAllocation, Policy,
    PortRange, Resources, Scheduler, Surge,
};
use std::collections::BTreeMap;

/// The fields of a PATCH request; `None` and empty lists leave the scheduler's field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    /// Changes to the spec; all others make a minor version.
    pub spec: Option<SpecPatch>,
    /// Replaces the whole range.
    pub port_range: Option<PortRange>,
    /// Replaces the maximum surge.
    pub max_surge: Option<Surge>,
    /// Replaces the number of rooms for times without autoscaling.
    pub rooms_replicas: Option<i32>,
    /// Changes to the autoscaling.
    pub autoscaling: Option<AutoscalingPatch>,
    /// Replaces all forwarders; an empty list counts as absent.
    pub forwarders: Vec<Forwarder>,
    /// Replaces all annotations; an empty map removes them.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Replaces all labels; an empty map removes them.
    pub labels: Option<BTreeMap<String, String>>,
    /// Replaces the number of matches per room.
    pub match_allocation: Option<MatchAllocation>,
}

/// The fields of a spec that a PATCH can change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecPatch {
    /// Nanoseconds.
    pub termination_grace_period: Option<i64>,
    /// By index: the first entry edits the first container, entries beyond the last container are appended.
    pub containers: Vec<ContainerPatch>,
    /// Replaces the toleration; an empty text removes it.
    pub toleration: Option<String>,
    /// Replaces the affinity; an empty text removes it.
    pub affinity: Option<String>,
}

/// Each field that is present replaces the container's whole field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerPatch {
    /// Renames the container.
    pub name: Option<String>,
    /// Replaces the image.
    pub image: Option<String>,
    /// Replaces the pull policy.
    pub image_pull_policy: Option<String>,
    /// An empty list counts as absent.
    pub command: Vec<String>,
    /// An empty list counts as absent.
    pub environment: Vec<Environment>,
    /// Replaces memory and CPU together.
    pub requests: Option<Resources>,
    /// Replaces memory and CPU together.
    pub limits: Option<Resources>,
    /// An empty list counts as absent.
    pub ports: Vec<ContainerPort>,
}

/// The fields are replaced one by one, the policy as a whole. A scheduler without autoscaling starts from zero values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AutoscalingPatch {
    /// Switches the autoscaling on or off.
    pub enabled: Option<bool>,
    /// Minimum number of rooms.
    pub min: Option<i32>,
    /// Maximum number of rooms; -1 means unlimited.
    pub max: Option<i32>,
    /// Seconds between two scale-downs.
    pub cooldown: Option<i32>,
    /// Replaces the policy with its parameters.
    pub policy: Option<Policy>,
}

impl Patch {
    /// Whether the request contained no fields at all. An empty object within it counts as a field: `{"spec":{}}` makes
    /// a version (contract 15.12).
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The scheduler after the edit. Fields that a patch cannot change (game, version, restart policy, state) keep
    /// their values. The result must still be validated.
    pub fn apply(&self, scheduler: &Scheduler) -> Scheduler {
        let mut patched = scheduler.clone();
        if let Some(spec) = &self.spec {
            spec.apply(&mut patched);
        }
        if let Some(autoscaling) = &self.autoscaling {
            autoscaling.apply(patched.autoscaling.get_or_insert_default());
        }
        replace(&mut patched.max_surge, &self.max_surge);
        replace(&mut patched.rooms_replicas, &self.rooms_replicas);
        if !self.forwarders.is_empty() {
            patched.forwarders = Some(self.forwarders.clone());
        }
        if self.port_range.is_some() {
            patched.port_range = self.port_range;
        }
        if self.annotations.is_some() {
            patched.annotations.clone_from(&self.annotations);
        }
        if self.labels.is_some() {
            patched.labels.clone_from(&self.labels);
        }
        if self.match_allocation.is_some() {
            patched.match_allocation = self.match_allocation;
        }
        patched
    }
}

impl SpecPatch {
    fn apply(&self, scheduler: &mut Scheduler) {
        let spec = &mut scheduler.spec;
        replace(
            &mut spec.termination_grace_period,
            &self.termination_grace_period,
        );
        replace(&mut spec.toleration, &self.toleration);
        replace(&mut spec.affinity, &self.affinity);
        for (index, patch) in self.containers.iter().enumerate() {
            match spec.containers.get_mut(index) {
                Some(container) => patch.apply(container),
                None => {
                    let mut container = Container::default();
                    patch.apply(&mut container);
                    spec.containers.push(container);
                }
            }
        }
    }
}

impl ContainerPatch {
    fn apply(&self, container: &mut Container) {
        replace(&mut container.name, &self.name);
        replace(&mut container.image, &self.image);
        replace(&mut container.image_pull_policy, &self.image_pull_policy);
        replace_list(&mut container.command, &self.command);
        replace_list(&mut container.environment, &self.environment);
        replace(&mut container.requests, &self.requests);
        replace(&mut container.limits, &self.limits);
        replace_list(&mut container.ports, &self.ports);
    }
}

impl AutoscalingPatch {
    fn apply(&self, autoscaling: &mut Autoscaling) {
        replace(&mut autoscaling.enabled, &self.enabled);
        replace(&mut autoscaling.min, &self.min);
        replace(&mut autoscaling.max, &self.max);
        replace(&mut autoscaling.cooldown, &self.cooldown);
        replace(&mut autoscaling.policy, &self.policy);
    }
}

fn replace<T: Clone>(target: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        target.clone_from(value);
    }
}

fn replace_list<T: Clone>(target: &mut Vec<T>, list: &Vec<T>) {
    if !list.is_empty() {
        target.clone_from(list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FixedBuffer, PolicyParameters, Spec};

    fn map(key: &str) -> Option<BTreeMap<String, String>> {
        Some(BTreeMap::from([(key.to_owned(), "1".to_owned())]))
    }

    fn container(name: &str) -> Container {
        Container {
            name: name.into(),
            image: "registry/game:1".into(),
            command: vec!["run".into()],
            requests: Resources {
                memory: "64Mi".into(),
                cpu: "100m".into(),
            },
            ports: vec![ContainerPort::default()],
            ..Default::default()
        }
    }

    fn scheduler() -> Scheduler {
        Scheduler {
            name: "arena".into(),
            game: "chess".into(),
            state: "in-sync".into(),
            spec: Spec {
                version: "v1.0.0".into(),
                toleration: "t".into(),
                restart_policy: "Always".into(),
                containers: vec![container("game"), container("sidecar")],
                ..Default::default()
            },
            forwarders: Some(vec![Forwarder::default()]),
            annotations: map("a"),
            labels: map("l"),
            ..Default::default()
        }
    }

    fn spec(spec: SpecPatch) -> Patch {
        Patch {
            spec: Some(spec),
            ..Default::default()
        }
    }

    #[test]
    fn only_a_patch_of_nothing_is_empty() {
        assert!(Patch::default().is_empty());
        let patches = [
            spec(SpecPatch::default()),
            Patch {
                autoscaling: Some(AutoscalingPatch::default()),
                ..Default::default()
            },
            Patch {
                labels: Some(BTreeMap::new()),
                ..Default::default()
            },
            Patch {
                rooms_replicas: Some(0),
                ..Default::default()
            },
        ];
        for patch in patches {
            assert!(!patch.is_empty(), "{patch:?}");
        }
    }

    #[test]
    fn what_is_absent_stays() {
        let before = scheduler();
        assert_eq!(Patch::default().apply(&before), before);
        let hollow = spec(SpecPatch {
            containers: vec![ContainerPatch::default()],
            ..Default::default()
        });
        assert_eq!(hollow.apply(&before), before);
    }

    #[test]
    fn present_fields_replace() {
        let after = Patch {
            port_range: Some(PortRange { start: 1, end: 2 }),
            max_surge: Some("5".into()),
            rooms_replicas: Some(4),
            forwarders: vec![Forwarder::default(), Forwarder::default()],
            annotations: map("b"),
            match_allocation: Some(MatchAllocation { max_matches: 3 }),
            ..spec(SpecPatch {
                termination_grace_period: Some(7),
                toleration: Some(String::new()),
                affinity: Some("a".into()),
                ..Default::default()
            })
        }
        .apply(&scheduler());
        let mut expected = scheduler();
        expected.port_range = Some(PortRange { start: 1, end: 2 });
        expected.max_surge = "5".into();
        expected.rooms_replicas = 4;
        expected
            .forwarders
            .get_or_insert_default()
            .push(Forwarder::default());
        expected.annotations = map("b");
        expected.match_allocation = Some(MatchAllocation { max_matches: 3 });
        expected.spec.termination_grace_period = 7;
        expected.spec.toleration = String::new();
        expected.spec.affinity = "a".into();
        assert_eq!(after, expected);
    }

    #[test]
    fn maps_can_be_emptied() {
        let after = Patch {
            annotations: Some(BTreeMap::new()),
            labels: Some(BTreeMap::new()),
            ..Default::default()
        }
        .apply(&scheduler());
        assert_eq!(after.annotations, Some(BTreeMap::new()));
        assert_eq!(after.labels, Some(BTreeMap::new()));
    }

    #[test]
    fn containers_are_edited_by_index_and_appended() {
        let image = |image: &str| ContainerPatch {
            image: Some(image.into()),
            ..Default::default()
        };
        let containers = vec![ContainerPatch::default(), image("b:2"), image("c:1")];
        let after = spec(SpecPatch {
            containers,
            ..Default::default()
        })
        .apply(&scheduler());
        let mut expected = scheduler();
        expected.spec.containers[1].image = "b:2".into();
        expected.spec.containers.push(Container {
            image: "c:1".into(),
            ..Default::default()
        });
        assert_eq!(after, expected);
    }

    #[test]
    fn a_container_field_is_replaced_whole() {
        let after = spec(SpecPatch {
            containers: vec![ContainerPatch {
                requests: Some(Resources {
                    memory: "1Gi".into(),
                    cpu: String::new(),
                }),
                environment: vec![Environment::default()],
                ..Default::default()
            }],
            ..Default::default()
        })
        .apply(&scheduler());
        let game = &after.spec.containers[0];
        assert_eq!(
            (game.requests.cpu.as_str(), game.environment.len()),
            ("", 1)
        );
        assert_eq!(game.command, ["run"]);
    }

    #[test]
    fn autoscaling_is_edited_field_by_field_but_its_policy_whole() {
        let policy = |amount| Policy {
            kind: "fixedBuffer".into(),
            parameters: PolicyParameters {
                room_occupancy: None,
                fixed_buffer: Some(FixedBuffer { amount }),
            },
        };
        let mut before = scheduler();
        before.autoscaling = Some(Autoscaling {
            enabled: true,
            min: 1,
            max: 10,
            cooldown: 60,
            policy: policy(3),
        });
        let edit = |autoscaling: AutoscalingPatch| Patch {
            autoscaling: Some(autoscaling),
            ..Default::default()
        };
        let after = edit(AutoscalingPatch {
            max: Some(-1),
            policy: Some(policy(5)),
            ..Default::default()
        })
        .apply(&before);
        let expected = Autoscaling {
            max: -1,
            policy: policy(5),
            ..before.autoscaling.clone().unwrap()
        };
        assert_eq!(after.autoscaling, Some(expected));
        let fresh = edit(AutoscalingPatch::default()).apply(&scheduler());
        assert_eq!(fresh.autoscaling, Some(Autoscaling::default()));
    }
}
