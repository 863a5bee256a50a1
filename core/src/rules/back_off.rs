//! Pauses between attempts, each twice as long as the previous one, up to a limit.

use std::time::Duration;

/// `first`, doubled this many times, at most `max`.
pub fn doubled(first: Duration, doublings: u32, max: Duration) -> Duration {
    first
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(max)
}

/// The pauses of one series of attempts.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl BackOff {
    /// Begins with `first` and stays at `max` once that is reached.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            next: first,
        }
    }

    /// How long to wait before the next attempt.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = doubled(pause, 1, self.max);
        pause
    }

    /// An attempt succeeded: the next series begins with the first pause.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_begin_again_after_a_success() {
        let mut back_off = BackOff::new(Duration::from_secs(1), Duration::from_secs(60));
        let seconds: Vec<_> = (0..8).map(|_| back_off.pause().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        back_off.reset();
        assert_eq!(back_off.pause(), Duration::from_secs(1));
    }

    #[test]
    fn no_number_of_doublings_is_too_many() {
        let second = Duration::from_secs(1);
        assert_eq!(doubled(second, 3, 60 * second), 8 * second);
        assert_eq!(doubled(second, u32::MAX, 60 * second), 60 * second);
    }
}
