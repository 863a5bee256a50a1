//! The actor that gives every scheduler its owner, and a new one when that ends.
//!
//! actix' own supervision neither survives a panic nor rebuilds state, so this is ours: an
//! exit guard in the child reports its end, and the next life is made by a factory that
//! loads everything from the store again.

use crate::executor::Executor;
use crate::gauge::{Gauge, Turn};
use crate::handle::{Live, PINGS_MAX, Presence, SchedulerHandle};
use crate::lease::Lease;
use crate::node::NodeParts;
use crate::scheduler::{Control, FromWriter, Parts, SchedulerActor, WorkEnded};
use crate::scope::{Scope, Task};
use crate::writer::{QUEUE, Writer, WriterEvent, WriterGauge};
use crate::{Directory, error::CallError};
use actix::prelude::*;
use futures_util::StreamExt;
use maestro_core::domain::{Epoch, SchedulerName, Seq};
use maestro_core::ports::{Claim, Loaded, RuntimeEvent, StoreError};
use maestro_core::state::SchedulerState;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

/// Room events between the watch and the actor; the watch waits when it is full, and the
/// runtime then coalesces.
const EVENTS_MAX: usize = 1024;
/// Between two tries to list the schedulers.
const DISCOVER_RETRY: Duration = Duration::from_secs(1);

/// Why a life ended, and so what comes next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum EndCause {
    Panicked,
    /// The outcome of a write is unknown, or its queue overflowed.
    Failed(String),
    LeaseLost,
    /// On an operator's order: loaded anew, without a mark in the restart log.
    Reload,
    /// The scheduler was deleted, or never came to be.
    Gone,
    Stopped,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ChildEnded {
    pub name: SchedulerName,
    pub life: u64,
    pub cause: EndCause,
}

/// Makes sure that a scheduler has an owner; one that does not exist yet may be created by it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ensure {
    pub name: SchedulerName,
    pub done: oneshot::Sender<SchedulerHandle>,
}

/// Loads an actor anew. Answers whether there is such a scheduler.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reload {
    pub name: SchedulerName,
    pub done: oneshot::Sender<bool>,
}

/// Ends all owners: flushed, rooms left alone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Shutdown(pub oneshot::Sender<()>);

#[derive(Message)]
#[rtype(result = "()")]
struct Discovered(Result<Vec<SchedulerName>, StoreError>);

/// What a factory brought, for a life that is to begin.
#[derive(Message)]
#[rtype(result = "()")]
struct Built {
    name: SchedulerName,
    outcome: Result<(Epoch, Seq, Loaded), BuildError>,
}

#[derive(Debug)]
enum BuildError {
    Store(StoreError),
    HeldBy(String),
}

struct Child {
    handle: SchedulerHandle,
    life: u64,
    scope: Option<Scope>,
    /// Callers of `Ensure` and `Reload` who wait for the next life.
    waiting: Vec<oneshot::Sender<SchedulerHandle>>,
    reloading: Vec<oneshot::Sender<bool>>,
}

pub(crate) struct SupervisorActor {
    parts: NodeParts,
    directory: Directory,
    arbiters: Vec<ArbiterHandle>,
    children: HashMap<SchedulerName, Child>,
    last_life: u64,
    stopping: Option<Vec<oneshot::Sender<()>>>,
    gauge: Arc<Gauge>,
}

impl SupervisorActor {
    pub fn new(
        parts: NodeParts,
        directory: Directory,
        arbiters: Vec<ArbiterHandle>,
        gauge: Arc<Gauge>,
    ) -> Self {
        let children = HashMap::new();
        Self {
            parts,
            directory,
            arbiters,
            children,
            last_life: 0,
            stopping: None,
            gauge,
        }
    }

    fn discover(&self, ctx: &mut Context<Self>) {
        let (ownership, me) = (self.parts.ownership.clone(), ctx.address());
        self.parts.tasks.spawn_on(
            async move { me.do_send(Discovered(ownership.discover().await)) },
            &self.parts.io,
        );
    }

