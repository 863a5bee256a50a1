//! The rate limit of calls to the API server: a token bucket that is fair among schedulers.
//!
//! A process has thousands of schedulers and one budget of calls. Each scheduler has a queue of its own, and the queues
//! are served in turn, so that a thousand creations of one scheduler do not hold up another's deletion. Urgent calls
//! go first, but for one in eight: budgets that change all the time hold up no room for ever. Calls in flight are
//! bounded too: a slow API server gets no pile of calls.
//!
//! What has a deadline waits for its turn before that begins: a [`Leave`] is the turn of a call that is made later.

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
/// One in so many calls is the turn of those that are not urgent.
const FLOOR: u64 = 8;

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

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many are waiting.
    Crowded,
    /// The limiter has ended.
    Stopped,
}

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
    /// Those that were given, with the leaves that were not used.
    turns: u64,
    in_flight: usize,
    tokens: f64,
    refilled: Instant,
    is_over: bool,
}

/// The queues of one urgency; `turns` names each scheduler that has one, once.
#[derive(Default)]
struct Lane {
    turns: VecDeque<SchedulerName>,
    queues: HashMap<SchedulerName, VecDeque<oneshot::Sender<Permit>>>,
    leaves: HashMap<SchedulerName, Leaves>,
}

/// The leaves of one scheduler: which of its calls has which of them is all the same.
#[derive(Default)]
struct Leaves {
    held: usize,
    unused: usize,
}

impl Lane {
    fn take_leave(&mut self, scheduler: &SchedulerName) -> bool {
        let leaves = self.leaves.get_mut(scheduler);
        let unused = leaves.map(|leaves| &mut leaves.unused);
        let taken = unused.and_then(|unused| unused.checked_sub(1).map(|left| *unused = left));
        taken.is_some()
    }

    fn give_leave(&mut self, scheduler: &SchedulerName) {
        let leaves = self.leaves.entry(scheduler.clone()).or_default();
        leaves.held += 1;
        leaves.unused += 1;
    }

    /// Whether there is one now that nobody will use.
    fn end_leave(&mut self, scheduler: &SchedulerName) -> bool {
        let Some(leaves) = self.leaves.get_mut(scheduler) else {
            return false;
        };
        leaves.held -= 1;
        let is_unused = leaves.unused > leaves.held;
        leaves.unused = leaves.unused.min(leaves.held);
        if leaves.held == 0 {
            self.leaves.remove(scheduler);
        }
        is_unused
    }

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
pub struct Permit(Option<Arc<Shared>>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.state.lock().in_flight -= 1;
            shared.changed.notify_one();
        }
    }
}

/// The turn of a call that is not made yet: the next one of this scheduler and urgency need not wait. Dropped without
/// that, it costs nothing.
pub struct Leave {
    shared: Arc<Shared>,
    scheduler: SchedulerName,
    urgency: Urgency,
}

impl Drop for Leave {
    fn drop(&mut self) {
        let lane = self.urgency as usize;
        let mut state = self.shared.state.lock();
        if state.lanes[lane].end_leave(&self.scheduler) {
            state.tokens += 1.0;
            state.in_flight -= 1;
            drop(state);
            self.shared.changed.notify_one();
        }
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
                turns: 0,
                in_flight: 0,
                tokens: f64::from(burst),
                refilled: Instant::now(),
                is_over: false,
            }),
            changed: Notify::new(),
            qps: f64::from(qps),
            burst: f64::from(burst),
            in_flight_max: (qps as usize).saturating_mul(2),
        });
        let limiter = shared.clone();
        tokio::spawn(async move {
            let admit = limiter.clone().admit();
            let _ = stopping.run_until_cancelled(admit).await;
            let mut state = limiter.state.lock();
            state.is_over = true;
            // Whoever waits is told.
            let queues = state.lanes.iter_mut().map(|lane| {
                lane.turns.clear();
                std::mem::take(&mut lane.queues)
            });
            let queues: Vec<_> = queues.collect();
            state.waiting = 0;
            drop(state);
            drop(queues);
        });
        Self(shared)
    }

    /// Waits for the scheduler's turn, unless it has a leave. A caller that goes away gives its turn to the next.
    ///
    /// # Errors
    /// If too many calls wait, or the limiter has ended.
    pub async fn admit(
        &self,
        scheduler: &SchedulerName,
        urgency: Urgency,
    ) -> Result<Permit, Refused> {
        let lane = urgency as usize;
        let has_leave = self.0.state.lock().lanes[lane].take_leave(scheduler);
        let permit = match has_leave {
            true => Permit(Some(self.0.clone())),
            false => self.wait(scheduler, urgency).await?,
        };
        self.0.state.lock().sent[lane] += 1;
        Ok(permit)
    }

    /// As [`Self::admit`], for a call that is made later.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn leave(
        &self,
        scheduler: &SchedulerName,
        urgency: Urgency,
    ) -> Result<Leave, Refused> {
        let mut permit = self.wait(scheduler, urgency).await?;
        let shared = permit.0.take().ok_or(Refused::Stopped)?;
        shared.state.lock().lanes[urgency as usize].give_leave(scheduler);
        Ok(Leave {
            shared,
            scheduler: scheduler.clone(),
            urgency,
        })
    }

    async fn wait(&self, scheduler: &SchedulerName, urgency: Urgency) -> Result<Permit, Refused> {
        let admitted = {
            let mut state = self.0.state.lock();
            if state.is_over {
                return Err(Refused::Stopped);
            }
            if state.waiting >= WAITING_MAX {
                return Err(Refused::Crowded);
            }
            let (waiter, admitted) = oneshot::channel();
            state.lanes[urgency as usize].push(scheduler, waiter);
            state.waiting += 1;
            admitted
        };
        self.0.changed.notify_one();
        admitted.await.map_err(|_| Refused::Stopped)
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.0.state.lock().waiting
    }

    /// Whether calls wait because others have been made.
    pub fn is_behind(&self) -> bool {
        let state = self.0.state.lock();
        state.waiting > 0 && (state.tokens < 1.0 || state.in_flight >= self.0.in_flight_max)
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
            let waiter = state.next()?;
            state.waiting -= 1;
            if waiter.is_closed() {
                continue;
            }
            state.turns += 1;
            state.tokens -= 1.0;
            state.in_flight += 1;
            drop(state);
            // A permit that nobody takes is dropped here: its call is no longer in flight.
            drop(waiter.send(Permit(Some(self.clone()))));
        }
    }
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        let order = match self.turns % FLOOR == FLOOR - 1 {
            true => [1, 0, 2],
            false => [0, 1, 2],
        };
        let mut order = order.into_iter();
        order.find_map(|lane| self.lanes[lane].pop())
    }

    fn refill(&mut self, qps: f64, burst: f64) {
        let now = Instant::now();
        let passed = now.duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + passed * qps).min(burst);
        self.refilled = now;
    }
}

#[cfg(test)]
mod tests;
