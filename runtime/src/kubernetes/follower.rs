//! Follows one list-then-watch of pods, through all its interruptions.

use super::index::Index;
use super::lookup::Lookup;
use super::seen::SeenPod;
use super::{failure, labels, server_clock, status};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use maestro_core::domain::SchedulerName;
use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};

/// Pods in one page of a list.
const PAGE: u32 = 500;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Failures in a row after which a new list is read: a watch that broke could not be started again. The API server may
/// have been restarted on older contents, where the place in the history is one that never was.
const FAILURES_MAX: u32 = 2;
/// Refusals in a row after which the right is missing: an API server that starts does not know all rights yet.
const REFUSALS_MAX: u32 = 5;
/// How often unknown addresses of nodes are looked up again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a watch has ended.
pub enum Ended {
    /// The process may not watch this.
    Forbidden,
    /// Nobody watches the scheduler any more.
    Unwatched,
}

/// One watch: what it has listed so far, and how often it was interrupted.
pub struct Follower {
    lookup: Lookup,
    scope: Option<SchedulerName>,
    /// The API server ends each watch after this time.
    watch_timeout: Duration,
    listed: Vec<SeenPod>,
    /// The number of the last list that has begun.
    list: u64,
    /// The highest version that was seen since the last list.
    newest: u64,
    failures: u32,
    refusals: u32,
    pause: Duration,
    is_interrupted: bool,
}

/// A question for the version of the cluster's contents.
struct Probe {
    /// The highest version that was seen when it was asked: the watch goes on meanwhile.
    seen: u64,
    answer: JoinHandle<Option<u64>>,
}

enum Next {
    /// Begin with a new list.
    List,
    End(Ended),
}

impl Follower {
    /// For the pods of a scheduler, or all.
    pub fn new(lookup: Lookup, scope: Option<SchedulerName>, watch_timeout: Duration) -> Self {
        Self {
            lookup,
            scope,
            watch_timeout,
            listed: Vec::new(),
            list: 0,
            newest: 0,
            failures: 0,
            refusals: 0,
            pause: FIRST_PAUSE,
            is_interrupted: false,
        }
    }

    fn index(&self) -> &Index {
        &self.lookup.index
    }

    /// Until nobody needs it.
    pub async fn follow(mut self) -> Ended {
        loop {
            if let Next::End(ended) = self.list_and_watch().await {
                return ended;
            }
        }
    }

    async fn list_and_watch(&mut self) -> Next {
        let config = watcher::Config::default()
            .labels(labels::OUR_PODS)
            .page_size(PAGE)
            .timeout(u32::try_from(self.watch_timeout.as_secs()).unwrap_or(u32::MAX));
        let api = self.lookup.calls.watched_pods(self.scope.as_ref());
        let mut events = pin!(watcher(api, config));
        let mut looks = interval(LOOK_EVERY);
        let mut probes = every(self.watch_timeout);
        let mut probe: Option<Probe> = None;
        loop {
            tokio::select! {
                event = events.next() => {
                    let next = match event {
                        Some(Ok(event)) => { self.take(event).await; None }
                        Some(Err(error)) => self.interrupted(&error).await,
                        None => Some(Next::List),
                    };
                    if let Some(next) = next {
                        return next;
                    }
                }
                _ = looks.tick() => {
                    self.lookup.ask_for_nodes();
                    self.lookup.ask_for_dead_nodes();
                    let scope = self.scope.as_ref();
                    if scope.is_some_and(|one| !self.index().feeds().is_watched(one)) {
                        return Next::End(Ended::Unwatched);
                    }
                }
                _ = probes.tick(), if probe.is_none() => {
                    probe = Some(Probe {
                        seen: self.newest,
                        answer: self.lookup.version(self.scope.as_ref()),
                    });
                }
                version = answer_of(&mut probe) => {
                    let seen = probe.take().map_or(0, |probe| probe.seen);
                    // After a restore of etcd a watch from a place in the lost future is silent, until its contents
                    // have grown to that place again.
                    if version.is_some_and(|version| version < self.newest.min(seen)) {
                        tracing::warn!("the contents of the cluster are older than before, as after a restore: pods are listed anew");
                        return Next::List;
                    }
                }
            }
        }
    }

