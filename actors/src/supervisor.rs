//! The actor that gives every scheduler an owner, and a new one when that ends.
//!
//! actix' own supervision neither survives a panic nor rebuilds state. Here an exit guard in the child reports its end,
//! and a factory makes the next incarnation by loading everything from the store again.

use crate::Directory;
use crate::error::CallError;
use crate::factory::{self, BATCH_MAX, BuildError, LoadedOwner};
use crate::handle::SchedulerHandle;
use crate::incarnation::{self, OwnerTasks};
use crate::owner_status::OwnerStatus;
use crate::parts::NodeParts;
use crate::restart::RestartLog;
use crate::supervisor_messages::{EndCause, Notice, SupervisorLink};
use crate::survey;
use crate::threads::Threads;
use actix::prelude::*;
use futures_util::FutureExt;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::Owner;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

/// Pause before schedulers that could not be loaded are tried again.
pub(crate) const LOAD_RETRY: Duration = Duration::from_secs(1);
/// The longest pause before a scheduler is tried again whose stored state cannot be read: somebody has to mend it
/// first.
pub(crate) const UNREADABLE_RETRY_MAX: Duration = Duration::from_secs(60);
/// Maximum number of batches of schedulers that are loaded at the same time.
const BATCHES_MAX: usize = 4;

pub(crate) struct Child {
    pub(crate) handle: SchedulerHandle,
    pub(crate) incarnation: u64,
    pub(crate) tasks: Option<OwnerTasks>,
    /// An incarnation is running that has not reported its end.
    pub(crate) alive: bool,
    /// A factory is running.
    pub(crate) building: bool,
    /// The last factory could not load it.
    pub(crate) unloaded: bool,
    /// What is stored of it cannot be read: how often that was found, and when it is tried again.
    pub(crate) unreadable: Option<(u32, Instant)>,
    /// Callers of `Ensure` and `Reload` that wait for the next incarnation.
    pub(crate) waiting: Vec<oneshot::Sender<Result<SchedulerHandle, CallError>>>,
    pub(crate) reloading: Vec<oneshot::Sender<bool>>,
}

