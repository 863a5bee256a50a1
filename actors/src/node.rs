//! One node's actors: started together, reached through one handle, shut down in order.

mod cluster;
#[cfg(feature = "faults")]
mod faults;
mod operations;
mod overview;
mod rooms;
mod runtimes;

pub use overview::{Nodes, Remembered};

use crate::catalog::Catalog;
use crate::debug::{ActorView, DebugView, turn_of, turn_times, view_of};
use crate::directory::Directory;
use crate::error::CallError;
use crate::gauge::{Gauge, Totals};
use crate::handle::SchedulerHandle;
use crate::messages::Control;
use crate::order::Order;
use crate::owner_status::Live;
use crate::parts::NodeParts;
use crate::restart::{RestartLog, RestartView};
use crate::supervisor::SupervisorActor;
use crate::supervisor_messages::{Notice, SupervisorLink};
use crate::threads::{self, Threads};
use actix::prelude::*;
use futures_util::StreamExt;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Feed, FeedEvent, Outage};
use maestro_core::state::{Ping, Refusal, RefusalKind, Reply, refuse_unknown};
use parking_lot::Mutex;
use prometheus::proto::MetricFamily;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

/// Maximum number of names that are looked up in the store at the same time.
const LOOK_UPS_MAX: usize = 16;
/// Interval at which [`Node::loaded`] checks the schedulers.
const LOAD_LOOK: Duration = Duration::from_millis(5);
/// A reload continues even if its caller stops waiting.
const RELOAD_MAX: Duration = Duration::from_secs(15);

/// The actors of this node. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    directory: Directory,
    catalog: Catalog,
    supervisor: SupervisorLink,
    supervisor_restarts: Arc<Mutex<RestartLog>>,
    /// Cloned with each handle of the node, and therefore shared.
    pub(crate) parts: Arc<NodeParts>,
    look_ups: Arc<Semaphore>,
    background: TaskTracker,
    stop: CancellationToken,
}

impl Node {
    /// Starts the actors. Must be called on the thread of a running actix system.
    pub fn start(parts: NodeParts) -> Self {
        let directory = Directory::default();
        let threads = Threads::start(parts.settings.threads);
        let catalog = Catalog::new(&parts);
        let supervisor_restarts = Arc::new(Mutex::new(RestartLog::default()));
        let supervisor = {
            let (parts, directory, threads) = (parts.clone(), directory.clone(), threads.clone());
            let (gauge, restarts) = (Arc::new(Gauge::new()), supervisor_restarts.clone());
            let seen = gauge.clone();
            // The supervisor has a thread of its own, so that no owner can block it.
            let own = threads::arbiter(parts.settings.threads > 0);
            let addr = SupervisorActor::start_in_arbiter(&own, move |context| {
                let to = context.address().recipient();
                let link = SupervisorLink { to, gauge: seen };
                SupervisorActor::new(parts, directory, threads, restarts, link)
            });
            let to = addr.recipient();
            SupervisorLink { to, gauge }
        };
        let (stop, background) = (CancellationToken::new(), TaskTracker::new());
        let link = || supervisor.clone();
        let keeper =
            crate::lease_keeper::keep(parts.clone(), directory.clone(), link(), stop.clone());
        background.spawn_on(keeper, &parts.io);
        let lease = parts.settings.lease_ttl;
        let watch = threads::watch(threads, link(), lease, stop.clone());
        background.spawn_on(watch, &parts.io);
        let survey = crate::survey::run(parts.clone(), directory.clone(), link(), stop.clone());
        background.spawn_on(survey, &parts.io);
        let feed = follow(parts.feed.clone(), directory.clone(), stop.clone());
        background.spawn_on(feed, &parts.io);
        Self {
            directory,
            catalog,
            supervisor,
            supervisor_restarts,
            parts: Arc::new(parts),
            look_ups: Arc::new(Semaphore::new(LOOK_UPS_MAX)),
            background,
            stop,
        }
    }

    /// Waits until every scheduler of the store has its owner here, up to a limit: one that cannot be loaded does not
    /// keep the others from being used.
    pub async fn loaded(&self, at_most: Duration) {
        let until = tokio::time::Instant::now() + at_most;
        while !self.directory.is_complete()
            || self.directory.all().iter().any(SchedulerHandle::is_loading)
        {
            if tokio::time::Instant::now() >= until {
                return;
            }
            tokio::time::sleep(LOAD_LOOK).await;
        }
    }

