//! Keeps the disruption budget of a scheduler up to date (D11, D38): which rooms must not be evicted follows from their
//! status. One call is under way at a time; what changes meanwhile is ordered together when it has ended.

use super::exposure::Standing;
use crate::domain::*;
use crate::rules::back_off::doubled;
use crate::settings::ProtectionSettings;
use crate::state::command::Reply;
use crate::state::decision::Effect;
use crate::state::fleet::Fleet;
use crate::state::fleet::work::Purpose;
use crate::state::turn::Turn;
use crate::state::work::{Work, WorkResult};
use std::time::Duration;

const RETRY_FIRST: Duration = Duration::from_millis(500);

impl Fleet {
    /// Called at the end of each decision.
    pub fn protect(&mut self, turn: &mut Turn) {
        let Some(settings) = self.settings.protection else {
            return;
        };
        let moved = self.rooms.take_moved();
        let exposure = &mut self.protection.exposure;
        exposure.follow(&self.rooms, moved, settings);
        self.order_protection(turn, settings);
        self.hold_answers(turn);
    }

    /// Who is given a room is told so when the room is protected. Allocations are the only changes on our own
    /// initiative that make a room occupied.
    fn hold_answers(&self, turn: &mut Turn) {
        for effect in &mut turn.effects {
            if let Effect::Reply {
                answer: Ok(Reply::Allocated { room, .. }),
                protected_by,
                ..
            } = effect
            {
                let protector = &self.protection;
                // The next order contains all rooms in use.
                let next = self.work.next();
                *protected_by = match protector.exposure.standing(room) {
                    Standing::Free | Standing::Protected => None,
                    Standing::Ordered => Some(protector.under_way.unwrap_or(next)),
                    Standing::Waiting => Some(next),
                };
            }
        }
    }

    /// The room has another instance now, which is not protected.
    pub fn protection_lost(&mut self, room: &RoomId) {
        self.protection.exposure.is_another(room);
    }

    fn order_protection(&mut self, turn: &mut Turn, settings: ProtectionSettings) {
        let now = turn.now.mono;
        let protector = &mut self.protection;
        let all = protector.due.is_none_or(|at| at <= now);
        let news = protector.failures == 0 && protector.exposure.has_news();
        let ready = self.listing.complete && self.scheduler.is_some();
        if protector.under_way.is_some() || !ready || !(all || news) {
            return;
        }
        if all {
            protector.due = Some(now.plus(settings.interval));
        }
        let order = protector.exposure.order(all);
        let id = self.run(turn, Purpose::Protect, Work::Protect(order));
        self.protection.under_way = Some(id);
    }

    /// After a failure nothing is known, so everything is ordered again.
    pub fn on_protected(&mut self, turn: &mut Turn, result: &WorkResult) {
        let protector = &mut self.protection;
        protector.under_way = None;
        if matches!(result, WorkResult::Done) {
            protector.failures = 0;
            protector.exposure.succeeded();
            return;
        }
        let interval = self.settings.protection.map(|s| s.interval);
        let wait = doubled(
            RETRY_FIRST,
            protector.failures,
            interval.unwrap_or_default(),
        );
        protector.failures = protector.failures.saturating_add(1);
        let wait = wait.mul_f64(0.5 + turn.fraction() / 2.0);
        protector.due = Some(turn.now.mono.plus(wait));
    }

    pub fn protection_wake(&self) -> Option<Mono> {
        self.settings.protection?;
        self.protection
            .due
            .filter(|_| self.protection.under_way.is_none() && self.scheduler.is_some())
    }
}
