//! The one look at the fleet: tick, event, restart and take-over all end here
//! (architecture 3). It compares what is with what is wanted and enqueues the difference.

use super::operations::{Enqueue, TERMINATIONS_AT_ONCE};
use super::*;
use crate::rules::autoscaling::{self, Occupancy};
use crate::rules::desired::{Plan, PlanInput, plan};

impl SchedulerState {
    /// Takes no input. Returns a line for each operation that it enqueued.
    pub(super) fn consider(&mut self, turn: &mut Turn) -> Vec<String> {
        self.fleet_timers.consider = None;
        if !self.may_consider() {
            return Vec::new();
        }
        if self.is_deleting() || self.is_terminating() {
            self.end_again(turn);
            return Vec::new();
        }
        let mut enqueued = Vec::new();
        enqueued.extend(self.remove_expired(turn));
        enqueued.extend(self.remove_drained(turn));
        enqueued.extend(self.scale(turn));
        enqueued
    }

    fn may_consider(&self) -> bool {
        let settled = self.scheduler.is_some() && self.listed && !self.is_paused();
        let creating = self
            .operations
            .open()
            .any(|r| matches!(r.definition, Definition::CreateScheduler { .. }));
        settled && !creating
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.operations
            .open()
            .any(|r| matches!(r.definition, Definition::DeleteScheduler))
    }

    pub(super) fn is_terminating(&self) -> bool {
        let terminating = |s: &Arc<Scheduler>| s.state == scheduler_state::TERMINATING;
        self.scheduler.as_ref().is_some_and(terminating)
    }

    /// While the scheduler is deleted, rooms that did not end in their time are told again.
    /// After a deletion that failed it stays without rooms until it is deleted again.
    fn end_again(&mut self, turn: &mut Turn) {
        let mut due = std::mem::take(&mut self.expired);
        if !self.is_deleting() {
            let stay = self.rooms.iter().filter(|room| !room.is_leaving());
            let places = TERMINATIONS_AT_ONCE.saturating_sub(self.work.len());
            due.extend(stay.take(places).map(|room| room.record.id.clone()));
        }
        for id in due {
            self.mark_removal(turn, &id, RemovalReason::SchedulerDeleted, false);
            self.order_termination(turn, &id, None);
        }
    }

    fn remove_expired(&mut self, turn: &mut Turn) -> Option<String> {
        // One that pinged since then is not expired any more.
        let (ids, alive): (BTreeSet<RoomId>, BTreeSet<RoomId>) = std::mem::take(&mut self.expired)
            .into_iter()
            .partition(|id| self.is_expired(turn.now, id));
        alive
            .iter()
            .for_each(|id| self.schedule_health(turn.now, id));
        // They stay listed until a removal takes them: one that is canceled is ordered anew.
        self.expired = ids;
        if self.expired.is_empty() || self.waits_for_removal(RemovalReason::ExpiredRoom) {
            return None;
        }
        let ids = self.expired.iter().cloned().collect();
        Some(self.enqueue_removal_by_id(turn, ids, RemovalReason::ExpiredRoom))
    }

    /// Drained rooms whose matches are over.
    fn remove_drained(&mut self, turn: &mut Turn) -> Option<String> {
        let first = self.rooms.drained().first()?;
        let reason = self.rooms.get(first.as_str())?.record.removal?.reason;
        if self.waits_for_removal(reason) {
            return None;
        }
        let ids: Vec<RoomId> = self.rooms.drained().iter().cloned().collect();
        Some(self.enqueue_removal_by_id(turn, ids, reason))
    }

    fn enqueue_removal_by_id(
        &mut self,
        turn: &mut Turn,
        ids: Vec<RoomId>,
        reason: RemovalReason,
    ) -> String {
        let text = format!("{} rooms to remove: {}", ids.len(), reason.as_str());
        let definition = Definition::RemoveRooms {
            amount: 0,
            rooms_ids: Some(ids),
            reason: reason.as_str().into(),
            force: false,
        };
        let id = self.enqueue(
            turn,
            definition,
            Enqueue {
                priority: true,
                ..Enqueue::default()
            },
        );
        format!("enqueued operation {id}: {text}")
    }

    /// A removal by ids for this reason is under way: what it leaves is taken next time.
    fn waits_for_removal(&self, reason: RemovalReason) -> bool {
        self.operations.open().any(|r| {
            matches!(&r.definition, Definition::RemoveRooms { rooms_ids: Some(_), reason: word, .. }
                if word == reason.as_str())
        })
    }

    /// One scaling operation at a time: its end brings the next look.
    fn scales_already(&self) -> bool {
        self.operations.open().any(|r| {
            matches!(
                r.definition,
                Definition::AddRooms { .. }
                    | Definition::RemoveRooms {
                        rooms_ids: None,
                        ..
                    }
            )
        })
    }

