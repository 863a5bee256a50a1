//! The rate limit of calls to the API server: a token bucket that is fair among schedulers.
//!
//! A process has thousands of schedulers and one budget of calls. Each scheduler has a queue of its own, and the queues
//! are served in turn, so that a thousand creations of one scheduler do not hold up another's deletion. Urgent calls
//! go first. Calls in flight are bounded too: a slow API server gets no pile of calls.

use maestro_core::domain::SchedulerName;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Calls that may wait, in all queues together.
const WAITING_MAX: usize = 20_000;

/// Which calls go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Protections and deletions.
    Urgent,
    /// Creations and reads.
    Normal,
    /// Events, which nobody waits for.
    Late,
}

const LANES: usize = 3;
/// By [`Urgency`].
const NAMES: [&str; LANES] = ["urgent", "normal", "late"];

/// The calls of a client, as metrics show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallCounts {
    /// Those that were sent, by their urgency.
    pub sent: [(&'static str, u64); LANES],
    /// Those that wait for their turn.
    pub waiting: usize,
}

/// A call is refused: too many are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

/// Admits calls. Cheap to clone.
#[derive(Clone)]
pub struct Limiter(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    qps: f64,
    burst: f64,
    in_flight_max: usize,
}

struct State {
    lanes: [Lane; LANES],
    waiting: usize,
    sent: [u64; LANES],
    in_flight: usize,
    tokens: f64,
    refilled: Instant,
}

/// The queues of one urgency; `turns` names each scheduler that has one, once.
#[derive(Default)]
struct Lane {
    turns: VecDeque<SchedulerName>,
    queues: HashMap<SchedulerName, VecDeque<oneshot::Sender<Permit>>>,
}

impl Lane {
    fn push(&mut self, scheduler: &SchedulerName, waiter: oneshot::Sender<Permit>) {
        let queue = self.queues.entry(scheduler.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(scheduler.clone());
        }
        queue.push_back(waiter);
    }

    fn pop(&mut self) -> Option<oneshot::Sender<Permit>> {
        let scheduler = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&scheduler)?;
        let waiter = queue.pop_front();
        match queue.is_empty() {
            true => drop(self.queues.remove(&scheduler)),
            false => self.turns.push_back(scheduler),
        }
        waiter
    }
}

/// The right to make one call; the call is in flight until this is dropped.
pub struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.state.lock().in_flight -= 1;
        self.0.changed.notify_one();
    }
}

impl Limiter {
    /// `qps` calls per second, `burst` at once after a pause, twice `qps` in flight. Zeros stand for 5 and 10, as in
    /// other clients. Its task ends with `stopping`.
    pub fn start(qps: u32, burst: u32, stopping: CancellationToken) -> Self {
        let qps = if qps == 0 { 5 } else { qps };
        let burst = if burst == 0 { 10 } else { burst };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                lanes: Default::default(),
                waiting: 0,
                sent: [0; LANES],
                in_flight: 0,
                tokens: f64::from(burst),
                refilled: Instant::now(),
            }),
            changed: Notify::new(),
            qps: f64::from(qps),
            burst: f64::from(burst),
            in_flight_max: (qps as usize).saturating_mul(2),
        });
        let limiter = shared.clone();
        tokio::spawn(async move {
            let admit = limiter.admit();
            let _ = stopping.run_until_cancelled(admit).await;
        });
        Self(shared)
    }

    /// Waits for the scheduler's turn. A caller that goes away gives its turn to the next.
    ///
    /// # Errors
    /// If too many calls wait, or the limiter has ended.
    pub async fn admit(
        &self,
        scheduler: &SchedulerName,
        urgency: Urgency,
    ) -> Result<Permit, Crowded> {
        let admitted = {
            let mut state = self.0.state.lock();
            if state.waiting >= WAITING_MAX {
                return Err(Crowded);
            }
            let (waiter, admitted) = oneshot::channel();
            state.lanes[urgency as usize].push(scheduler, waiter);
            state.waiting += 1;
            admitted
        };
        self.0.changed.notify_one();
        admitted.await.map_err(|_| Crowded)
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.0.state.lock().waiting
    }

    /// The calls until now.
    pub fn counts(&self) -> CallCounts {
        let state = self.0.state.lock();
        CallCounts {
            sent: std::array::from_fn(|lane| (NAMES[lane], state.sent[lane])),
            waiting: state.waiting,
        }
    }
}

