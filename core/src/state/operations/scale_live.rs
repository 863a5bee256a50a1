//! Brings each version of a managed scheduler to its number of rooms, one operation at a time.

use crate::domain::*;
use crate::state::fleet::{Fleet, LiveNeed};
use crate::state::operations::queue::{Enqueue, Operations};
use crate::state::turn::Turn;

impl Operations {
    /// Enqueues the next step of one version. Returns a line that says which.
    pub fn scale_live(&mut self, fleet: &mut Fleet, turn: &mut Turn) -> Option<String> {
        let (mut desired, mut adds, mut chosen) = (0, false, None);
        for version in fleet.versions_in_turn() {
            let Some(need) = fleet.need_of(turn.now, &version) else {
                let counts = fleet.rooms.by_version().get(&version);
                desired += counts.map_or(0, |counts| i64::try_from(counts.available).unwrap_or(0));
                continue;
            };
            desired += need.plan.desired;
            adds |= need.plan.add > 0;
            if fleet.phase_of(&version) == VersionPhase::Published {
                fleet.scaling.level = Some(need.plan.level);
            }
            if chosen.is_none() && self.is_due(fleet, turn, &version, &need) {
                chosen = Some((version, need));
            }
        }
        fleet.scaling.desired = Some(desired);
        if !adds {
            fleet.replaced.clear();
        }
        let (version, need) = chosen?;
        fleet.scaling.last = Some(version.clone());
        Some(match need.plan.add > 0 {
            true => self.add_live(fleet, turn, version, &need),
            false => self.remove_live(fleet, turn, version, &need),
        })
    }

    /// Whether there is something to do for the version, and nothing to wait for.
    fn is_due(
        &self,
        fleet: &mut Fleet,
        turn: &Turn,
        version: &SchedulerVersion,
        need: &LiveNeed,
    ) -> bool {
        if need.plan.add <= 0 {
            return need.remove > 0;
        }
        let Some(until) = fleet.held_back_for(turn.now, version) else {
            return self.settings.rooms_limit > fleet.rooms.len();
        };
        let sooner = fleet.timers.consider.map_or(until, |at| at.min(until));
        fleet.timers.consider = Some(sooner);
        false
    }

    fn add_live(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        version: SchedulerVersion,
        need: &LiveNeed,
    ) -> String {
        let left = self.settings.rooms_limit.saturating_sub(fleet.rooms.len());
        let amount = i32::try_from(need.plan.add)
            .unwrap_or(i32::MAX)
            .min(self.settings.add_limit)
            .min(i32::try_from(left).unwrap_or(i32::MAX));
        let replaces = std::mem::take(&mut fleet.replaced).line();
        let text = format!("{amount} rooms of {version} to add");
        let definition = Definition::AddRooms {
            amount,
            version: Some(version),
        };
        let how = Enqueue {
            priority: true,
            notes: replaces.into_iter().collect(),
            ..Enqueue::default()
        };
        let id = self.enqueue(turn, definition, how);
        format!("enqueued operation {id}: {text}")
    }

    fn remove_live(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        version: SchedulerVersion,
        need: &LiveNeed,
    ) -> String {
        if need.plan.downscale && fleet.phase_of(&version) == VersionPhase::Published {
            let now = turn.now.wall;
            fleet.edit_scheduler(turn, |s| s.last_downscale_at = Some(now));
        }
        let amount = i32::try_from(need.remove)
            .unwrap_or(i32::MAX)
            .min(self.settings.remove_limit);
        let reason = need.reason;
        let text = format!("{amount} rooms of {version} to remove: {}", reason.as_str());
        let definition = Definition::RemoveRooms {
            amount,
            rooms_ids: None,
            reason: reason.into(),
            force: need.force,
            version: Some(version),
        };
        let how = Enqueue {
            priority: true,
            ..Enqueue::default()
        };
        let id = self.enqueue(turn, definition, how);
        format!("enqueued operation {id}: {text}")
    }
}
