//! What watchers receive: the instances of each scheduler as last observed, and the events between
//! one observation and the next.
//!
//! This is what owners of schedulers are told, and nothing else: whether a room runs is up to who observes it (the
//! supervisor of a process, the table of simulated rooms), which alone writes here. An instance is forgotten with its
//! end, a scheduler with its last instance and its last watch.

use futures_util::stream::{self, BoxStream, StreamExt};
use maestro_core::{domain::*, ports::RuntimeEvent};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
};
use tokio_util::sync::CancellationToken;

/// How many events a watcher may lag behind by default; a slower one gets a new list instead.
const BEHIND_MAX: usize = 256;

pub struct Feeds {
    state: Mutex<State>,
    /// A list became complete.
    completed: Notify,
    stopping: CancellationToken,
}

struct State {
    schedulers: HashMap<SchedulerName, Feed>,
    /// Of the newest observation.
    resource_version: u64,
    behind_max: usize,
    complete: Complete,
    /// Only schedulers that are watched are listed.
    lists_each: bool,
    /// Of the last scheduler whose first watch began.
    last_term: u64,
}

/// Of which schedulers all instances are known. Watches of the others wait: what is missing would count as ended.
enum Complete {
    All,
    Only(HashSet<SchedulerName>),
}

impl Complete {
    fn has(&self, scheduler: &SchedulerName) -> bool {
        match self {
            Self::All => true,
            Self::Only(known) => known.contains(scheduler),
        }
    }
}

#[derive(Default)]
struct Feed {
    instances: BTreeMap<RoomId, Instance>,
    watchers: Vec<Watcher>,
    /// Number of watches, also of those that wait for the first list.
    watches: usize,
    /// Differs for each time between the first watch and the end of the last.
    term: u64,
}

/// The sending side of a watch. Its queue allocates only for waiting events: thousands of
/// schedulers are watched, and nearly all of them are quiet.
struct Watcher {
    events: mpsc::Sender<RuntimeEvent>,
    /// Set once when the queue was full; the watch begins again with the list.
    behind: Arc<AtomicBool>,
}

impl Feed {
    /// Watchers that are gone, or too far behind, get no more events.
    fn tell(&mut self, event: &RuntimeEvent) {
        self.watchers
            .retain(|watcher| match watcher.events.try_send(event.clone()) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    watcher.behind.store(true, Ordering::Release);
                    false
                }
                Err(TrySendError::Closed(_)) => false,
            });
    }

    /// All watches begin again with the list.
    fn list_again(&mut self) {
        for watcher in self.watchers.drain(..) {
            watcher.behind.store(true, Ordering::Release);
        }
    }

    fn is_unused(&self) -> bool {
        self.instances.is_empty() && self.watches == 0
    }
}

impl Feeds {
    /// `resource_version` must be at least that of every observation reported before.
    pub fn new(resource_version: u64, stopping: CancellationToken) -> Self {
        Self {
            state: Mutex::new(State {
                schedulers: HashMap::new(),
                resource_version,
                behind_max: BEHIND_MAX,
                complete: Complete::All,
                lists_each: false,
                last_term: 0,
            }),
            completed: Notify::new(),
            stopping,
        }
    }

    /// For rooms that change faster than a default watcher can follow.
    pub fn behind_max(self, events: usize) -> Self {
        self.state.lock().behind_max = events;
        self
    }

    /// For instances that are observed from afar: watches wait until [`Self::replace`] has told which ones there are.
    pub fn incomplete(self) -> Self {
        self.state.lock().complete = Complete::Only(HashSet::new());
        self
    }

    /// Tells the watchers about an instance that has a resource version of its own.
    pub fn report(&self, scheduler: &SchedulerName, instance: Instance) {
        let mut state = self.state.lock();
        let feed = state.feed(scheduler);
        let known = feed.instances.get(&instance.room);
        if known == Some(&instance) {
            return;
        }
        feed.instances
            .insert(instance.room.clone(), instance.clone());
        feed.tell(&RuntimeEvent::Changed(instance));
    }

