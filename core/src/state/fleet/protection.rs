//! Keeps the disruption budget of a scheduler up to date (D11, D38): which rooms must not be evicted follows from their
//! status. One call is under way at a time; what changes meanwhile is ordered together when it has ended.

use crate::domain::*;
use crate::rules::back_off::doubled;
use crate::settings::ProtectionSettings;
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
        if protector.under_way || !ready || !(all || news) {
            return;
        }
        protector.under_way = true;
        if all {
            protector.due = Some(now.plus(settings.interval));
        }
        let order = protector.exposure.order(all);
        self.run(turn, Purpose::Protect, Work::Protect(order));
    }

    /// After a failure nothing is known, so everything is ordered again.
    pub fn on_protected(&mut self, turn: &mut Turn, result: &WorkResult) {
        let protector = &mut self.protection;
        protector.under_way = false;
        if matches!(result, WorkResult::Done) {
            protector.failures = 0;
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
            .filter(|_| !self.protection.under_way && self.scheduler.is_some())
    }
}
