//! How many rooms to add or to remove now, in calm times and in a rollout
//! (contract 5.7, step 5 and 6).
//!
//! What is better than the original's rule, whose traps 11.3 lists (items 35, 36):
//!
//! * A rollout has a budget of its own beyond the wanted number: `max` of the autoscaling
//!   limits the wanted number, not the surge. So `max = -1` (no limit) does not stop a
//!   rollout, and a fleet at its `max` is replaced like any other, through at most
//!   `max + surge` rooms.
//! * Replacing is no scale-down: it waits neither for the policy nor for the cooldown.
//!   Where these forbid a scale-down they hold the *level* around which rooms are
//!   replaced; the level is handed back by the caller ([`PlanInput::previous_level`]).
//! * Rooms of the old version go only as far as rooms are up, so that a rollout never
//!   has fewer rooms to play in than the level; old rooms that are not up go at once.
//! * No more surge rooms than there are old rooms left, so that the end of a rollout
//!   leaves no surplus behind.
//! * A plan that removes nothing says so: no empty operations, no moved cooldown.

use super::surge::surge;

/// What [`plan`] looks at. A room is *available* unless it is expired, ending or in
/// error (contract 5.7, step 3); a draining room is available until its match ends,
/// since the policies count its match too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanInput<'a> {
    /// `roomsReplicas`, or what the autoscaling wants.
    pub base: i64,
    pub available: i64,
    /// Available rooms of other versions that must be replaced (a major difference).
    pub rolling_old: i64,
    /// Available rooms of `rolling_old` that are not up (pending, unready).
    pub rolling_old_starting: i64,
    /// Other available rooms that are not up yet. Count only those within their time to
    /// come up: in a full cluster a rollout would wait for the rest forever.
    pub starting: i64,
    /// As in the scheduler: a number or a share of the level.
    pub max_surge: &'a str,
    /// No autoscaling, or policy and cooldown allow a scale-down now.
    pub may_downscale: bool,
    /// [`Plan::level`] of the plan before, of this scheduler; `None` after a load.
    pub previous_level: Option<i64>,
}

/// What is to be done. `available + add - remove` is `desired`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rooms there should be after this plan: the metric, and the operations' amount.
    pub desired: i64,
    pub add: i64,
    /// Rooms to remove; in a rollout, of `rolling_old` only.
    pub remove: i64,
    /// Rooms are being replaced: the reason of the removal is `rolling_update_replace`.
    pub rolling: bool,
    /// The fleet shrinks: the moment of the last downscale is now.
    pub downscale: bool,
    /// Rooms that are wanted apart from the surge.
    pub level: i64,
}

/// The step from what is there towards what is wanted.
pub fn plan(input: PlanInput<'_>) -> Plan {
    if input.rolling_old > 0 {
        roll(input)
    } else {
        scale(input)
    }
}

fn scale(input: PlanInput<'_>) -> Plan {
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

fn roll(input: PlanInput<'_>) -> Plan {
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

/// The wanted number; where a scale-down is not allowed, the level of before as far as
/// it was reached. Without a level of before a rollout may be under way: its surge is
/// then not taken for wanted rooms.
fn rolling_level(input: &PlanInput<'_>) -> i64 {
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
fn replaceable(input: &PlanInput<'_>, level: i64) -> i64 {
    let up = input.available - input.starting - input.rolling_old_starting;
    let spare = input.rolling_old_starting + (up - level).max(0);
    (input.available - level)
        .min(input.rolling_old)
        .min(spare)
        .max(0)
}