    /// Reads that need no owner.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }
    /// The registry of schedulers and their owners.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Sends a command to the owner of a scheduler. For a command that creates a scheduler, an owner is made first.
    ///
    /// # Errors
    /// When the owner refuses, does not answer in time, or does not exist.
    pub async fn ask(
        &self,
        name: &str,
        order: impl Into<Order>,
        at_most: Option<Duration>,
    ) -> Result<Reply, CallError> {
        let order = order.into();
        let command = &order.command;
        let found = self.find(name).await?;
        let (known, makes_it) = (found.is_some(), command.makes_scheduler());
        // If the command may create the scheduler and its owner is being loaded, wait for the owner.
        let creates = refuse_unknown(&name.into(), command).is_none();
        let answer = match found.filter(|handle| !creates || handle.live().is_ok()) {
            Some(handle) => handle.ask(order, at_most, &*self.parts.store).await,
            None => match refuse_unknown(&name.into(), command) {
                Some(refusal) => Err(refusal.into()),
                None => {
                    // An owner could do nothing without the store.
                    if let Some(outage) = self.parts.store.outage() {
                        return Err(outage.refusal().into());
                    }
                    if !known && !makes_it {
                        self.directory.admit_stranger(name)?;
                    }
                    let patience = self.parts.settings.timeouts.other;
                    let wait = at_most.map_or(patience, |most| most.min(patience));
                    let made = tokio::time::timeout(wait, self.ensure(name.into())).await;
                    let handle = made.map_err(|_| self.not_made(name))??;
                    handle.ask(order, at_most, &*self.parts.store).await
                }
            },
        };
        if makes_it && answer.is_ok() {
            self.directory.created(name);
        }
        answer
    }

    /// Passes a ping to the owner.
    ///
    /// # Errors
    /// See [`SchedulerHandle::ping`].
    pub async fn ping(&self, name: &str, ping: Ping) -> Result<(), CallError> {
        match self.find(name).await? {
            Some(handle) => handle.ping(ping).await,
            None => {
                let text = format!("scheduler {name} not found");
                Err(Refusal::new(RefusalKind::NotFound, text).into())
            }
        }
    }

    /// A ping whose caller waits at most this long.
    ///
    /// # Errors
    /// As for [`Self::ping`]; [`CallError::Timeout`] when that time has passed.
    pub async fn ping_within(
        &self,
        name: &str,
        ping: Ping,
        at_most: Option<Duration>,
    ) -> Result<(), CallError> {
        match at_most {
            None => self.ping(name, ping).await,
            Some(most) => tokio::time::timeout(most, self.ping(name, ping))
                .await
                .unwrap_or_else(|_| Err(CallError::Timeout(name.to_owned()))),
        }
    }

    /// Why an owner is not there in time, as far as that is known.
    fn not_made(&self, name: &str) -> CallError {
        let handle = self.directory.find(name).ok().flatten();
        let known = handle.and_then(|handle| handle.live().err());
        known.unwrap_or(CallError::Restarting(name.to_owned()))
    }

    async fn ensure(&self, name: SchedulerName) -> Result<SchedulerHandle, CallError> {
        if let Some(host) = self.host_of(name.as_str()).await? {
            return Err(CallError::Elsewhere {
                name: name.to_string(),
                address: host.address,
            });
        }
        let (done, made) = oneshot::channel();
        self.supervisor.tell(Notice::Ensure { name, done });
        made.await.map_err(|_| CallError::ShuttingDown)?
    }

    /// Flushes and ends the owner, and loads a new one. False if there is no such scheduler.
    ///
    /// # Errors
    /// When the owner does not end or load in time.
    pub async fn reload(&self, name: &str) -> Result<bool, CallError> {
        let (done, reloaded) = oneshot::channel();
        self.supervisor.tell(Notice::Reload {
            name: name.into(),
            done,
        });
        match tokio::time::timeout(RELOAD_MAX, reloaded).await {
            Ok(reloaded) => reloaded.map_err(|_| CallError::ShuttingDown),
            Err(_) => Err(CallError::Timeout(name.to_owned())),
        }
    }