    /// Begins a life: waits for the tasks of the one before, then acquires and loads.
    fn build(&mut self, name: &SchedulerName, wait: Duration, ctx: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        let scope = child.scope.take();
        let (store, ownership) = (self.parts.store.clone(), self.parts.ownership.clone());
        let (me, name) = (ctx.address(), name.clone());
        let work = async move {
            if let Some(scope) = scope {
                scope.end().await;
            }
            tokio::time::sleep(wait).await;
            let outcome = async {
                let claims = ownership.acquire(std::slice::from_ref(&name)).await?;
                match claims.into_iter().next() {
                    Some(Claim::Owned { epoch, .. }) => {
                        let loaded = store.load(&name).await?;
                        Ok((epoch, loaded.seq, loaded))
                    }
                    Some(Claim::HeldBy { address }) => Err(BuildError::HeldBy(address)),
                    None => Err(BuildError::HeldBy(String::new())),
                }
            };
            let outcome = outcome.await;
            me.do_send(Built { name, outcome });
        };
        self.parts.tasks.spawn_on(work, &self.parts.io);
    }

    fn ensure(&mut self, name: &SchedulerName, ctx: &mut Context<Self>) -> SchedulerHandle {
        if let Some(child) = self.children.get(name) {
            return child.handle.clone();
        }
        let handle = self.directory.entry(name, self.parts.settings.timeouts);
        let child = Child {
            handle: handle.clone(),
            life: 0,
            scope: None,
            waiting: Vec::new(),
            reloading: Vec::new(),
        };
        self.children.insert(name.clone(), child);
        self.build(name, Duration::ZERO, ctx);
        handle
    }

    fn begin_life(
        &mut self,
        name: SchedulerName,
        epoch: Epoch,
        seq: Seq,
        loaded: Loaded,
        ctx: &mut Context<Self>,
    ) {
        let Some(child) = self.children.get_mut(&name) else {
            return;
        };
        self.last_life += 1;
        let life = self.last_life;
        child.life = life;
        let parts = &self.parts;
        let clock = parts.clock.clone();
        let lease = Arc::new(Lease::new(
            epoch,
            clock.now().mono.plus(parts.settings.lease_ttl),
        ));
        let scope = Scope::new(parts.io.clone());
        child.scope = Some(scope.clone());
        let state = SchedulerState::load(
            name.clone(),
            loaded,
            parts.core.clone(),
            clock.now(),
            clock.entropy(),
        );
        let (orders, orders_in) = mpsc::channel(QUEUE);
        let (pings, pings_in) = mpsc::channel(PINGS_MAX);
        let (events, events_in) = mpsc::channel(EVENTS_MAX);
        let writer_gauge = Arc::new(WriterGauge::default());
        let (handle, supervisor) = (child.handle.clone(), ctx.address());
        let arbiter = self.arbiters[hash(&name) as usize % self.arbiters.len()].clone();
        let (parts, lease_too, gauge) = (self.parts.clone(), lease.clone(), writer_gauge.clone());
        let (scope_too, handle_too) = (scope.clone(), handle.clone());
        handle.0.gauge.reset_mailbox();
        let addr = SchedulerActor::start_in_arbiter(&arbiter, move |actor_ctx| {
            let me = actor_ctx.address();
            let (to_me, to_me_too) = (me.clone(), me);
            let executor = Executor {
                scheduler: name.clone(),
                runtime: parts.runtime.clone(),
                clock: parts.clock.clone(),
                lease: lease_too.clone(),
                scope: scope_too.clone(),
                running: Arc::default(),
                done: Arc::new(move |id, result| to_me.do_send(WorkEnded(id, result))),
            };
            let writer = Writer {
                scheduler: name.clone(),
                epoch,
                seq,
                store: parts.store.clone(),
                executor,
                gauge: gauge.clone(),
                tell: Arc::new(move |event: WriterEvent| to_me_too.do_send(FromWriter(event))),
                ending: scope_too.ending(),
            };
            scope_too.spawn(Task::Writer, writer.run(orders_in));
            let watch = watch(parts.runtime.watch(&name), events);
            scope_too.spawn(Task::Watch, watch);
            SchedulerActor::new(Parts {
                life,
                state,
                handle: handle_too,
                clock: parts.clock.clone(),
                lease: lease_too,
                orders,
                writer: gauge,
                supervisor: supervisor.recipient(),
                pings: pings_in,
                events: events_in,
            })
        });
        handle.set_presence(Presence::Live(Live {
            addr,
            pings,
            lease,
            writer: writer_gauge,
        }));
        for waiting in child.waiting.drain(..) {
            // Who asked may have left meanwhile.
            let _ = waiting.send(handle.clone());
        }
        for reloading in child.reloading.drain(..) {
            let _ = reloading.send(true);
        }
    }

