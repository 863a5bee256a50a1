//! How many rooms to add or remove now, in normal operation and during a rollout (contract 5.7, step 5 and 6).
//!
//! Differences from the original's rule, whose pitfalls 11.3 lists (items 35, 36):
//!
//! * A rollout has its own budget beyond the desired number: the autoscaling's `max` limits the desired number, not the
//!   surge. So `max = -1` (no limit) does not stop a rollout, and a fleet at its `max` is replaced like any other, with
//!   at most `max + surge` rooms at a time.
//! * Replacing rooms is not a scale-down: it waits neither for the policy nor for the cooldown. If these forbid a
//!   scale-down, they keep the *level* around which rooms are replaced; the caller passes the level back
//!   ([`PlanInput::previous_level`]).
//! * Rooms of the old version are removed only while enough rooms are up, so that a rollout never leaves fewer rooms
//!   for players than the level; old rooms that are not up are removed at once.
//! * There are never more surge rooms than old rooms left, so that the end of a rollout leaves no surplus.
//! * A plan that removes nothing says so, which avoids empty operations and a restarted cooldown.

use super::surge::surge;
use crate::domain::SurgeSize;

/// The input of [`plan`]. A room is *available* unless it is expired, ending or in error (contract 5.7, step 3); a
/// draining room is available until its match ends, because the policies count its match too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanInput {
    /// `roomsReplicas`, or what the autoscaling policy computes.
    pub base: i64,
    /// Available rooms of all versions.
    pub available: i64,
    /// Available rooms of other versions that must be replaced (a major difference).
    pub rolling_old: i64,
    /// Available rooms of `rolling_old` that are not up (pending, unready).
    pub rolling_old_starting: i64,
    /// Other available rooms that are not up yet. Only rooms within their time to come up may be counted: in a full
    /// cluster a rollout would otherwise wait for the rest forever.
    pub starting: i64,
    /// The scheduler's setting: a number, or a percentage of the level.
    pub max_surge: Option<SurgeSize>,
    /// Whether there is no autoscaling, or its policy and cooldown allow a scale-down now.
    pub may_downscale: bool,
    /// [`Plan::level`] of this scheduler's previous plan; `None` after a load.
    pub previous_level: Option<i64>,
}

/// What to do; `available + add - remove` equals `desired`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Number of rooms after this plan, for the metric and for the operations' amounts.
    pub desired: i64,
    /// Rooms to add, all of the active version.
    pub add: i64,
    /// Rooms to remove; in a rollout, of `rolling_old` only.
    pub remove: i64,
    /// Rooms are being replaced, so the removal's reason is `rolling_update_replace`.
    pub rolling: bool,
    /// The fleet shrinks, so the time of the last scale-down must be updated.
    pub downscale: bool,
    /// Desired number of rooms without the surge.
    pub level: i64,
}

impl Plan {
    /// How many rooms an operation for this plan's removal still has to choose. If all of them are draining already
    /// there are none, and the operation would do nothing.
    ///
    /// `idle` is the number of rooms without players that may be removed (in a rollout, old ones), `draining` that of
    /// draining rooms with players. A draining room does not spare an idle one: the idle one is removed at once,
    /// instead of waiting for a match to end.
    pub fn still_to_choose(&self, idle: i64, draining: i64) -> i64 {
        let idle = idle.clamp(0, self.remove);
        idle + (self.remove - idle - draining).max(0)
    }
}

/// The next step from the current number of rooms towards the desired one.
pub fn plan(input: PlanInput) -> Plan {
    if input.rolling_old > 0 {
        roll(input)
    } else {
        scale(input)
    }
}

fn scale(input: PlanInput) -> Plan {
    let base = input.base.max(0);
    let level = match input.may_downscale {
        true => base,
        false => base.max(input.available),
    };
    let remove = (input.available - level).max(0);
    Plan {
        desired: level,
        add: (level - input.available).max(0),
        remove,
        rolling: false,
        downscale: remove > 0,
        level,
    }
}

fn roll(input: PlanInput) -> Plan {
    let level = rolling_level(&input);
    let extra = surge(input.max_surge, level).min(input.rolling_old);
    let add = (level.saturating_add(extra) - input.available).max(0);
    let remove = if add > 0 {
        0
    } else {
        replaceable(&input, level)
    };
    Plan {
        desired: input.available + add - remove,
        add,
        remove,
        rolling: true,
        downscale: remove > 0 && input.previous_level.is_some_and(|before| level < before),
        level,
    }
}

/// The desired number or, where a scale-down is not allowed, the previous level as far as it was reached. Without a
/// previous level a rollout may be in progress; its surge rooms must then not be taken for desired ones.
fn rolling_level(input: &PlanInput) -> i64 {
    let base = input.base.max(0);
    if input.may_downscale {
        return base;
    }
    let before = input
        .previous_level
        .unwrap_or_else(|| input.available - surge(input.max_surge, base));
    base.max(before.min(input.available))
}