    /// All actors as seen from outside, optionally only those of one scheduler.
    pub fn debug(&self, scheduler: Option<&str>) -> DebugView {
        let now = self.parts.clock.now();
        let mut actors = Vec::new();
        if scheduler.is_none() {
            let restarts = self.supervisor_restarts.lock().view();
            actors.push(plain_view("supervisor", &self.supervisor.gauge, restarts));
            let restarts = RestartLog::default().view();
            actors.push(plain_view("catalog", &self.catalog.gauge, restarts));
        }
        let owners = self.directory.all();
        let wanted = owners
            .iter()
            .filter(|h| scheduler.is_none_or(|s| h.name().as_str() == s));
        actors.extend(wanted.map(|handle| view_of(handle, now.mono)));
        DebugView {
            at: now.wall,
            store: self.outage(),
            actors,
        }
    }

    /// The current outage, if the store takes no changes.
    pub fn outage(&self) -> Option<Arc<Outage>> {
        self.parts.store.outage()
    }

    /// All metrics of schedulers and actors.
    pub fn metrics(&self) -> Vec<MetricFamily> {
        let outcomes = self.parts.outbox.outcomes();
        crate::metrics::render(
            &self.directory,
            &self.catalog,
            outcomes,
            &self.supervisor.gauge,
            self.parts.store.outage().is_some(),
            self.parts.settings.reports_fleets,
        )
    }

    /// Counts a ping that failed, for whatever reason.
    pub fn ping_failed(&self, scheduler: &str) {
        match self.directory.find(scheduler) {
            Ok(Some(handle)) => handle.counters().ping_failed(),
            _ => self.directory.counters().unknown_ping(),
        };
    }

    /// Refuses new work, lets every owner flush and end, and waits for all of their tasks. Rooms keep running;
    /// operations in progress are resumed at the next start.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        self.supervisor.tell(Notice::Shutdown(done));
        // An error means that the supervisor has ended already.
        if tokio::time::timeout(self.parts.settings.stop_within, ended)
            .await
            .is_err()
        {
            error!("an owner did not end in time: abandoned");
        }
        self.stop.cancel();
        self.leave().await;
        // The last owners have queued all their events.
        self.parts.outbox.shutdown().await;
        let left = async {
            for tasks in [&self.parts.tasks, &self.background] {
                tasks.close();
                tasks.wait().await;
            }
        };
        if tokio::time::timeout(self.parts.settings.stop_within, left)
            .await
            .is_err()
        {
            error!("a task did not end in time: abandoned");
        }
    }
}

/// The owner of a scheduler, if it is running.
fn live(directory: &Directory, name: &str) -> Option<Live> {
    directory.find(name).ok()??.live().ok()
}

fn plain_view(kind: &'static str, gauge: &Gauge, restarts: RestartView) -> ActorView {
    let totals: &Totals = &gauge.totals;
    ActorView {
        kind,
        name: kind.to_owned(),
        state: if gauge.is_stuck() { "stuck" } else { "running" },
        mailbox_depth: gauge.depth(),
        oldest_message_us: gauge.oldest_us(),
        turn: turn_of(gauge),
        last_message: totals.last_kind(),
        handled: totals.handled().filter(|(_, n)| *n > 0).collect(),
        turn_times: turn_times(totals),
        longest_turn_us: totals.longest_turn_us(),
        late_wakes: totals.late_wakes(),
        restarts,
        degraded_because: None,
        scheduler: None,
    }
}

/// Passes changes that other programs made in the store to the owners.
async fn follow(feed: Arc<dyn Feed>, directory: Directory, stop: CancellationToken) {
    let mut events = feed.subscribe();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        let Some(event) = event else { return };
        let (name, control) = match event {
            FeedEvent::Pushed {
                scheduler,
                operation,
            } => (scheduler, Control::Pushed(operation)),
            FeedEvent::CancelRequested {
                scheduler,
                operation,
            } => (scheduler, Control::CancelRequested(operation)),
        };
        if let Some(live) = live(&directory, name.as_str()) {
            live.tell(control);
        }
    }
}