    /// The complete list of one scheduler's instances, or of all: it replaces what was known, and every watch begins
    /// again with it.
    pub fn replace(
        &self,
        scope: Option<&SchedulerName>,
        instances: impl IntoIterator<Item = (SchedulerName, Instance)>,
    ) {
        let mut state = self.state.lock();
        let is_in_scope = |name: &SchedulerName| scope.is_none_or(|scope| scope == name);
        for (name, feed) in &mut state.schedulers {
            if is_in_scope(name) {
                feed.instances.clear();
                feed.list_again();
            }
        }
        for (scheduler, instance) in instances {
            let feed = state.feed(&scheduler);
            feed.instances.insert(instance.room.clone(), instance);
        }
        match (scope, &mut state.complete) {
            (None, complete) => *complete = Complete::All,
            (Some(scheduler), Complete::Only(known)) => drop(known.insert(scheduler.clone())),
            (Some(_), Complete::All) => {}
        }
        state.schedulers.retain(|_, feed| !feed.is_unused());
        drop(state);
        self.completed.notify_waiters();
    }

    /// Nobody lists this scheduler's instances any more: whoever watches it next waits until somebody does.
    pub fn forget(&self, scheduler: &SchedulerName) {
        let mut state = self.state.lock();
        if let Complete::Only(known) = &mut state.complete {
            known.remove(scheduler);
        }
        if let Some(feed) = state.schedulers.get_mut(scheduler) {
            feed.instances.clear();
            feed.list_again();
        }
        state.drop_if_unused(scheduler);
    }

    /// The instances of all are listed no more: each scheduler's own list decides from now on. Watches that have begun
    /// go on until it comes. The answer: the schedulers that are watched; what is known of others is forgotten.
    pub fn list_each(&self) -> HashSet<SchedulerName> {
        let mut state = self.state.lock();
        state.complete = Complete::Only(HashSet::new());
        state.lists_each = true;
        state.schedulers.retain(|_, feed| feed.watches > 0);
        state.schedulers.keys().cloned().collect()
    }

    /// Whether somebody watches the scheduler.
    pub fn is_watched(&self, scheduler: &SchedulerName) -> bool {
        let state = self.state.lock();
        let feed = state.schedulers.get(scheduler);
        feed.is_some_and(|feed| feed.watches > 0)
    }

    /// Whether what is told of the scheduler's instances will be corrected: they are listed, or are going to be.
    pub fn is_followed(&self, scheduler: &SchedulerName) -> bool {
        let state = self.state.lock();
        let feed = state.schedulers.get(scheduler);
        let is_watched = feed.is_some_and(|feed| feed.watches > 0);
        !state.lists_each || is_watched || state.complete.has(scheduler)
    }

    /// Differs whenever all watches of the scheduler have ended in between; `None` while nobody watches it.
    pub fn term(&self, scheduler: &SchedulerName) -> Option<u64> {
        let state = self.state.lock();
        let feed = state.schedulers.get(scheduler)?;
        (feed.watches > 0).then_some(feed.term)
    }

    /// Gives the instance the next resource version and tells the watchers.
    pub fn observe(&self, scheduler: &SchedulerName, mut instance: Instance) -> Instance {
        let mut state = self.state.lock();
        state.resource_version += 1;
        instance.resource_version = state.resource_version;
        let feed = state.feed(scheduler);
        feed.instances
            .insert(instance.room.clone(), instance.clone());
        feed.tell(&RuntimeEvent::Changed(instance.clone()));
        instance
    }

    pub fn gone(&self, scheduler: &SchedulerName, room: &RoomId, exit: Exit) {
        self.end(scheduler, room, Some(exit));
    }

    /// As [`Self::gone`]; `None`: nobody knows how it ended.
    pub fn end(&self, scheduler: &SchedulerName, room: &RoomId, exit: Option<Exit>) {
        let mut state = self.state.lock();
        let Some(feed) = state.schedulers.get_mut(scheduler) else {
            return;
        };
        let Some(instance) = feed.instances.remove(room) else {
            return;
        };
        feed.tell(&RuntimeEvent::Gone {
            room: room.clone(),
            uid: instance.uid,
            exit,
        });
        state.drop_if_unused(scheduler);
    }

    pub fn instance(&self, scheduler: &SchedulerName, room: &RoomId) -> Option<Instance> {
        let state = self.state.lock();
        let feed = state.schedulers.get(scheduler)?;
        feed.instances.get(room).cloned()
    }

