//! Starts one incarnation of an owner: its actor on an arbiter, its tasks on the I/O runtime.

use crate::effects::Effects;
use crate::executor::Executor;
use crate::factory::LoadedOwner;
use crate::gauge::Gauge;
use crate::handle::{ASKS_MAX, PINGS_MAX, SchedulerHandle};
use crate::lease::Lease;
use crate::messages::{Counted, FromWriter, Inboxes, WorkEnded};
use crate::owner_status::Live;
use crate::parts::NodeParts;
use crate::ping_cache::PingCache;
use crate::protections::Protections;
use crate::scheduler::{Parts, SchedulerActor};
use crate::scope::{Scope, Task};
use crate::supervisor_messages::SupervisorLink;
use crate::turn_trace::TurnTrace;
use crate::writer::{QUEUE, Writer};
use crate::writer_event::WriterEvent;
use crate::writer_inbox::WriterGauge;
use actix::prelude::*;
use futures_util::StreamExt;
use maestro_core::domain::{Epoch, SchedulerName, Seq};
use maestro_core::ports::{Runtime, RuntimeEvent};
use maestro_core::state::{WorkId, WorkResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::warn;

/// Capacity of the channel from the watch to the actor. When it is full the watch waits, and the runtime coalesces
/// events.
const EVENTS_MAX: usize = 1024;
const RELEASE_MAX: Duration = Duration::from_secs(1);

/// What is left of an incarnation and has to be ended.
pub(crate) struct OwnerTasks {
    pub scope: Scope,
    pub epoch: Epoch,
    /// Index in [`crate::threads::Threads`].
    pub thread: usize,
}

pub(crate) fn begin(
    parts: &NodeParts,
    handle: SchedulerHandle,
    loaded: LoadedOwner,
    incarnation: u64,
    supervisor: SupervisorLink,
    (thread, arbiter): (usize, ArbiterHandle),
) -> (OwnerTasks, Live) {
    let (name, epoch, seq) = (handle.name().clone(), loaded.epoch, loaded.seq);
    let lease = Arc::new(Lease::new(epoch, loaded.lease_until));
    let scope = Scope::new(parts.io.clone());
    let (orders, orders_in) = mpsc::channel(QUEUE);
    let (asks, asks_in) = mpsc::channel(ASKS_MAX);
    let (pings, pings_in) = mpsc::channel(PINGS_MAX);
    let (events, events_in) = mpsc::channel(EVENTS_MAX);
    let (continue_signal, continue_in) = mpsc::channel(1);
    let (gauge, ping_cache) = (Arc::<WriterGauge>::default(), Arc::new(PingCache::new()));
    let clock = parts.clock.clone();
    let tasks = OwnerTasks {
        scope: scope.clone(),
        epoch,
        thread,
    };
    let seen = Arc::new(Gauge::of(handle.totals().clone()));
    let watch = watch(parts.runtime.clone(), name.clone(), events, seen.clone());
    scope.spawn(Task::Watch, watch);
    let (parts, lease_too, gauge_too) = (parts.clone(), lease.clone(), gauge.clone());
    let (cache_too, seen_too) = (ping_cache.clone(), seen.clone());
    let addr = SchedulerActor::start_in_arbiter(&arbiter, move |context| {
        let executor = Executor {
            scheduler: name,
            runtime: parts.runtime.clone(),
            platform: parts.platform.clone(),
            clock: parts.clock.clone(),
            lease: lease_too.clone(),
            scope: scope.clone(),
            protections: Protections::default(),
            running: Arc::default(),
            done: ended_to(context.address(), seen_too.clone()),
        };
        let to = (context.address(), seen_too.clone());
        let seen_by = (handle.clone(), gauge_too.clone());
        let writer = writer(&parts, executor, (epoch, seq), seen_by, to);
        scope.spawn(Task::Writer, writer.watched(orders_in));
        SchedulerActor::new(Parts {
            incarnation,
            state: loaded.state,
            handle,
            clock: parts.clock.clone(),
            store: parts.store,
            duplicate_creates: parts.duplicate_creates,
            gauge: seen_too,
            lease: lease_too,
            orders,
            writer: gauge_too,
            outbox: parts.outbox,
            supervisor,
            ping_cache: cache_too,
            continue_signal,
            inboxes: Inboxes {
                asks: asks_in,
                pings: pings_in,
                events: events_in,
                continue_signal: continue_in,
            },
        })
    });
    let live = Live {
        control: addr.recipient(),
        asks,
        pings,
        lease,
        gauge: seen,
        writer: gauge,
        ping_cache,
        clock,
    };
    (tasks, live)
}

/// Returns a function that reports the end of a piece of work to the actor.
fn ended_to(
    to: Addr<SchedulerActor>,
    seen: Arc<Gauge>,
) -> Arc<dyn Fn(WorkId, WorkResult, TurnTrace) + Send + Sync> {
    Arc::new(move |id, result, trace| {
        let ended = WorkEnded(id, result, trace);
        to.do_send(Counted(ended, seen.enqueue()));
    })
}

/// The writer of one epoch; `to` receives the outcome of the batches.
fn writer(
    parts: &NodeParts,
    executor: Executor,
    (epoch, seq): (Epoch, Seq),
    (handle, gauge): (SchedulerHandle, Arc<WriterGauge>),
    (to, seen): (Addr<SchedulerActor>, Arc<Gauge>),
) -> Writer {
    Writer {
        scheduler: executor.scheduler.clone(),
        epoch,
        seq,
        store: parts.store.clone(),
        ending: executor.scope.ending(),
        abandoned: executor.scope.abandoned(),
        effects: Effects {
            executor,
            outbox: parts.outbox.clone(),
            gauge,
            tell: Arc::new(move |event: WriterEvent| {
                to.do_send(Counted(FromWriter(event), seen.enqueue()));
            }),
            handle,
        },
    }
}

/// Passes the runtime's events to the actor, in their order. It subscribes inside a task of the I/O runtime, so that
/// everything the runtime spawns for it stays alive. If the watch ends, the runtime is shutting down: the actor goes on
/// without it.
async fn watch(
    runtime: Arc<dyn Runtime>,
    name: SchedulerName,
    to: mpsc::Sender<Counted<RuntimeEvent>>,
    seen: Arc<Gauge>,
) {
    let mut events = runtime.watch(&name);
    while let Some(event) = events.next().await {
        if to.send(Counted(event, seen.enqueue())).await.is_err() {
            return;
        }
    }
}

/// Releases the lease, so that the next owner can begin at once instead of waiting until it expires.
pub(crate) async fn release(parts: &NodeParts, name: &SchedulerName, epoch: Epoch) {
    let held = [(name.clone(), epoch)];
    let released = parts.ownership.release(&held);
    match tokio::time::timeout(RELEASE_MAX, released).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(scheduler_name = %name, %error, "its lease will expire"),
        Err(_) => {
            warn!(scheduler_name = %name, "its lease will expire: the store does not answer")
        }
    }
}