impl Shared {
    async fn admit(self: Arc<Self>) {
        loop {
            match self.clone().admit_next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => self.changed.notified().await,
            }
        }
    }

    /// Admits all that may go now; the answer is the time until the next token, `None` if tokens are not what is
    /// missing.
    fn admit_next(self: Arc<Self>) -> Option<Duration> {
        loop {
            let mut state = self.state.lock();
            state.refill(self.qps, self.burst);
            if state.waiting == 0 || state.in_flight >= self.in_flight_max {
                return None;
            }
            if state.tokens < 1.0 {
                return Some(Duration::from_secs_f64((1.0 - state.tokens) / self.qps));
            }
            let mut lanes = state.lanes.iter_mut().enumerate();
            let next = lanes.find_map(|(lane, queue)| Some((lane, queue.pop()?)));
            let (lane, waiter) = next?;
            state.waiting -= 1;
            if waiter.is_closed() {
                continue;
            }
            state.sent[lane] += 1;
            state.tokens -= 1.0;
            state.in_flight += 1;
            drop(state);
            // A permit that nobody takes is dropped here: its call is no longer in flight.
            drop(waiter.send(Permit(self.clone())));
        }
    }
}

impl State {
    fn refill(&mut self, qps: f64, burst: f64) {
        let now = Instant::now();
        let passed = now.duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + passed * qps).min(burst);
        self.refilled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    fn limiter(qps: u32, burst: u32) -> Limiter {
        Limiter::start(qps, burst, CancellationToken::new())
    }

    #[tokio::test]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let limiter = limiter(100, 20);
        let start = Instant::now();
        for number in 0..40 {
            drop(limiter.admit(&"a".into(), Urgency::Normal).await.unwrap());
            let due = 10 * u64::from(number - 19_u32.min(number));
            let early = Duration::from_millis(due.saturating_sub(1));
            assert!(start.elapsed() >= early, "{number}");
        }
    }

    #[tokio::test]
    async fn a_long_pause_allows_no_more_than_a_burst() {
        let limiter = limiter(1000, 5);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let start = Instant::now();
        for _ in 0..25 {
            drop(limiter.admit(&"a".into(), Urgency::Normal).await.unwrap());
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(19), "{took:?}");
    }

    #[tokio::test]
    async fn callers_that_went_away_take_nothing_from_the_rate() {
        let limiter = limiter(10, 1);
        let scheduler = SchedulerName::from("a");
        let admit = || limiter.admit(&scheduler, Urgency::Normal);
        drop(admit().await.unwrap());
        for _ in 0..100 {
            assert!(admit().now_or_never().is_none());
        }
        let start = Instant::now();
        drop(admit().await.unwrap());
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[tokio::test]
    async fn too_many_that_wait_are_refused_at_once() {
        let limiter = limiter(1, 1);
        let scheduler = SchedulerName::from("a");
        let admit = || limiter.admit(&scheduler, Urgency::Urgent).now_or_never();
        for _ in 0..WAITING_MAX {
            assert!(admit().is_none());
        }
        assert!(matches!(admit(), Some(Err(Crowded))));
    }

    #[tokio::test]
    async fn schedulers_take_turns_and_urgent_calls_go_first() {
        let limiter = limiter(500, 1);
        drop(
            limiter
                .admit(&"first".into(), Urgency::Normal)
                .await
                .unwrap(),
        );
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut calls = Vec::new();
        let mut queue = |name: &'static str, urgency| {
            let (limiter, order) = (limiter.clone(), order.clone());
            calls.push(tokio::spawn(async move {
                let _permit = limiter.admit(&name.into(), urgency).await.unwrap();
                order.lock().push(name);
            }));
        };
        for _ in 0..50 {
            queue("crowd", Urgency::Normal);
        }
        queue("event", Urgency::Late);
        queue("lonely", Urgency::Normal);
        queue("urgent", Urgency::Urgent);
        join_all(calls).await;
        let order = order.lock();
        let place = |name| order.iter().position(|other| *other == name).unwrap();
        assert_eq!(place("urgent"), 0, "{order:?}");
        assert!(place("lonely") <= 2, "{order:?}");
        assert_eq!(place("event"), order.len() - 1);
        let sent = [("urgent", 1), ("normal", 52), ("late", 1)];
        assert_eq!(limiter.counts(), CallCounts { sent, waiting: 0 });
    }

    #[tokio::test]
    async fn calls_in_flight_are_bounded_and_lost_callers_cost_nothing() {
        let limiter = limiter(2, 100);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(limiter.admit(&"a".into(), Urgency::Normal).await.unwrap());
        }
        let scheduler = SchedulerName::from("b");
        let fifth = limiter.admit(&scheduler, Urgency::Urgent);
        let late = tokio::time::timeout(Duration::from_millis(50), fifth).await;
        assert!(late.is_err(), "four calls are in flight");
        held.pop();
        let next = limiter.admit(&scheduler, Urgency::Urgent);
        let next = tokio::time::timeout(Duration::from_secs(9), next).await;
        assert!(next.is_ok_and(|permit| permit.is_ok()));
        assert_eq!(limiter.waiting(), 0);
    }
}
