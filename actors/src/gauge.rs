//! What can be seen of an actor without asking it: a stuck one is seen as stuck.

use crate::turns::TurnTimes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Kinds of turns, in the order of [`Gauge::kinds`].
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
    /// Pings that the board answered, many at a time.
    Pinged,
    Runtime,
    WorkDone,
    Wake,
    /// A piece of what is too long for one turn.
    Continue,
    Untaken,
    Probe,
    Control,
}

/// Remembered enqueue times; a deeper mailbox shows the age of the newest of them.
const RING: usize = 128;

/// Atomics that the handle and the actor write and `/debug/actors` reads: nobody waits.
pub(crate) struct Gauge {
    epoch: Instant,
    enqueued: AtomicU64,
    taken: AtomicU64,
    enqueue_times: Box<[AtomicU64]>,
    /// Microseconds since `epoch` at which the present turn began; 0: idle.
    turn_began: AtomicU64,
    turn_kind: AtomicUsize,
    handled: [AtomicU64; TURN_KINDS.len()],
    pub times: TurnTimes,
    longest_turn_us: AtomicU64,
    late_wakes: AtomicU64,
}

impl Gauge {
    pub fn new() -> Self {
        Self {
            epoch: Instant::now(),
            enqueued: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            enqueue_times: (0..RING).map(|_| AtomicU64::new(0)).collect(),
            turn_began: AtomicU64::new(0),
            turn_kind: AtomicUsize::new(0),
            handled: Default::default(),
            times: TurnTimes::default(),
            longest_turn_us: AtomicU64::new(0),
            late_wakes: AtomicU64::new(0),
        }
    }

    fn now_us(&self) -> u64 {
        // 1 and up: zero means idle.
        self.epoch.elapsed().as_micros() as u64 + 1
    }

    /// A message waits for as long as the guard lives: it travels with the message, so one
    /// that dies with its mailbox does not count for ever.
    pub fn enqueue(self: &Arc<Self>) -> Queued {
        let at = self.enqueued.fetch_add(1, Relaxed) as usize % RING;
        self.enqueue_times[at].store(self.now_us(), Relaxed);
        Queued(self.clone())
    }
    /// The turn in which the actor before this one died is over.
    pub fn reset_turn(&self) {
        self.turn_began.store(0, Relaxed);
    }
    pub fn begin_turn(&self, kind: Turn) {
        self.turn_kind.store(kind as usize, Relaxed);
        self.turn_began.store(self.now_us(), Relaxed);
    }
    pub fn end_turn(&self) {
        let began = self.turn_began.swap(0, Relaxed);
        let took = self.now_us().saturating_sub(began);
        self.longest_turn_us.fetch_max(took, Relaxed);
        let kind = self.turn_kind.load(Relaxed);
        self.times.add(kind, took);
        self.handled[kind].fetch_add(1, Relaxed);
    }
    /// A turn in which nothing was to be done.
    pub fn count(&self, kind: Turn) {
        self.begin_turn(kind);
        self.end_turn();
    }
    /// A turn that ends when the guard goes.
    pub fn turn_of(self: &Arc<Self>, kind: Turn) -> TurnGuard {
        self.begin_turn(kind);
        TurnGuard(self.clone())
    }
    pub fn late_wake(&self) {
        self.late_wakes.fetch_add(1, Relaxed);
    }
    /// Grows with each turn that ended: the sign of life that the lease depends on.
    pub fn progress(&self) -> u64 {
        self.handled.iter().map(|n| n.load(Relaxed)).sum()
    }

    pub fn depth(&self) -> u64 {
        self.enqueued
            .load(Relaxed)
            .saturating_sub(self.taken.load(Relaxed))
    }
    pub fn oldest_us(&self) -> u64 {
        if self.depth() == 0 {
            return 0;
        }
        let at = self.taken.load(Relaxed) as usize % RING;
        self.now_us()
            .saturating_sub(self.enqueue_times[at].load(Relaxed))
    }
    /// Kind and age of the turn that is under way.
    pub fn turn(&self) -> Option<(&'static str, u64)> {
        let began = self.turn_began.load(Relaxed);
        let kind = TURN_KINDS[self.turn_kind.load(Relaxed)];
        (began > 0).then(|| (kind, self.now_us().saturating_sub(began)))
    }
    pub fn last_kind(&self) -> &'static str {
        TURN_KINDS[self.turn_kind.load(Relaxed)]
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

pub(crate) struct Queued(Arc<Gauge>);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.taken.fetch_add(1, Relaxed);
    }
}

pub(crate) struct TurnGuard(Arc<Gauge>);

impl Drop for TurnGuard {
    fn drop(&mut self) {
        self.0.end_turn();
    }
}
