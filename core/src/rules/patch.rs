//! A partial edit of a scheduler (contract 2.4, PATCH).
//!
//! Absent fields stay. Lists inside it cannot be emptied: an empty list is an absent
//! one, both look the same in the request. Maps can be emptied.

use crate::domain::{
    Autoscaling, Container, ContainerPort, Environment, Forwarder, MatchAllocation, Policy,
    PortRange, Resources, Scheduler,
};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    pub spec: Option<SpecPatch>,
    pub port_range: Option<PortRange>,
    pub max_surge: Option<String>,
    pub rooms_replicas: Option<i32>,
    pub autoscaling: Option<AutoscalingPatch>,
    /// Replaces all forwarders; empty: absent.
    pub forwarders: Vec<Forwarder>,
    /// Replaces all annotations; an empty map removes them.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Replaces all labels; an empty map removes them.
    pub labels: Option<BTreeMap<String, String>>,
    pub match_allocation: Option<MatchAllocation>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecPatch {
    /// Nanoseconds.
    pub termination_grace_period: Option<i64>,
    /// By index: the first entry edits the first container, entries beyond the last
    /// container are appended.
    pub containers: Vec<ContainerPatch>,
    pub toleration: Option<String>,
    pub affinity: Option<String>,
}

/// Each present field replaces the container's whole field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerPatch {
    pub name: Option<String>,
    pub image: Option<String>,
    pub image_pull_policy: Option<String>,
    /// Empty: absent.
    pub command: Vec<String>,
    /// Empty: absent.
    pub environment: Vec<Environment>,
    pub requests: Option<Resources>,
    pub limits: Option<Resources>,
    /// Empty: absent.
    pub ports: Vec<ContainerPort>,
}

/// Fields one by one, the policy as a whole. A scheduler without autoscaling starts
/// from zero values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AutoscalingPatch {
    pub enabled: Option<bool>,
    pub min: Option<i32>,
    pub max: Option<i32>,
    pub cooldown: Option<i32>,
    pub policy: Option<Policy>,
}

impl Patch {
    /// Whether nothing at all was sent. An empty object inside is something: `{"spec":{}}`
    /// makes a version (contract 15 item 12).
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The scheduler after the edit. What a patch cannot name (game, version, restart
    /// policy, state) stays. The result still has to be validated.
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
        replace_list(&mut patched.forwarders, &self.forwarders);
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
