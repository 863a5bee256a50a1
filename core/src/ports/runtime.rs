//! The runtime: where rooms live, as pods or as local processes.

use super::Cause;
use crate::domain::*;
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use std::{sync::Arc, time::Duration};

/// A room to be created, or met again when it exists already.
#[derive(Clone, Debug)]
pub struct RoomOrder {
    pub room: RoomId,
    pub scheduler: Arc<Scheduler>,
    pub validation: bool,
    /// One per port of the spec, in the order of containers and their ports.
    pub host_ports: Arc<[u16]>,
}

/// What a runtime reports of one scheduler's instances. The events of one room come
/// in the order in which they happened.
#[derive(Clone, Debug, PartialEq)]
pub enum RuntimeEvent {
    /// The complete list at this moment: the first event of each watch, and after each gap.
    Listed(Vec<Instance>),
    Changed(Instance),
    Gone {
        room: RoomId,
        uid: String,
        exit: Option<Exit>,
    },
}

/// A process of a room on this machine, for whoever wants to attach to it or send it a signal.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ContainerProcess {
    pub container: String,
    /// The leader of the container's session.
    pub pid: u32,
}

/// Why the runtime did not do it, by what may be done about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// The order can never succeed as it is: no such command, bad quantity, foreign namespace.
    #[error(transparent)]
    Invalid(Cause),
    /// No room left: ports, memory, processes. Worth another try later.
    #[error(transparent)]
    Exhausted(Cause),
    /// Passing trouble of the runtime.
    #[error(transparent)]
    Unavailable(Cause),
    #[error("no such room in the runtime")]
    NotFound,
}

/// Runs rooms. Every call is idempotent by room id, since an owner repeats after a
/// restart what it had not seen done.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Makes the place for a scheduler's rooms (its namespace, its folder).
    async fn prepare(&self, scheduler: &Scheduler) -> Result<(), RuntimeError>;
    /// Removes that place; what is not there is no error.
    async fn remove(&self, scheduler: &SchedulerName) -> Result<(), RuntimeError>;
    /// Draws host ports for a room that is to be created: one per port of the spec, distinct,
    /// in no use on this machine (D9). Reserved until [`Runtime::create`] or [`Runtime::release_ports`].
    async fn reserve_ports(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError>;
    async fn release_ports(&self, room: &RoomId);
    /// Starts the room; one that runs already under this id is returned as it is.
    async fn create(&self, order: &RoomOrder) -> Result<Instance, RuntimeError>;
    /// Asks the room to end: TERM, then after `grace` KILL to all of it. Returns when the
    /// order is accepted; the end is reported by the watch. `uid` guards against namesakes.
    async fn terminate(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: Option<&str>,
        grace: Duration,
        reason: RemovalReason,
    ) -> Result<(), RuntimeError>;
    /// Begins with [`RuntimeEvent::Listed`]. Ends only when the runtime is shut down.
    fn watch(&self, scheduler: &SchedulerName) -> BoxStream<'static, RuntimeEvent>;
    /// What runs for a room now, from memory. Nothing where rooms are no processes of this machine.
    fn processes(&self, _: &SchedulerName, _: &RoomId) -> Vec<ContainerProcess> {
        Vec::new()
    }
    /// The last `lines` lines of a room's output.
    async fn log_tail(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        lines: usize,
    ) -> Result<Vec<String>, RuntimeError>;
}
