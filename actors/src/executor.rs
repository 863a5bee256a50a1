//! Executes work on the runtime, as cancelable tasks with a deadline.

use crate::lease::Lease;
use crate::protections::Protections;
use crate::scope::{Scope, Task};
use crate::turn_trace::TurnTrace;
use futures_util::FutureExt;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Admission, Clock, PlatformObjects, Runtime, RuntimeError};
use maestro_core::state::{Work, WorkId, WorkResult};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Spawns a task for each piece of work; its result is passed to `done` exactly once.
#[derive(Clone)]
pub(crate) struct Executor {
    pub scheduler: SchedulerName,
    pub runtime: Arc<dyn Runtime>,
    pub platform: Arc<dyn PlatformObjects>,
    pub clock: Arc<dyn Clock>,
    pub lease: Arc<Lease>,
    pub scope: Scope,
    pub protections: Protections,
    pub running: Arc<parking_lot::Mutex<HashMap<WorkId, CancellationToken>>>,
    pub done: Arc<dyn Fn(WorkId, WorkResult, TurnTrace) + Send + Sync>,
}

impl Executor {
    pub fn run(&self, trace: &TurnTrace, id: WorkId, work: Work, timeout: Duration) {
        let token = CancellationToken::new();
        self.running.lock().insert(id, token.clone());
        let this = self.clone();
        let trace = trace.work(&self.scheduler, id.0, work.kind());
        let span = trace.span.clone();
        let protects = matches!(work, Work::Protect(_));
        let task = async move {
            let kind = work.kind();
            let call = async {
                let _admission = this.admission(&work).await;
                tokio::time::timeout(timeout, this.call(work)).await
            };
            let result = tokio::select! {
                () = token.cancelled() => WorkResult::Unknown(format!("{kind} was given up")),
                result = AssertUnwindSafe(call).catch_unwind() => match result {
                    Ok(Ok(result)) => result,
                    Ok(Err(_)) => WorkResult::Unknown(format!("{kind} took longer than {timeout:?}")),
                    Err(_) => WorkResult::Unknown(format!("{kind} panicked")),
                },
            };
            this.running.lock().remove(&id);
            if protects && matches!(result, WorkResult::Done) {
                this.protections.succeeded(id);
            }
            (this.done)(id, result, trace);
        };
        self.scope
            .spawn(Task::Work, tracing::Instrument::instrument(task, span));
    }

    /// Waits until the call may begin. Calls on a runtime cannot be fenced, so they begin only while the lease is
    /// valid; while it is not, nothing waits in the way of others.
    async fn admission(&self, work: &Work) -> Option<Admission> {
        loop {
            self.lease.usable(&*self.clock).await;
            let admission = match work.urgency() {
                Some(urgency) => self.runtime.admit(&self.scheduler, urgency).await,
                None => None,
            };
            if self.lease.is_usable(&*self.clock) {
                return admission;
            }
        }
    }

    pub fn abandon(&self, ids: &[WorkId]) {
        let running = self.running.lock();
        ids.iter()
            .filter_map(|id| running.get(id))
            .for_each(CancellationToken::cancel);
    }

    async fn call(&self, work: Work) -> WorkResult {
        let done = |result: Result<(), RuntimeError>| match result {
            Ok(()) => WorkResult::Done,
            Err(why) => WorkResult::Failed(why),
        };
        match work {
            Work::Prepare {
                scheduler,
                operation,
            } => match self.runtime.prepare(&scheduler, operation).await {
                Ok(prepared) => WorkResult::Prepared(prepared),
                Err(why) => WorkResult::Failed(why),
            },
            Work::RemovePlace { made_by } => {
                done(self.runtime.remove(&self.scheduler, made_by).await)
            }
            Work::EnsureRuntime { operation } => {
                let ensured = self.platform.ensure_runtime(&self.scheduler, operation);
                ensured
                    .await
                    .map_or_else(WorkResult::Refused, WorkResult::Prepared)
            }
            Work::Show(shown) => {
                let done = self.platform.show(&self.scheduler, shown).await;
                done.map_or_else(WorkResult::Refused, |()| WorkResult::Done)
            }
            Work::ReservePorts { room, scheduler } => {
                match self.runtime.reserve_ports(&room, &scheduler).await {
                    Ok(ports) => WorkResult::Ports(ports),
                    Err(why) => WorkResult::Failed(why),
                }
            }
            Work::Protect(order) => done(self.runtime.protect(&self.scheduler, &order).await),
            Work::ReleasePorts { room } => {
                self.runtime.release_ports(&room).await;
                WorkResult::Done
            }
            Work::CreateRoom(order) => match self.runtime.create(&order).await {
                Ok(instance) => WorkResult::Created(instance),
                Err(why) => WorkResult::Failed(why),
            },
            Work::TerminateRoom {
                room,
                uid,
                grace,
                reason,
            } => done(
                self.runtime
                    .terminate(&self.scheduler, &room, uid.as_deref(), grace, reason)
                    .await,
            ),
        }
    }
}