    async fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => {
                self.listed.clear();
                self.newest = 0;
                self.list = self.index().begin_list();
                return;
            }
            Event::InitApply(pod) => {
                if let Some(seen) = self.seen(&pod) {
                    self.listed.push(seen);
                }
                return;
            }
            Event::InitDone => self.list_is_complete().await,
            Event::Apply(pod) => {
                self.refusals = 0;
                if let Some(seen) = self.seen(&pod) {
                    let is_bound = seen.node.is_some();
                    let instance = self.index().apply(seen, false);
                    if is_bound && instance.address.is_none() {
                        self.lookup.ask_for_nodes();
                    }
                }
            }
            Event::Delete(pod) => {
                if let Some(seen) = self.seen(&pod) {
                    let (scheduler, instance) = (&seen.scheduler, &seen.instance);
                    let exit = status::exit(&pod);
                    self.index()
                        .gone(scheduler, &instance.room, &instance.uid, exit);
                }
            }
        }
        self.pause = FIRST_PAUSE;
        self.failures = 0;
        if std::mem::take(&mut self.is_interrupted) {
            tracing::info!("the watch of pods goes on");
        }
    }

    fn seen(&mut self, pod: &Pod) -> Option<SeenPod> {
        if let Some(stamp) = server_clock::stamp(pod) {
            self.index().heard(stamp);
        }
        let seen = SeenPod::of(pod)?;
        self.newest = self.newest.max(seen.instance.resource_version);
        Some(seen)
    }

    async fn list_is_complete(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        self.lookup.nodes_of(&listed).await;
        tracing::debug!(pods = listed.len(), "the list of pods is complete");
        let scope = self.scope.as_ref();
        for key in self.index().replace(scope, listed, self.list) {
            self.lookup.pod(key);
        }
        self.lookup.ask_for_nodes();
    }

    /// Waits before the next try; the answer is what to do if the same place in the history is of no use.
    async fn interrupted(&mut self, error: &watcher::Error) -> Option<Next> {
        if self.scope.is_none() && answer(error) == Some(403) {
            self.refusals += 1;
            if self.refusals >= REFUSALS_MAX {
                return Some(Next::End(Ended::Forbidden));
            }
            tokio::time::sleep(self.next_pause()).await;
            return Some(Next::List);
        }
        // The API server no longer has the history since then, which happens at any time.
        if answer(error) == Some(410) {
            tokio::time::sleep(self.next_pause()).await;
            return Some(Next::List);
        }
        // Told once: what follows is the same outage.
        if !std::mem::replace(&mut self.is_interrupted, true) {
            let scheduler = self.scope.as_ref().map(tracing::field::display);
            let why = reason(error);
            tracing::warn!(
                scheduler_name = scheduler,
                %why,
                "the watch of pods is interrupted; rooms keep being served, and nothing is concluded until it goes on"
            );
        }
        tokio::time::sleep(self.next_pause()).await;
        self.failures += 1;
        self.failures
            .is_multiple_of(FAILURES_MAX)
            .then_some(Next::List)
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn answer_of(probe: &mut Option<Probe>) -> Option<u64> {
    match probe {
        Some(asked) => (&mut asked.answer).await.unwrap_or(None),
        None => std::future::pending().await,
    }
}

/// The code of the API server's answer.
fn answer(error: &watcher::Error) -> Option<u16> {
    use watcher::Error::*;
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => Some(status.code),
        WatchError(status) => Some(status.code),
        _ => None,
    }
}

fn reason(error: &watcher::Error) -> String {
    use watcher::Error::*;
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => {
            failure::chain(error)
        }
        WatchError(status) => status.message.clone(),
        NoResourceVersion => error.to_string(),
    }
}
