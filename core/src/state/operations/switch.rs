//! `switch_active_version`: another stored document becomes the active one (contract 5.5).

use super::*;
use crate::rules::version::is_major;

const LANE: Lane = Lane::Version;

impl SchedulerState {
    pub(super) fn begin_switch(&mut self, turn: &mut Turn, version: &SchedulerVersion) {
        if self.scheduler.as_ref().map(|s| s.version()) == Some(version) {
            return self.stay_at(turn, version);
        }
        let Some(document) = self.versions.get(version) else {
            return self.fail(
                turn,
                LANE,
                format!("scheduler {} version {version} not found", self.name),
            );
        };
        let mut next = (**document).clone();
        next.state = scheduler_state::IN_SYNC.into();
        self.scheduler = Some(Arc::new(next));
        turn.changes.put_scheduler();
        self.begin_rollout(turn);
        self.active_changed(turn);
        self.finish(turn, LANE, &format!("{version} is the active version"));
    }

    /// It is active already: nothing of what was decided since it became so is undone (D32).
    fn stay_at(&mut self, turn: &mut Turn, version: &SchedulerVersion) {
        let creating = |s: &Arc<Scheduler>| s.state == scheduler_state::CREATING;
        if self.scheduler.as_ref().is_some_and(creating) {
            self.set_scheduler_state(turn, scheduler_state::IN_SYNC);
        }
        self.finish(
            turn,
            LANE,
            &format!("{version} is the active version already; nothing was changed"),
        );
    }

    /// Works out again what depends on which document is the active one.
    pub(in crate::state) fn active_changed(&mut self, turn: &mut Turn) {
        let Some(active) = self.scheduler.clone() else {
            return;
        };
        self.rooms.set_active(active.version());
        self.audience_changed();
        self.rooms.clear_board();
        self.outdated = self
            .versions
            .iter()
            .filter(|(version, old)| *version != active.version() && is_major(old, &active))
            .map(|(version, _)| version.clone())
            .collect();
        turn.reconsider = true;
    }
}
