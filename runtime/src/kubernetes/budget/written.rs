//! What is known of one scheduler's budget between two orders.

use std::time::Duration;
use tokio::time::Instant;

/// The pause before the first try to lower the number: the disruption controller counts meanwhile. It takes two, since
/// it counts again only when it is asked to.
const LOWER_FIRST: Duration = Duration::from_millis(100);
/// Pauses double up to this one: a number that is too high for a moment refuses nothing, and each try is two requests
/// that no room is created with.
const LOWER_LONGEST: Duration = Duration::from_secs(1);
/// The first pause is taken again after so long without a try.
const LOWER_QUIET: Duration = Duration::from_secs(2);

/// What the last order left.
pub struct Written {
    /// When somebody looked at the budget, or was to begin with it.
    pub looked: Instant,
    /// The number in the budget, of this order or a higher one; `None` if it is not known.
    pub number: Option<i32>,
    /// The number that the order named, which is that of the labelled pods.
    pub ordered: i32,
    /// Somebody is about to lower the number.
    pub is_lowering: bool,
    /// When that was last tried, and after which pause.
    tried: Option<(Instant, Duration)>,
    /// The owner's term here with its last order for all rooms.
    pub term: Option<u64>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            looked: Instant::now(),
            number: None,
            ordered: 0,
            is_lowering: false,
            term: None,
            tried: None,
        }
    }
}

impl Written {
    /// The pause before the next try to lower the number.
    pub fn pause(&mut self, now: Instant) -> Duration {
        let busy = self.tried.filter(|(at, _)| *at + LOWER_QUIET > now);
        let pause = busy.map_or(LOWER_FIRST, |(_, last)| (last * 2).min(LOWER_LONGEST));
        self.tried = Some((now + pause, pause));
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_changes_all_the_time_is_lowered_once_a_second() {
        let mut written = Written::default();
        let mut now = Instant::now();
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let pause = written.pause(now);
            assert_eq!(pause, Duration::from_millis(expected));
            // Then another order, after which the number is too high again.
            now += pause + Duration::from_millis(20);
        }
        assert_eq!(written.pause(now + LOWER_QUIET), LOWER_FIRST);
    }
}
