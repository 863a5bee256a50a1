//! A runtime that is away, or slow to answer: its owner asks less often, and no version is blamed for it.

use crate::domain::*;
use crate::rules::back_off::doubled;
use crate::state::fleet::Fleet;
use crate::state::turn::Turn;
use std::time::Duration;

const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Rooms whose host ports were taken are replaced at once, this many in a row. More of them mean that the range is
/// full.
const CLASHES_MAX: u32 = 16;

impl Fleet {
    /// The runtime was not there for a creation.
    pub fn runtime_is_away(&mut self, turn: &mut Turn) {
        let now = turn.now.mono;
        // Calls that were sent together fail together.
        if self.away.until.is_none_or(|until| until <= now) {
            let failures = self.away.failures;
            self.away.failures = failures.saturating_add(1);
            self.create_none_for(turn, doubled(WAIT_FIRST, failures, WAIT_MAX));
        }
    }

    /// A creation was answered.
    pub fn runtime_is_back(&mut self, turn: &mut Turn) {
        if std::mem::take(&mut self.away.failures) > 0 {
            self.away.until = None;
            turn.reconsider = true;
        }
    }

    pub fn ports_clashed(&mut self, turn: &mut Turn) {
        let clashes = self.away.clashes;
        self.away.clashes = clashes.saturating_add(1);
        if let Some(doublings) = clashes.checked_sub(CLASHES_MAX) {
            self.create_none_for(turn, doubled(WAIT_FIRST, doublings, WAIT_MAX));
        }
    }

    /// A room was placed with the ports that were drawn for it.
    pub fn ports_fit(&mut self) {
        self.away.clashes = 0;
    }

    /// The owners of many schedulers wait for the same runtime, so they do not return at the same moment.
    fn create_none_for(&mut self, turn: &mut Turn, wait: Duration) {
        let wait = wait.mul_f64(0.5 + turn.fraction() / 2.0);
        self.away.until = Some(turn.now.mono.plus(wait));
    }

    /// The time before which no room is created, if it is in the future: the version fails, or its runtime does.
    pub fn held_back(&self, now: Now) -> Option<Mono> {
        let away = self.away.until.filter(|until| *until > now.mono);
        self.backing_off(now).max(away)
    }

    /// The same for one version of a managed scheduler.
    pub fn held_back_for(&self, now: Now, version: &SchedulerVersion) -> Option<Mono> {
        let is_active = self
            .scheduler
            .as_ref()
            .is_some_and(|s| s.version() == version);
        if is_active {
            return self.held_back(now);
        }
        let own = self.loops.get(version).and_then(|known| known.until);
        own.max(self.away.until).filter(|until| *until > now.mono)
    }
}
