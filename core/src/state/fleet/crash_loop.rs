//! Versions whose rooms do not stay up: rooms that end before they were ever ready, or soon
//! after, are made again ever more seldom (D23, D30).
//!
//! A failure is the end of a room, or of a container that is started again in place, as
//! `ends` judges it. A success ends the back-off: a room that was up for
//! `services.roomManager.roomMinUptimeMillis`, one that ended well, or a fleet that is whole
//! and quiet again. Only while there is a back-off is anything looked at for it.

use crate::domain::*;
use crate::rules::back_off::doubled;
use crate::state::fleet::{CrashLoop, Fleet};
use crate::state::report::Report;
use crate::state::turn::Turn;
use std::sync::Arc;
use std::time::Duration;

const WAIT_FIRST: Duration = Duration::from_secs(1);

impl Fleet {
    /// A room of `version` ended too soon, or could not be made.
    pub fn version_failed(&mut self, turn: &mut Turn, version: &SchedulerVersion, cause: String) {
        // Rooms are made of the active version only: no other one has a next try.
        if self
            .scheduler
            .as_ref()
            .is_none_or(|s| s.version() != version)
        {
            return;
        }
        if self.crash_loop.version != *version {
            self.crash_loop = CrashLoop {
                version: version.clone(),
                ..CrashLoop::default()
            };
        }
        self.crash_loop.cause = cause;
        let now = turn.now.mono;
        // Rooms of one wave end together: they are one failure.
        if self.crash_loop.until.is_some_and(|until| until > now) {
            return;
        }
        let failures = self.crash_loop.failures;
        let wait = doubled(WAIT_FIRST, failures, self.settings.crash_backoff_max);
        self.crash_loop.failures += 1;
        self.crash_loop.until = Some(now.plus(wait));
        self.crash_loop.last = Some(now);
        if self.is_in(SchedulerPhase::InSync) {
            self.settle_phase(turn);
        }
        self.arm_proof(turn.now);
        turn.reconsider = true;
    }

    /// Only its state is stored. A loop goes on with the wait that it had come to at the least: an owner
    /// that is restarted again and again must not run it at full speed.
    pub fn restore_crash_loop(&mut self) {
        let on_error = |s: &&Arc<Scheduler>| s.state == SchedulerPhase::OnError;
        if let Some(scheduler) = self.scheduler.as_ref().filter(on_error) {
            self.crash_loop = CrashLoop {
                version: scheduler.version().clone(),
                failures: self.settings.crash_error_after,
                cause: "it was on-error when its owner was loaded".into(),
                ..CrashLoop::default()
            };
        }
    }

    /// A room of `version` has shown that it works.
    pub fn version_works(&mut self, turn: &mut Turn, version: &SchedulerVersion) {
        if self.crash_loop.version == *version {
            if self.backing_off(turn.now).is_some() {
                turn.reconsider = true;
            }
            self.crash_loop = CrashLoop::default();
        }
        let on_error =
            |s: &Arc<Scheduler>| s.state == SchedulerPhase::OnError && s.version() == version;
        if self.scheduler.as_ref().is_some_and(on_error) {
            self.settle_phase(turn);
        }
    }

    /// The state of a scheduler that no edit is under way of: `in-sync`, unless its rooms loop.
    pub fn settle_phase(&mut self, turn: &mut Turn) {
        let looping = self.active_failures() >= self.settings.crash_error_after;
        if !looping {
            return self.set_phase(turn, SchedulerPhase::InSync);
        }
        if !std::mem::replace(&mut self.on_error_told, true) {
            let (failures, cause) = (self.crash_loop.failures, self.crash_loop.cause.clone());
            let report = Report::OnError { failures, cause };
            turn.reports.push(report);
        }
        self.set_phase(turn, SchedulerPhase::OnError);
    }

    /// Whoever was told that the rooms loop is told when that is over, however it came to it.
    pub fn tell_recovery(&mut self, turn: &mut Turn) {
        if self.on_error_told && self.is_in(SchedulerPhase::InSync) {
            self.on_error_told = false;
            turn.reports.push(Report::InSyncAgain);
        }
    }

    pub fn active_failures(&self) -> u32 {
        let of_active = |s: &Arc<Scheduler>| s.version() == &self.crash_loop.version;
        match self.scheduler.as_ref().is_some_and(of_active) {
            true => self.crash_loop.failures,
            false => 0,
        }
    }

    /// The moment before which no room of the active version is made, if it lies ahead.
    pub fn backing_off(&self, now: Now) -> Option<Mono> {
        let active = self.scheduler.as_ref()?.version();
        let until = self.crash_loop.until?;
        (self.crash_loop.version == *active && until > now.mono).then_some(until)
    }

    /// Nothing waits for a success.
    fn is_clean(&self) -> bool {
        self.active_failures() == 0 && !self.is_in(SchedulerPhase::OnError)
    }

    /// A room was up for the first time since its start.
    pub fn first_up(&mut self, turn: &mut Turn, version: &SchedulerVersion) {
        let wait = self.settings.room_min_uptime;
        if wait.is_zero() {
            return self.version_works(turn, version);
        }
        if !self.is_clean() {
            let at = turn.now.mono.plus(wait);
            self.timers.proof = Some(self.timers.proof.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// Looks for a success at the next moment at which there may be one. Also after a load:
    /// the scheduler may have been on-error before.
    pub fn arm_proof(&mut self, now: Now) {
        let wait = self.settings.room_min_uptime;
        if wait.is_zero() || self.is_clean() {
            self.timers.proof = None;
            return;
        }
        let now = now.mono;
        // Once the back-off is over and a try has had its time, the fleet may be whole.
        let tried = self.crash_loop.until.map_or(now, |until| until.max(now));
        let quiet = tried.plus(wait);
        let next = self.proofs().filter(|at| *at > now).min();
        self.timers.proof = Some(next.map_or(quiet, |next| next.min(quiet)));
    }

    /// When each room of the active version that is up has been, or will have been, for long enough.
    fn proofs(&self) -> impl Iterator<Item = Mono> {
        let active = self.scheduler.as_ref().map(|s| s.version());
        let wait = self.settings.room_min_uptime;
        let of_active = self.rooms.iter().filter(move |room| {
            !room.record.intent.validation
                && active == Some(&room.record.intent.version)
                && room.is_up()
        });
        of_active.filter_map(move |room| Some(room.clock.first_ready?.plus(wait)))
    }

    pub fn look_for_success(&mut self, turn: &mut Turn) {
        self.timers.proof = None;
        let Some(active) = self.scheduler.clone().filter(|_| !self.is_clean()) else {
            return;
        };
        let (now, last) = (turn.now.mono, self.crash_loop.last);
        let (mut proven, mut unproven) = (false, false);
        for at in self.proofs() {
            unproven |= at > now;
            proven |= at <= now && last.is_none_or(|last| at > last);
        }
        if proven || (!unproven && self.is_quiet(turn.now)) {
            self.version_works(turn, active.version());
        }
        self.arm_proof(turn.now);
    }

    /// The back-off was over for long enough, no room failed, and none is missing.
    fn is_quiet(&self, now: Now) -> bool {
        let wait = self.settings.room_min_uptime;
        let since = self.crash_loop.until;
        let long = since.is_none_or(|until| until.plus(wait) <= now.mono);
        let available = i64::try_from(self.rooms.available()).unwrap_or(i64::MAX);
        let whole = self
            .scaling
            .desired
            .is_some_and(|desired| desired <= available);
        let starting = self.rooms.by_version().values().any(|v| v.starting > 0);
        long && whole && !starting
    }
}
