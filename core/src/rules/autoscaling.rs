//! The number of rooms that an autoscaling policy asks for (contract 5.7, D12).
//!
//! The computation uses integers only: a target is taken as the decimal that was written, so the result is exact.
//! Floats would make 35 / (1 - 0.3) 51 rooms instead of 50.

use super::surge::ceil_div;
use crate::domain::{Autoscaling, Policy, PolicyKind, RoomOccupancy};

/// Threshold of a scheduler without one, the same as on the wire (contract 2.3).
const DOWN_THRESHOLD_DEFAULT: f64 = 0.99;

/// The input of the policies: rooms by status, and matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Rooms that can be allocated.
    pub ready: i64,
    /// Rooms with matches that can take more.
    pub active: i64,
    /// Rooms with as many matches as they can take.
    pub occupied: i64,
    /// Rooms whose match has not begun.
    pub allocated: i64,
    /// Rooms that are being terminated.
    pub terminating: i64,
    /// Rooms that failed.
    pub error: i64,
    /// Rooms in any status, including these.
    pub total: i64,
    /// Matches reported by rooms, without those that allocated rooms are about to begin (contract 5.8).
    pub running_matches: i64,
    /// Matches per room; values below one count as one.
    pub max_matches: i64,
}

/// Why a policy has no result. Only schedulers stored by another program can cause this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The policy's type is none of ours.
    #[error("unknown autoscaling policy type {0:?}, it must be roomOccupancy or fixedBuffer")]
    UnknownType(String),
    /// The parameters for the policy's type are absent.
    #[error("autoscaling policy {0} has no parameters")]
    MissingParameters(PolicyKind),
    /// A ratio is outside of its range, so the formula has no meaningful result.
    #[error("autoscaling parameter {name} is {value}, it must be at least 0 and less than 1")]
    ShareOutOfRange {
        /// The parameter's name in the document.
        name: &'static str,
        /// The value as text, which may be `NaN`.
        value: String,
    },
}

/// The number of rooms that the policy asks for, between `min` and `max` (contract 5.7, autoscaler).
///
/// # Errors
/// When the policy is unknown or its parameters are missing or invalid.
pub fn desired(autoscaling: &Autoscaling, occupancy: &Occupancy) -> Result<i64, PolicyError> {
    let wanted = wanted(&autoscaling.policy, occupancy)?;
    let at_least = wanted.max(i64::from(autoscaling.min));
    Ok(match autoscaling.max {
        // A negative maximum means no limit.
        ..0 => at_least,
        max => at_least.min(i64::from(max)),
    })
}

/// Whether the policy allows a scale-down now (contract 5.7, CanDownscale).
///
/// # Errors
/// As for [`desired`].
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
    let missing = || PolicyError::MissingParameters(policy.kind.clone());
    match &policy.kind {
        PolicyKind::RoomOccupancy => parameters
            .room_occupancy
            .map(Kind::RoomOccupancy)
            .ok_or_else(missing),
        PolicyKind::FixedBuffer => parameters
            .fixed_buffer
            .map(|buffer| Kind::FixedBuffer(i64::from(buffer.amount)))
            .ok_or_else(missing),
        PolicyKind::Other(other) => Err(PolicyError::UnknownType(other.clone())),
    }
}

/// The policy's result before the scheduler's limits are applied.
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

/// The free slots that the smaller fleet needs must be at most the threshold's share of those that are free now.
fn occupancy_allows(
    parameters: RoomOccupancy,
    occupancy: &Occupancy,
    wanted: i64,
) -> Result<bool, PolicyError> {
    let ready = Share::of("readyTarget", parameters.ready_target)?;
    // Clients cannot send zero: it is the absent value of an old document and means the default.
    let threshold = match parameters.down_threshold {
        0.0 => DOWN_THRESHOLD_DEFAULT,
        threshold => threshold,
    };
    let threshold = Share::of("downThreshold", threshold)?;
    let max_matches = i128::from(occupancy.max_matches.max(1));
    let rooms = occupancy.ready + occupancy.active + occupancy.occupied + occupancy.allocated;
    let slots = i128::from(rooms) * max_matches - i128::from(occupancy.running_matches);
    if slots <= 0 {
        // With no free slot there is nothing to give away. With a negative number (rooms report more matches than they
        // can take) the contract's quotient is negative, hence allowed.
        return Ok(slots < 0);
    }
    let wanted_free = i128::from(wanted)
        .saturating_mul(max_matches)
        .saturating_mul(ready.part);
    let wanted_free = ceil_div(wanted_free, ready.whole);
    Ok(wanted_free.saturating_mul(threshold.whole) <= slots.saturating_mul(threshold.part))
}

