//! `switch_active_version`: another stored document becomes the active one (contract 5.5).

use crate::domain::*;
use crate::state::SchedulerState;
use crate::state::turn::Turn;
use std::sync::Arc;

const LANE: Lane = Lane::Version;

impl SchedulerState {
    pub(super) fn begin_switch(&mut self, turn: &mut Turn, version: &SchedulerVersion) {
        if self.fleet.scheduler.as_ref().map(|s| s.version()) == Some(version) {
            return self.stay_at(turn, version);
        }
        let Some(document) = self.fleet.versions.get(version) else {
            return self.fail(
                turn,
                LANE,
                format!("scheduler {} version {version} not found", self.fleet.name),
            );
        };
        let mut next = (**document).clone();
        next.state = scheduler_state::IN_SYNC.into();
        self.fleet.scheduler = Some(Arc::new(next));
        turn.changes.put_scheduler();
        self.fleet.begin_rollout(turn);
        self.fleet.active_changed(turn);
        self.finish(turn, LANE, &format!("{version} is the active version"));
    }

    /// It is active already: nothing of what was decided since it became so is undone (D32).
    fn stay_at(&mut self, turn: &mut Turn, version: &SchedulerVersion) {
        let creating = |s: &Arc<Scheduler>| s.state == scheduler_state::CREATING;
        if self.fleet.scheduler.as_ref().is_some_and(creating) {
            self.fleet
                .set_scheduler_state(turn, scheduler_state::IN_SYNC);
        }
        self.finish(
            turn,
            LANE,
            &format!("{version} is the active version already; nothing was changed"),
        );
    }
}
