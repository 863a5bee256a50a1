//! Delivers events to forwarders (contract 6): queued ones in the background, requested ones while their caller waits.
//!
//! There is one queue per scheduler and forwarder, so that a forwarder that hangs or fails delays only its own events.
//! Each queue makes several calls at once, at most one per room, so that a call that hangs delays only its own room.
//! The queues outlive the owner of a scheduler: the ends of its rooms are delivered even after it is gone. Calls are
//! not retried: the next ping repeats a status, and a forwarder that missed a room's end receives nothing more about
//! that room.

mod in_order;
mod outcomes;
mod queue;
mod request;

use futures_util::FutureExt;
pub(crate) use in_order::Held;
use maestro_core::domain::{Forwarder, SchedulerName};
use maestro_core::ports::{ForwardError, Forwarders, Forwarding};
pub(crate) use outcomes::{Counts, Outcomes, is_success};
use parking_lot::Mutex;
use queue::{Pushed, Queue, Waiting};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, debug_span, info, warn};

/// Maximum number of concurrent calls per forwarder; each is for another room.
const CALLS_AT_ONCE: usize = 32;
/// A forwarder that was sent nothing for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// How long a shutdown waits for queued events.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// All forwarders of a node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox(Arc<Shared>);

struct Shared {
    port: Arc<dyn Forwarders>,
    io: tokio::runtime::Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
    told: Mutex<HashMap<SchedulerName, Told>>,
    outcomes: Outcomes,
}

/// The forwarders of one scheduler.
struct Told {
    targets: Vec<Arc<Target>>,
    user: Arc<User>,
}

/// Held by everything that may still send events of a scheduler. When the last one is dropped, the port is told that
/// the scheduler has ended.
struct User {
    scheduler: SchedulerName,
    port: Arc<dyn Forwarders>,
}

impl Drop for User {
    fn drop(&mut self) {
        self.port.ended(&self.scheduler);
    }
}

/// One forwarder of one scheduler.
struct Target {
    scheduler: SchedulerName,
    name: String,
    address: String,
    inner: Mutex<Inner>,
    _user: Arc<User>,
}

struct Inner {
    queue: Queue,
    calls: usize,
    used: Instant,
    /// The last call failed. Used to log it once, not per event.
    failing: bool,
}

impl Outbox {
    pub fn new(port: Arc<dyn Forwarders>, io: tokio::runtime::Handle) -> Self {
        Self(Arc::new(Shared {
            port,
            io,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            told: Mutex::default(),
            outcomes: Outcomes::default(),
        }))
    }

    /// The outcomes of all events, for the metrics.
    pub fn outcomes(&self) -> &Outcomes {
        &self.0.outcomes
    }

    /// Queues an event for each of its forwarders. Never blocks.
    pub fn push(&self, event: &Arc<Forwarding>) {
        let waiting = Waiting::new(event.clone());
        for forwarder in event.to.iter() {
            let target = self.target(&event.scheduler, forwarder);
            let mut inner = target.inner.lock();
            inner.used = Instant::now();
            if inner.queue.push(waiting.clone()) == Pushed::Dropped {
                self.0.outcomes.dropped(&target.scheduler, &target.name);
            }
            // Running tasks continue until no room is ready.
            if inner.calls < CALLS_AT_ONCE && inner.queue.is_ready() {
                inner.calls += 1;
                drop(inner);
                self.work(target, forwarder.clone());
            }
        }
    }

    /// Counts an event that is dropped instead of delivered.
    pub fn drop_event(&self, event: &Forwarding) {
        for to in event.to.iter() {
            self.0.outcomes.dropped(&event.scheduler, &to.name);
        }
    }

    fn target(&self, scheduler: &SchedulerName, forwarder: &Forwarder) -> Arc<Target> {
        let is = |t: &&Arc<Target>| t.name == forwarder.name && t.address == forwarder.address;
        let mut told = self.0.told.lock();
        if let Some(found) = told
            .get(scheduler.as_str())
            .and_then(|told| told.targets.iter().find(is))
        {
            return found.clone();
        }
        // This is executed rarely, so it is a good moment to forget unused targets.
        told.retain(|_, told| {
            told.targets.retain(|target| target.is_used());
            !told.targets.is_empty()
        });
        let told = self.0.of(&mut told, scheduler);
        let target = Arc::new(Target {
            scheduler: scheduler.clone(),
            name: forwarder.name.clone(),
            address: forwarder.address.clone(),
            inner: Mutex::new(Inner {
                queue: Queue::default(),
                calls: 0,
                used: Instant::now(),
                failing: false,
            }),
            _user: told.user.clone(),
        });
        told.targets.push(target.clone());
        target
    }

    /// A scheduler has ended and queued its last events; its state is dropped once they are delivered.
    pub fn ended(&self, scheduler: &SchedulerName) {
        // Dropped outside of the lock, because connections may close with it.
        let told = self.0.told.lock().remove(scheduler.as_str());
        drop(told);
    }