    fn scale(&mut self, turn: &mut Turn) -> Option<String> {
        if self.scales_already() {
            return None;
        }
        if let Some(until) = self
            .hold_scaling_until
            .filter(|until| *until > turn.now.mono)
        {
            self.fleet_timers.consider = Some(until);
            return None;
        }
        let scheduler = self.scheduler.clone()?;
        let plan = self.plan(turn.now, &scheduler)?;
        self.level = Some(plan.level);
        self.desired = Some(plan.desired);
        if plan.add > 0 {
            return self.scale_up(turn, plan);
        }
        // Nothing is made in the place of those that ended.
        self.replaced.clear();
        let remove = self.still_to_choose(&plan);
        (remove > 0).then(|| self.scale_down(turn, plan, remove))
    }

    /// Rooms that drain already are on their way: they are not asked for again. In a
    /// rollout an idle old room still goes at once; in a scale-down it stays instead of
    /// them, else the fleet would be too small once they are gone.
    fn still_to_choose(&self, plan: &Plan) -> i64 {
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

    fn scale_up(&mut self, turn: &mut Turn, plan: Plan) -> Option<String> {
        if let Some(until) = self.backing_off(turn.now) {
            self.fleet_timers.consider = Some(until);
            return None;
        }
        let left = self.settings.rooms_limit.saturating_sub(self.rooms.len());
        let amount = i32::try_from(plan.add)
            .unwrap_or(i32::MAX)
            .min(self.settings.add_limit)
            .min(i32::try_from(left).unwrap_or(i32::MAX));
        if amount == 0 {
            // At the cap: another look when a room has gone.
            return None;
        }
        let failures = self.active_failures();
        let replaces = std::mem::take(&mut self.replaced).line();
        let again = (failures > 0).then(|| {
            format!(
                "try {} after rooms failed; the last: {}",
                failures + 1,
                self.crash_loop.cause
            )
        });
        let how = Enqueue {
            priority: true,
            by_user: false,
            notes: replaces.into_iter().chain(again).collect(),
        };
        let id = self.enqueue(turn, Definition::AddRooms { amount }, how);
        Some(format!("enqueued operation {id}: {amount} rooms to add"))
    }

    fn scale_down(&mut self, turn: &mut Turn, plan: Plan, amount: i64) -> String {
        let reason = match plan.rolling {
            true => RemovalReason::RollingUpdateReplace,
            false => RemovalReason::ScaleDown,
        };
        if plan.downscale {
            let now = turn.now.wall;
            self.edit_scheduler(turn, |s| s.last_downscale_at = GoTime(Some(now)));
        }
        let amount = i32::try_from(amount)
            .unwrap_or(i32::MAX)
            .min(self.settings.remove_limit);
        let definition = Definition::RemoveRooms {
            amount,
            rooms_ids: None,
            reason: reason.as_str().into(),
            force: false,
        };
        let id = self.enqueue(
            turn,
            definition,
            Enqueue {
                priority: true,
                ..Enqueue::default()
            },
        );
        format!(
            "enqueued operation {id}: {amount} rooms to remove: {}",
            reason.as_str()
        )
    }

    /// What the fleet should do next, by the rules alone.
    fn plan(&mut self, now: Now, scheduler: &Scheduler) -> Option<Plan> {
        let autoscaling = scheduler.autoscaling.as_ref().filter(|a| a.enabled);
        let (base, may_downscale) = match autoscaling {
            None => (i64::from(scheduler.rooms_replicas), true),
            Some(autoscaling) => {
                let occupancy = self.occupancy(scheduler);
                let desired = autoscaling::desired(autoscaling, &occupancy);
                let allowed = autoscaling::may_downscale(autoscaling, &occupancy);
                let (Ok(desired), Ok(allowed)) = (desired, allowed) else {
                    // A document of another program: the fleet is left as it is.
                    return None;
                };
                let cooled = self.cooldown_over(now, scheduler, autoscaling);
                (desired, allowed && cooled)
            }
        };
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
        // A room whose time is over is on its way out: it is not there any more.
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
            max_surge: &scheduler.max_surge,
            may_downscale,
            previous_level: self.level,
        }))
    }

    fn occupancy(&self, scheduler: &Scheduler) -> Occupancy {
        let kept = self.rooms.kept();
        let of = |status| i64::try_from(kept.of(status)).unwrap_or(i64::MAX);
        Occupancy {
            ready: of(RoomStatus::Ready),
            active: of(RoomStatus::Active),
            occupied: of(RoomStatus::Occupied),
            allocated: of(RoomStatus::Allocated),
            terminating: of(RoomStatus::Terminating),
            error: of(RoomStatus::Error),
            total: i64::try_from(kept.total()).unwrap_or(i64::MAX),
            running_matches: self.rooms.running_matches(),
            max_matches: scheduler.max_matches(),
        }
    }

    /// Arms a look at the end of the cooldown when it is not over.
    fn cooldown_over(
        &mut self,
        now: Now,
        scheduler: &Scheduler,
        autoscaling: &Autoscaling,
    ) -> bool {
        let Some(last) = scheduler.last_downscale_at.0 else {
            return true;
        };
        let cooldown = Duration::from_secs(u64::from(autoscaling.cooldown.max(0).unsigned_abs()));
        let until = now.mono_of(last).plus(cooldown);
        if until <= now.mono {
            return true;
        }
        self.fleet_timers.consider = Some(until);
        false
    }
}