    pub fn watch(self: &Arc<Self>, scheduler: &SchedulerName) -> BoxStream<'static, RuntimeEvent> {
        self.state.lock().begin_watch(scheduler);
        let watch = Watch {
            feeds: self.clone(),
            scheduler: scheduler.clone(),
            subscription: None,
        };
        stream::unfold(watch, |mut watch| async move {
            let event = watch.next().await?;
            Some((event, watch))
        })
        .boxed()
    }

    /// `None`: ends before there is a complete list.
    async fn wait_until_complete(&self, scheduler: &SchedulerName) -> Option<()> {
        loop {
            let completed = self.completed.notified();
            if self.state.lock().complete.has(scheduler) {
                return Some(());
            }
            self.stopping.run_until_cancelled(completed).await?;
        }
    }

    /// List and subscription under one lock, so that no event is lost between them.
    fn list(&self, scheduler: &SchedulerName) -> (RuntimeEvent, Subscription) {
        let mut state = self.state.lock();
        let (sender, events) = mpsc::channel(state.behind_max);
        let behind = Arc::new(AtomicBool::new(false));
        let feed = state.feed(scheduler);
        let instances = feed.instances.values().cloned().collect();
        feed.watchers.retain(|watcher| !watcher.events.is_closed());
        feed.watchers.push(Watcher {
            events: sender,
            behind: behind.clone(),
        });
        (
            RuntimeEvent::Listed(instances),
            Subscription { events, behind },
        )
    }
}

impl State {
    fn feed(&mut self, scheduler: &SchedulerName) -> &mut Feed {
        self.schedulers.entry(scheduler.clone()).or_default()
    }
    fn begin_watch(&mut self, scheduler: &SchedulerName) {
        let term = self.last_term + 1;
        let feed = self.feed(scheduler);
        feed.watches += 1;
        if feed.watches == 1 {
            feed.term = term;
            self.last_term = term;
        }
    }
    fn drop_if_unused(&mut self, scheduler: &SchedulerName) {
        if self.schedulers.get(scheduler).is_some_and(Feed::is_unused) {
            self.schedulers.remove(scheduler);
        }
    }
}

/// The receiving side of a watch, from one list to the next.
struct Subscription {
    events: mpsc::Receiver<RuntimeEvent>,
    behind: Arc<AtomicBool>,
}

struct Watch {
    feeds: Arc<Feeds>,
    scheduler: SchedulerName,
    subscription: Option<Subscription>,
}