    fn work(&self, target: Arc<Target>, forwarder: Forwarder) {
        let this = self.clone();
        let stop = self.0.stop.clone();
        let work = async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = this.work_off(&target, &forwarder) => {}
            }
        };
        self.0.tasks.spawn_on(work, &self.0.io);
    }

    async fn work_off(&self, target: &Target, forwarder: &Forwarder) {
        loop {
            let waiting = {
                let mut inner = target.inner.lock();
                let Some(waiting) = inner.queue.next() else {
                    inner.calls -= 1;
                    return;
                };
                waiting
            };
            let event = &waiting.event;
            // Options may have changed since this task began; name and address have not.
            let known = event.to.iter();
            let known = known.filter(|f| f.name == target.name && f.address == target.address);
            let forwarder = known.last().unwrap_or(forwarder);
            // Begins a new trace: a parent span would have to stay open while the event waits.
            let result = self.call(forwarder, event, &Span::none()).await;
            // A panic in logging must not stop the queue.
            let _ = catch_unwind(AssertUnwindSafe(|| target.note(event, &result)));
            if result.is_err() && waiting.is_resync() && waiting.fails() {
                self.0.outcomes.ping_failed(&event.scheduler);
            }
            target.inner.lock().queue.done(&event.room);
        }
    }

    /// Calls inside a span below `parent`; without a parent it begins a new trace.
    async fn call(
        &self,
        forwarder: &Forwarder,
        event: &Forwarding,
        parent: &Span,
    ) -> Result<(), ForwardError> {
        let span = debug_span!(
            parent: parent,
            "forward",
            otel.kind = "client",
            otel.status_code = Empty,
            scheduler_name = %event.scheduler,
            forwarder = forwarder.name,
            room_id = %event.room,
            kind = event.event.kind(),
        );
        let call = AssertUnwindSafe(self.0.port.forward(forwarder, event));
        let panicked = |_| {
            let (forwarder, code) = (forwarder.name.clone(), "Internal".into());
            let cause = "the call panicked".into();
            Err(ForwardError::Failed {
                forwarder,
                code,
                cause,
            })
        };
        let call = call.catch_unwind().instrument(span.clone());
        let result = call.await.unwrap_or_else(panicked);
        if result.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        let outcomes = &self.0.outcomes;
        outcomes.called(&event.scheduler, &event.event, &result);
        result
    }

    /// Calls the forwarders of an event in order; the first failure ends it (contract 6.2). It continues to the end
    /// even if the caller stops waiting; `place` is released then.
    pub async fn send(
        &self,
        event: Arc<Forwarding>,
        place: OwnedSemaphorePermit,
    ) -> Result<(), ForwardError> {
        let (this, stop) = (self.clone(), self.0.stop.clone());
        let first = event.to.first().map(|f| f.name.clone());
        let caller = Span::current();
        let user = {
            let mut told = self.0.told.lock();
            self.0.of(&mut told, &event.scheduler).user.clone()
        };
        let work = async move {
            for forwarder in event.to.iter() {
                this.call(forwarder, &event, &caller).await?;
            }
            Ok(())
        };
        let work = async move {
            let (_place, _user) = (place, user);
            tokio::select! {
                biased;
                () = stop.cancelled() => None,
                result = work => Some(result),
            }
        };
        match self.0.tasks.spawn_on(work, &self.0.io).await {
            Ok(Some(result)) => result,
            Ok(None) | Err(_) => Err(ForwardError::Failed {
                forwarder: first.unwrap_or_default(),
                code: "Canceled".into(),
                cause: "the node goes down".into(),
            }),
        }
    }

    /// Waits briefly for queued events, then drops them.
    pub async fn shutdown(&self) {
        self.0.tasks.close();
        if tokio::time::timeout(DRAIN_MAX, self.0.tasks.wait())
            .await
            .is_err()
        {
            let left: usize = {
                let told = self.0.told.lock();
                let all = told.values().flat_map(|told| &told.targets);
                all.map(|target| target.inner.lock().queue.len()).sum()
            };
            warn!(
                events = left,
                "shutting down: events that wait for slow forwarders are dropped"
            );
        }
        self.0.stop.cancel();
        self.0.tasks.wait().await;
    }

    /// Number of calls in progress.
    #[cfg(feature = "faults")]
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }
}

impl Shared {
    fn of<'t>(
        &self,
        told: &'t mut HashMap<SchedulerName, Told>,
        scheduler: &SchedulerName,
    ) -> &'t mut Told {
        told.entry(scheduler.clone()).or_insert_with(|| Told {
            targets: Vec::new(),
            user: Arc::new(User {
                scheduler: scheduler.clone(),
                port: self.port.clone(),
            }),
        })
    }
}

impl Target {
    fn is_used(&self) -> bool {
        let inner = self.inner.lock();
        inner.calls > 0 || inner.used.elapsed() < FORGET_AFTER
    }

    /// Logs when a forwarder begins to fail and when it works again, not each event in between.
    fn note(&self, event: &Forwarding, result: &Result<(), ForwardError>) {
        let failed = result.is_err();
        let before = std::mem::replace(&mut self.inner.lock().failing, failed);
        let (scheduler, forwarder, room) = (&self.scheduler, &self.name, &event.room);
        match result {
            Ok(()) if before => {
                info!(scheduler_name = %scheduler, %forwarder, "the forwarder accepts events again");
            }
            Ok(()) => {}
            Err(error) if before => {
                debug!(scheduler_name = %scheduler, %forwarder, room_id = %room, %error, "not forwarded");
            }
            Err(error) => warn!(
                scheduler_name = %scheduler, %forwarder, room_id = %room, %error,
                "an event was not forwarded; the next failures are counted, not logged"
            ),
        }
    }
}
