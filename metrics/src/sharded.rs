//! Counts that all threads add to without touching each other's cache lines. The library's histogram shares four
//! counters between all threads; at hundreds of thousands of pings a second that is noticeable.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Threads beyond this number share.
const SHARDS: usize = 8;

/// One `T` per thread, up to a limit.
#[derive(Debug)]
pub struct Sharded<T>([Shard<T>; SHARDS]);

/// Aligned to two cache lines: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard<T>(T);

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Shard::default()))
    }
}

impl<T> Sharded<T> {
    /// The value of this thread.
    pub fn mine(&self) -> &T {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static MINE: usize = NEXT.fetch_add(1, Relaxed) % SHARDS;
        }
        // A thread that is ending has lost its thread-local value.
        let shard = MINE.try_with(|mine| *mine).unwrap_or_default();
        &self.0[shard].0
    }

    /// The values of all threads.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|shard| &shard.0)
    }
}

/// A histogram with `N` upper bounds: counts of values per bucket and their sum, in whole units.
#[derive(Debug)]
pub struct Distribution<const N: usize> {
    /// Counts by the first bound that is not below the value.
    up_to: [AtomicU64; N],
    above: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Default for Distribution<N> {
    fn default() -> Self {
        Self {
            up_to: [const { AtomicU64::new(0) }; N],
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Distribution<N> {
    /// Records a value. `bounds` ascend, and are the same in all calls.
    pub fn record(&self, bounds: &[u64; N], value: u64) {
        let bucket = bounds.iter().position(|bound| value <= *bound);
        let bucket = bucket.map_or(&self.above, |at| &self.up_to[at]);
        bucket.fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }
}

/// The sum of distributions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<const N: usize> {
    /// Cumulative counts by bound: all values up to it.
    pub up_to: [u64; N],
    pub count: u64,
    pub sum: u64,
}

impl<const N: usize> Reading<N> {
    /// Adds up `parts`. A value recorded meanwhile may be in the sum only, or in the counts only.
    pub fn of<'a>(parts: impl Iterator<Item = &'a Distribution<N>>) -> Self {
        let mut reading = Self {
            up_to: [0; N],
            count: 0,
            sum: 0,
        };
        for part in parts {
            for (read, count) in reading.up_to.iter_mut().zip(&part.up_to) {
                *read += count.load(Relaxed);
            }
            reading.count += part.above.load(Relaxed);
            reading.sum = reading.sum.wrapping_add(part.sum.load(Relaxed));
        }
        let mut below = 0;
        for read in &mut reading.up_to {
            below += *read;
            *read = below;
        }
        reading.count += below;
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [u64; 3] = [1, 10, 100];

    #[test]
    fn all_threads_are_added_up() {
        let sharded: Sharded<Distribution<3>> = Sharded::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| {
                    for value in [0, 1, 2, 10, 11, 100, 101] {
                        sharded.mine().record(&BOUNDS, value);
                    }
                });
            }
        });
        let threads = 2 * SHARDS as u64;
        let reading = Reading::of(sharded.all());
        assert_eq!(reading.up_to, [2, 4, 6].map(|n| n * threads));
        assert_eq!((reading.count, reading.sum), (7 * threads, 225 * threads));
        let used = sharded.all().filter(|one| one.sum.load(Relaxed) > 0);
        assert!(used.count() > 1, "threads share one shard");
    }
}
