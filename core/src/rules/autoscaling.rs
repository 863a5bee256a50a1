//! How many rooms a scheduler wants by its autoscaling policy (contract 5.7, D12).
//!
//! Whole numbers only: a target is taken as the decimal that was written, and what
//! follows is exact. Floats would turn 35 / (1 - 0.3) into 51 rooms instead of 50.

use super::surge::ceil_div;
use crate::domain::{Autoscaling, Policy, RoomOccupancy};

pub const ROOM_OCCUPANCY: &str = "roomOccupancy";
pub const FIXED_BUFFER: &str = "fixedBuffer";

/// Threshold of a scheduler that has none, as on the wire (contract 2.3).
const DOWN_THRESHOLD_DEFAULT: f64 = 0.99;

/// What the policies look at: rooms by status, matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    pub ready: i64,
    pub active: i64,
    pub occupied: i64,
    pub allocated: i64,
    pub terminating: i64,
    pub error: i64,
    /// Rooms in all statuses, these included.
    pub total: i64,
    /// Matches that rooms report, without those that allocated rooms will begin (5.8).
    pub running_matches: i64,
    /// Matches that one room takes at once; less than one counts as one.
    pub max_matches: i64,
}

/// Why a policy has no answer: its scheduler was stored by another program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("unknown autoscaling policy type {0:?}, it must be roomOccupancy or fixedBuffer")]
    UnknownType(String),
    #[error("autoscaling policy {0} has no parameters")]
    MissingParameters(&'static str),
    #[error("autoscaling parameter {name} is {value}, it must be at least 0 and less than 1")]
    ShareOutOfRange { name: &'static str, value: String },
}

/// Rooms that the policy wants, within `min` and `max` (contract 5.7, autoscaler).
pub fn desired(autoscaling: &Autoscaling, occupancy: &Occupancy) -> Result<i64, PolicyError> {
    let wanted = wanted(&autoscaling.policy, occupancy)?;
    let at_least = wanted.max(i64::from(autoscaling.min));
    Ok(match autoscaling.max {
        // Below zero: no limit.
        ..0 => at_least,
        max => at_least.min(i64::from(max)),
    })
}

/// Whether the policy lets rooms go now (contract 5.7, CanDownscale).
pub fn may_downscale(
    autoscaling: &Autoscaling,
    occupancy: &Occupancy,
) -> Result<bool, PolicyError> {
    let policy = &autoscaling.policy;
    let wanted = wanted(policy, occupancy)?;
    match policy_of(policy)? {
        Kind::FixedBuffer(_) => {
            let alive = occupancy.total - occupancy.terminating - occupancy.error;
            Ok(alive > wanted)
        }
        Kind::RoomOccupancy(parameters) => occupancy_allows(parameters, occupancy, wanted),
    }
}

enum Kind {
    RoomOccupancy(RoomOccupancy),
    FixedBuffer(i64),
}

fn policy_of(policy: &Policy) -> Result<Kind, PolicyError> {
    let parameters = &policy.parameters;
    match policy.kind.as_str() {
        ROOM_OCCUPANCY => parameters
            .room_occupancy
            .map(Kind::RoomOccupancy)
            .ok_or(PolicyError::MissingParameters(ROOM_OCCUPANCY)),
        FIXED_BUFFER => parameters
            .fixed_buffer
            .map(|buffer| Kind::FixedBuffer(i64::from(buffer.amount)))
            .ok_or(PolicyError::MissingParameters(FIXED_BUFFER)),
        other => Err(PolicyError::UnknownType(other.to_owned())),
    }
}

/// The policy's own number, before the scheduler's limits.
fn wanted(policy: &Policy, occupancy: &Occupancy) -> Result<i64, PolicyError> {
    match policy_of(policy)? {
        Kind::FixedBuffer(amount) => Ok(occupancy.occupied + occupancy.allocated + amount),
        Kind::RoomOccupancy(parameters) => {
            let ready = Share::of("readyTarget", parameters.ready_target)?;
            // An allocated room is about to begin its match.
            let matches = i128::from(occupancy.running_matches.max(0) + occupancy.allocated);
            let slots = ceil_div(matches * ready.whole, ready.whole - ready.part);
            let rooms = ceil_div(slots, i128::from(occupancy.max_matches.max(1)));
            Ok(i64::try_from(rooms).unwrap_or(i64::MAX))
        }
    }
}

/// The wanted free slots must fit, with room to spare, into the free ones.
fn occupancy_allows(
    parameters: RoomOccupancy,
    occupancy: &Occupancy,
    wanted: i64,
) -> Result<bool, PolicyError> {
    let ready = Share::of("readyTarget", parameters.ready_target)?;
    // Zero cannot be sent: it is an old document's absence, which means the default.
    let threshold = match parameters.down_threshold {
        0.0 => DOWN_THRESHOLD_DEFAULT,
        threshold => threshold,
    };
    let threshold = Share::of("downThreshold", threshold)?;
    let max_matches = i128::from(occupancy.max_matches.max(1));
    let rooms = occupancy.ready + occupancy.active + occupancy.occupied + occupancy.allocated;
    let slots = i128::from(rooms) * max_matches - i128::from(occupancy.running_matches);
    if slots <= 0 {
        // None free: nothing to give away. Fewer than none (rooms report more matches
        // than they take): the contract's quotient is negative, hence allowed.
        return Ok(slots < 0);
    }
    let wanted_free = i128::from(wanted)
        .saturating_mul(max_matches)
        .saturating_mul(ready.part);
    let wanted_free = ceil_div(wanted_free, ready.whole);
    Ok(wanted_free.saturating_mul(threshold.whole) <= slots.saturating_mul(threshold.part))
}

/// A share of one as an exact fraction: `part / whole`, `0 <= part < whole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    part: i128,
    whole: i128,
}

impl Share {
    /// Decimals that count; a share's shortest text has fewer unless it is tiny.
    const DECIMALS: usize = 18;

    /// Takes the decimal that the float was written as, which is the shortest one
    /// that reads as the same float.
    fn of(name: &'static str, value: f64) -> Result<Self, PolicyError> {
        let invalid = || PolicyError::ShareOutOfRange {
            name,
            value: value.to_string(),
        };
        if !(0.0..1.0).contains(&value) {
            return Err(invalid());
        }
        // Display writes the shortest decimal, without an exponent.
        let text = value.to_string();
        let decimals = text.split_once('.').map_or("", |(_, decimals)| decimals);
        let kept = &decimals[..decimals.len().min(Self::DECIMALS)];
        let part: i128 = format!("{kept:0<width$}", width = Self::DECIMALS)
            .parse()
            .map_err(|_| invalid())?;
        Ok(Self {
            part,
            whole: 10_i128.pow(Self::DECIMALS as u32),
        })
    }
}
