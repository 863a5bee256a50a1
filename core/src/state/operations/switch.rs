//! `switch_active_version`: makes another stored document the active one (contract 5.5).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::queue::Operations;
use crate::state::turn::Turn;
use std::sync::Arc;

const LANE: Lane = Lane::Version;

impl Operations {
    pub fn begin_switch(&mut self, fleet: &mut Fleet, turn: &mut Turn, version: &SchedulerVersion) {
        if fleet.is_managed() {
            if let Some(text) = self.publish(fleet, turn, version) {
                self.finish(fleet, turn, LANE, &text);
            }
            return;
        }
        if fleet.scheduler.as_ref().map(|s| s.version()) == Some(version) {
            return self.stay_at(fleet, turn, version);
        }
        let Some(document) = fleet.versions.get(version) else {
            return self.fail(
                fleet,
                turn,
                LANE,
                format!("scheduler {} version {version} not found", self.name),
            );
        };
        let mut next = (**document).clone();
        next.state = SchedulerPhase::InSync;
        fleet.scheduler = Some(Arc::new(next));
        turn.changes.put_scheduler();
        fleet.begin_rollout(turn);
        fleet.active_changed(turn);
        self.finish(
            fleet,
            turn,
            LANE,
            &format!("{version} is the active version"),
        );
    }

    /// The version is active already: decisions made since then are kept (D32).
    fn stay_at(&mut self, fleet: &mut Fleet, turn: &mut Turn, version: &SchedulerVersion) {
        if fleet.is_in(SchedulerPhase::Creating) {
            fleet.set_phase(turn, SchedulerPhase::InSync);
        }
        self.finish(
            fleet,
            turn,
            LANE,
            &format!("{version} is the active version already; nothing was changed"),
        );
    }
}