/// A ratio as an exact fraction: `part / whole`, `0 <= part < whole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    part: i128,
    whole: i128,
}

impl Share {
    /// Number of significant decimals; the shortest text of a ratio has fewer unless the ratio is tiny.
    const DECIMALS: usize = 18;

    /// Takes the decimal from which the float was parsed: the shortest one that yields the same float.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{FixedBuffer, PolicyParameters};
    use proptest::prelude::*;

    fn room_occupancy(ready_target: f64, down_threshold: f64) -> Autoscaling {
        Autoscaling {
            enabled: true,
            min: 1,
            max: -1,
            policy: Policy {
                kind: PolicyKind::RoomOccupancy,
                parameters: PolicyParameters {
                    room_occupancy: Some(RoomOccupancy {
                        ready_target,
                        down_threshold,
                    }),
                    fixed_buffer: None,
                },
            },
            ..Default::default()
        }
    }

    fn fixed_buffer(amount: i32) -> Autoscaling {
        Autoscaling {
            policy: Policy {
                kind: PolicyKind::FixedBuffer,
                parameters: PolicyParameters {
                    room_occupancy: None,
                    fixed_buffer: Some(FixedBuffer { amount }),
                },
            },
            ..room_occupancy(0.5, 0.5)
        }
    }

    /// Rooms of one match each: `occupied` of `total` are occupied, the others are ready.
    fn rooms(total: i64, occupied: i64) -> Occupancy {
        Occupancy {
            ready: total - occupied,
            occupied,
            total,
            running_matches: occupied,
            max_matches: 1,
            ..Default::default()
        }
    }

    #[test]
    fn the_table_of_the_documentation_holds() {
        let table = [
            (100, 80, 0.5, 160),
            (100, 50, 0.5, 100),
            (100, 30, 0.5, 60),
            (50, 40, 0.3, 58),
            (50, 35, 0.3, 50),
            (50, 10, 0.3, 15),
            (10, 5, 0.9, 50),
            (10, 1, 0.9, 10),
            (10, 1, 0.8, 5),
            (5, 5, 0.1, 6),
            (1, 1, 0.3, 2),
            (2, 2, 0.9, 20),
        ];
        for (total, occupied, target, wanted) in table {
            let autoscaling = room_occupancy(target, 0.99);
            let found = desired(&autoscaling, &rooms(total, occupied));
            assert_eq!(found, Ok(wanted), "{occupied} of {total}, target {target}");
        }
    }

    #[test]
    fn floats_do_not_round_a_room_into_being() {
        // With 32-bit floats the results were 51, 6, 50 (contract 5.7).
        for (target, occupied, wanted) in [(0.3, 35, 50), (0.2, 4, 5), (0.9, 5, 50)] {
            let found = desired(&room_occupancy(target, 0.99), &rooms(100, occupied));
            assert_eq!(found, Ok(wanted));
        }
    }

    #[test]
    fn min_and_max_limit_what_the_policy_wants() {
        let limited = |min, max| Autoscaling {
            min,
            max,
            ..room_occupancy(0.5, 0.99)
        };
        assert_eq!(desired(&limited(1, 100), &rooms(100, 80)), Ok(100));
        assert_eq!(desired(&limited(10, 100), &rooms(10, 0)), Ok(10));
        assert_eq!(desired(&limited(1, -1), &rooms(100, 80)), Ok(160));
        assert_eq!(desired(&limited(1, 0), &rooms(100, 80)), Ok(0));
    }

    #[test]
    fn an_allocated_room_counts_as_a_match() {
        let occupancy = Occupancy {
            allocated: 2,
            running_matches: 3,
            max_matches: 1,
            ..Default::default()
        };
        assert_eq!(desired(&room_occupancy(0.5, 0.9), &occupancy), Ok(10));
    }

    #[test]
    fn matches_share_rooms() {
        let occupancy = Occupancy {
            running_matches: 7,
            max_matches: 3,
            ..Default::default()
        };
        // 14 slots in rooms of three.
        assert_eq!(desired(&room_occupancy(0.5, 0.9), &occupancy), Ok(5));
    }

    #[test]
    fn a_fixed_buffer_is_kept_beside_rooms_in_use() {
        let occupancy = Occupancy {
            ready: 10,
            active: 4,
            occupied: 3,
            allocated: 2,
            terminating: 5,
            error: 6,
            total: 30,
            running_matches: 100,
            max_matches: 3,
        };
        let wanted = |amount| desired(&fixed_buffer(amount), &occupancy);
        assert_eq!(wanted(5), Ok(10));
        // The rows of `docs/autoscaling.md`.
        for (occupied, allocated, wanted) in [(0, 0, 10), (25, 0, 35), (25, 5, 40)] {
            let used = Occupancy {
                occupied,
                allocated,
                ..occupancy
            };
            assert_eq!(desired(&fixed_buffer(10), &used), Ok(wanted));
        }
        let may = |amount| may_downscale(&fixed_buffer(amount), &occupancy);
        // 30 - 5 - 6 = 19 rooms alive.
        assert_eq!(may(13), Ok(true));
        assert_eq!(may(14), Ok(false));
    }

