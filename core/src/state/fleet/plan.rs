//! Collects the input of the scaling rules and applies them.

use crate::domain::*;
use crate::ports::RoomCounts;
use crate::rules::autoscaling::{self, Occupancy};
use crate::rules::desired::{Plan, PlanInput, plan};
use crate::state::fleet::Fleet;
use std::time::Duration;

impl Fleet {
    /// What the fleet should do next according to the rules.
    pub fn plan(&mut self, now: Now, scheduler: &Scheduler) -> Option<Plan> {
        let (kept, matches) = (*self.rooms.kept(), self.rooms.running_matches());
        let (base, may_downscale) = self.base(now, scheduler, &kept, matches)?;
        let (mut rolling_old, mut old_starting, mut starting) = (0, 0, 0);
        for (version, count) in self.rooms.by_version() {
            if self.outdated.contains(version) && !self.operator.rollout_paused {
                rolling_old += count.available;
                old_starting += count.starting;
            } else {
                starting += count.starting;
            }
        }
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        // An expired room is about to be removed and does not count any more.
        let expired = self
            .expired
            .iter()
            .filter_map(|id| self.rooms.get(id.as_str()));
        let expired = expired.filter(|room| room.is_available()).count();
        let available = signed(self.rooms.available()) - signed(expired as u64);
        Some(plan(PlanInput {
            base,
            available: available.max(0),
            rolling_old: signed(rolling_old),
            rolling_old_starting: signed(old_starting),
            starting: signed(starting),
            max_surge: scheduler.max_surge.size(),
            may_downscale,
            previous_level: self.scaling.level,
        }))
    }

    /// The wanted number of rooms, and whether the fleet may shrink to it; `None`: it is left unchanged. `kept` are
    /// the rooms that count.
    pub(super) fn base(
        &mut self,
        now: Now,
        scheduler: &Scheduler,
        kept: &RoomCounts,
        running_matches: i64,
    ) -> Option<(i64, bool)> {
        let Some(autoscaling) = scheduler.autoscaling.as_ref().filter(|a| a.enabled) else {
            return Some((i64::from(scheduler.rooms_replicas), true));
        };
        let occupancy = occupancy(scheduler, kept, running_matches);
        // An error is one of a document of another program.
        let desired = autoscaling::desired(autoscaling, &occupancy).ok()?;
        let allowed = autoscaling::may_downscale(autoscaling, &occupancy).ok()?;
        let cooled = self.cooldown_over(now, scheduler, autoscaling);
        Some((desired, allowed && cooled))
    }

    /// Schedules an evaluation at the end of the cooldown if it is not over.
    fn cooldown_over(
        &mut self,
        now: Now,
        scheduler: &Scheduler,
        autoscaling: &Autoscaling,
    ) -> bool {
        let Some(last) = scheduler.last_downscale_at else {
            return true;
        };
        let cooldown = Duration::from_secs(u64::from(autoscaling.cooldown.max(0).unsigned_abs()));
        let until = now.mono_of(last).plus(cooldown);
        if until <= now.mono {
            return true;
        }
        self.timers.consider = Some(until);
        false
    }

    /// Draining rooms are being removed already and are not chosen again. In a rollout an idle old room is still
    /// removed at once; in a scale-down it stays, because the fleet would otherwise be too small once they are gone.
    pub fn still_to_choose(&self, plan: &Plan) -> i64 {
        let (mut idle, mut draining) = (0, 0);
        for (version, count) in self.rooms.by_version() {
            draining += count.draining;
            if self.outdated.contains(version) {
                idle += count.available - count.busy;
            }
        }
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        match plan.rolling {
            true => plan.still_to_choose(signed(idle), signed(draining)),
            false => plan.remove - signed(draining),
        }
    }
}

fn occupancy(scheduler: &Scheduler, kept: &RoomCounts, running_matches: i64) -> Occupancy {
    let of = |status| i64::try_from(kept.of(status)).unwrap_or(i64::MAX);
    Occupancy {
        ready: of(RoomStatus::Ready),
        active: of(RoomStatus::Active),
        occupied: of(RoomStatus::Occupied),
        allocated: of(RoomStatus::Allocated),
        terminating: of(RoomStatus::Terminating),
        error: of(RoomStatus::Error),
        total: i64::try_from(kept.total()).unwrap_or(i64::MAX),
        running_matches,
        max_matches: scheduler.max_matches(),
    }
}
