//! The turns of the supervisor: one per notice.

use crate::error::CallError;
use crate::factory::{BuildError, LoadedOwner, Made};
use crate::handle::SchedulerHandle;
use crate::messages::{Control, Counted};
use crate::owner_status::OwnerStatus;
use crate::supervisor::{Child, LOAD_RETRY, SupervisorActor, UNREADABLE_RETRY_MAX};
use crate::supervisor_messages::{EndCause, Notice};
use actix::prelude::*;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Owner, StoreError};
use maestro_core::rules::back_off::doubled;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

impl Handler<Counted<Notice>> for SupervisorActor {
    type Result = ();

    /// One turn. Nobody restarts the supervisor, so a panic ends only the turn.
    fn handle(&mut self, Counted(notice, queued): Counted<Notice>, ctx: &mut Self::Context) {
        drop(queued);
        self.link.gauge.begin_turn(notice.turn());
        let turn = AssertUnwindSafe(|| self.turn(notice, ctx));
        if catch_unwind(turn).is_err() {
            self.mend(ctx);
        }
        self.link.gauge.end_turn();
    }
}

impl SupervisorActor {
    fn turn(&mut self, notice: Notice, ctx: &mut Context<Self>) {
        match notice {
            Notice::Take(names) => self.taken(names),
            Notice::HandOver(names) => self.hand_over(&names),
            Notice::Ensure { name, done } => self.wanted(name, done),
            Notice::Built { made, batch } => self.made(made, batch, ctx),
            Notice::ChildEnded {
                name,
                incarnation,
                cause,
            } => self.child_ended(&name, incarnation, cause),
            Notice::Retired => self.finish_shutdown(),
            Notice::Reload { name, done } => self.reload(&name, done),
            Notice::Shutdown(done) => self.shutdown(done),
            Notice::ThreadStuck(thread) => self.leave(thread),
            Notice::Probe => {}
            #[cfg(feature = "faults")]
            Notice::Interrupt(what) => what(),
        }
    }

