//! The runtime of a process that hosts no rooms: it passes calls on, and nothing here ever asks it for a room.

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use maestro_core::domain::{
    Instance, OperationId, RemovalReason, RoomId, Scheduler, SchedulerName,
};
use maestro_core::ports::{Prepared, RoomOrder, Runtime, RuntimeError, RuntimeEvent};
use std::sync::Arc;
use std::time::Duration;

/// Refuses everything: rooms are on the nodes that own their schedulers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elsewhere;

fn refusal() -> RuntimeError {
    RuntimeError::Invalid("this process hosts no rooms; a worker does".into())
}

#[async_trait]
impl Runtime for Elsewhere {
    async fn prepare(&self, _: &Scheduler, _: OperationId) -> Result<Prepared, RuntimeError> {
        Err(refusal())
    }
    async fn remove(&self, _: &SchedulerName, _: Option<OperationId>) -> Result<(), RuntimeError> {
        Err(refusal())
    }
    async fn reserve_ports(&self, _: &RoomId, _: &Scheduler) -> Result<Arc<[u16]>, RuntimeError> {
        Err(refusal())
    }
    async fn release_ports(&self, _: &RoomId) {}
    async fn create(&self, _: &RoomOrder) -> Result<Instance, RuntimeError> {
        Err(refusal())
    }
    async fn terminate(
        &self,
        _: &SchedulerName,
        _: &RoomId,
        _: Option<&str>,
        _: Duration,
        _: RemovalReason,
    ) -> Result<(), RuntimeError> {
        Err(refusal())
    }
    fn watch(&self, _: &SchedulerName) -> BoxStream<'static, RuntimeEvent> {
        stream::pending().boxed()
    }
    async fn log_tail(
        &self,
        _: &SchedulerName,
        _: &RoomId,
        _: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        Err(RuntimeError::NotFound)
    }
}
