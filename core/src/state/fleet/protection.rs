//! Keeps the disruption budget of a scheduler up to date (D11, D38): which rooms must not be evicted follows from their
//! status. One call is under way at a time; what changes meanwhile is ordered together when it has ended.

use crate::domain::*;
use crate::ports::Protection;
use crate::rules::back_off::doubled;
use crate::rules::protection::{Exposed, protected};
use crate::settings::ProtectionSettings;
use crate::state::fleet::Fleet;
use crate::state::fleet::room::Room;
use crate::state::fleet::work::Purpose;
use crate::state::turn::Turn;
use crate::state::work::{Work, WorkResult};
use std::collections::BTreeSet;
use std::time::Duration;

const RETRY_FIRST: Duration = Duration::from_millis(500);

impl Fleet {
    /// Called at the end of each decision; `changed` is whether a room may have changed its status.
    pub fn protect(&mut self, turn: &mut Turn, changed: bool) {
        let Some(settings) = self.settings.protection else {
            return;
        };
        let now = turn.now.mono;
        let protector = &mut self.protection;
        protector.changed |= changed;
        let all = protector.due.is_none_or(|at| at <= now);
        let news = protector.changed && protector.failures == 0;
        let ready = self.listing.complete && self.scheduler.is_some();
        if protector.under_way || !ready || !(all || news) {
            return;
        }
        let wanted = self.rooms_to_protect(settings);
        let protector = &mut self.protection;
        protector.changed = false;
        let off: Vec<RoomId> = protector.ordered.difference(&wanted).cloned().collect();
        let on: Vec<RoomId> = match all {
            true => wanted.iter().cloned().collect(),
            false => wanted.difference(&protector.ordered).cloned().collect(),
        };
        if !all && on.is_empty() && off.is_empty() {
            return;
        }
        let number = wanted.len();
        protector.ordered = wanted;
        protector.under_way = true;
        if all {
            protector.due = Some(now.plus(settings.interval));
        }
        let order = Protection {
            on,
            off,
            number,
            all,
        };
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

    fn rooms_to_protect(&self, settings: ProtectionSettings) -> BTreeSet<RoomId> {
        let counted = |room: &&Room| !room.record.intent.validation && room.is_busy();
        let busy = self.rooms.iter().filter(counted);
        let mut rooms: BTreeSet<RoomId> = busy.map(|room| room.record.id.clone()).collect();
        let fleet = Exposed {
            busy: rooms.len(),
            ready: self.rooms.next_to_be_given(usize::MAX).count(),
            rooms: usize::try_from(self.rooms.counts().total()).unwrap_or(usize::MAX),
        };
        let found = protected(fleet, settings.safety, settings.single);
        if !found.busy {
            return BTreeSet::new();
        }
        rooms.extend(self.rooms.next_to_be_given(found.share).cloned());
        rooms
    }
}
