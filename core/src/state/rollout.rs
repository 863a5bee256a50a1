//! The current rollout: its progress, what it waits for, and an operator's control over it (pause, resume, abort).

use crate::domain::*;
use crate::ports::Change;
use crate::rules::surge::surge;
use crate::state::command::{CommandResult, Refusal, RefusalKind, Reply};
use crate::state::fleet::Fleet;
use crate::state::operations::Operations;
use crate::state::turn::Turn;
use crate::state::views::RolloutView;
use std::collections::BTreeMap;

pub(super) fn rollout_view(fleet: &Fleet, operations: &Operations, now: Now) -> CommandResult {
    let scheduler = fleet.active(crate::state::refusals::missing)?;
    let mut view = RolloutView {
        in_progress: false,
        paused: fleet.operator.rollout_paused,
        active_version: scheduler.version().clone(),
        previous_version: scheduler.rollback_version.clone(),
        old: 0,
        new: 0,
        starting: 0,
        draining: 0,
        surge: 0,
        versions: BTreeMap::new(),
        waiting_for: None,
    };
    for (version, count) in fleet.rooms.by_version() {
        view.versions.insert(version.to_string(), count.available);
        view.draining += count.draining;
        if fleet.outdated.contains(version) {
            view.old += count.available;
        } else {
            view.new += count.available;
            view.starting += count.starting;
        }
    }
    view.in_progress = view.old > 0;
    if view.in_progress {
        let level = fleet
            .scaling
            .level
            .unwrap_or_else(|| i64::from(scheduler.rooms_replicas));
        view.surge = surge(scheduler.max_surge.size(), level);
        view.waiting_for = Some(rollout_waits_for(fleet, operations, now, &view));
    }
    if fleet.is_paused() {
        // Nothing moves while it is paused, whether rooms have to be replaced or a version waits.
        let rollout = view.waiting_for.filter(|_| view.paused);
        let held = fleet.pause_waits_for();
        view.waiting_for = Some(match rollout {
            Some(rollout) => format!("{held}; and {rollout}"),
            None => held,
        });
    }
    Ok(Reply::Rollout(Box::new(view)))
}

pub(super) fn rollout_waits_for(
    fleet: &Fleet,
    operations: &Operations,
    now: Now,
    view: &RolloutView,
) -> String {
    if view.paused {
        return "an operator to resume it: the rollout is paused".into();
    }
    if let Some(until) = fleet.backing_off(now) {
        let seconds = until.since(now.mono).as_millis().div_ceil(1_000);
        return format!("the next try in {seconds} s: {}", fleet.crash_loop.cause);
    }
    if let Some(running) = operations.running(Lane::Room) {
        return format!(
            "operation {} ({})",
            running.record.id,
            running.record.definition.name()
        );
    }
    if view.starting > 0 {
        return format!("{} new rooms to become ready", view.starting);
    }
    if view.draining > 0 {
        return format!("the matches of {} rooms to end", view.draining);
    }
    "the next look at the fleet".into()
}

impl Fleet {
    fn pause_waits_for(&self) -> String {
        match self.operator.held {
            Some(_) => "the scheduler to be resumed: an operator paused it".into(),
            None => "the workers to be resumed: they are paused (workers.paused)".into(),
        }
    }
}

pub(super) fn set_rollout_paused(
    fleet: &mut Fleet,
    operations: &Operations,
    turn: &mut Turn,
    paused: bool,
) -> CommandResult {
    fleet.active(crate::state::refusals::missing)?;
    fleet.operator.rollout_paused = paused;
    turn.changes.push(Change::PutOperator(fleet.operator));
    turn.reconsider = true;
    rollout_view(fleet, operations, turn.now)
}

/// Switches back to the previously active version, whose rooms then replace the new ones.
pub(super) fn abort_rollout(
    fleet: &Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
) -> CommandResult {
    let active = fleet.active(crate::state::refusals::missing)?;
    operations.no_version_edit("abort the rollout")?;
    operations.not_terminating(fleet)?;
    let old = fleet
        .rooms
        .by_version()
        .keys()
        .any(|version| fleet.outdated.contains(version));
    let previous = SchedulerVersion::from(active.rollback_version.as_str());
    if !old {
        let text = format!("no rollout of scheduler {} is under way", fleet.name);
        return Err(Refusal::new(RefusalKind::Conflict, text));
    }
    if !fleet.versions.contains_key(&previous) {
        let text = format!(
            "version {} has no version before it that is still stored",
            active.version()
        );
        return Err(Refusal::new(RefusalKind::Conflict, text));
    }
    operations.order(
        turn,
        Definition::SwitchActiveVersion {
            new_active_version: previous,
        },
    )
}
