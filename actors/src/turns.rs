//! The kinds of turns and their durations, in fixed buckets of atomics that can be read at any time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Kinds of turns, in the order of [`Turn`].
pub(crate) const TURN_KINDS: [&str; 12] = [
    "start",
    "command",
    "allocate",
    "ping",
    "pinged",
    "runtime",
    "work_done",
    "wake",
    "continue",
    "untaken",
    "probe",
    "control",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Turn {
    Start,
    Command,
    Allocate,
    Ping,
    /// A report of pings that the ping cache answered.
    Pinged,
    Runtime,
    WorkDone,
    Wake,
    /// A piece of work that is too long for one turn.
    Continue,
    Untaken,
    Probe,
    Control,
}

/// Two buckets for each doubling from 1 µs to 8.4 s, and one for everything longer.
const BUCKETS: usize = 47;

/// Adding a duration costs three atomic additions and no lock.
pub(crate) struct TurnTimes([Kind; TURN_KINDS.len()]);

struct Kind {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_us: AtomicU64::new(0),
        }
    }
}

impl Default for TurnTimes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Kind::default()))
    }
}

/// The bucket for a duration; a duration equal to the bound of a bucket ([`bound_us`]) belongs to it.
fn bucket_of(us: u64) -> usize {
    let above = us.saturating_sub(1);
    let bucket = match above {
        0 => 0,
        1 => 1,
        _ => {
            let doublings = above.ilog2() as usize;
            let upper_half = (above >> (doublings - 1)) & 1;
            2 * doublings + upper_half as usize
        }
    };
    bucket.min(BUCKETS - 1)
}

/// The longest duration in a bucket; the last bucket has no bound.
fn bound_us(bucket: usize) -> u64 {
    match bucket {
        0 => 1,
        1 => 2,
        even if even % 2 == 0 => 3 << (even / 2 - 1),
        odd => 2 << (odd / 2),
    }
}

/// The durations of one kind at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl TurnTimes {
    /// `kind` is an index into [`TURN_KINDS`].
    pub fn add(&self, kind: usize, us: u64) {
        let kind = &self.0[kind];
        kind.buckets[bucket_of(us)].fetch_add(1, Relaxed);
        kind.sum_us.fetch_add(us, Relaxed);
    }

    /// Adds the turns of an actor that has ended.
    pub fn merge(&self, other: &TurnTimes) {
        for (mine, theirs) in self.0.iter().zip(&other.0) {
            for (mine, theirs) in mine.buckets.iter().zip(&theirs.buckets) {
                mine.fetch_add(theirs.load(Relaxed), Relaxed);
            }
            mine.sum_us.fetch_add(theirs.sum_us.load(Relaxed), Relaxed);
        }
    }

    /// The durations by kind, in the order of [`TURN_KINDS`].
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Times)> {
        TURN_KINDS.into_iter().zip(self.0.iter().map(|kind| Times {
            buckets: std::array::from_fn(|i| kind.buckets[i].load(Relaxed)),
            sum_us: kind.sum_us.load(Relaxed),
        }))
    }
}

impl Times {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn sum_seconds(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    /// For each doubling, the bound in seconds and the cumulative number of turns.
    pub fn doublings(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut turns = 0;
        self.buckets.iter().enumerate().filter_map(move |(i, n)| {
            turns += n;
            // The last bucket, which has no bound, is an even one.
            let whole = i == 0 || i % 2 == 1;
            whole.then(|| (bound_us(i) as f64 / 1e6, turns))
        })
    }

    /// The quantile in microseconds, rounded up to the bound of its bucket; `None` if there was no turn, or if it
    /// exceeds the last bound.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut turns = 0;
        let bucket = self.buckets.iter().position(|n| {
            turns += n;
            turns >= wanted
        });
        bucket.filter(|i| *i < BUCKETS - 1).map(bound_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_between_the_bounds_of_its_bucket() {
        for us in (0..5000).chain([65_536, 65_537, 98_304, 98_305, 1 << 23]) {
            let bucket = bucket_of(us);
            assert!(us <= bound_us(bucket), "{us} is above bucket {bucket}");
            assert!(
                bucket == 0 || us > bound_us(bucket - 1),
                "{us} belongs below bucket {bucket}"
            );
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(bound_us(BUCKETS - 2), 1 << 23);
    }

    #[test]
    fn quantiles_and_sums_are_those_of_what_was_added() {
        let times = TurnTimes::default();
        for us in 1..=100 {
            times.add(Turn::Ping as usize, us);
        }
        times.add(Turn::Wake as usize, 20_000_000);
        let of = |kind: &str| times.all().find(|(name, _)| *name == kind).unwrap().1;
        let pings = of("ping");
        assert_eq!((pings.count(), pings.sum_us), (100, 5050));
        assert_eq!(pings.quantile_us(0.5), Some(64));
        assert_eq!(pings.quantile_us(0.99), Some(128));
        assert_eq!(pings.sum_seconds(), 0.005_05);
        let doublings: Vec<_> = pings.doublings().collect();
        let few = [(1e-6, 1), (2e-6, 2), (4e-6, 4), (8e-6, 8), (16e-6, 16)];
        assert_eq!(doublings[..5], few);
        assert_eq!((doublings.len(), doublings[23]), (24, (8.388_608, 100)));
        assert_eq!(of("wake").doublings().last(), Some((8.388_608, 0)));
        assert_eq!(of("wake").quantile_us(0.5), None);
        assert_eq!(of("command").quantile_us(0.5), None);
        let total = TurnTimes::default();
        total.merge(&times);
        total.merge(&times);
        let pings = total.all().find(|(name, _)| *name == "ping").unwrap().1;
        assert_eq!((pings.count(), pings.sum_us), (200, 10_100));
    }
}