pub(crate) struct SupervisorActor {
    pub(crate) parts: NodeParts,
    pub(crate) directory: Directory,
    threads: Arc<Threads>,
    pub(crate) children: HashMap<SchedulerName, Child>,
    /// Children that wait to be loaded in batches.
    queue: VecDeque<SchedulerName>,
    pub(crate) batches: usize,
    /// Children that could not be loaded, for the next attempt.
    pub(crate) unloaded: Vec<SchedulerName>,
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
            queue: VecDeque::new(),
            batches: 0,
            unloaded: Vec::new(),
            last_incarnation: 0,
            stopping: None,
            restarts,
            link,
        }
    }

    /// Gives each of these schedulers an owner on this node, in batches.
    pub(crate) fn take(&mut self, names: Vec<SchedulerName>) {
        for name in names {
            if !self.children.contains_key(&name) {
                self.adopt(&name);
                self.queue.push_back(name);
            }
        }
        self.load_queued();
    }

    /// Puts children whose factory failed into the queue again, those that cannot be read only when their pause is
    /// over.
    pub(crate) fn load_again(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        for name in std::mem::take(&mut self.unloaded) {
            let child = self.children.get(&name);
            let Some(child) = child.filter(|child| child.building && !child.alive) else {
                continue;
            };
            match child.unreadable {
                Some((_, at)) if at > now => self.unloaded.push(name),
                _ => self.queue.push_back(name),
            }
        }
        if !self.unloaded.is_empty() {
            ctx.run_later(LOAD_RETRY, |actor, ctx| actor.load_again(ctx));
        }
        self.load_queued();
    }

    /// Takes the children that wait for a factory.
    pub(crate) fn take_unbegun(&mut self) -> Vec<SchedulerName> {
        let queued = std::mem::take(&mut self.queue).into_iter();
        queued.chain(std::mem::take(&mut self.unloaded)).collect()
    }

    pub(crate) fn load_queued(&mut self) {
        while self.batches < BATCHES_MAX && !self.queue.is_empty() && self.stopping.is_none() {
            let names: Vec<_> = {
                let most = self.queue.len().min(BATCH_MAX);
                self.queue.drain(..most).collect()
            };
            self.batches += 1;
            self.load(names, true, async {});
        }
    }

    /// Acquires and loads schedulers once `ready` completes.
    fn load(
        &self,
        names: Vec<SchedulerName>,
        batch: bool,
        ready: impl Future<Output = ()> + Send + 'static,
    ) {
        let (me, parts) = (self.link.clone(), self.parts.clone());
        let work = async move {
            let made = async {
                ready.await;
                factory::make(&parts, &names).await
            };
            // A store that never answers must not delay the shutdown.
            let made = tokio::select! {
                () = parts.going_down.cancelled() => factory::all(&names, &BuildError::GoingDown),
                made = made => made,
            };
            me.tell(Notice::Built { made, batch });
        };
        self.parts.tasks.spawn_on(work, &self.parts.io);
    }

    /// Begins an incarnation: waits for the tasks of the previous one, then acquires and loads the scheduler.
    pub(crate) fn build(&mut self, name: &SchedulerName, wait: Duration) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        child.building = true;
        let before = child.tasks.take();
        self.load(vec![name.clone()], false, async move {
            if let Some(tasks) = before {
                tasks.scope.end().await;
            }
            tokio::time::sleep(wait).await;
        });
    }

    /// The handle of a scheduler; without an owner it gets one.
    pub(crate) fn ensure(&mut self, name: &SchedulerName) -> SchedulerHandle {
        if let Some(child) = self.children.get(name) {
            return child.handle.clone();
        }
        let handle = self.adopt(name);
        self.build(name, Duration::ZERO);
        handle
    }

    /// A new child, which has to be loaded.
    fn adopt(&mut self, name: &SchedulerName) -> SchedulerHandle {
        let handle = self.directory.entry(name, self.parts.settings.timeouts);
        let child = Child {
            handle: handle.clone(),
            incarnation: 0,
            tasks: None,
            alive: false,
            building: true,
            unloaded: false,
            unreadable: None,
            waiting: Vec::new(),
            reloading: Vec::new(),
        };
        self.children.insert(name.clone(), child);
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
        child.unreadable = None;
        let counters = self.directory.counters();
        counters.taken.served(name);
        if loaded.behind {
            counters.taken.behind.fetch_add(1, Relaxed);
        }
        let (handle, supervisor) = (child.handle.clone(), self.link.clone());
        let (incarnation, thread) = (self.last_incarnation, self.threads.pick(name));
        let (tasks, live) =
            incarnation::begin(&self.parts, handle, loaded, incarnation, supervisor, thread);
        child.tasks = Some(tasks);
        child.handle.set_status(OwnerStatus::Live(live));
        for waiting in child.waiting.drain(..) {
            // The caller may have stopped waiting.
            let _ = waiting.send(Ok(child.handle.clone()));
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
            // Nobody's fault: it costs no budget of restarts.
            EndCause::LeaseLost | EndCause::Fenced | EndCause::HandedOver => {
                return self.let_go(name, Owner::Nobody);
            }
            EndCause::Panicked => "it panicked".to_owned(),
            EndCause::Failed(why) => why.clone(),
        };
        self.restart(name, &text);
    }

    /// This node does not own the scheduler any more.
    pub(crate) fn let_go(&mut self, name: &SchedulerName, owner: Owner) {
        if let (Owner::Held(holder), Some(child)) = (&owner, self.children.get_mut(name)) {
            for waiting in child.waiting.drain(..) {
                // The caller may have stopped waiting.
                let _ = waiting.send(Err(CallError::Elsewhere {
                    name: name.to_string(),
                    address: holder.address.clone(),
                }));
            }
        }
        self.directory.moved(name, owner);
        self.retire(name);
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
        let directory = self.directory.clone();
        let work = async move {
            if let Some(tasks) = tasks {
                tasks.scope.end().await;
                // A panic in here must not prevent the notices below.
                let release = incarnation::release(&parts, &name, tasks.epoch);
                let _ = AssertUnwindSafe(release).catch_unwind().await;
            }
            if !stopping {
                let find = survey::find_owner(&parts, &directory, &name);
                let _ = AssertUnwindSafe(find).catch_unwind().await;
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
}
