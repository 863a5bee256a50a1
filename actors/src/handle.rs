//! How callers reach the owner of a scheduler: with bounds and deadlines.

use crate::error::CallError;
use crate::gauge::Totals;
use crate::messages::{Ask, Control, Counted, PingCall};
use crate::order::Order;
use crate::owner_status::{Live, OwnerStatus};
use crate::ping_cache::Taken;
use crate::published::Published;
use crate::restart::{RestartLog, RestartView};
use crate::scheduler_counters::SchedulerCounters;
use crate::turn_trace::TurnTrace;
use crate::waiter::{Decided, NotStored, Waiter};
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Store, StoreError};
use maestro_core::state::{Command, Ping, Reply};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// Maximum number of concurrent asks per scheduler; one more is [`CallError::Busy`] (architecture 4, Bounds).
pub const ASKS_MAX: usize = 256;
/// Maximum number of requested events in progress per scheduler. They are limited separately from asks, so that a
/// forwarder that hangs does not prevent allocations.
pub const EVENTS_MAX: usize = 256;
/// Maximum number of waiting pings per scheduler.
pub const PINGS_MAX: usize = 4096;
const PING_ENQUEUE_MAX: Duration = Duration::from_millis(250);

/// How long callers wait (architecture 5, A store that takes no changes).
#[derive(Clone, Copy, Debug)]
pub struct AskTimeouts {
    /// For a ping.
    pub ping: Duration,
    /// For an allocation.
    pub allocate: Duration,
    /// For anything else.
    pub other: Duration,
}

impl Default for AskTimeouts {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(1),
            allocate: Duration::from_secs(2),
            other: Duration::from_secs(5),
        }
    }
}

struct Shared {
    name: SchedulerName,
    status: RwLock<OwnerStatus>,
    totals: Arc<Totals>,
    published: Mutex<Option<Arc<Published>>>,
    restarts: Mutex<RestartLog>,
    counters: SchedulerCounters,
    asks: Arc<Semaphore>,
    events: Arc<Semaphore>,
    timeouts: AskTimeouts,
}

/// A stable handle of a scheduler's owner, valid across all incarnations. Cheap to clone.
#[derive(Clone)]
pub struct SchedulerHandle(Arc<Shared>);

impl SchedulerHandle {
    pub(crate) fn new(name: SchedulerName, timeouts: AskTimeouts) -> Self {
        Self(Arc::new(Shared {
            name,
            status: RwLock::new(OwnerStatus::Loading),
            totals: Arc::default(),
            published: Mutex::new(None),
            restarts: Mutex::new(RestartLog::default()),
            counters: SchedulerCounters::default(),
            asks: Arc::new(Semaphore::new(ASKS_MAX)),
            events: Arc::new(Semaphore::new(EVENTS_MAX)),
            timeouts,
        }))
    }

    /// The scheduler.
    pub fn name(&self) -> &SchedulerName {
        &self.0.name
    }

    pub(crate) fn set_status(&self, status: OwnerStatus) {
        *self.0.status.write() = status;
    }
    pub(crate) fn status(&self) -> OwnerStatus {
        self.0.status.read().clone()
    }
    /// Whether it is being loaded or is between two incarnations.
    pub(crate) fn is_loading(&self) -> bool {
        let status = self.0.status.read();
        matches!(
            &*status,
            OwnerStatus::Loading | OwnerStatus::Unloaded { .. }
        )
    }
    pub(crate) fn is_degraded(&self) -> bool {
        matches!(&*self.0.status.read(), OwnerStatus::Degraded { .. })
    }

    /// Counters that are kept across incarnations.
    pub(crate) fn counters(&self) -> &SchedulerCounters {
        &self.0.counters
    }
    pub(crate) fn totals(&self) -> &Arc<Totals> {
        &self.0.totals
    }

