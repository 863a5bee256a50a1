//! The schedule of the demonstration, scaled to its duration.

use super::matchmaker::MATCH_SECONDS;
use std::time::Duration;

/// The default duration; the load repeats in such waves.
const WAVE: Duration = Duration::from_secs(60);
/// A rolling update takes some seconds: below this it is left out.
const UPDATE_NEEDS: Duration = Duration::from_secs(12);
const CRASH_EARLIEST: Duration = Duration::from_secs(2);
const CRASH_LATEST: Duration = Duration::from_secs(5);
/// Rooms allowed beyond the minimum.
const GROWTH_MAX: u32 = 100;

/// The minimum of matches per second, so that some are played in a small fleet too.
const LOAD_MIN: f64 = 0.5;

/// Shares of the duration in percent.
const RISE: u32 = 20;
const UPDATE: u32 = 40;
const FALL: u32 = 65;

#[derive(Clone, Debug)]
pub struct Script {
    rooms: u32,
    whole: Duration,
    /// `None`: until it is stopped.
    end: Option<Duration>,
}

impl Script {
    pub fn new(rooms: u32, end: Option<Duration>) -> Self {
        let whole = end.unwrap_or(WAVE);
        Self { rooms, whole, end }
    }

    pub fn rooms(&self) -> u32 {
        self.rooms
    }

    pub fn rooms_max(&self) -> u32 {
        self.rooms + self.rooms.min(GROWTH_MAX)
    }

    pub fn is_over(&self, at: Duration) -> bool {
        self.end.is_some_and(|end| at >= end)
    }

    fn share(&self, percent: u32) -> Duration {
        self.whole * percent / 100
    }

    /// The time of the crash. The load is still low then, so the fleet needs every room that it
    /// has.
    pub fn crash_at(&self) -> Duration {
        self.share(10).clamp(CRASH_EARLIEST, CRASH_LATEST)
    }

    /// The time of the rolling update; `None`: there is no time for it.
    pub fn update_at(&self) -> Option<Duration> {
        (self.whole >= UPDATE_NEEDS).then(|| self.share(UPDATE))
    }

    pub fn is_high(&self, at: Duration) -> bool {
        let millis = |time: Duration| time.as_millis();
        let at = millis(at) % millis(self.whole).max(1);
        (millis(self.share(RISE))..millis(self.share(FALL))).contains(&at)
    }

    /// Matches per second: the high rate needs the fleet's maximum (half of the rooms stay free),
    /// the low one less than its minimum.
    pub fn load(&self, at: Duration) -> f64 {
        let share = if self.is_high(at) { 1.0 } else { 0.25 };
        let together = f64::from(self.rooms_max()) / 2.0 * share;
        (together / MATCH_SECONDS as f64).max(LOAD_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn half_a_minute_has_all_of_it_in_order() {
        let script = Script::new(10, Some(seconds(30)));
        assert_eq!(script.crash_at(), seconds(3));
        assert_eq!(script.update_at(), Some(seconds(12)));
        let highs: Vec<bool> = [0, 5, 7, 19, 20, 29]
            .map(|at| script.is_high(seconds(at)))
            .into();
        assert_eq!(highs, [false, false, true, true, false, false]);
        assert!(!script.is_over(seconds(29)) && script.is_over(seconds(30)));
        assert_eq!(script.rooms_max(), 20);
        assert!((script.load(seconds(10)) - 5.0).abs() < 1e-9);
        assert!((script.load(seconds(0)) - 1.25).abs() < 1e-9);
    }

    #[test]
    fn a_short_time_has_a_crash_and_no_update() {
        let script = Script::new(3, Some(seconds(6)));
        assert_eq!(script.crash_at(), seconds(2));
        assert_eq!(script.update_at(), None);
    }

    #[test]
    fn without_an_end_the_load_comes_in_waves() {
        let script = Script::new(1000, None);
        assert!(!script.is_over(seconds(1_000_000)));
        assert!(script.is_high(seconds(20)) && script.is_high(seconds(80)));
        assert!(!script.is_high(seconds(50)) && !script.is_high(seconds(110)));
        assert_eq!(script.rooms_max(), 1100);
    }
}
