//! A limit on the rooms of a node, in front of its actual runtime (`limits.rooms.perNode`).

use async_trait::async_trait;
use futures_util::{StreamExt, stream::BoxStream};
use maestro_core::domain::{Instance, RemovalReason, RoomId, Scheduler, SchedulerName};
use maestro_core::ports::{ContainerProcess, RoomOrder, Runtime, RuntimeError, RuntimeEvent};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Counts rooms from the reservation of their ports, or from when they are found, until they are
/// gone.
pub struct CappedRuntime {
    inner: Arc<dyn Runtime>,
    limit: usize,
    rooms: Arc<Mutex<HashMap<RoomId, SchedulerName>>>,
}

impl CappedRuntime {
    pub fn new(inner: Arc<dyn Runtime>, limit: usize) -> Self {
        Self {
            inner,
            limit,
            rooms: Arc::default(),
        }
    }
}

#[async_trait]
impl Runtime for CappedRuntime {
    async fn prepare(&self, scheduler: &Scheduler) -> Result<(), RuntimeError> {
        self.inner.prepare(scheduler).await
    }

    async fn remove(&self, scheduler: &SchedulerName) -> Result<(), RuntimeError> {
        self.rooms.lock().retain(|_, of| of != scheduler);
        self.inner.remove(scheduler).await
    }

    async fn reserve_ports(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError> {
        {
            let mut rooms = self.rooms.lock();
            if rooms.len() >= self.limit && !rooms.contains_key(room) {
                return Err(RuntimeError::Exhausted(format!(
                    "this node has {} rooms, as many as limits.rooms.perNode allows; remove rooms, or raise the limit",
                    rooms.len()
                ).into()));
            }
            rooms.insert(room.clone(), scheduler.name.clone());
        }
        let ports = self.inner.reserve_ports(room, scheduler).await;
        if ports.is_err() {
            self.rooms.lock().remove(room);
        }
        ports
    }

    async fn release_ports(&self, room: &RoomId) {
        self.rooms.lock().remove(room);
        self.inner.release_ports(room).await;
    }

    async fn create(&self, order: &RoomOrder) -> Result<Instance, RuntimeError> {
        self.rooms
            .lock()
            .insert(order.room.clone(), order.scheduler.name.clone());
        self.inner.create(order).await
    }

    async fn terminate(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: Option<&str>,
        grace: Duration,
        reason: RemovalReason,
    ) -> Result<(), RuntimeError> {
        self.inner
            .terminate(scheduler, room, uid, grace, reason)
            .await
    }

    fn watch(&self, scheduler: &SchedulerName) -> BoxStream<'static, RuntimeEvent> {
        let (rooms, name) = (self.rooms.clone(), scheduler.clone());
        let seen = self.inner.watch(scheduler).inspect(move |event| {
            let mut rooms = rooms.lock();
            match event {
                RuntimeEvent::Listed(all) => {
                    // Rooms that ended unseen in a gap no longer count; a room that is being
                    // created counts again with its creation.
                    let listed: HashSet<&RoomId> = all.iter().map(|i| &i.room).collect();
                    rooms.retain(|room, of| *of != name || listed.contains(room));
                    rooms.extend(all.iter().map(|i| (i.room.clone(), name.clone())));
                }
                RuntimeEvent::Changed(instance) => {
                    rooms.insert(instance.room.clone(), name.clone());
                }
                RuntimeEvent::Gone { room, .. } => drop(rooms.remove(room)),
            }
        });
        seen.boxed()
    }

    fn processes(&self, scheduler: &SchedulerName, room: &RoomId) -> Vec<ContainerProcess> {
        self.inner.processes(scheduler, room)
    }

    async fn log_tail(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        lines: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        self.inner.log_tail(scheduler, room, lines).await
    }
}
