//! What can be observed of an actor without asking it: a stuck actor is seen as stuck.

use crate::turns::{TURN_KINDS, Turn, TurnTimes};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use tokio::time::Instant;

/// Counters that survive the incarnations of an actor.
#[derive(Default)]
pub(crate) struct Totals {
    last_kind: AtomicUsize,
    handled: [AtomicU64; TURN_KINDS.len()],
    pub times: TurnTimes,
    longest_turn_us: AtomicU64,
    late_wakes: AtomicU64,
}

impl Totals {
    /// Records a turn that has ended, with its duration.
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

/// Number of enqueue times that are tracked. In a deeper mailbox the others are only counted.
const PLACES: usize = 128;
/// An actor counts as stuck if a turn takes longer, or a message waits longer.
const STUCK_US: u64 = 1_000_000;
/// Number of slots tried for each message.
const LOOKS: usize = 4;

/// The state of one incarnation: atomics written by the handle and the actor, read by `/debug/actors`, without any
/// waiting. An actor that is still running after its thread was given up writes to its own gauge, not to its
/// successor's.
pub(crate) struct Gauge {
    pub totals: Arc<Totals>,
    epoch: Instant,
    enqueued: AtomicU64,
    taken: AtomicU64,
    /// When each waiting message arrived, in microseconds since `epoch`; 0 marks a free slot.
    waiting: Box<[AtomicU64]>,
    /// When the current turn began, in the same unit; 0 means idle.
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
        // Plus one, because zero means idle.
        self.epoch.elapsed().as_micros() as u64 + 1
    }

    /// A message counts as waiting while its guard exists. The guard travels with the message, so a message that is
    /// dropped with its mailbox is not counted forever. Messages are not handled in order of arrival, as they come on
    /// several channels.
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
    /// Counts a turn in which there was nothing to do.
    pub fn count(&self, kind: Turn) {
        self.begin_turn(kind);
        self.end_turn();
    }
    /// Grows with each turn that ended: the progress that the lease depends on.
    pub fn progress(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    pub fn depth(&self) -> u64 {
        // In this order: a message taken between the two reads must not make the difference negative.
        let taken = self.taken.load(Relaxed);
        self.enqueued.load(Relaxed).saturating_sub(taken)
    }
    pub fn oldest_us(&self) -> u64 {
        let times = self.waiting.iter().map(|at| at.load(Relaxed));
        let oldest = times.filter(|at| *at > 0).min();
        oldest.map_or(0, |at| self.now_us().saturating_sub(at))
    }
    /// An idle actor is probed each second: on a blocked thread the probe grows old, so this detects it too.
    pub fn is_stuck(&self) -> bool {
        self.turn().is_some_and(|(_, age_us)| age_us > STUCK_US) || self.oldest_us() > STUCK_US
    }
    /// Kind and age of the current turn.
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
    use std::time::Duration;

    async fn pass(us: u64) {
        tokio::time::advance(Duration::from_micros(us)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_the_oldest_whatever_is_taken_first() {
        let gauge = Arc::new(Gauge::new());
        assert_eq!((gauge.depth(), gauge.oldest_us()), (0, 0));
        let first = gauge.enqueue();
        pass(5_000).await;
        for _ in 0..3 * PLACES {
            drop(gauge.enqueue());
        }
        let (second, third) = (gauge.enqueue(), gauge.enqueue());
        pass(2_000).await;
        assert_eq!((gauge.depth(), gauge.oldest_us()), (3, 7_000));
        drop(first);
        assert_eq!(gauge.oldest_us(), 2_000);
        drop(second);
        assert_eq!((gauge.depth(), gauge.oldest_us()), (1, 2_000));
        drop(third);
        assert_eq!((gauge.depth(), gauge.oldest_us()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn each_of_the_first_messages_has_its_place() {
        let gauge = Arc::new(Gauge::new());
        let mut waiting = std::collections::VecDeque::new();
        for _ in 0..PLACES {
            waiting.push_back(gauge.enqueue());
            pass(10).await;
        }
        for left in (1..=PLACES as u64).rev() {
            assert_eq!((gauge.depth(), gauge.oldest_us()), (left, 10 * left));
            drop(waiting.pop_front());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_seen_while_it_lasts_and_counted_when_it_ends() {
        let gauge = Gauge::new();
        let totals = gauge.totals.clone();
        assert_eq!((gauge.turn(), gauge.progress()), (None, 0));
        gauge.begin_turn(Turn::Wake);
        assert_eq!(gauge.turn(), Some(("wake", 0)));
        pass(300).await;
        assert_eq!((gauge.turn(), gauge.progress()), (Some(("wake", 300)), 0));
        assert_eq!(totals.longest_turn_us(), 0);
        gauge.end_turn();
        gauge.count(Turn::Ping);
        assert_eq!((gauge.turn(), gauge.progress()), (None, 2));
        assert_eq!(
            (totals.last_kind(), totals.longest_turn_us()),
            ("ping", 300)
        );
        let came: Vec<_> = totals.handled().filter(|(_, n)| *n > 0).collect();
        assert_eq!(came, [("ping", 1), ("wake", 1)]);
        totals.took(Turn::Command, 400);
        assert_eq!(
            (totals.last_kind(), totals.longest_turn_us()),
            ("command", 400)
        );
        assert_eq!(totals.late_wakes(), 0);
        totals.late_wake();
        assert_eq!(totals.late_wakes(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_stuck_in_a_turn_of_more_than_a_second_or_with_a_message_that_old() {
        let gauge = Arc::new(Gauge::new());
        gauge.begin_turn(Turn::Wake);
        pass(STUCK_US).await;
        assert!(!gauge.is_stuck());
        pass(1).await;
        assert!(gauge.is_stuck());
        gauge.end_turn();
        assert!(!gauge.is_stuck());
        let waits = gauge.enqueue();
        pass(STUCK_US).await;
        assert!(!gauge.is_stuck());
        pass(1).await;
        assert!(gauge.is_stuck());
        drop(waits);
        assert!(!gauge.is_stuck());
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
