//! Autoscaling, and ratios that the wire carries as 32-bit floats (contract 2.3, decision D12).

use maestro_core::domain::{
    Autoscaling, FixedBuffer, MatchAllocation, Policy, PolicyParameters, RoomOccupancy,
};

use crate::codec::messages;

/// Replaces a `downThreshold` that is absent or zero.
const DOWN_THRESHOLD_DEFAULT: f64 = 0.99;

pub fn to_domain(autoscaling: messages::Autoscaling) -> Autoscaling {
    Autoscaling {
        enabled: autoscaling.enabled,
        min: autoscaling.min,
        max: autoscaling.max,
        cooldown: autoscaling.cooldown,
        policy: autoscaling.policy.map(policy_to_domain).unwrap_or_default(),
    }
}

pub fn policy_to_domain(policy: messages::AutoscalingPolicy) -> Policy {
    let parameters = policy.parameters.unwrap_or_default();
    Policy {
        kind: policy.r#type.into(),
        parameters: PolicyParameters {
            room_occupancy: parameters.room_occupancy.map(occupancy_to_domain),
            fixed_buffer: parameters.fixed_buffer.map(|buffer| FixedBuffer {
                amount: buffer.amount.unwrap_or_default(),
            }),
        },
    }
}

fn occupancy_to_domain(occupancy: messages::RoomOccupancy) -> RoomOccupancy {
    let down_threshold = match occupancy.down_threshold {
        None | Some(0.0) => DOWN_THRESHOLD_DEFAULT,
        Some(share) => widen(share),
    };
    RoomOccupancy {
        ready_target: widen(occupancy.ready_target),
        down_threshold,
    }
}

/// Converts through the shortest decimal, so that 0.3 stays 0.3.
fn widen(share: f32) -> f64 {
    // The text of a float always parses.
    share.to_string().parse().unwrap_or(f64::from(share))
}

pub fn to_message(autoscaling: &Autoscaling) -> messages::Autoscaling {
    messages::Autoscaling {
        enabled: autoscaling.enabled,
        min: autoscaling.min,
        max: autoscaling.max,
        policy: Some(policy_to_message(&autoscaling.policy)),
        cooldown: autoscaling.cooldown,
    }
}

fn policy_to_message(policy: &Policy) -> messages::AutoscalingPolicy {
    let occupancy = policy.parameters.room_occupancy;
    let buffer = policy.parameters.fixed_buffer;
    messages::AutoscalingPolicy {
        r#type: policy.kind.to_string(),
        parameters: Some(messages::PolicyParameters {
            room_occupancy: occupancy.map(|occupancy| messages::RoomOccupancy {
                ready_target: occupancy.ready_target as f32,
                down_threshold: Some(occupancy.down_threshold as f32),
            }),
            fixed_buffer: buffer.map(|buffer| messages::FixedBuffer {
                amount: Some(buffer.amount),
            }),
        }),
    }
}

/// The autoscaling fields of the fleet listing.
pub fn info_to_message(autoscaling: &Autoscaling) -> messages::AutoscalingInfo {
    messages::AutoscalingInfo {
        enabled: autoscaling.enabled,
        min: autoscaling.min,
        max: autoscaling.max,
        cooldown: autoscaling.cooldown,
    }
}

pub fn matches_to_domain(allocation: messages::MatchAllocation) -> MatchAllocation {
    MatchAllocation {
        max_matches: allocation.max_matches,
    }
}

pub fn matches_to_message(allocation: MatchAllocation) -> messages::MatchAllocation {
    messages::MatchAllocation {
        max_matches: allocation.max_matches,
    }
}
