//! Size of the fleet: autoscaling, replicas, surge and matches per room (contract 2.5).

use super::checks::{Findings, at_least, at_most, greater_than, less_than, required, rule};
use crate::domain::{Autoscaling, Policy, PolicyKind, Scheduler, Surge, SurgeSize};

const MATCHES_PER_ROOM_MAX: i32 = 35;
const MAX_UNLIMITED: i32 = -1;

/// The autoscaling is checked even when it is disabled.
pub fn check(autoscaling: &Autoscaling, findings: &mut Findings) {
    let path = "Scheduler.Autoscaling";
    let (min, max) = (autoscaling.min, autoscaling.max);
    findings.field(
        path,
        "Min",
        [
            at_least(min, 1),
            rule(
                max == MAX_UNLIMITED || min <= max,
                "custom_lower_than",
                "must be a number lower than Max",
            ),
        ],
    );
    findings.field(path, "Max", [at_least(max, MAX_UNLIMITED)]);
    findings.field(path, "Cooldown", [at_least(autoscaling.cooldown, 0)]);
    check_policy(&autoscaling.policy, findings);
}

/// Parameters are checked whenever they are present, whatever the policy's type. The check that the parameters of the
/// type are present comes last, and reports a path without `Parameters` (contract 15.19).
fn check_policy(policy: &Policy, findings: &mut Findings) {
    let path = "Scheduler.Autoscaling.Policy";
    let kind = &policy.kind;
    findings.field(
        path,
        "Type",
        [rule(
            !matches!(kind, PolicyKind::Other(_)),
            "oneof",
            "must be one of [roomOccupancy fixedBuffer]",
        )],
    );
    let parameters = &policy.parameters;
    if let Some(occupancy) = &parameters.room_occupancy {
        let path = format!("{path}.Parameters.RoomOccupancy");
        let share = |value: f64| [greater_than(value, 0.0), less_than(value, 1.0)];
        findings.field(&path, "ReadyTarget", share(occupancy.ready_target));
        findings.field(&path, "DownThreshold", share(occupancy.down_threshold));
    }
    if let Some(buffer) = &parameters.fixed_buffer {
        let path = format!("{path}.Parameters.FixedBuffer");
        findings.field(&path, "Amount", [greater_than(buffer.amount, 0)]);
    }
    findings.field(
        path,
        "RoomOccupancy",
        [rule(
            *kind != PolicyKind::RoomOccupancy || parameters.room_occupancy.is_some(),
            "required_for_room_occupancy",
            "must not be nil for RoomOccupancy policy type",
        )],
    );
    findings.field(
        path,
        "FixedBuffer",
        [rule(
            *kind != PolicyKind::FixedBuffer || parameters.fixed_buffer.is_some(),
            "required_for_fixed_buffer",
            "must not be nil for FixedBuffer policy type",
        )],
    );
}

pub fn check_size(scheduler: &Scheduler, findings: &mut Findings) {
    let path = "Scheduler";
    let max_surge = &scheduler.max_surge;
    findings.field(
        path,
        "RoomsReplicas",
        [at_least(scheduler.rooms_replicas, 0)],
    );
    findings.field(
        path,
        "MaxSurge",
        [
            required(!max_surge.as_str().is_empty()),
            rule(
                valid_max_surge(max_surge),
                "max_surge",
                "must be a number greater than zero or a number greater than zero with suffix '%'",
            ),
        ],
    );
}

/// A percentage may be any integer, even a negative one (contract 2.5). It then counts as one room
/// ([`crate::rules::surge`]).
fn valid_max_surge(surge: &Surge) -> bool {
    match surge.size() {
        Some(SurgeSize::Percent(_)) => true,
        Some(SurgeSize::Rooms(rooms)) => rooms >= 1,
        None => false,
    }
}

/// An absent allocation means one match; other defaults of old documents are applied where they are read.
pub fn check_match_allocation(scheduler: &Scheduler, findings: &mut Findings) {
    if let Some(allocation) = scheduler.match_allocation {
        let matches = allocation.max_matches;
        findings.field(
            "Scheduler.MatchAllocation",
            "MaxMatches",
            [
                required(matches != 0),
                at_least(matches, 1),
                at_most(matches, MATCHES_PER_ROOM_MAX),
            ],
        );
    }
}
