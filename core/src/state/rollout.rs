//! The rollout under way: what it has done, what it waits for, and what an operator may
//! do about it (pause, resume, back to the version before).

use crate::domain::*;
use crate::ports::Change;
use crate::rules::surge::surge;
use crate::state::SchedulerState;
use crate::state::fleet::Fleet;
use crate::state::input::{Answer, Refusal, RefusalKind, Reply};
use crate::state::turn::Turn;
use crate::state::views::RolloutView;
use std::collections::BTreeMap;

impl SchedulerState {
    pub(super) fn rollout_view(&self, now: Now) -> Answer {
        let scheduler = self.fleet.active(crate::state::commands::missing)?;
        let mut view = RolloutView {
            in_progress: false,
            paused: self.fleet.operator.rollout_paused,
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
        for (version, count) in self.fleet.rooms.by_version() {
            view.versions.insert(version.to_string(), count.available);
            view.draining += count.draining;
            if self.fleet.outdated.contains(version) {
                view.old += count.available;
            } else {
                view.new += count.available;
                view.starting += count.starting;
            }
        }
        view.in_progress = view.old > 0;
        if view.in_progress {
            let level = self
                .fleet
                .scaling
                .level
                .unwrap_or_else(|| i64::from(scheduler.rooms_replicas));
            view.surge = surge(&scheduler.max_surge, level);
            view.waiting_for = Some(self.rollout_waits_for(now, &view));
        }
        if self.fleet.is_paused() {
            // Nothing moves, be it that rooms are left to be replaced or that a version waits.
            let rollout = view.waiting_for.filter(|_| view.paused);
            let held = self.fleet.pause_waits_for();
            view.waiting_for = Some(match rollout {
                Some(rollout) => format!("{held}; and {rollout}"),
                None => held,
            });
        }
        Ok(Reply::Rollout(Box::new(view)))
    }

    fn rollout_waits_for(&self, now: Now, view: &RolloutView) -> String {
        if view.paused {
            return "an operator to resume it: the rollout is paused".into();
        }
        if let Some(until) = self.fleet.backing_off(now) {
            let seconds = until.since(now.mono).as_secs() + 1;
            return format!(
                "the next try in {seconds} s: {}",
                self.fleet.crash_loop.cause
            );
        }
        if let Some(running) = self.operations.running(Lane::Room) {
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
}

impl Fleet {
    fn pause_waits_for(&self) -> String {
        match self.operator.held {
            Some(_) => "the scheduler to be resumed: an operator paused it".into(),
            None => "the workers to be resumed: they are paused (workers.paused)".into(),
        }
    }
}

impl SchedulerState {
    pub(super) fn set_rollout_paused(&mut self, turn: &mut Turn, paused: bool) -> Answer {
        self.fleet.active(crate::state::commands::missing)?;
        self.fleet.operator.rollout_paused = paused;
        turn.changes.push(Change::PutOperator(self.fleet.operator));
        turn.reconsider = true;
        self.rollout_view(turn.now)
    }

    /// Switches back to the version that was active before, whose rooms then replace the new ones.
    pub(super) fn abort_rollout(&mut self, turn: &mut Turn) -> Answer {
        let active = self.fleet.active(crate::state::commands::missing)?;
        self.no_version_edit("abort the rollout")?;
        self.not_terminating()?;
        let old = self
            .fleet
            .rooms
            .by_version()
            .keys()
            .any(|version| self.fleet.outdated.contains(version));
        let previous = SchedulerVersion(active.rollback_version.clone());
        if !old {
            let text = format!("no rollout of scheduler {} is under way", self.fleet.name);
            return Err(Refusal::new(RefusalKind::Conflict, text));
        }
        if !self.fleet.versions.contains_key(&previous) {
            let text = format!(
                "version {} has no version before it that is still stored",
                active.version()
            );
            return Err(Refusal::new(RefusalKind::Conflict, text));
        }
        self.order(
            turn,
            Definition::SwitchActiveVersion {
                new_active_version: previous,
            },
        )
    }
}