    /// What comes after a life: another one, or none.
    fn after(&mut self, name: &SchedulerName, cause: EndCause, ctx: &mut Context<Self>) {
        let entropy = self.parts.clock.entropy();
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        if self.stopping.is_some() {
            child.handle.set_presence(Presence::ShuttingDown);
            return self.retire(name, ctx);
        }
        let text = match &cause {
            EndCause::Gone => {
                child.handle.set_presence(Presence::Gone);
                self.directory.remove(name.as_str());
                return self.retire(name, ctx);
            }
            EndCause::Reload | EndCause::Stopped => {
                child.handle.set_presence(Presence::Loading);
                return self.build(name, Duration::ZERO, ctx);
            }
            EndCause::Panicked => "it panicked".to_owned(),
            EndCause::LeaseLost => "its lease was lost".to_owned(),
            EndCause::Failed(why) => why.clone(),
        };
        self.restart(name, &text, entropy, ctx);
    }

    fn restart(
        &mut self,
        name: &SchedulerName,
        cause: &str,
        entropy: u128,
        ctx: &mut Context<Self>,
    ) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        let wait = child
            .handle
            .0
            .restarts
            .lock()
            .next(cause, Instant::now(), entropy);
        metrics::counter!("maestro_actor_restarts_total", "scheduler" => name.to_string())
            .increment(1);
        match wait {
            Some(wait) => {
                warn!(scheduler = %name, %cause, "its actor ended and is built anew");
                child.handle.set_presence(Presence::Loading);
                self.build(name, wait, ctx);
            }
            None => {
                error!(scheduler = %name, %cause, "its actor ended too often: it is degraded");
                child.handle.set_presence(Presence::Degraded {
                    cause: cause.to_owned(),
                });
            }
        }
    }

    /// Waits for the tasks of a life after which none comes.
    fn retire(&mut self, name: &SchedulerName, ctx: &mut Context<Self>) {
        let Some(mut child) = self.children.remove(name) else {
            return;
        };
        let (me, again) = (ctx.address(), std::mem::take(&mut child.waiting));
        for reloading in child.reloading.drain(..) {
            let _ = reloading.send(false);
        }
        let name = name.clone();
        let stopping = self.stopping.is_some();
        let scope = child.scope.take();
        let work = async move {
            if let Some(scope) = scope {
                scope.end().await;
            }
            if stopping {
                me.do_send(Retired);
            }
            // Somebody wanted it again while it was going away.
            for done in again {
                me.do_send(Ensure {
                    name: name.clone(),
                    done,
                });
            }
        };
        self.parts.retiring.spawn_on(work, &self.parts.io);
    }

    fn finish_shutdown(&mut self) {
        if self.children.is_empty()
            && let Some(waiting) = self.stopping.as_mut()
        {
            let (waiting, retiring) = (std::mem::take(waiting), self.parts.retiring.clone());
            let work = async move {
                retiring.close();
                retiring.wait().await;
                for done in waiting {
                    let _ = done.send(());
                }
            };
            self.parts.tasks.spawn_on(work, &self.parts.io);
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Retired;

impl From<StoreError> for BuildError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn hash(name: &SchedulerName) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Hands the runtime's events to the actor, in their order. A runtime whose watch ends
/// is going down: the actor goes on without it.
async fn watch(
    mut events: futures_util::stream::BoxStream<'static, RuntimeEvent>,
    to: mpsc::Sender<RuntimeEvent>,
) {
    while let Some(event) = events.next().await {
        if to.send(event).await.is_err() {
            return;
        }
    }
}

impl Actor for SupervisorActor {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1 << 20);
        self.discover(ctx);
    }
}

