//! The actor that gives every scheduler its owner, and a new one when that ends.
//!
//! actix' own supervision neither survives a panic nor rebuilds state, so this is ours: an
//! exit guard in the child reports its end, and the next life is made by a factory that
//! loads everything from the store again.

use crate::factory::{self, BuildError, Fresh};
use crate::handle::{Presence, SchedulerHandle};
use crate::life::{self, Running};
use crate::messages::{Control, Counted};
use crate::orders::{EndCause, Notice, SupervisorLink};
use crate::parts::NodeParts;
use crate::restart::RestartLog;
use crate::threads::Threads;
use crate::{Directory, error::CallError};
use actix::prelude::*;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::StoreError;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    /// A life is under way that has not told of its end.
    alive: bool,
    /// A factory is at work.
    building: bool,
    /// The last factory found no store.
    unloaded: bool,
    /// Callers of `Ensure` and `Reload` who wait for the next life.
    waiting: Vec<oneshot::Sender<SchedulerHandle>>,
    reloading: Vec<oneshot::Sender<bool>>,
}

pub(crate) struct SupervisorActor {
    parts: NodeParts,
    directory: Directory,
    threads: Arc<Threads>,
    children: HashMap<SchedulerName, Child>,
    last_life: u64,
    stopping: Option<Vec<oneshot::Sender<()>>>,
    /// Turns of its own that panicked.
    restarts: Arc<Mutex<RestartLog>>,
    /// To itself.
    link: SupervisorLink,
}

impl SupervisorActor {
    pub fn new(
        parts: NodeParts,
        directory: Directory,
        threads: Arc<Threads>,
        restarts: Arc<Mutex<RestartLog>>,
        link: SupervisorLink,
    ) -> Self {
        Self {
            parts,
            directory,
            threads,
            children: HashMap::new(),
            last_life: 0,
            stopping: None,
            restarts,
            link,
        }
    }

    fn discover(&self) {
        let (ownership, me) = (self.parts.ownership.clone(), self.link.clone());
        let going_down = self.parts.going_down.clone();
        let work = async move {
            tokio::select! {
                () = going_down.cancelled() => {}
                found = ownership.discover() => me.tell(Notice::Discovered(found)),
            }
        };
        self.parts.tasks.spawn_on(work, &self.parts.io);
    }

