//! The evaluation of the fleet, in which tick, event, restart and take-over all end (architecture 3). It compares the
//! actual with the desired state and enqueues operations for the difference.

use crate::domain::*;
use crate::rules::desired::Plan;
use crate::state::fleet::Fleet;
use crate::state::operations::progress::TERMINATIONS_AT_ONCE;
use crate::state::operations::queue::Enqueue;
use crate::state::operations::queue::Operations;
use crate::state::turn::Turn;
use std::collections::BTreeSet;

impl Operations {
    /// Evaluates the fleet without any input. Returns a line for each operation that it enqueued.
    pub fn consider(&mut self, fleet: &mut Fleet, turn: &mut Turn) -> Vec<String> {
        fleet.timers.consider = None;
        if !self.may_consider(fleet) {
            return Vec::new();
        }
        if self.is_deleting() || fleet.is_terminating() {
            self.end_again(fleet, turn);
            return Vec::new();
        }
        let mut enqueued = Vec::new();
        enqueued.extend(self.remove_expired(fleet, turn));
        enqueued.extend(self.remove_drained(fleet, turn));
        enqueued.extend(self.scale(fleet, turn));
        enqueued
    }

    fn may_consider(&self, fleet: &Fleet) -> bool {
        let settled = fleet.scheduler.is_some() && fleet.listing.complete && !fleet.is_paused();
        settled && !self.any_open(|r| matches!(r.definition, Definition::CreateScheduler { .. }))
    }

    /// While the scheduler is being deleted, rooms that did not end in time are told again. After a failed deletion it
    /// stays without rooms until it is deleted again.
    fn end_again(&self, fleet: &mut Fleet, turn: &mut Turn) {
        let mut due = std::mem::take(&mut fleet.expired);
        if !self.is_deleting() {
            let stay = fleet.rooms.iter().filter(|room| !room.is_leaving());
            let places = TERMINATIONS_AT_ONCE.saturating_sub(fleet.work.len());
            due.extend(stay.take(places).map(|room| room.record.id.clone()));
        }
        for id in due {
            fleet.mark_removal(turn, &id, RemovalReason::SchedulerDeleted, false);
            fleet.order_termination(turn, &id, None);
        }
    }

    fn remove_expired(&mut self, fleet: &mut Fleet, turn: &mut Turn) -> Option<String> {
        // Rooms that pinged since then are not expired any more.
        let (ids, alive): (BTreeSet<RoomId>, BTreeSet<RoomId>) = std::mem::take(&mut fleet.expired)
            .into_iter()
            .partition(|id| fleet.is_expired(turn.now, id));
        alive
            .iter()
            .for_each(|id| fleet.schedule_health(turn.now, id));
        // They stay listed until a removal takes them: if that is canceled, it is ordered again.
        fleet.expired = ids;
        if fleet.expired.is_empty() || self.waits_for_removal(RemovalReason::ExpiredRoom) {
            return None;
        }
        let ids: Vec<RoomId> = fleet.expired.iter().cloned().collect();
        // From now on replacements are created, although these rooms still exist.
        for id in &ids {
            if let Some(hang) = fleet.hang_of(turn.now, id) {
                fleet.replaced.push(format!("{id} ({})", hang.why));
            }
        }
        Some(self.enqueue_removal_by_id(turn, ids, RemovalReason::ExpiredRoom))
    }

    /// Removes drained rooms whose matches have ended.
    fn remove_drained(&mut self, fleet: &Fleet, turn: &mut Turn) -> Option<String> {
        let first = fleet.rooms.drained().first()?;
        let reason = fleet
            .rooms
            .get(first.as_str())?
            .record
            .intent
            .removal?
            .reason;
        if self.waits_for_removal(reason) {
            return None;
        }
        let ids: Vec<RoomId> = fleet.rooms.drained().iter().cloned().collect();
        Some(self.enqueue_removal_by_id(turn, ids, reason))
    }