    /// Repairs after a turn that panicked halfway: schedulers that have no owner and would not get one are built.
    fn mend(&mut self, ctx: &mut Context<Self>) {
        self.restarts.lock().note("a turn of it panicked");
        if self.stopping.is_some() {
            return self.finish_shutdown();
        }
        let lost = |child: &Child| !child.building && !child.alive && !child.handle.is_degraded();
        let lost = self.children.iter().filter(|(_, child)| lost(child));
        let names: Vec<SchedulerName> = lost.map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(child) = self.children.get(&name) {
                child.handle.set_status(OwnerStatus::Loading);
            }
            self.build(&name, LOAD_RETRY);
        }
        ctx.run_later(LOAD_RETRY, |actor, ctx| actor.load_again(ctx));
    }

    fn taken(&mut self, names: Vec<SchedulerName>) {
        if self.stopping.is_some() {
            return;
        }
        let (schedulers, first) = (names.len(), !self.directory.is_complete());
        self.take(names);
        self.directory.complete();
        if first || schedulers > 0 {
            info!(schedulers, "taking over schedulers of the store");
        }
    }

    fn hand_over(&mut self, names: &[SchedulerName]) {
        for name in names {
            let child = self.children.get(name);
            if let Some(Ok(live)) = child.map(|child| child.handle.live()) {
                live.tell(Control::HandOver);
            }
        }
    }

    fn wanted(
        &mut self,
        name: SchedulerName,
        done: oneshot::Sender<Result<SchedulerHandle, CallError>>,
    ) {
        if self.stopping.is_some() {
            return; // dropping `done` answers
        }
        let handle = self.ensure(&name);
        match (handle.live(), self.children.get_mut(&name)) {
            (Err(CallError::Restarting(_) | CallError::Unloaded { .. }), Some(child)) => {
                child.waiting.retain(|waiting| !waiting.is_closed());
                child.waiting.push(done);
            }
            // The caller may have stopped waiting.
            _ => drop(done.send(Ok(handle))),
        }
    }

    fn made(&mut self, made: Made, batch: bool, ctx: &mut Context<Self>) {
        if batch {
            self.batches = self.batches.saturating_sub(1);
        }
        let waited = !self.unloaded.is_empty();
        // First for all of them: if this turn panics halfway, the rest is found and built again.
        for (name, _) in &made {
            if let Some(child) = self.children.get_mut(name) {
                child.building = false;
            }
        }
        for (name, outcome) in made {
            self.built(&name, outcome);
        }
        if batch {
            self.parts.look_again.notify_one();
        }
        if !waited && !self.unloaded.is_empty() {
            ctx.run_later(LOAD_RETRY, |actor, ctx| actor.load_again(ctx));
        }
        self.load_queued();
    }

    fn built(&mut self, name: &SchedulerName, outcome: Result<Box<LoadedOwner>, BuildError>) {
        if self.stopping.is_some() {
            self.after(name, EndCause::Stopped);
            return self.finish_shutdown();
        }
        match outcome {
            Ok(loaded) => self.begin_incarnation(name, *loaded),
            Err(BuildError::Panicked) => self.restart(name, "loading it panicked"),
            Err(BuildError::HeldBy(holder)) => self.let_go(name, Owner::Held(holder)),
            Err(BuildError::Store(StoreError::Fenced { .. })) => self.let_go(name, Owner::Nobody),
            Err(cause) => self.not_built(name, &cause),
        }
    }

    /// What cannot be loaded is not the scheduler's fault: the retry costs no budget.
    fn not_built(&mut self, name: &SchedulerName, cause: &BuildError) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        child.building = true;
        child.handle.counters().load_failed();
        if child.handle.is_loading() {
            let cause = cause.to_string();
            child.handle.set_status(OwnerStatus::Unloaded { cause });
        }
        let is_unreadable = matches!(cause, BuildError::Store(StoreError::Corrupt(_)));
        child.unreadable = is_unreadable.then(|| {
            let before = child.unreadable.map_or(0, |(times, _)| times);
            let wait = doubled(LOAD_RETRY, before, UNREADABLE_RETRY_MAX);
            (before.saturating_add(1), Instant::now() + wait)
        });
        // Logged once, not each time.
        if !std::mem::replace(&mut child.unloaded, true) {
            match is_unreadable {
                true => warn!(
                    scheduler_name = %name, %cause,
                    "it cannot be loaded; mend what is stored; it is tried again within a minute, or at once by a reload"
                ),
                false => {
                    warn!(scheduler_name = %name, %cause, "it cannot be loaded; it is tried each second");
                }
            }
        }
        self.unloaded.push(name.clone());
    }

    fn child_ended(&mut self, name: &SchedulerName, incarnation: u64, cause: EndCause) {
        let child = self.children.get_mut(name);
        let is_it = |child: &&mut Child| child.alive && child.incarnation == incarnation;
        if let Some(child) = child.filter(is_it) {
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
        child.handle.forgive_restarts();
        child.reloading.push(done);
        match child.handle.live() {
            Ok(live) => live.tell(Control::Reload),
            Err(CallError::Degraded { .. }) => {
                child.handle.set_status(OwnerStatus::Loading);
                self.build(name, Duration::ZERO);
            }
            // It is being loaded already, or soon.
            Err(_) => {
                if let Some((_, at)) = &mut child.unreadable {
                    *at = Instant::now();
                }
            }
        }
    }

    fn shutdown(&mut self, done: oneshot::Sender<()>) {
        self.directory.close();
        self.parts.going_down.cancel();
        self.stopping.get_or_insert_default().push(done);
        // No factory runs for these, so nobody else would report their end.
        for name in self.take_unbegun() {
            self.after(&name, EndCause::Stopped);
        }
        let names: Vec<SchedulerName> = self.children.keys().cloned().collect();
        for name in names {
            let Some(child) = self.children.get(&name) else {
                continue;
            };
            match child.handle.live() {
                Ok(live) => live.tell(Control::Stop),
                Err(CallError::Degraded { .. }) => self.after(&name, EndCause::Stopped),
                // Its factory is running: `Built` will follow.
                Err(_) => {}
            }
        }
        self.finish_shutdown();
    }

    /// Abandons the owners on a blocked thread; new ones are made on other threads. Decisions that were not stored are
    /// lost, but they were acknowledged to nobody except pinging rooms, which repeat their status.
    fn leave(&mut self, thread: usize) {
        let on_it = |child: &Child| child.tasks.as_ref().is_some_and(|r| r.thread == thread);
        let all = self.children.iter().filter(|(_, child)| on_it(child));
        let names: Vec<SchedulerName> = all.map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(child) = self.children.get_mut(&name) else {
                continue;
            };
            let Ok(live) = child.handle.live() else {
                continue; // it has ended and is being rebuilt
            };
            live.lease.give_up();
            // A later report of its end is ignored.
            child.alive = false;
            if let Some(tasks) = &child.tasks {
                tasks.scope.abandon();
            }
            // The restart log shows later that it was moved.
            warn!(scheduler_name = %name, thread, "its thread is blocked: it continues on another");
            // At most one of the owners on this thread is in a turn; the others are not to blame.
            let cause = match live.gauge.turn() {
                Some((message, _)) => EndCause::Failed(format!(
                    "its turn ({message}) took longer than its lease: its thread stands still"
                )),
                None => {
                    let moved = "its thread stood still: it was moved to another";
                    child.handle.note_restart(moved);
                    EndCause::Reload
                }
            };
            self.after(&name, cause);
        }
        self.finish_shutdown();
    }
}
