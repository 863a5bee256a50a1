//! The actor that gives every scheduler an owner, and a new one when that ends.
//!
//! actix' own supervision neither survives a panic nor rebuilds state. Here an exit guard in the child reports its end,
//! and a factory makes the next incarnation by loading everything from the store again.

use crate::Directory;
use crate::factory::{self, BuildError, LoadedOwner};
use crate::handle::SchedulerHandle;
use crate::incarnation::{self, OwnerTasks};
use crate::owner_status::OwnerStatus;
use crate::parts::NodeParts;
use crate::restart::RestartLog;
use crate::supervisor_messages::{EndCause, Notice, SupervisorLink};
use crate::threads::Threads;
use actix::prelude::*;
use futures_util::FutureExt;
use maestro_core::domain::SchedulerName;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::{error, warn};

/// Pause between two attempts to list the schedulers.
pub(crate) const DISCOVER_RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Child {
    pub(crate) handle: SchedulerHandle,
    pub(crate) incarnation: u64,
    pub(crate) tasks: Option<OwnerTasks>,
    /// An incarnation is running that has not reported its end.
    pub(crate) alive: bool,
    /// A factory is running.
    pub(crate) building: bool,
    /// The last factory could not reach the store.
    pub(crate) unloaded: bool,
    /// Callers of `Ensure` and `Reload` that wait for the next incarnation.
    pub(crate) waiting: Vec<oneshot::Sender<SchedulerHandle>>,
    pub(crate) reloading: Vec<oneshot::Sender<bool>>,
}

pub(crate) struct SupervisorActor {
    pub(crate) parts: NodeParts,
    pub(crate) directory: Directory,
    threads: Arc<Threads>,
    pub(crate) children: HashMap<SchedulerName, Child>,
    pub(crate) last_incarnation: u64,
    pub(crate) stopping: Option<Vec<oneshot::Sender<()>>>,
    /// Its own turns that panicked.
    pub(crate) restarts: Arc<Mutex<RestartLog>>,
    /// A link to itself.
    pub(crate) link: SupervisorLink,
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
            last_incarnation: 0,
            stopping: None,
            restarts,
            link,
        }
    }

    pub(crate) fn discover(&self) {
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

    /// Begins an incarnation: waits for the tasks of the previous one, then acquires and loads the scheduler.
    pub(crate) fn build(&mut self, name: &SchedulerName, wait: Duration) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        child.building = true;
        let (me, name, before) = (self.link.clone(), name.clone(), child.tasks.take());
        let parts = self.parts.clone();
        let work = async move {
            if let Some(tasks) = before {
                tasks.scope.end().await;
            }
            let made = async {
                tokio::time::sleep(wait).await;
                factory::make(&parts, &name).await
            };
            // A store that never answers must not delay the shutdown.
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

    pub(crate) fn ensure(&mut self, name: &SchedulerName) -> SchedulerHandle {
        if let Some(child) = self.children.get(name) {
            return child.handle.clone();
        }
        let handle = self.directory.entry(name, self.parts.settings.timeouts);
        let child = Child {
            handle: handle.clone(),
            incarnation: 0,
            tasks: None,
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

    pub(crate) fn begin_incarnation(&mut self, name: &SchedulerName, loaded: LoadedOwner) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        self.last_incarnation += 1;
        child.incarnation = self.last_incarnation;
        child.alive = true;
        child.unloaded = false;
        let (handle, supervisor) = (child.handle.clone(), self.link.clone());
        let (incarnation, thread) = (self.last_incarnation, self.threads.pick(name));
        let (tasks, live) =
            incarnation::begin(&self.parts, handle, loaded, incarnation, supervisor, thread);
        child.tasks = Some(tasks);
        child.handle.set_status(OwnerStatus::Live(live));
        for waiting in child.waiting.drain(..) {
            // The caller may have stopped waiting.
            let _ = waiting.send(child.handle.clone());
        }
        for reloading in child.reloading.drain(..) {
            let _ = reloading.send(true);
        }
    }

    /// Decides what follows after an incarnation has ended: another one, or none.
    pub(crate) fn after(&mut self, name: &SchedulerName, cause: EndCause) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        if self.stopping.is_some() {
            child.handle.set_status(OwnerStatus::ShuttingDown);
            return self.retire(name);
        }
        let text = match &cause {
            EndCause::Gone => {
                child.handle.set_status(OwnerStatus::Gone);
                self.directory.remove(name.as_str());
                return self.retire(name);
            }
            EndCause::Reload | EndCause::Stopped => {
                child.handle.set_status(OwnerStatus::Loading);
                return self.build(name, Duration::ZERO);
            }
            EndCause::Panicked => "it panicked".to_owned(),
            EndCause::LeaseLost => "its lease was lost".to_owned(),
            EndCause::Failed(why) => why.clone(),
        };
        self.restart(name, &text);
    }

    pub(crate) fn restart(&mut self, name: &SchedulerName, cause: &str) {
        let entropy = self.parts.clock.entropy();
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        let wait = child.handle.count_restart(cause, entropy);
        child.handle.counters().start_failed();
        match wait {
            Some(wait) => {
                child.handle.set_status(OwnerStatus::Loading);
                self.build(name, wait);
                // Logged last: even if logging panics, the actor is rebuilt.
                warn!(scheduler_name = %name, %cause, "its actor ended and is being rebuilt");
            }
            None => {
                child.handle.set_status(OwnerStatus::Degraded {
                    cause: cause.to_owned(),
                });
                error!(scheduler_name = %name, %cause, "its actor ended too often: it is degraded");
            }
        }
    }

    /// Waits for the tasks of the last incarnation of a scheduler.
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
        let (tasks, parts) = (child.tasks.take(), self.parts.clone());
        let work = async move {
            if let Some(tasks) = tasks {
                tasks.scope.end().await;
                // A panic in here must not prevent the notices below.
                let release = incarnation::release(&parts, &name, tasks.epoch);
                let _ = AssertUnwindSafe(release).catch_unwind().await;
            }
            match stopping {
                true => me.tell(Notice::Retired),
                // Everything that it forwards is queued by now.
                false => parts.outbox.ended(&name),
            }
            // Callers asked for it again while it was ending.
            for done in again {
                me.tell(Notice::Ensure {
                    name: name.clone(),
                    done,
                });
            }
        };
        self.parts.retiring.spawn_on(work, &self.parts.io);
    }

    /// Forgets the outcomes of events together with the scheduler's other counters, some minutes after its end.
    fn forget_outcomes(&self) {
        let gone = self.directory.counters().lately_gone();
        let gone: HashSet<&str> = gone.iter().map(|handle| handle.name().as_str()).collect();
        let known = |name: &str| gone.contains(name) || self.children.contains_key(name);
        self.parts.outbox.outcomes().keep(known);
    }

    pub(crate) fn finish_shutdown(&mut self) {
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
    fn started(&mut self, _: &mut Self::Context) {
        self.discover();
    }
}
