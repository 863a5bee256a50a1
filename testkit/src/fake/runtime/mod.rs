//! A runtime in memory: rooms without processes, which fail, hang and crash on request.

mod control;
mod state;

pub use state::Termination;

use super::{gate::Gate, script::Script, this_thread};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::{domain::*, ports::*};
use parking_lot::Mutex;
use state::Rooms;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// The kinds of calls of a runtime, each with its own faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuntimeCall {
    Prepare,
    Remove,
    ReservePorts,
    ReleasePorts,
    Create,
    Terminate,
    Protect,
    LogTail,
}

/// The fault of one call.
#[derive(Clone, Debug)]
pub enum RuntimeFault {
    /// Nothing is done.
    Fails(RuntimeError),
    /// The call is carried out, and reported as failed.
    FailsAfter(RuntimeError),
    /// Takes that long on tokio's clock, and then continues as usual.
    Slow(Duration),
    /// Waits at the gate before anything is done; if the gate never opens, it hangs.
    Held(Gate),
    /// Is carried out, and then waits at the gate before it answers.
    HeldAnswer(Gate),
}

type Hook = Box<dyn FnMut(RuntimeCall, Option<&RoomId>) -> Option<RuntimeFault> + Send>;

pub struct FakeRuntime {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    rooms: Rooms,
    script: Script<RuntimeCall, RuntimeFault>,
    hook: Option<Hook>,
    threads: BTreeSet<String>,
    /// Calls wait here before they are sent.
    admission: Option<Gate>,
}

impl FakeRuntime {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
        })
    }

    /// The next call of this kind without an earlier fault fails this way.
    pub fn fail(&self, call: RuntimeCall, fault: RuntimeFault) {
        self.inner.lock().script.once(call, fault);
    }
    /// Every call of this kind fails this way until [`Self::heal`].
    pub fn fail_always(&self, call: RuntimeCall, fault: RuntimeFault) {
        self.inner.lock().script.always(call, fault);
    }
    /// Asked before each call; takes precedence over all other faults.
    pub fn fail_when(
        &self,
        hook: impl FnMut(RuntimeCall, Option<&RoomId>) -> Option<RuntimeFault> + Send + 'static,
    ) {
        self.inner.lock().hook = Some(Box::new(hook));
    }
    /// Calls wait at the gate before they are sent, as behind a rate limit.
    pub fn queue_calls(&self, gate: Gate) {
        self.inner.lock().admission = Some(gate);
    }
    /// Ends every requested fault; calls that wait at a gate keep waiting.
    pub fn heal(&self) {
        let mut inner = self.inner.lock();
        inner.script.heal();
        inner.hook = None;
    }

    async fn call<T>(
        &self,
        call: RuntimeCall,
        room: Option<&RoomId>,
        work: impl FnOnce(&mut Inner) -> Result<T, RuntimeError> + Send,
    ) -> Result<T, RuntimeError> {
        let fault = {
            let mut inner = self.inner.lock();
            inner.threads.insert(this_thread());
            let hooked = inner.hook.as_mut().and_then(|hook| hook(call, room));
            let scripted = inner.script.take(call);
            hooked.or(scripted)
        };
        match &fault {
            Some(RuntimeFault::Fails(why)) => return Err(why.clone()),
            Some(RuntimeFault::Slow(time)) => tokio::time::sleep(*time).await,
            Some(RuntimeFault::Held(gate)) => gate.pass().await,
            _ => {}
        }
        let done = work(&mut self.inner.lock());
        match fault {
            Some(RuntimeFault::FailsAfter(why)) => Err(why),
            Some(RuntimeFault::HeldAnswer(gate)) => {
                gate.pass().await;
                done
            }
            _ => done,
        }
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn admit(&self, _: &SchedulerName, _: Urgency) -> Option<Admission> {
        let gate = self.inner.lock().admission.clone()?;
        gate.pass().await;
        None
    }

    async fn prepare(
        &self,
        scheduler: &Scheduler,
        operation: OperationId,
    ) -> Result<Prepared, RuntimeError> {
        let work = |inner: &mut Inner| inner.rooms.prepare(&scheduler.name, operation);
        self.call(RuntimeCall::Prepare, None, work).await
    }

    async fn remove(
        &self,
        scheduler: &SchedulerName,
        made_by: Option<OperationId>,
    ) -> Result<(), RuntimeError> {
        let work = |inner: &mut Inner| inner.rooms.remove_place(scheduler, made_by);
        self.call(RuntimeCall::Remove, None, work).await
    }

    async fn reserve_ports(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError> {
        let work = |inner: &mut Inner| inner.rooms.reserve(room, scheduler);
        self.call(RuntimeCall::ReservePorts, Some(room), work).await
    }

    async fn release_ports(&self, room: &RoomId) {
        let work = |inner: &mut Inner| {
            inner.rooms.release(room);
            Ok(())
        };
        // There is no error to return: here a fault means that the reservation stays.
        let _ = self.call(RuntimeCall::ReleasePorts, Some(room), work).await;
    }

    async fn create(&self, order: &RoomOrder) -> Result<Instance, RuntimeError> {
        let work = |inner: &mut Inner| inner.rooms.create(order);
        self.call(RuntimeCall::Create, Some(&order.room), work)
            .await
    }

    async fn terminate(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: Option<&str>,
        _grace: Duration,
        reason: RemovalReason,
    ) -> Result<(), RuntimeError> {
        let work = |inner: &mut Inner| inner.rooms.terminate(scheduler, room, uid, reason);
        self.call(RuntimeCall::Terminate, Some(room), work).await
    }

    async fn protect(
        &self,
        scheduler: &SchedulerName,
        order: &Protection,
    ) -> Result<(), RuntimeError> {
        let work = |inner: &mut Inner| {
            inner.rooms.protect(scheduler, order);
            Ok(())
        };
        self.call(RuntimeCall::Protect, None, work).await
    }

    fn watch(&self, scheduler: &SchedulerName) -> BoxStream<'static, RuntimeEvent> {
        let (watcher, events) = mpsc::unbounded_channel();
        let mut inner = self.inner.lock();
        inner.threads.insert(this_thread());
        inner.rooms.watch(scheduler, watcher);
        Box::pin(UnboundedReceiverStream::new(events))
    }

    fn processes(&self, _: &SchedulerName, room: &RoomId) -> Vec<ContainerProcess> {
        let inner = self.inner.lock();
        inner.rooms.processes.get(room).cloned().unwrap_or_default()
    }

    async fn log_tail(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        lines: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        let work = |inner: &mut Inner| inner.rooms.log_tail(scheduler, room, lines);
        self.call(RuntimeCall::LogTail, Some(room), work).await
    }
}
