//! Simulated rooms for load tests of Maestro and of a matchmaker: no process, no file, no socket. A room costs an entry
//! in a table, so a hundred thousand are cheap.
//!
//! Nothing survives a restart: only rooms created since then are listed. There is no task per room, and ports are not
//! actually bound.

mod fleet;
mod ports;
mod settings;

pub use settings::SimulatedSettings;

use async_trait::async_trait;
use fleet::SimulatedFleet;
use futures_util::stream::BoxStream;
use maestro_core::{domain::*, ports::*};
use std::{io, sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A runtime that only simulates rooms; see the module's documentation.
pub struct SimulatedRuntime {
    fleet: Arc<SimulatedFleet>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl SimulatedRuntime {
    /// Must be called on a tokio runtime: its one timer lives there.
    ///
    /// # Errors
    /// When the list of rooms cannot be written.
    pub fn open(settings: SimulatedSettings) -> io::Result<Arc<Self>> {
        let stopping = CancellationToken::new();
        let fleet = Arc::new(SimulatedFleet::new(settings, stopping.clone())?);
        let tasks = TaskTracker::new();
        tasks.spawn(fleet.clone().start_rooms(stopping.clone()));
        Ok(Arc::new(Self {
            fleet,
            tasks,
            stopping,
        }))
    }

    /// Ends the timer and all watches.
    pub async fn shutdown(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for SimulatedRuntime {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

#[async_trait]
impl Runtime for SimulatedRuntime {
    /// A place consists of its rooms only.
    async fn prepare(
        &self,
        scheduler: &Scheduler,
        _: OperationId,
    ) -> Result<Prepared, RuntimeError> {
        let created = !self.fleet.has_rooms(&scheduler.name);
        Ok(Prepared { created })
    }

    async fn remove(
        &self,
        scheduler: &SchedulerName,
        made_by: Option<OperationId>,
    ) -> Result<(), RuntimeError> {
        // Rooms are not the work of an operation that made a place for them.
        if made_by.is_none() {
            self.fleet.remove(scheduler);
        }
        Ok(())
    }

    async fn reserve_ports(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError> {
        self.fleet.reserve(room, scheduler)
    }

    async fn release_ports(&self, room: &RoomId) {
        self.fleet.release(room);
    }

    async fn create(&self, order: &RoomOrder) -> Result<Instance, RuntimeError> {
        self.fleet.create(order)
    }

    /// A simulated room ends at once, whatever its grace period.
    async fn terminate(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: Option<&str>,
        _grace: Duration,
        _reason: RemovalReason,
    ) -> Result<(), RuntimeError> {
        self.fleet.terminate(scheduler, room, uid)
    }

    fn watch(&self, scheduler: &SchedulerName) -> BoxStream<'static, RuntimeEvent> {
        self.fleet.feeds.watch(scheduler)
    }

    /// Such a room never writes anything.
    async fn log_tail(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        _lines: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        match self.fleet.feeds.instance(scheduler, room) {
            Some(_) => Ok(Vec::new()),
            None => Err(RuntimeError::NotFound),
        }
    }
}
