//! Rate limit for log lines that clients could provoke at will: some are logged, and the others are counted.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of lines within [`WINDOW`].
const LINES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// Bounds one kind of line to 20 a minute.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    since: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl Seldom {
    /// A limit with its full budget.
    pub const fn new() -> Self {
        Self(Mutex::new(Lines {
            since: None,
            said: 0,
            unsaid: 0,
        }))
    }

    /// `Some` if a line may be logged now, with the number of lines suppressed since the last one.
    pub fn next(&self) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.next(Instant::now())
    }
}

impl Lines {
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self
            .since
            .is_none_or(|since| now.duration_since(since) >= WINDOW)
        {
            self.since = Some(now);
            self.said = 0;
        }
        if self.said == LINES_MAX {
            self.unsaid += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_none_is_lost_from_the_count() {
        let now = Instant::now();
        let mut lines = Lines::default();
        for _ in 0..LINES_MAX {
            assert_eq!(lines.next(now), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(lines.next(now + WINDOW / 2), None);
        }
        assert_eq!(lines.next(now + WINDOW), Some(1000));
        assert_eq!(lines.next(now + WINDOW), Some(0));
    }
}