/// Old rooms beyond the level, as long as as many rooms as the level stay up.
fn replaceable(input: &PlanInput, level: i64) -> i64 {
    let up = input.available - input.starting - input.rolling_old_starting;
    let spare = input.rolling_old_starting + (up - level).max(0);
    (input.available - level)
        .min(input.rolling_old)
        .min(spare)
        .max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Surge;
    use proptest::prelude::*;

    fn size(text: &str) -> Option<SurgeSize> {
        Surge::from(text).size()
    }

    /// A fleet that needs no change.
    fn calm(rooms: i64) -> PlanInput {
        PlanInput {
            base: rooms,
            available: rooms,
            rolling_old: 0,
            rolling_old_starting: 0,
            starting: 0,
            max_surge: size("1"),
            may_downscale: true,
            previous_level: Some(rooms),
        }
    }

    fn steps(plan: Plan) -> (i64, i64, i64) {
        (plan.desired, plan.add, plan.remove)
    }

    #[test]
    fn without_a_rollout_the_wanted_number_is_met() {
        assert_eq!(steps(plan(calm(10))), (10, 0, 0));
        let short = PlanInput {
            available: 4,
            ..calm(10)
        };
        assert_eq!(steps(plan(short)), (10, 6, 0));
        let many = PlanInput {
            available: 13,
            ..calm(10)
        };
        assert_eq!(steps(plan(many)), (10, 0, 3));
        assert!(plan(many).downscale && !plan(many).rolling);
        let below_zero = PlanInput {
            base: -1,
            available: 1,
            ..calm(0)
        };
        assert_eq!(steps(plan(below_zero)), (0, 0, 1));
    }

    #[test]
    fn a_scale_down_that_is_not_allowed_changes_nothing() {
        let held = plan(PlanInput {
            available: 13,
            may_downscale: false,
            ..calm(10)
        });
        assert_eq!(steps(held), (13, 0, 0));
        assert!(!held.downscale);
        let grows = plan(PlanInput {
            available: 8,
            may_downscale: false,
            ..calm(10)
        });
        assert_eq!(steps(grows), (10, 2, 0));
    }

    #[test]
    fn the_rollout_of_the_contract_takes_its_five_steps() {
        // Contract 13.5: two rooms, maxSurge 10 %.
        let rollout = |available, rolling_old| {
            steps(plan(PlanInput {
                available,
                rolling_old,
                max_surge: size("10%"),
                ..calm(2)
            }))
        };
        assert_eq!(rollout(2, 2), (3, 1, 0));
        assert_eq!(rollout(3, 2), (2, 0, 1));
        assert_eq!(rollout(2, 1), (3, 1, 0));
        assert_eq!(rollout(3, 1), (2, 0, 1));
        assert_eq!(rollout(2, 0), (2, 0, 0));
    }

    #[test]
    fn a_fleet_at_its_maximum_is_replaced_too() {
        // A pitfall of the original: no rooms above `max`, hence no surge and no progress. `base` already respects the
        // maximum, which does not limit the surge.
        let full = PlanInput {
            base: 10,
            rolling_old: 10,
            max_surge: size("20%"),
            ..calm(10)
        };
        assert_eq!(steps(plan(full)), (12, 2, 0));
    }

    #[test]
    fn a_rollout_waits_for_no_permission_to_scale_down() {
        let rollout = PlanInput {
            available: 12,
            rolling_old: 10,
            max_surge: size("20%"),
            may_downscale: false,
            ..calm(10)
        };
        let rolled = plan(rollout);
        assert_eq!(steps(rolled), (10, 0, 2));
        assert!(rolled.rolling && !rolled.downscale);
    }

    #[test]
    fn a_forbidden_scale_down_holds_the_level_of_a_rollout() {
        // The policy computes 4 rooms, may not shrink the fleet, and had 10 before.
        let rollout = |available, rolling_old| {
            plan(PlanInput {
                base: 4,
                available,
                rolling_old,
                may_downscale: false,
                previous_level: Some(10),
                ..calm(0)
            })
        };
        assert_eq!(steps(rollout(10, 10)), (11, 1, 0));
        assert_eq!(steps(rollout(11, 10)), (10, 0, 1));
        assert_eq!(rollout(11, 10).level, 10);
        // A level that was never reached is not kept.
        assert_eq!(rollout(7, 7).level, 7);
    }

    #[test]
    fn a_level_that_nobody_remembers_leaves_out_the_surge() {
        let level = |available, base| {
            plan(PlanInput {
                base,
                available,
                rolling_old: 1,
                max_surge: size("2"),
                may_downscale: false,
                previous_level: None,
                ..calm(0)
            })
            .level
        };
        assert_eq!(level(12, 10), 10);
        assert_eq!(level(12, 4), 10);
    }

    #[test]
    fn a_rollout_may_shrink_the_fleet_when_that_is_allowed() {
        let shrinks = plan(PlanInput {
            base: 4,
            rolling_old: 10,
            ..calm(10)
        });
        assert_eq!(steps(shrinks), (4, 0, 6));
        assert!(shrinks.downscale && shrinks.rolling);
    }

    #[test]
    fn the_last_old_rooms_get_no_more_surge_than_they_are() {
        let last = PlanInput {
            rolling_old: 1,
            max_surge: size("5"),
            ..calm(10)
        };
        assert_eq!(steps(plan(last)), (11, 1, 0));
    }

    #[test]
    fn old_rooms_stay_until_new_ones_are_up() {
        let rollout = |starting, old_starting| {
            plan(PlanInput {
                available: 12,
                rolling_old: 10,
                rolling_old_starting: old_starting,
                starting,
                max_surge: size("2"),
                ..calm(10)
            })
            .remove
        };
        assert_eq!(rollout(2, 0), 0);
        assert_eq!(rollout(1, 0), 1);
        assert_eq!(rollout(0, 0), 2);
        // Old rooms that are not up can be removed without loss.
        assert_eq!(rollout(2, 1), 1);
        assert_eq!(rollout(2, 10), 2);
    }

    #[test]
    fn what_drains_already_is_not_chosen_again() {
        let removal = plan(PlanInput {
            available: 13,
            ..calm(10)
        });
        assert_eq!(removal.still_to_choose(5, 0), 3);
        assert_eq!(removal.still_to_choose(0, 0), 3);
        assert_eq!(removal.still_to_choose(0, 2), 1);
        assert_eq!(removal.still_to_choose(0, 4), 0);
        assert_eq!(removal.still_to_choose(1, 3), 1);
        assert_eq!(plan(calm(10)).still_to_choose(5, 0), 0);
    }

    fn any_input() -> impl Strategy<Value = PlanInput> {
        let rooms = (0_i64..200, 0_i64..200, 0_i64..200, 0_i64..200, 0_i64..200);
        let surges = prop::sample::select(vec!["1", "7", "10%", "100%", "0%", "x"]);
        let level = prop::option::of(0_i64..200);
        (rooms, surges, any::<bool>(), level).prop_map(
            |((base, available, old, old_starting, starting), max_surge, may, level)| {
                let rolling_old = old.min(available);
                PlanInput {
                    base,
                    available,
                    rolling_old,
                    rolling_old_starting: old_starting.min(rolling_old),
                    starting: starting.min(available - rolling_old),
                    max_surge: size(max_surge),
                    may_downscale: may,
                    previous_level: level,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_plan_is_bounded(input in any_input()) {
            let plan = plan(input);
            prop_assert_eq!(plan.desired, input.available + plan.add - plan.remove);
            prop_assert!(plan.add >= 0 && plan.remove >= 0 && (plan.add == 0 || plan.remove == 0));
            prop_assert!(plan.level >= input.base);
            if plan.add > 0 {
                let extra = if plan.rolling { surge(input.max_surge, plan.level) } else { 0 };
                prop_assert!(plan.desired <= plan.level + extra);
            }
            if plan.remove > 0 {
                prop_assert!(plan.desired >= plan.level);
            }
            if plan.rolling {
                prop_assert!(plan.remove <= input.rolling_old);
                let up = input.available - input.starting - input.rolling_old_starting;
                let lost = (plan.remove - input.rolling_old_starting).max(0);
                prop_assert!(lost == 0 || up - lost >= plan.level);
            }
            if !input.may_downscale {
                prop_assert!(!plan.downscale || plan.rolling);
            }
        }

        #[test]
        fn a_rollout_ends_with_as_many_new_rooms(
            rooms in 1_i64..120, max_surge in prop::sample::select(vec!["1", "10%", "40%", "300"]),
            may_downscale: bool,
        ) {
            let (mut old, mut new) = (rooms, 0);
            let mut level = Some(rooms);
            for _ in 0..2 * rooms {
                let input = PlanInput {
                    available: old + new,
                    rolling_old: old,
                    max_surge: size(max_surge),
                    may_downscale,
                    previous_level: level,
                    ..calm(rooms)
                };
                let plan = plan(input);
                level = Some(plan.level);
                prop_assert!(plan.add + plan.remove > 0 || old == 0);
                new += plan.add;
                old -= plan.remove;
                prop_assert!((rooms..=rooms + surge(size(max_surge), rooms)).contains(&(old + new)));
            }
            prop_assert_eq!((old, new), (0, rooms));
        }
    }
}