    /// Publishes an owner's snapshot, which stays visible after the owner has ended.
    pub(crate) fn publish(&self, published: Published) {
        *self.0.published.lock() = Some(Arc::new(published));
    }
    pub(crate) fn published(&self) -> Option<Arc<Published>> {
        self.0.published.lock().clone()
    }

    /// Counts an end that requires a restart, and returns how long to wait. `None` if the budget is used up.
    pub(crate) fn count_restart(&self, cause: &str, entropy: u128) -> Option<Duration> {
        let mut restarts = self.0.restarts.lock();
        restarts.next(cause, Instant::now(), entropy)
    }
    /// Counts a restart that costs no budget.
    pub(crate) fn note_restart(&self, cause: &str) {
        self.0.restarts.lock().note(cause);
    }
    /// Restores the full budget, on an operator's order.
    pub(crate) fn forgive_restarts(&self) {
        self.0.restarts.lock().forgive();
    }
    pub(crate) fn restarts(&self) -> RestartView {
        self.0.restarts.lock().view()
    }

    pub(crate) fn live(&self) -> Result<Live, CallError> {
        let name = || self.0.name.to_string();
        match &*self.0.status.read() {
            OwnerStatus::Live(live) => Ok(live.clone()),
            OwnerStatus::Loading => Err(CallError::Restarting(name())),
            OwnerStatus::Unloaded { cause } => Err(CallError::Unloaded {
                name: name(),
                cause: cause.clone(),
            }),
            OwnerStatus::Gone => Err(CallError::Gone(name())),
            OwnerStatus::ShuttingDown => Err(CallError::ShuttingDown),
            OwnerStatus::Degraded { cause } => Err(CallError::Degraded {
                name: name(),
                cause: cause.clone(),
            }),
        }
    }

    fn answers_from_cache(&self, ping: &Ping) -> bool {
        let OwnerStatus::Live(live) = &*self.0.status.read() else {
            return false;
        };
        let now = live.clock.now();
        // Without a valid lease another node may own the scheduler and know newer states of its rooms.
        if live.lease.left(now.mono).is_zero() {
            return false;
        }
        match live.ping_cache.take(ping, now) {
            Taken::No => false,
            Taken::Yes => true,
            Taken::First => {
                live.tell(Control::Pinged);
                true
            }
        }
    }

    /// Sends a command and waits for its reply; `at_most` shortens the usual deadline. While `store` takes no changes,
    /// commands that change something are refused, because decisions cannot be undone.
    pub(crate) async fn ask(
        &self,
        order: Order,
        at_most: Option<Duration>,
        store: &dyn Store,
    ) -> Result<Reply, CallError> {
        let name = || self.0.name.to_string();
        let command = &order.command;
        if !command.only_looks()
            && let Some(outage) = store.outage()
        {
            return Err(outage.refusal().into());
        }
        let gives_a_room = matches!(command, Command::Allocate);
        let leaves_nothing = gives_a_room || command.only_looks();
        // Not for a room's request to forward an event: it has the deadline of a command.
        let looks = command.only_looks() && !matches!(command, Command::Forward(_));
        let usual = match gives_a_room || looks {
            true => self.0.timeouts.allocate,
            false => self.0.timeouts.other,
        };
        let wait = at_most.map_or(usual, |at_most| at_most.min(usual));
        let live = self.live()?;
        // A read does not wait for a blocked thread (architecture 4).
        if looks && live.gauge.is_stuck() {
            return Err(CallError::HeldUp(name()));
        }
        let Ok(permit) = self.0.asks.clone().try_acquire_owned() else {
            self.0.counters.busy_asks.fetch_add(1, Relaxed);
            return Err(CallError::Busy(name()));
        };
        let (to, answer) = oneshot::channel();
        let decided = Decided::default();
        // Each caller holds a permit until it is answered, also while the answer waits for an unavailable store, so
        // there is always space in the queue.
        let ask = Ask {
            trace: TurnTrace::message(&self.0.name, command.kind()),
            order,
            to: Waiter::of_command(to, permit, decided.clone()),
        };
        let ask = Counted(ask, live.gauge.enqueue());
        if live.asks.try_send(ask).is_err() {
            return Err(self.live().err().unwrap_or(CallError::Restarting(name())));
        }
        match timeout(wait, answer).await {
            // An allocated room whose caller stopped waiting is given back.
            Err(_) | Ok(Ok(Err(_))) if gives_a_room && store.outage().is_some() => {
                let outage = store.outage();
                Err(outage.map_or_else(|| CallError::Timeout(name()), |o| o.refusal().into()))
            }
            Err(_) if looks && wait == usual => Err(CallError::HeldUp(name())),
            // A read changes nothing, and an allocated room is given back.
            Err(_) if leaves_nothing => Err(CallError::Timeout(name())),
            Err(_) => Err(self.late(&decided, store.outage().map(|o| o.cause.clone()))),
            Ok(Err(_)) => Err(self.live().err().unwrap_or(CallError::Restarting(name()))),
            Ok(Ok(Err(NotStored(cause)))) => Err(self.late(&decided, Some(cause))),
            Ok(Ok(Ok(answer))) => Ok(answer?),
        }
    }

