//! Rooms that end before they were ever ready: waiting longer each time (D23).

use super::*;

/// Failures in a row of the active version.
#[derive(Clone, Debug, Default)]
pub(super) struct CrashLoop {
    pub version: SchedulerVersion,
    pub failures: u32,
    /// No new room before then.
    pub until: Option<Mono>,
    /// What happened last, for people.
    pub cause: String,
}

impl SchedulerState {
    /// A room of `version` ended, or could not be made, before it was ready.
    pub(super) fn version_failed(&mut self, version: &SchedulerVersion, cause: String) {
        if self.crash_loop.version != *version {
            self.crash_loop = CrashLoop {
                version: version.clone(),
                ..CrashLoop::default()
            };
        }
        self.crash_loop.cause = cause;
        // Rooms of one wave end together: they are one failure.
        if self
            .crash_loop
            .until
            .is_some_and(|until| until > self.now.mono)
        {
            return;
        }
        let doublings = self.crash_loop.failures.min(16);
        let wait = Duration::from_secs(1 << doublings).min(self.settings.crash_backoff_max);
        self.crash_loop.failures += 1;
        self.crash_loop.until = Some(self.now.mono.plus(wait));
        let is_active = self
            .scheduler
            .as_ref()
            .is_some_and(|s| s.version() == version);
        let settled = self
            .scheduler
            .as_ref()
            .is_some_and(|s| s.state == scheduler_state::IN_SYNC);
        if is_active && settled && self.crash_loop.failures >= self.settings.crash_error_after {
            self.set_scheduler_state(scheduler_state::ON_ERROR);
        }
        self.dirty.reconsider = true;
    }

    /// A room of `version` became ready for the first time.
    pub(super) fn version_works(&mut self, version: &SchedulerVersion) {
        if self.crash_loop.version == *version {
            self.crash_loop = CrashLoop::default();
        }
        let on_error = self
            .scheduler
            .as_ref()
            .is_some_and(|s| s.state == scheduler_state::ON_ERROR && s.version() == version);
        if on_error {
            self.set_scheduler_state(scheduler_state::IN_SYNC);
        }
    }

    /// The moment before which no room of the active version is made, if it lies ahead.
    pub(super) fn backing_off(&self) -> Option<Mono> {
        let active = self.scheduler.as_ref()?.version();
        let until = self.crash_loop.until?;
        (self.crash_loop.version == *active && until > self.now.mono).then_some(until)
    }
}
