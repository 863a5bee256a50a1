//! The rollout under way: what it has done, what it waits for, and what an operator may
//! do about it (pause, resume, back to the version before).

use super::*;
use crate::rules::surge::surge;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutView {
    /// Rooms of versions that have to be replaced are left.
    pub in_progress: bool,
    pub paused: bool,
    pub active_version: SchedulerVersion,
    /// Where an abort goes back to; empty: nowhere.
    pub previous_version: String,
    /// Available rooms that have to be replaced.
    pub old: u64,
    /// Available rooms that need not be.
    pub new: u64,
    /// Of the new ones, not up yet.
    pub starting: u64,
    /// Rooms that go when their match ends.
    pub draining: u64,
    /// Rooms that may be there beyond the wanted number.
    pub surge: i64,
    /// Available rooms by version.
    pub versions: BTreeMap<String, u64>,
    /// What has to happen before it goes on; `None`: nothing, or it is over.
    pub waiting_for: Option<String>,
}

impl SchedulerState {
    pub(super) fn rollout_view(&self, now: Now) -> Answer {
        let scheduler = self.active(super::commands::missing)?;
        let mut view = RolloutView {
            in_progress: false,
            paused: self.operator.rollout_paused,
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
        for (version, count) in self.rooms.by_version() {
            view.versions.insert(version.to_string(), count.available);
            view.draining += count.draining;
            if self.outdated.contains(version) {
                view.old += count.available;
            } else {
                view.new += count.available;
                view.starting += count.starting;
            }
        }
        view.in_progress = view.old > 0;
        if view.in_progress {
            let level = self
                .level
                .unwrap_or_else(|| i64::from(scheduler.rooms_replicas));
            view.surge = surge(&scheduler.max_surge, level);
            view.waiting_for = Some(self.rollout_waits_for(now, &view));
        }
        if self.is_paused() {
            // Nothing moves, be it that rooms are left to be replaced or that a version waits.
            let rollout = view.waiting_for.filter(|_| view.paused);
            let held = self.pause_waits_for();
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
        if let Some(until) = self.backing_off(now) {
            let seconds = until.since(now.mono).as_secs() + 1;
            return format!("the next try in {seconds} s: {}", self.crash_loop.cause);
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

    fn pause_waits_for(&self) -> String {
        match self.operator.held {
            Some(_) => "the scheduler to be resumed: an operator paused it".into(),
            None => "the workers to be resumed: they are paused (workers.paused)".into(),
        }
    }

    /// A switch begins a rollout of its own: whatever held the one before is over.
    pub(super) fn begin_rollout(&mut self, turn: &mut Turn) {
        if self.operator.rollout_paused {
            self.operator.rollout_paused = false;
            turn.changes.push(Change::PutOperator(self.operator));
        }
    }

    pub(super) fn set_rollout_paused(&mut self, turn: &mut Turn, paused: bool) -> Answer {
        self.active(super::commands::missing)?;
        self.operator.rollout_paused = paused;
        turn.changes.push(Change::PutOperator(self.operator));
        turn.reconsider = true;
        self.rollout_view(turn.now)
    }

    /// Switches back to the version that was active before, whose rooms then replace the new ones.
    pub(super) fn abort_rollout(&mut self, turn: &mut Turn) -> Answer {
        let active = self.active(super::commands::missing)?;
        self.no_version_edit("abort the rollout")?;
        self.not_terminating()?;
        let old = self
            .rooms
            .by_version()
            .keys()
            .any(|version| self.outdated.contains(version));
        let previous = SchedulerVersion(active.rollback_version.clone());
        if !old {
            let text = format!("no rollout of scheduler {} is under way", self.name);
            return Err(Refusal::new(RefusalKind::Conflict, text));
        }
        if !self.versions.contains_key(&previous) {
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

    /// Keeps the number of stored versions within its bound, before another is added.
    pub(super) fn forget_old_versions(&mut self, turn: &mut Turn) {
        let Some(active) = self.scheduler.clone() else {
            return;
        };
        while self.versions.len() >= self.settings.versions_limit.max(2) {
            let in_use = |version: &SchedulerVersion| {
                version == active.version()
                    || version.as_str() == active.rollback_version
                    || self.rooms.by_version().contains_key(version)
            };
            let oldest = self
                .versions
                .values()
                .filter(|v| !in_use(v.version()))
                .min_by_key(|v| v.created_at);
            let Some(oldest) = oldest.map(|v| v.version().clone()) else {
                return;
            };
            self.versions.remove(&oldest);
            self.outdated.remove(&oldest);
            turn.changes.push(Change::DeleteVersion(oldest));
        }
    }
}