    pub fn enqueue_removal_by_id(
        &mut self,
        turn: &mut Turn,
        ids: Vec<RoomId>,
        reason: RemovalReason,
    ) -> String {
        let text = format!("{} rooms to remove: {}", ids.len(), reason.as_str());
        let definition = Definition::RemoveRooms {
            amount: 0,
            rooms_ids: Some(ids),
            reason: reason.into(),
            force: false,
            version: None,
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

    /// Whether a removal by ids for this reason is pending; what it leaves is handled next time.
    fn waits_for_removal(&self, reason: RemovalReason) -> bool {
        self.any_open(|r| {
            matches!(&r.definition, Definition::RemoveRooms { rooms_ids: Some(_), reason: word, .. }
                if *word == ReasonWord::Known(reason))
        })
    }

    /// Only one scaling operation at a time; its end causes the next evaluation.
    fn scales_already(&self) -> bool {
        self.any_open(|r| {
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

    fn scale(&mut self, fleet: &mut Fleet, turn: &mut Turn) -> Option<String> {
        if fleet.is_managed() {
            self.repeat_orders(fleet, turn);
        }
        if self.scales_already() {
            return None;
        }
        if let Some(until) = fleet
            .scaling
            .hold_until
            .filter(|until| *until > turn.now.mono)
        {
            fleet.timers.consider = Some(until);
            return None;
        }
        if fleet.is_managed() {
            return self.scale_live(fleet, turn);
        }
        let scheduler = fleet.scheduler.clone()?;
        let plan = fleet.plan(turn.now, &scheduler)?;
        fleet.scaling.level = Some(plan.level);
        fleet.scaling.desired = Some(plan.desired);
        if plan.add > 0 {
            return self.scale_up(fleet, turn, plan);
        }
        // No replacements are created for rooms that ended.
        fleet.replaced.clear();
        let remove = fleet.still_to_choose(&plan);
        (remove > 0).then(|| self.scale_down(fleet, turn, plan, remove))
    }

    fn scale_up(&mut self, fleet: &mut Fleet, turn: &mut Turn, plan: Plan) -> Option<String> {
        if let Some(until) = fleet.held_back(turn.now) {
            fleet.timers.consider = Some(until);
            return None;
        }
        let left = self.settings.rooms_limit.saturating_sub(fleet.rooms.len());
        let amount = i32::try_from(plan.add)
            .unwrap_or(i32::MAX)
            .min(self.settings.add_limit)
            .min(i32::try_from(left).unwrap_or(i32::MAX));
        if amount == 0 {
            // At the limit: it is evaluated again when a room is gone.
            return None;
        }
        let failures = fleet.active_failures();
        let replaces = std::mem::take(&mut fleet.replaced).line();
        let again = (failures > 0).then(|| {
            format!(
                "try {} after rooms failed; the last: {}",
                failures + 1,
                fleet.crash_loop.cause
            )
        });
        let how = Enqueue {
            priority: true,
            by_user: false,
            notes: replaces.into_iter().chain(again).collect(),
        };
        let id = self.enqueue(
            turn,
            Definition::AddRooms {
                amount,
                version: None,
            },
            how,
        );
        Some(format!("enqueued operation {id}: {amount} rooms to add"))
    }

    fn scale_down(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        plan: Plan,
        amount: i64,
    ) -> String {
        let reason = match plan.rolling {
            true => RemovalReason::RollingUpdateReplace,
            false => RemovalReason::ScaleDown,
        };
        if plan.downscale {
            let now = turn.now.wall;
            fleet.edit_scheduler(turn, |s| s.last_downscale_at = Some(now));
        }
        let amount = i32::try_from(amount)
            .unwrap_or(i32::MAX)
            .min(self.settings.remove_limit);
        let definition = Definition::RemoveRooms {
            amount,
            rooms_ids: None,
            reason: reason.into(),
            force: false,
            version: None,
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
}
