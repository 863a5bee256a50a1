//! Limits how often an actor is restarted: back-off with jitter, and a budget (architecture 4).

use maestro_core::rules::back_off::doubled;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Five restarts in ten minutes; after one more the scheduler counts as degraded.
const BUDGET: usize = 5;
const WINDOW: Duration = Duration::from_secs(600);
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct RestartLog {
    recent: VecDeque<Instant>,
    pub total: u64,
    pub last_cause: Option<String>,
}

/// For `/debug/actors`.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct RestartView {
    pub total: u64,
    pub last_cause: Option<String>,
}

impl RestartLog {
    /// Counts a restart and returns how long to wait for it. `None` if the budget is used up.
    pub fn next(&mut self, cause: &str, now: Instant, entropy: u128) -> Option<Duration> {
        self.last_cause = Some(cause.to_owned());
        self.recent.retain(|at| now.duration_since(*at) < WINDOW);
        if self.recent.len() >= BUDGET {
            return None;
        }
        let doublings = self.recent.len() as u32;
        self.recent.push_back(now);
        self.total += 1;
        let wait = doubled(BACKOFF_FIRST, doublings, BACKOFF_MAX);
        // Between half of it and all of it, so that many actors do not restart at once.
        let share = (entropy >> 64) as u64 as f64 / u64::MAX as f64;
        Some(wait.mul_f64(0.5 + share / 2.0))
    }

    /// Counts a restart that costs no budget.
    pub fn note(&mut self, cause: &str) {
        self.total += 1;
        self.last_cause = Some(cause.to_owned());
    }

    /// Restores the full budget when an operator orders the restart.
    pub fn forgive(&mut self) {
        self.recent.clear();
    }

    pub fn view(&self) -> RestartView {
        RestartView {
            total: self.total,
            last_cause: self.last_cause.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_five_in_ten_minutes() {
        let mut log = RestartLog::default();
        let now = Instant::now();
        let waits: Vec<_> = (0..5)
            .map(|_| log.next("x", now, u128::MAX).unwrap().as_millis())
            .collect();
        assert_eq!(waits, [50, 100, 200, 400, 800]);
        assert_eq!(log.next("y", now, 0), None);
        let view = log.view();
        assert_eq!((view.total, view.last_cause.as_deref()), (5, Some("y")));
        assert!(log.next("x", now + WINDOW, 0).is_some());
        let almost = WINDOW - Duration::from_millis(1);
        let mut log = RestartLog::default();
        for _ in 0..5 {
            log.next("x", now, 0);
        }
        assert_eq!(log.next("x", now + almost, 0), None);
        log.forgive();
        assert!(log.next("x", now + almost, 0).is_some());
        log.note("z");
        assert_eq!(log.view().total, 7);
    }

    #[test]
    fn chance_takes_up_to_half_of_a_wait() {
        let wait = |entropy: u64| {
            let mut log = RestartLog::default();
            let wait = log.next("x", Instant::now(), u128::from(entropy) << 64);
            wait.unwrap().as_micros()
        };
        assert_eq!(wait(0), 25_000);
        assert_eq!(wait(u64::MAX / 2), 37_500);
        assert_eq!(wait(u64::MAX), 50_000);
    }
}