    #[test]
    fn a_scale_down_needs_free_slots_beyond_the_threshold() {
        // 10 matches need 20 rooms, 10 of them free.
        let may =
            |total, threshold| may_downscale(&room_occupancy(0.5, threshold), &rooms(total, 10));
        assert_eq!(may(20, 0.99), Ok(false));
        assert_eq!(may(21, 0.99), Ok(true)); // 10 / 11
        assert_eq!(may(21, 0.9), Ok(false));
        assert_eq!(may(30, 0.5), Ok(true)); // exactly the threshold
        assert_eq!(may(29, 0.5), Ok(false));
    }

    #[test]
    fn without_free_slots_nothing_is_given_away() {
        let may = |running, target| {
            let occupancy = Occupancy {
                occupied: 4,
                total: 4,
                running_matches: running,
                max_matches: 1,
                ..Default::default()
            };
            may_downscale(&room_occupancy(target, 0.9), &occupancy)
        };
        assert_eq!(may(4, 0.5), Ok(false));
        assert_eq!(may(4, 0.0), Ok(false));
        // More matches than slots: the contract's quotient is negative.
        assert_eq!(may(5, 0.5), Ok(true));
        assert_eq!(
            may_downscale(&room_occupancy(0.5, 0.9), &Occupancy::default()),
            Ok(false)
        );
    }

    #[test]
    fn an_old_document_without_a_threshold_has_the_default() {
        let may = |threshold| may_downscale(&room_occupancy(0.5, threshold), &rooms(21, 10));
        assert_eq!(may(0.0), may(0.99));
    }

    #[test]
    fn an_incomplete_policy_is_an_error() {
        let mut unknown = fixed_buffer(1);
        unknown.policy.kind = "random".into();
        let error = PolicyError::UnknownType("random".into());
        assert_eq!(desired(&unknown, &rooms(1, 1)), Err(error.clone()));
        assert_eq!(may_downscale(&unknown, &rooms(1, 1)), Err(error));
        for kind in PolicyKind::KNOWN {
            let mut bare = fixed_buffer(1);
            bare.policy = Policy {
                kind: kind.clone(),
                ..Default::default()
            };
            let found = desired(&bare, &rooms(1, 1));
            assert_eq!(found, Err(PolicyError::MissingParameters(kind.clone())));
        }
        for target in [1.0, 1.5, -0.1, f64::NAN, f64::INFINITY] {
            assert!(desired(&room_occupancy(target, 0.9), &rooms(1, 1)).is_err());
        }
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let occupancy = Occupancy {
            ready: i64::from(i32::MAX),
            running_matches: i64::MAX / 4,
            max_matches: i64::from(i32::MAX),
            ..Default::default()
        };
        let just_below_one = 1.0 - f64::EPSILON;
        for target in [f64::MIN_POSITIVE, 0.5, just_below_one] {
            assert!(desired(&room_occupancy(target, just_below_one), &occupancy).is_ok());
            assert!(may_downscale(&room_occupancy(target, just_below_one), &occupancy).is_ok());
        }
    }

    proptest! {
        #[test]
        fn the_wanted_number_is_the_least_that_leaves_the_share_ready(
            permille in 1_i64..1000, running in 0_i64..100_000, max_matches in 1_i64..=35,
        ) {
            let occupancy = Occupancy { running_matches: running, max_matches, ..Default::default() };
            // The nearest float of a short decimal reads back as that decimal.
            let autoscaling = Autoscaling { min: 0, ..room_occupancy(permille as f64 / 1000.0, 0.99) };
            let rooms = desired(&autoscaling, &occupancy).unwrap();
            let fits = |slots: i64| slots * (1000 - permille) >= running * 1000;
            prop_assert!(fits(rooms * max_matches));
            prop_assert!(rooms == 0 || !fits((rooms - 1) * max_matches));
        }

        #[test]
        fn the_wanted_number_is_within_the_limits(
            min in 1_i32..50, size in 0_i32..50, running in 0_i64..1000,
        ) {
            let autoscaling = Autoscaling { min, max: min + size, ..room_occupancy(0.7, 0.9) };
            let rooms = desired(&autoscaling, &Occupancy { running_matches: running, ..Default::default() });
            prop_assert!((i64::from(min)..=i64::from(min + size)).contains(&rooms.unwrap()));
        }
    }
}