    /// Begins a life: waits for the tasks of the one before, then acquires and loads.
    fn build(&mut self, name: &SchedulerName, wait: Duration) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        child.building = true;
        let (me, name, before) = (self.link.clone(), name.clone(), child.running.take());
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
            me.tell(Notice::Built {
                name,
                outcome: outcome.map(Box::new),
            });
        };
        self.parts.tasks.spawn_on(work, &self.parts.io);
    }

    fn ensure(&mut self, name: &SchedulerName) -> SchedulerHandle {
        if let Some(child) = self.children.get(name) {
            return child.handle.clone();
        }
        let handle = self.directory.entry(name, self.parts.settings.timeouts);
        let child = Child {
            handle: handle.clone(),
            life: 0,
            running: None,
            alive: false,
            building: false,
            unloaded: false,
            waiting: Vec::new(),
            reloading: Vec::new(),
        };
        self.children.insert(name.clone(), child);
        self.build(name, Duration::ZERO);
        handle
    }

    fn begin_life(&mut self, name: &SchedulerName, fresh: Fresh) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        self.last_life += 1;
        child.life = self.last_life;
        child.alive = true;
        child.unloaded = false;
        let (handle, supervisor) = (child.handle.clone(), self.link.clone());
        let (life, thread) = (self.last_life, self.threads.pick(name));
        let (running, live) = life::begin(&self.parts, handle, fresh, life, supervisor, thread);
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
    fn after(&mut self, name: &SchedulerName, cause: EndCause) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        if self.stopping.is_some() {
            child.handle.set_presence(Presence::ShuttingDown);
            return self.retire(name);
        }
        let text = match &cause {
            EndCause::Gone => {
                child.handle.set_presence(Presence::Gone);
                self.directory.remove(name.as_str());
                return self.retire(name);
            }
            EndCause::Reload | EndCause::Stopped => {
                child.handle.set_presence(Presence::Loading);
                return self.build(name, Duration::ZERO);
            }
            EndCause::Panicked => "it panicked".to_owned(),
            EndCause::LeaseLost => "its lease was lost".to_owned(),
            EndCause::Failed(why) => why.clone(),
        };
        self.restart(name, &text);
    }

    fn restart(&mut self, name: &SchedulerName, cause: &str) {
        let entropy = self.parts.clock.entropy();
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
                child.handle.set_presence(Presence::Loading);
                self.build(name, wait);
                // Last: whatever becomes of the log, the actor comes back.
                warn!(scheduler_name = %name, %cause, "its actor ended and is built anew");
            }
            None => {
                child.handle.set_presence(Presence::Degraded {
                    cause: cause.to_owned(),
                });
                error!(scheduler_name = %name, %cause, "its actor ended too often: it is degraded");
            }
        }
    }

    /// Waits for the tasks of a life after which none comes.
    fn retire(&mut self, name: &SchedulerName) {
        let Some(mut child) = self.children.remove(name) else {
            return;
        };
        let (me, again) = (self.link.clone(), std::mem::take(&mut child.waiting));
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
            if stopping {
                me.tell(Notice::Retired);
            }
            // Somebody wanted it again while it was going away.
            for done in again {
                me.tell(Notice::Ensure {
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
        self.discover();
    }
}

impl Handler<Counted<Notice>> for SupervisorActor {
    type Result = ();

    /// One turn. Nobody makes a supervisor anew, so a defect in a turn ends that turn alone.
    fn handle(&mut self, Counted(notice, queued): Counted<Notice>, ctx: &mut Self::Context) {
        drop(queued);
        self.link.gauge.begin_turn(notice.turn());
        let turn = AssertUnwindSafe(|| self.take(notice, ctx));
        if catch_unwind(turn).is_err() {
            self.mend(ctx);
        }
        self.link.gauge.end_turn();
    }
}

impl SupervisorActor {
    fn take(&mut self, notice: Notice, ctx: &mut Context<Self>) {
        match notice {
            Notice::Discovered(found) => self.discovered(found, ctx),
            Notice::Ensure { name, done } => self.wanted(name, done),
            Notice::Built { name, outcome } => self.built(&name, outcome),
            Notice::ChildEnded { name, life, cause } => self.child_ended(&name, life, cause),
            Notice::Retired => self.finish_shutdown(),
            Notice::Reload { name, done } => self.reload(&name, done),
            Notice::Shutdown(done) => self.shutdown(done),
            Notice::ThreadStuck(thread) => self.leave(thread),
            Notice::Probe => {}
            #[cfg(feature = "faults")]
            Notice::Interrupt(what) => what(),
        }
    }

    /// After a turn that ended in the middle: whoever has no owner and gets none by itself is built.
    fn mend(&mut self, ctx: &mut Context<Self>) {
        self.restarts.lock().note("a turn of it panicked");
        if self.stopping.is_some() {
            return self.finish_shutdown();
        }
        if !self.directory.is_complete() {
            ctx.run_later(DISCOVER_RETRY, |actor, _| actor.discover());
        }
        let lost = |child: &Child| {
            let degraded = matches!(child.handle.live(), Err(CallError::Degraded { .. }));
            !child.building && !child.alive && !degraded
        };
        let lost = self.children.iter().filter(|(_, child)| lost(child));
        let names: Vec<SchedulerName> = lost.map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(child) = self.children.get(&name) {
                child.handle.set_presence(Presence::Loading);
            }
            self.build(&name, DISCOVER_RETRY);
        }
    }

    fn discovered(
        &mut self,
        found: Result<Vec<SchedulerName>, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        match found {
            Ok(names) => {
                for name in &names {
                    self.ensure(name);
                }
                self.directory.complete();
                self.directory.tally().synced();
                let schedulers = names.len();
                info!(schedulers, "taking over the schedulers of the store");
            }
            Err(error) => {
                ctx.run_later(DISCOVER_RETRY, |actor, _| actor.discover());
                error!(%error, "the schedulers cannot be listed; trying again");
            }
        }
    }

    fn wanted(&mut self, name: SchedulerName, done: oneshot::Sender<SchedulerHandle>) {
        if self.stopping.is_some() {
            return; // dropping `done` tells
        }
        let handle = self.ensure(&name);
        match (handle.live(), self.children.get_mut(&name)) {
            (Err(CallError::Restarting(_)), Some(child)) => {
                child.waiting.retain(|waiting| !waiting.is_closed());
                child.waiting.push(done);
            }
            // Who asked may have left.
            _ => drop(done.send(handle)),
        }
    }

    fn built(&mut self, name: &SchedulerName, outcome: Result<Box<Fresh>, BuildError>) {
        if let Some(child) = self.children.get_mut(name) {
            child.building = false;
        }
        if self.stopping.is_some() {
            self.after(name, EndCause::Stopped);
            return self.finish_shutdown();
        }
        match outcome {
            Ok(fresh) => self.begin_life(name, *fresh),
            Err(BuildError::Panicked) => self.restart(name, "loading it panicked"),
            Err(cause) => {
                // The store's absence is no fault of the scheduler: it costs no budget.
                self.build(name, DISCOVER_RETRY);
                let Some(child) = self.children.get_mut(name) else {
                    return;
                };
                child.handle.0.tally.load_failed();
                // Said once, not each second.
                if !std::mem::replace(&mut child.unloaded, true) {
                    warn!(scheduler_name = %name, %cause, "it cannot be loaded; it is tried each second");
                }
            }
        }
    }

    fn child_ended(&mut self, name: &SchedulerName, life: u64, cause: EndCause) {
        let child = self.children.get_mut(name);
        if let Some(child) = child.filter(|child| child.life == life) {
            child.alive = false;
            self.after(name, cause);
        }
        self.finish_shutdown();
    }

    fn reload(&mut self, name: &SchedulerName, done: oneshot::Sender<bool>) {
        let Some(child) = self.children.get_mut(name) else {
            let _ = done.send(false);
            return;
        };
        child.handle.0.restarts.lock().forgive();
        child.reloading.push(done);
        match child.handle.live() {
            Ok(live) => live.tell(Control::Reload),
            Err(CallError::Degraded { .. }) => {
                child.handle.set_presence(Presence::Loading);
                self.build(name, Duration::ZERO);
            }
            // It is being loaded anyway.
            Err(_) => {}
        }
    }

    fn shutdown(&mut self, done: oneshot::Sender<()>) {
        self.directory.close();
        self.parts.going_down.cancel();
        self.stopping.get_or_insert_default().push(done);
        let names: Vec<SchedulerName> = self.children.keys().cloned().collect();
        for name in names {
            let Some(child) = self.children.get(&name) else {
                continue;
            };
            match child.handle.live() {
                Ok(live) => live.tell(Control::Stop),
                Err(CallError::Degraded { .. }) => self.after(&name, EndCause::Stopped),
                // Its factory is at work: `Built` comes.
                Err(_) => {}
            }
        }
        self.finish_shutdown();
    }

    /// Gives up the owners on a thread that stands still; others are made on other threads. What they have decided
    /// and not stored is lost to them, and nobody was told of it.
    fn leave(&mut self, thread: usize) {
        let on_it = |child: &Child| child.running.as_ref().is_some_and(|r| r.thread == thread);
        let all = self.children.iter().filter(|(_, child)| on_it(child));
        let names: Vec<SchedulerName> = all.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.last_life += 1;
            let Some(child) = self.children.get_mut(&name) else {
                continue;
            };
            let Ok(live) = child.handle.live() else {
                continue; // it has ended, and is built already
            };
            live.lease.give_up();
            child.alive = false;
            // What it says of its end does not count any more.
            child.life = self.last_life;
            if let Some(running) = &child.running {
                running.scope.abandon();
            }
            // Of all on this thread only one can be in a turn: the others cannot help it.
            let cause = match live.gauge.turn() {
                Some((message, _)) => EndCause::Failed(format!(
                    "its turn ({message}) took longer than its lease: its thread stands still"
                )),
                None => EndCause::Reload,
            };
            self.after(&name, cause);
        }
        self.finish_shutdown();
    }
}
