//! What can be seen of an actor without asking it: a stuck one is seen as stuck.

use crate::turns::{TURN_KINDS, Turn, TurnTimes};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use tokio::time::Instant;

/// What is counted through all lives of an actor.
#[derive(Default)]
pub(crate) struct Totals {
    last_kind: AtomicUsize,
    handled: [AtomicU64; TURN_KINDS.len()],
    pub times: TurnTimes,
    longest_turn_us: AtomicU64,
    late_wakes: AtomicU64,
}

impl Totals {
    /// A turn that took so long has ended.
    pub fn took(&self, kind: Turn, us: u64) {
        self.last_kind.store(kind as usize, Relaxed);
        self.count(kind as usize, us);
    }
    fn count(&self, kind: usize, us: u64) {
        self.longest_turn_us.fetch_max(us, Relaxed);
        self.times.add(kind, us);
        self.handled[kind].fetch_add(1, Relaxed);
    }
    pub fn late_wake(&self) {
        self.late_wakes.fetch_add(1, Relaxed);
    }
    pub fn last_kind(&self) -> &'static str {
        TURN_KINDS[self.last_kind.load(Relaxed)]
    }
    pub fn handled(&self) -> impl Iterator<Item = (&'static str, u64)> {
        TURN_KINDS
            .into_iter()
            .zip(self.handled.iter().map(|n| n.load(Relaxed)))
    }
    pub fn longest_turn_us(&self) -> u64 {
        self.longest_turn_us.load(Relaxed)
    }
    pub fn late_wakes(&self) -> u64 {
        self.late_wakes.load(Relaxed)
    }
}

/// Enqueue times that are remembered: those of a deeper mailbox that found no place are counted only.
const PLACES: usize = 128;
/// A turn that takes longer, or a message that waits longer, shows the actor as stuck.
const STUCK_US: u64 = 1_000_000;
/// Places that are looked at for one message.
const LOOKS: usize = 4;

/// Of one life: atomics that the handle and the actor write and `/debug/actors` reads. Nobody waits. An actor that
/// lives on after its thread was given up writes to its own, not to its successor's.
pub(crate) struct Gauge {
    pub totals: Arc<Totals>,
    epoch: Instant,
    enqueued: AtomicU64,
    taken: AtomicU64,
    /// Microseconds since `epoch` at which each message came that still waits; 0: free.
    waiting: Box<[AtomicU64]>,
    /// Likewise, at which the present turn began; 0: idle.
    turn_began: AtomicU64,
    turns: AtomicU64,
}

impl Gauge {
    pub fn new() -> Self {
        Self::of(Arc::default())
    }
    pub fn of(totals: Arc<Totals>) -> Self {
        Self {
            totals,
            epoch: Instant::now(),
            enqueued: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            waiting: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            turn_began: AtomicU64::new(0),
            turns: AtomicU64::new(0),
        }
    }

    fn now_us(&self) -> u64 {
        // 1 and up: zero means idle.
        self.epoch.elapsed().as_micros() as u64 + 1
    }

    /// A message waits for as long as the guard lives: it travels with the message, so one
    /// that dies with its mailbox does not count for ever. They are not taken in their order: they come on several
    /// ways.
    pub fn enqueue(self: &Arc<Self>) -> Queued {
        let first = self.enqueued.fetch_add(1, Relaxed) as usize;
        let now = self.now_us();
        let free = |at: &usize| {
            let place = &self.waiting[*at];
            place.compare_exchange(0, now, Relaxed, Relaxed).is_ok()
        };
        let place = (first..first + LOOKS).map(|n| n % PLACES).find(free);
        Queued(self.clone(), place)
    }
    pub fn begin_turn(&self, kind: Turn) {
        self.totals.last_kind.store(kind as usize, Relaxed);
        self.turn_began.store(self.now_us(), Relaxed);
    }
    pub fn end_turn(&self) {
        let began = self.turn_began.swap(0, Relaxed);
        let took = self.now_us().saturating_sub(began);
        let kind = self.totals.last_kind.load(Relaxed);
        self.totals.count(kind, took);
        self.turns.fetch_add(1, Relaxed);
    }
    /// A turn in which nothing was to be done.
    pub fn count(&self, kind: Turn) {
        self.begin_turn(kind);
        self.end_turn();
    }
    /// Grows with each turn that ended: the sign of life that the lease depends on.
    pub fn progress(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    pub fn depth(&self) -> u64 {
        // In this order: one that is taken between the two looks is not counted as less than none.
        let taken = self.taken.load(Relaxed);
        self.enqueued.load(Relaxed).saturating_sub(taken)
    }
    pub fn oldest_us(&self) -> u64 {
        let times = self.waiting.iter().map(|at| at.load(Relaxed));
        let oldest = times.filter(|at| *at > 0).min();
        oldest.map_or(0, |at| self.now_us().saturating_sub(at))
    }
    /// An idle actor is asked for a sign of life each second: on a thread that stands still that question grows old.
    pub fn is_stuck(&self) -> bool {
        self.turn().is_some_and(|(_, age_us)| age_us > STUCK_US) || self.oldest_us() > STUCK_US
    }
    /// Kind and age of the turn that is under way.
    pub fn turn(&self) -> Option<(&'static str, u64)> {
        let began = self.turn_began.load(Relaxed);
        (began > 0).then(|| {
            let age = self.now_us().saturating_sub(began);
            (self.totals.last_kind(), age)
        })
    }
}

pub(crate) struct Queued(Arc<Gauge>, Option<usize>);

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(place) = self.1 {
            self.0.waiting[place].store(0, Relaxed);
        }
        self.0.taken.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the gauge measures, and has no clock to be told"
    )]
    fn the_oldest_is_the_oldest_whatever_is_taken_first() {
        let gauge = Arc::new(Gauge::new());
        let first = gauge.enqueue();
        std::thread::sleep(std::time::Duration::from_millis(5));
        for _ in 0..3 * PLACES {
            drop(gauge.enqueue());
        }
        let last = gauge.enqueue();
        assert_eq!(gauge.depth(), 2);
        assert!(gauge.oldest_us() >= 5_000);
        drop(first);
        assert!(gauge.oldest_us() < 5_000_000);
        drop(last);
        assert_eq!((gauge.depth(), gauge.oldest_us()), (0, 0));
    }

    #[test]
    fn more_messages_than_places_are_all_counted() {
        let gauge = Arc::new(Gauge::new());
        let all: Vec<_> = (0..2 * PLACES).map(|_| gauge.enqueue()).collect();
        assert_eq!(gauge.depth(), 2 * PLACES as u64);
        assert!(gauge.oldest_us() > 0);
        drop(all);
        assert_eq!((gauge.depth(), gauge.oldest_us()), (0, 0));
    }
}
