//! One task for each version that is watched: it asks the source once per tick, however many watch, and passes each
//! round to all of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;
use maestro_core::ports::{Usage, Window};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::service::shared_tasks::{Common, Share, SharedTasks};
use crate::{ApiResult, Status};

/// Rounds that a watcher may leave unread. It is cut in the next one.
const UNREAD_MAX: u64 = 2;
/// Samples of one question: after a long failure, older ones are left to whoever asks for them.
const SAMPLES_MAX: i64 = 1_000;
/// Different first questions that are remembered until the next tick.
const FIRSTS_MAX: usize = 64;

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watched {
    pub scheduler: String,
    pub version: String,
    /// Seconds, not zero.
    pub step: u64,
}

/// Asks what a version used.
pub type Ask = dyn Fn(&Watched, Window) -> BoxFuture<'static, ApiResult<Vec<Usage>>> + Send + Sync;
type Answer = Shared<BoxFuture<'static, ApiResult<Arc<[Usage]>>>>;

/// All watches of a node.
pub struct Feeds {
    ask: Box<Ask>,
    now: fn() -> Timestamp,
    interval: Duration,
    tasks: Arc<SharedTasks<Watched, Feed>>,
}

/// What the watchers of one version share.
#[derive(Default)]
pub struct Feed {
    rounds: watch::Sender<Arc<Round>>,
    /// First questions that were asked since the last tick, by their begin and number of samples: clients that begin
    /// together ask the same.
    firsts: Mutex<HashMap<(Timestamp, usize), Answer>>,
    watchers: Mutex<Vec<Arc<Watcher>>>,
}

impl Common for Feed {
    type End = ();

    fn ended(&self, (): ()) {}
}

/// The outcome of a tick.
#[derive(Debug, Default)]
pub struct Round {
    /// From 1.
    pub number: u64,
    /// Whether the source was asked: a step may be longer than a tick.
    pub asked: bool,
    /// Those of this round and of the ones before it that a watcher may not have read.
    pub samples: Vec<Usage>,
    pub failed: Option<Status>,
}

/// How far one watcher has read.
#[derive(Default)]
pub struct Watcher {
    /// The round in which it was last given something, until it asks for more; 0 while it waits for us.
    given_in: AtomicU64,
    cut: AtomicBool,
    pending: Mutex<VecDeque<Usage>>,
}

/// The membership of a watcher.
pub struct Member {
    feeds: Arc<Feeds>,
    watched: Watched,
    share: Share<Watched, Feed>,
    pub watcher: Arc<Watcher>,
}

impl Feeds {
    /// Asks every `interval`, for at most `places` watchers.
    pub fn new(
        ask: Box<Ask>,
        now: fn() -> Timestamp,
        interval: Duration,
        places: usize,
        io: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            ask,
            now,
            interval,
            tasks: SharedTasks::new("watches", places, io),
        })
    }

    /// Adds a watcher, and begins to ask if it is the first.
    pub fn join(self: &Arc<Self>, watched: Watched) -> ApiResult<Member> {
        let (feeds, of) = (self.clone(), watched.clone());
        let asking = |feed: Arc<Feed>| async move { ask_each_tick(&feeds, &of, &feed).await };
        let share = self.tasks.join(watched.clone(), asking)?;
        let watcher = Arc::new(Watcher::default());
        share.common().watchers.lock().push(watcher.clone());
        Ok(Member {
            feeds: self.clone(),
            watched,
            share,
            watcher,
        })
    }

    /// The current time in whole seconds, as clients write it.
    pub fn now(&self) -> Timestamp {
        let now = (self.now)();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// Ends all watches and their tasks.
    pub async fn close(&self) {
        self.tasks.close().await;
    }

    /// Tasks that have not ended.
    #[cfg(test)]
    pub fn tasks(&self) -> usize {
        self.tasks.count()
    }
}

impl Feed {
    fn number(&self) -> u64 {
        self.rounds.borrow().number
    }

    /// Publishes a round, and cuts whoever has not read those before it.
    fn publish(&self, round: Round) {
        let number = round.number;
        self.firsts.lock().clear();
        for watcher in &*self.watchers.lock() {
            watcher.ages(number);
        }
        self.rounds.send_replace(Arc::new(round));
    }
}