impl Watch {
    async fn next(&mut self) -> Option<RuntimeEvent> {
        if let Some(Subscription { events, behind }) = &mut self.subscription {
            if !behind.load(Ordering::Acquire) {
                let received = tokio::select! {
                    biased;
                    event = events.recv() => event,
                    () = self.feeds.stopping.cancelled() => return None,
                };
                if received.is_some() {
                    return received;
                }
                // The sender is dropped only when this side was too far behind.
            }
            tracing::debug!(scheduler_name = %self.scheduler, "a slow watch is given a new list");
        } else if self.feeds.stopping.is_cancelled() {
            return None;
        }
        self.feeds.wait_until_complete(&self.scheduler).await?;
        let (listed, subscription) = self.feeds.list(&self.scheduler);
        self.subscription = Some(subscription);
        Some(listed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.subscription = None;
        let mut state = self.feeds.state.lock();
        if let Some(feed) = state.schedulers.get_mut(&self.scheduler) {
            feed.watches = feed.watches.saturating_sub(1);
        }
        state.drop_if_unused(&self.scheduler);
    }
}

#[cfg(test)]
impl Feeds {
    pub fn is_empty(&self) -> bool {
        self.state.lock().schedulers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(room: &str, status: InstanceStatus) -> Instance {
        Instance {
            room: room.into(),
            uid: format!("uid-{room}"),
            version: SchedulerVersion::initial(),
            validation: false,
            status,
            description: String::new(),
            restarting: None,
            trouble: None,
            address: None,
            resource_version: 0,
        }
    }

    #[tokio::test]
    async fn a_watch_begins_with_the_list_and_goes_on_in_order() {
        let feeds = Arc::new(Feeds::new(7, CancellationToken::new()));
        let scheduler = SchedulerName::from("s");
        feeds.observe(&scheduler, instance("a", InstanceStatus::Ready));
        let mut watch = feeds.watch(&scheduler);
        assert!(
            matches!(watch.next().await, Some(RuntimeEvent::Listed(list)) if list.len() == 1 && list[0].resource_version == 8)
        );
        feeds.observe(&scheduler, instance("a", InstanceStatus::Terminating));
        feeds.gone(&scheduler, &"a".into(), Exit::default());
        assert!(
            matches!(watch.next().await, Some(RuntimeEvent::Changed(i)) if i.resource_version == 9)
        );
        assert!(
            matches!(watch.next().await, Some(RuntimeEvent::Gone { uid, .. }) if uid == "uid-a")
        );
    }

    #[tokio::test]
    async fn a_watch_that_is_too_slow_is_given_a_new_list() {
        let feeds = Arc::new(Feeds::new(0, CancellationToken::new()));
        let scheduler = SchedulerName::from("s");
        let mut watch = feeds.watch(&scheduler);
        assert_eq!(watch.next().await, Some(RuntimeEvent::Listed(vec![])));
        for number in 0..=BEHIND_MAX {
            feeds.observe(
                &scheduler,
                instance(&format!("r{number:03}"), InstanceStatus::Ready),
            );
        }
        assert!(
            matches!(watch.next().await, Some(RuntimeEvent::Listed(list)) if list.len() == BEHIND_MAX + 1)
        );
    }

    #[tokio::test]
    async fn when_not_all_are_listed_any_more_each_list_decides() {
        let feeds = Arc::new(Feeds::new(0, CancellationToken::new()).incomplete());
        let (watched, other) = (SchedulerName::from("s"), SchedulerName::from("t"));
        let mut watch = feeds.watch(&watched);
        feeds.replace(None, []);
        assert_eq!(watch.next().await, Some(RuntimeEvent::Listed(vec![])));
        feeds.observe(&other, instance("a", InstanceStatus::Ready));
        assert_eq!(feeds.list_each(), HashSet::from([watched.clone()]));
        assert_eq!(feeds.instance(&other, &"a".into()), None);
        // It goes on, and who comes now waits.
        feeds.observe(&watched, instance("b", InstanceStatus::Ready));
        assert!(matches!(watch.next().await, Some(RuntimeEvent::Changed(_))));
        let mut late = [feeds.watch(&watched), feeds.watch(&other)];
        for late in &mut late {
            assert!(futures_util::poll!(late.next()).is_pending());
        }
        let listed = [(watched.clone(), instance("c", InstanceStatus::Ready))];
        feeds.replace(Some(&watched), listed);
        assert!(
            matches!(late[0].next().await, Some(RuntimeEvent::Listed(list)) if list.len() == 1)
        );
        assert!(futures_util::poll!(late[1].next()).is_pending());
        feeds.forget(&watched);
        let mut last = feeds.watch(&watched);
        assert!(futures_util::poll!(last.next()).is_pending());
        assert_eq!(feeds.instance(&watched, &"c".into()), None);
    }

    #[tokio::test]
    async fn a_watch_ends_at_shutdown_and_leaves_nothing_behind() {
        let stopping = CancellationToken::new();
        let feeds = Arc::new(Feeds::new(0, stopping.clone()));
        let mut watch = feeds.watch(&"s".into());
        assert!(watch.next().await.is_some());
        stopping.cancel();
        assert_eq!(watch.next().await, None);
        drop(watch);
        assert!(feeds.is_empty());
    }

    #[tokio::test]
    async fn schedulers_come_and_go_without_a_trace() {
        let feeds = Arc::new(Feeds::new(0, CancellationToken::new()));
        for number in 0..1_000 {
            let scheduler = SchedulerName::from(format!("s{number}"));
            let mut watch = feeds.watch(&scheduler);
            feeds.observe(&scheduler, instance("a", InstanceStatus::Ready));
            assert!(watch.next().await.is_some());
            // The owner may leave before its last room, or after it.
            if number % 2 == 0 {
                drop(watch);
                feeds.gone(&scheduler, &"a".into(), Exit::default());
            } else {
                feeds.gone(&scheduler, &"a".into(), Exit::default());
                drop(watch);
            }
            feeds.gone(&scheduler, &"a".into(), Exit::default());
            assert_eq!(feeds.instance(&scheduler, &"a".into()), None);
            assert!(feeds.is_empty(), "{scheduler}");
        }
    }
}