    /// The error for a caller that stops waiting.
    fn late(&self, decided: &Decided, cause: Option<String>) -> CallError {
        let name = self.0.name.to_string();
        match (decided.operation(), cause) {
            (Some(operation), cause) => CallError::Late {
                name,
                operation,
                cause,
            },
            (None, Some(cause)) => StoreError::Unavailable(
                format!("{cause}; what was asked for may still come about once that is mended")
                    .into(),
            )
            .into(),
            (None, None) => CallError::Unanswered(name),
        }
    }

    /// A permit for a requested event.
    pub(crate) fn event_place(&self) -> Result<OwnedSemaphorePermit, CallError> {
        let place = self.0.events.clone().try_acquire_owned();
        place.map_err(|_| CallError::Busy(self.0.name.to_string()))
    }

    /// Handles a ping: at once if it repeats what the room has been saying, else when the owner has decided.
    ///
    /// # Errors
    /// When too many pings are waiting, or the owner does not answer in time or does not exist.
    pub async fn ping(&self, ping: Ping) -> Result<(), CallError> {
        if self.answers_from_cache(&ping) {
            // Yields now and then: a caller in a loop would otherwise never give up its thread.
            tokio::task::coop::consume_budget().await;
            return Ok(());
        }
        let name = || self.0.name.to_string();
        let live = self.live()?;
        let (to, answer) = oneshot::channel();
        let decided = Decided::default();
        let call = PingCall {
            ping,
            to: Waiter::of_ping(to, decided.clone()),
        };
        let place = match live.pings.try_reserve() {
            Err(mpsc::error::TrySendError::Full(())) => {
                let place = timeout(PING_ENQUEUE_MAX, live.pings.reserve()).await;
                place.ok().and_then(Result::ok)
            }
            Err(mpsc::error::TrySendError::Closed(())) => {
                return Err(CallError::Restarting(name()));
            }
            Ok(place) => Some(place),
        };
        let Some(place) = place else {
            self.0.counters.busy_pings.fetch_add(1, Relaxed);
            return Err(CallError::Busy(name()));
        };
        // Only what has a place waits in the mailbox.
        place.send(Counted(call, live.gauge.enqueue()));
        match timeout(self.0.timeouts.ping, answer).await {
            // The owner has accepted it, but the store is slow or unavailable. The room cannot help that; if the change
            // is lost, its next ping tells the next owner.
            Err(_) | Ok(Ok(Err(NotStored(_)))) if decided.is_taken() => Ok(()),
            Err(_) | Ok(Ok(Err(NotStored(_)))) => Err(CallError::Timeout(name())),
            Ok(Err(_)) => Err(CallError::Restarting(name())),
            Ok(Ok(Ok(answer))) => Ok(answer.map(|_| ())?),
        }
    }
}
