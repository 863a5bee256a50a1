//! The actor that gives every scheduler its owner, and a new one when that ends.
//!
//! actix' own supervision neither survives a panic nor rebuilds state, so this is ours: an
//! exit guard in the child reports its end, and the next life is made by a factory that
//! loads everything from the store again.

use crate::factory::{self, BuildError, Fresh};
use crate::gauge::{Gauge, Turn};
use crate::handle::{Presence, SchedulerHandle};
use crate::life::{self, Running};
use crate::messages::Control;
use crate::orders::{Built, ChildEnded, Discovered, EndCause, Ensure, Reload, Retired, Shutdown};
use crate::parts::NodeParts;
use crate::{Directory, error::CallError};
use actix::prelude::*;
use maestro_core::domain::SchedulerName;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

/// Between two tries to list the schedulers.
const DISCOVER_RETRY: Duration = Duration::from_secs(1);

struct Child {
    handle: SchedulerHandle,
    life: u64,
    running: Option<Running>,
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
        Self {
            parts,
            directory,
            arbiters,
            children: HashMap::new(),
            last_life: 0,
            stopping: None,
            gauge,
        }
    }

    fn discover(&self, ctx: &mut Context<Self>) {
        let (ownership, me) = (self.parts.ownership.clone(), ctx.address());
        let going_down = self.parts.going_down.clone();
        let work = async move {
            tokio::select! {
                () = going_down.cancelled() => {}
                found = ownership.discover() => me.do_send(Discovered(found)),
            }
        };
        self.parts.tasks.spawn_on(work, &self.parts.io);
    }

    /// Begins a life: waits for the tasks of the one before, then acquires and loads.
    fn build(&mut self, name: &SchedulerName, wait: Duration, ctx: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        let (me, name, before) = (ctx.address(), name.clone(), child.running.take());
        let parts = self.parts.clone();
        let work = async move {
            if let Some(running) = before {
                running.scope.end().await;
            }
            let made = async {
                tokio::time::sleep(wait).await;
                factory::make(&parts, &name).await
            };
            // A store that never answers must not hold the shutdown up.
            let outcome = tokio::select! {
                () = parts.going_down.cancelled() => Err(BuildError::GoingDown),
                outcome = made => outcome,
            };
            me.do_send(Built {
                name,
                outcome: outcome.map(Box::new),
            });
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
            running: None,
            waiting: Vec::new(),
            reloading: Vec::new(),
        };
        self.children.insert(name.clone(), child);
        self.build(name, Duration::ZERO, ctx);
        handle
    }

    fn begin_life(&mut self, name: &SchedulerName, fresh: Fresh, ctx: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        self.last_life += 1;
        child.life = self.last_life;
        let arbiter = life::arbiter_of(&self.arbiters, name);
        let (handle, supervisor) = (child.handle.clone(), ctx.address().recipient());
        let life = self.last_life;
        let (running, live) = life::begin(&self.parts, handle, fresh, life, supervisor, arbiter);
        child.running = Some(running);
        child.handle.set_presence(Presence::Live(live));
        for waiting in child.waiting.drain(..) {
            // Who asked may have left meanwhile.
            let _ = waiting.send(child.handle.clone());
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
        child.handle.0.tally.start_failed();
        match wait {
            Some(wait) => {
                warn!(scheduler_name = %name, %cause, "its actor ended and is built anew");
                child.handle.set_presence(Presence::Loading);
                self.build(name, wait, ctx);
            }
            None => {
                error!(scheduler_name = %name, %cause, "its actor ended too often: it is degraded");
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
        if self.stopping.is_none() {
            self.forget_outcomes();
        }
        for reloading in child.reloading.drain(..) {
            let _ = reloading.send(false);
        }
        let (name, stopping) = (name.clone(), self.stopping.is_some());
        let (running, parts) = (child.running.take(), self.parts.clone());
        let work = async move {
            if let Some(running) = running {
                running.scope.end().await;
                life::release(&parts, &name, running.epoch).await;
            }
            match stopping {
                true => me.do_send(Retired),
                // What it told is queued by now.
                false => parts.outbox.ended(&name),
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

    /// What became of events goes with the rest that is counted of a scheduler, some minutes after its end.
    fn forget_outcomes(&self) {
        let gone = self.directory.tally().lately_gone();
        let gone: HashSet<&str> = gone.iter().map(|handle| handle.name().as_str()).collect();
        let known = |name: &str| gone.contains(name) || self.children.contains_key(name);
        self.parts.outbox.outcomes().keep(known);
    }

    fn finish_shutdown(&mut self) {
        if self.children.is_empty()
            && let Some(waiting) = self.stopping.as_mut()
            && !waiting.is_empty()
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
                self.directory.tally().synced();
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
            (Err(CallError::Restarting(_)), Some(child)) => {
                child.waiting.retain(|waiting| !waiting.is_closed());
                child.waiting.push(done);
            }
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
            Ok(fresh) => self.begin_life(&name, *fresh, ctx),
            Err(BuildError::Panicked) => {
                let entropy = self.parts.clock.entropy();
                self.restart(&name, "loading it panicked", entropy, ctx);
            }
            Err(cause) => {
                // The store's absence is no fault of the scheduler: it costs no budget.
                warn!(scheduler_name = %name, %cause, "it cannot be loaded; trying again");
                if let Some(child) = self.children.get(&name) {
                    child.handle.0.tally.load_failed();
                }
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
        self.parts.going_down.cancel();
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