impl Watcher {
    fn ages(&self, number: u64) {
        let given_in = self.given_in.load(Relaxed);
        if given_in > 0 && number - given_in >= UNREAD_MAX {
            self.cut.store(true, Relaxed);
            *self.pending.lock() = VecDeque::new();
        }
    }

    /// Whether it did not read, and was given up.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    /// It asks for more.
    pub fn asks(&self) {
        self.given_in.store(0, Relaxed);
    }

    /// The oldest samples that it has not read, `most` at a time.
    pub fn take(&self, most: usize) -> Vec<Usage> {
        let mut pending = self.pending.lock();
        let most = most.min(pending.len());
        pending.drain(..most).collect()
    }

    pub fn keep(&self, samples: impl Iterator<Item = Usage>) {
        self.pending.lock().extend(samples);
    }
}

impl Member {
    /// The rounds from now on.
    pub fn rounds(&self) -> watch::Receiver<Arc<Round>> {
        self.share.common().rounds.subscribe()
    }

    /// It is given something: until it asks for more, its rounds are counted.
    pub fn gives(&self) {
        self.watcher
            .given_in
            .store(self.share.common().number().max(1), Relaxed);
    }

    /// The samples until now of a watch that begins. Watches that begin together ask once.
    pub async fn first(&self, window: Window) -> ApiResult<Arc<[Usage]>> {
        let key = (window.from, window.times().count());
        let answer = {
            let mut firsts = self.share.common().firsts.lock();
            if firsts.len() == FIRSTS_MAX && !firsts.contains_key(&key) {
                firsts.clear();
            }
            let ask = || {
                let answer = (self.feeds.ask)(&self.watched, window);
                answer.map(|answer| answer.map(Arc::from)).boxed().shared()
            };
            firsts.entry(key).or_insert_with(ask).clone()
        };
        answer.await
    }

    /// See [`Feeds::now`].
    pub fn now(&self) -> Timestamp {
        self.feeds.now()
    }

    /// Completes when the node shuts down.
    pub async fn ended(&self) -> Status {
        self.share.ended().await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut watchers = self.share.common().watchers.lock();
        watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
    }
}

/// The last time on the grid of whole steps, so that all watchers of one step share their samples.
fn last_due(now: Timestamp, step: i64) -> Timestamp {
    let second = now.as_second();
    Timestamp::from_second(second - second.rem_euclid(step)).unwrap_or(now)
}

async fn ask_each_tick(feeds: &Feeds, watched: &Watched, feed: &Feed) {
    let step = i64::try_from(watched.step).unwrap_or(i64::MAX).max(1);
    let mut ticks = interval_at(Instant::now() + feeds.interval, feeds.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known_to = last_due(feeds.now(), step);
    let mut recent: VecDeque<Vec<Usage>> = VecDeque::new();
    for number in 1.. {
        ticks.tick().await;
        let due = last_due(feeds.now(), step);
        let mut failed = None;
        let asked = due > known_to;
        if asked {
            let steps = (due.as_second() - known_to.as_second()) / step;
            let oldest = due.as_second() - (steps.min(SAMPLES_MAX) - 1) * step;
            let window = Window {
                from: Timestamp::from_second(oldest).unwrap_or(due),
                to: due,
                step: Duration::from_secs(watched.step),
            };
            match (feeds.ask)(watched, window).await {
                Ok(samples) => {
                    known_to = due;
                    recent.push_back(or_zero(samples, due));
                }
                Err(status) => failed = Some(status),
            }
        } else {
            recent.push_back(Vec::new());
        }
        while recent.len() as u64 > UNREAD_MAX + 1 {
            recent.pop_front();
        }
        feed.publish(Round {
            number,
            asked,
            samples: recent.iter().flatten().copied().collect(),
            failed,
        });
    }
}

/// A version of which nothing is known uses nothing: a graph goes on.
pub fn or_zero(samples: Vec<Usage>, at: Timestamp) -> Vec<Usage> {
    match samples.is_empty() {
        false => samples,
        true => vec![Usage {
            at,
            cores: 0.0,
            bytes: 0.0,
        }],
    }
}