impl Handler<Discovered> for SupervisorActor {
    type Result = ();
    fn handle(&mut self, Discovered(found): Discovered, ctx: &mut Self::Context) {
        let _turn = self.gauge.turn_of(Turn::WorkDone);
        match found {
            Ok(names) => {
                info!(
                    schedulers = names.len(),
                    "taking over the schedulers of the store"
                );
                for name in names {
                    self.ensure(&name, ctx);
                }
                self.directory.complete();
            }
            Err(error) => {
                error!(%error, "the schedulers cannot be listed; trying again");
                ctx.run_later(DISCOVER_RETRY, |actor, ctx| actor.discover(ctx));
            }
        }
    }
}

impl Handler<Ensure> for SupervisorActor {
    type Result = ();
    fn handle(&mut self, Ensure { name, done }: Ensure, ctx: &mut Self::Context) {
        if self.stopping.is_some() {
            return; // dropping `done` tells
        }
        let handle = self.ensure(&name, ctx);
        match (handle.live(), self.children.get_mut(&name)) {
            (Err(CallError::Restarting(_)), Some(child)) => child.waiting.push(done),
            // Who asked may have left.
            _ => drop(done.send(handle)),
        }
    }
}

impl Handler<Built> for SupervisorActor {
    type Result = ();
    fn handle(&mut self, Built { name, outcome }: Built, ctx: &mut Self::Context) {
        if self.stopping.is_some() {
            self.after(&name, EndCause::Stopped, ctx);
            return self.finish_shutdown();
        }
        match outcome {
            Ok((epoch, seq, loaded)) => self.begin_life(name, epoch, seq, loaded, ctx),
            Err(error) => {
                let cause = match error {
                    BuildError::Store(error) => error.to_string(),
                    BuildError::HeldBy(address) => format!("another node owns it: {address}"),
                };
                // The store's absence is no fault of the scheduler: it costs no budget.
                warn!(scheduler = %name, %cause, "it cannot be loaded; trying again");
                self.build(&name, DISCOVER_RETRY, ctx);
            }
        }
    }
}

impl Handler<ChildEnded> for SupervisorActor {
    type Result = ();
    fn handle(&mut self, ended: ChildEnded, ctx: &mut Self::Context) {
        let _turn = self.gauge.turn_of(Turn::Control);
        let present = self
            .children
            .get(&ended.name)
            .is_some_and(|c| c.life == ended.life);
        if present {
            self.after(&ended.name, ended.cause, ctx);
        }
        self.finish_shutdown();
    }
}

impl Handler<Retired> for SupervisorActor {
    type Result = ();
    fn handle(&mut self, _: Retired, _: &mut Self::Context) {
        let _turn = self.gauge.turn_of(Turn::WorkDone);
        self.finish_shutdown();
    }
}

impl Handler<Reload> for SupervisorActor {
    type Result = ();
    fn handle(&mut self, Reload { name, done }: Reload, ctx: &mut Self::Context) {
        let Some(child) = self.children.get_mut(&name) else {
            let _ = done.send(false);
            return;
        };
        child.handle.0.restarts.lock().forgive();
        child.reloading.push(done);
        match child.handle.live() {
            Ok(live) => live.addr.do_send(Control::Reload),
            Err(CallError::Degraded { .. }) => {
                child.handle.set_presence(Presence::Loading);
                self.build(&name, Duration::ZERO, ctx);
            }
            // It is being loaded anyway.
            Err(_) => {}
        }
    }
}

impl Handler<Shutdown> for SupervisorActor {
    type Result = ();
    fn handle(&mut self, Shutdown(done): Shutdown, ctx: &mut Self::Context) {
        let _turn = self.gauge.turn_of(Turn::Control);
        self.directory.close();
        self.stopping.get_or_insert_default().push(done);
        let names: Vec<SchedulerName> = self.children.keys().cloned().collect();
        for name in names {
            let Some(child) = self.children.get(&name) else {
                continue;
            };
            match child.handle.live() {
                Ok(live) => live.addr.do_send(Control::Stop),
                Err(CallError::Degraded { .. }) => self.after(&name, EndCause::Stopped, ctx),
                // Its factory is at work: `Built` comes.
                Err(_) => {}
            }
        }
        self.finish_shutdown();
    }
}
