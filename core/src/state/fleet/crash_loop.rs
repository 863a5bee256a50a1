//! Versions whose rooms do not stay up: if rooms end before they were ready, or soon afterwards, replacements are
//! created with a growing back-off (D23, D30).
//!
//! A failure is the end of a room, or of a container that is restarted in place, as `ends` judges it. A success ends
//! the back-off: a room that was up for `services.roomManager.roomMinUptimeMillis`, one that ended well, or a fleet
//! that is complete and quiet again. Successes are only looked for while there is a back-off.

use crate::domain::*;
use crate::rules::back_off::doubled;
use crate::state::fleet::{CrashLoop, Fleet};
use crate::state::report::Report;
use crate::state::turn::Turn;
use std::sync::Arc;
use std::time::Duration;

const WAIT_FIRST: Duration = Duration::from_secs(1);

impl CrashLoop {
    /// Counts a failure. False: it is one with the last. Rooms created together often end together.
    pub(super) fn fail(&mut self, now: Mono, cause: String, wait_max: Duration) -> bool {
        self.cause = cause;
        if self.until.is_some_and(|until| until > now) {
            return false;
        }
        let wait = doubled(WAIT_FIRST, self.failures, wait_max);
        self.failures += 1;
        self.until = Some(now.plus(wait));
        self.last = Some(now);
        true
    }

    /// Whether its version had time for another failure, and none came. `uptime`: how long a room is up before it has
    /// proved that it works.
    pub(super) fn is_over(&self, now: Mono, uptime: Duration) -> bool {
        let quiet = uptime.saturating_mul(2);
        self.until.is_some_and(|until| until.plus(quiet) <= now)
    }
}

impl Fleet {
    /// A room of `version` ended too soon, or could not be created.
    pub fn version_failed(&mut self, turn: &mut Turn, version: &SchedulerVersion, cause: String) {
        // Unless the scheduler is managed, rooms are created from the active version only: no other one has a next
        // attempt.
        if self
            .scheduler
            .as_ref()
            .is_none_or(|s| s.version() != version)
        {
            return self.live_version_failed(turn, version, cause);
        }
        if self.crash_loop.version != *version {
            self.crash_loop = CrashLoop {
                version: version.clone(),
                ..CrashLoop::default()
            };
        }
        let most = self.settings.crash_backoff_max;
        if !self.crash_loop.fail(turn.now.mono, cause, most) {
            return;
        }
        if self.is_in(SchedulerPhase::InSync) {
            self.settle_phase(turn);
        }
        self.arm_proof(turn.now);
        turn.reconsider = true;
    }

    /// Only the scheduler's state is stored. A loop continues with at least the back-off that made it `on-error`:
    /// otherwise an owner that restarts often would run it at full speed.
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

    /// A room of `version` has proved that it works.
    pub fn version_works(&mut self, turn: &mut Turn, version: &SchedulerVersion) {
        if self.loops.remove(version).is_some() {
            turn.reconsider = true;
        }
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

    /// Sets the state of a scheduler without an edit in progress: `in-sync`, unless its rooms keep failing.
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

    /// Whoever was told that the rooms keep failing is told when that is over, whatever the reason.
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

    /// Why rooms of a version end too soon, while they do, or may: those that are starting have not proved otherwise.
    /// The loop of the active version outlives its rooms and its turn to be active, and those of the others are kept
    /// until their next failure: that they are there says nothing.
    pub fn failing(&self, now: Mono, version: &SchedulerVersion) -> Option<&str> {
        if !self.wants_rooms_of(version) {
            return None;
        }
        let known = match self.is_active(version) {
            true => Some(&self.crash_loop).filter(|known| known.version == *version),
            false => self.loops.get(version),
        };
        let uptime = self.settings.room_min_uptime;
        let all = self.rooms.by_version().get(version);
        let is_tried = all.is_some_and(|all| all.starting > 0 && all.starting == all.available);
        let is_over = |known: &CrashLoop| !is_tried && known.is_over(now, uptime);
        let known = known.filter(|known| known.failures > 0 && !is_over(known));
        known.map(|known| known.cause.as_str())
    }

    /// The time before which no room of the active version is created, if it is in the future.
    pub fn backing_off(&self, now: Now) -> Option<Mono> {
        let active = self.scheduler.as_ref()?.version();
        let until = self.crash_loop.until?;
        (self.crash_loop.version == *active && until > now.mono).then_some(until)
    }

    /// Whether no success is being waited for.
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

    /// Schedules the next check for a success. Also after a load, because the scheduler may have been `on-error`
    /// before.
    pub fn arm_proof(&mut self, now: Now) {
        let wait = self.settings.room_min_uptime;
        if wait.is_zero() || self.is_clean() {
            self.timers.proof = None;
            return;
        }
        let now = now.mono;
        // Once the back-off is over and a new attempt has had its time, the fleet may be complete.
        let tried = self.crash_loop.until.map_or(now, |until| until.max(now));
        let quiet = tried.plus(wait);
        let next = self.proofs().filter(|at| *at > now).min();
        self.timers.proof = Some(next.map_or(quiet, |next| next.min(quiet)));
    }

    /// For each room of the active version that is up, the time at which it has been up long enough.
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

    /// Whether the back-off has been over for long enough, with no failures and no missing rooms.
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
