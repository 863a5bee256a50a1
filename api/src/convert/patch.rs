//! The request of a partial edit (contract 2.4, PATCH).

use maestro_core::domain::Surge;
use maestro_core::rules::patch::{AutoscalingPatch, ContainerPatch, Patch, SpecPatch};

use super::{TooDeep, forwarder, scaling, spec};
use crate::codec::{Duration, messages};

/// The fields to edit. The scheduler's name comes from the path and is not one of them.
///
/// # Errors
/// When a free document in it is nested too deeply to be stored.
pub fn patch(request: messages::PatchSchedulerRequest) -> Result<Patch, TooDeep> {
    Ok(Patch {
        spec: request.spec.map(spec_patch),
        port_range: request.port_range.map(spec::range_to_domain),
        max_surge: request.max_surge.map(Surge::from),
        rooms_replicas: request.rooms_replicas,
        autoscaling: request.autoscaling.map(autoscaling_patch),
        forwarders: forwarder::to_domain(request.forwarders)?,
        annotations: request.annotations,
        labels: request.labels,
        match_allocation: request.match_allocation.map(scaling::matches_to_domain),
    })
}

fn spec_patch(spec: messages::OptionalSpec) -> SpecPatch {
    SpecPatch {
        termination_grace_period: spec.termination_grace_period.map(Duration::to_nanos),
        containers: spec.containers.into_iter().map(container_patch).collect(),
        toleration: spec.toleration,
        affinity: spec.affinity,
    }
}

fn container_patch(container: messages::OptionalContainer) -> ContainerPatch {
    ContainerPatch {
        name: container.name,
        image: container.image,
        image_pull_policy: container.image_pull_policy,
        command: container.command,
        environment: spec::environment_to_domain(container.environment),
        requests: container.requests.map(spec::resources_to_domain),
        limits: container.limits.map(spec::resources_to_domain),
        ports: spec::ports_to_domain(container.ports),
    }
}

fn autoscaling_patch(autoscaling: messages::OptionalAutoscaling) -> AutoscalingPatch {
    AutoscalingPatch {
        enabled: autoscaling.enabled,
        min: autoscaling.min,
        max: autoscaling.max,
        cooldown: autoscaling.cooldown,
        policy: autoscaling.policy.map(scaling::policy_to_domain),
    }
}
