//! What each version of a managed scheduler needs next. Versions do not know each other: none loses a room for
//! another's sake.

use crate::domain::*;
use crate::rules::desired::{Plan, PlanInput, plan};
use crate::state::fleet::Fleet;
use crate::state::fleet::counts::VersionCount;
use std::collections::BTreeSet;

/// The next step of one version.
pub(in crate::state) struct LiveNeed {
    pub plan: Plan,
    /// Rooms that an operation still has to choose.
    pub remove: i64,
    pub reason: RemovalReason,
    /// It does not wait for matches.
    pub force: bool,
}

impl Fleet {
    /// Versions that have rooms or want some. The one after the last that was acted for comes first, so that each has
    /// its turn.
    pub fn versions_in_turn(&self) -> Vec<SchedulerVersion> {
        let wanted = self.live.values().filter(|live| live.phase.wants_rooms());
        let wanted = wanted.map(|live| &live.version);
        let all: BTreeSet<&SchedulerVersion> = wanted.chain(self.rooms.live_versions()).collect();
        let (before, after): (Vec<_>, Vec<_>) = all.into_iter().partition(|version| {
            self.scaling
                .last
                .as_ref()
                .is_some_and(|last| *version <= last)
        });
        after.into_iter().chain(before).cloned().collect()
    }

    /// What is to be done for a version; `None`: nothing, whatever it has.
    pub fn need_of(&mut self, now: Now, version: &SchedulerVersion) -> Option<LiveNeed> {
        let phase = self.phase_of(version);
        let live = self.live.get(version);
        if phase == VersionPhase::Error {
            return None;
        }
        let is_published = phase == VersionPhase::Published;
        let (force, at_once) = live.map_or((false, false), |live| (live.force, live.at_once));
        let rooms = live.map_or(0, |live| i64::from(live.rooms));
        let (base, may_downscale) = match phase {
            VersionPhase::Published => self.published_base(now, version)?,
            VersionPhase::Starting | VersionPhase::Started => (rooms, true),
            _ => (0, true),
        };
        let counts = self
            .rooms
            .by_version()
            .get(version)
            .copied()
            .unwrap_or_default();
        let stale = match phase.wants_rooms() && !self.operator.rollout_paused {
            true => self.stale_rooms(version),
            false => VersionCount::default(),
        };
        let available = signed(counts.available) - signed(self.expired_of(version));
        let document = self.document_of(version);
        let input = PlanInput {
            base,
            available: available.max(0),
            rolling_old: signed(stale.available),
            rolling_old_starting: signed(stale.starting),
            starting: signed(counts.starting.saturating_sub(stale.starting)),
            max_surge: document.and_then(|of| of.max_surge.size()),
            may_downscale,
            previous_level: self.scaling.level.filter(|_| is_published),
        };
        let left = signed(stale.available.saturating_sub(stale.draining));
        let plan = match at_once && left > 0 {
            true => all_at_once(&input, left),
            false => plan(input),
        };
        let draining = signed(counts.draining);
        let remove = match plan.rolling {
            true if at_once => left,
            true => plan.still_to_choose(signed(stale.available - stale.busy), draining),
            false => plan.remove - draining,
        };
        let reason = match (plan.rolling, phase.wants_rooms()) {
            (true, _) => RemovalReason::RollingUpdateReplace,
            (false, true) => RemovalReason::ScaleDown,
            (false, false) => RemovalReason::VersionStopped,
        };
        Some(LiveNeed {
            plan,
            remove,
            reason,
            force,
        })
    }

    /// Available rooms whose configuration was replaced since they were created.
    pub fn stale_rooms(&self, version: &SchedulerVersion) -> VersionCount {
        let from = self.live.get(version).map_or(0, |live| live.fresh_from);
        let rooms = self.rooms.live(version);
        rooms.map(|rooms| rooms.before(from)).unwrap_or_default()
    }

    /// Only the rooms of the published version count for its policy.
    fn published_base(&mut self, now: Now, version: &SchedulerVersion) -> Option<(i64, bool)> {
        let scheduler = self.scheduler.clone()?;
        let rooms = self.rooms.live(version);
        let (kept, matches) =
            rooms.map_or_else(Default::default, |of| (of.kept, of.running_matches));
        self.base(now, &scheduler, &kept, matches)
    }

    /// Expired rooms are about to be removed and do not count any more.
    fn expired_of(&self, version: &SchedulerVersion) -> u64 {
        let rooms = self
            .expired
            .iter()
            .filter_map(|id| self.rooms.get(id.as_str()));
        let of_version =
            rooms.filter(|room| room.is_available() && room.record.intent.version == *version);
        of_version.count() as u64
    }
}

/// Rooms with a former configuration go first; others are created when they are gone.
fn all_at_once(input: &PlanInput, left: i64) -> Plan {
    Plan {
        desired: input.base.max(0),
        add: 0,
        remove: left,
        rolling: true,
        downscale: false,
        level: input.base.max(0),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
