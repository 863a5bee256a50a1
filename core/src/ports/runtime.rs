//! The runtime that runs the rooms, as pods or as local processes.

use super::Cause;
use crate::domain::*;
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use std::{sync::Arc, time::Duration};

/// An order to create a room, or to return the existing one.
#[derive(Clone, Debug)]
pub struct RoomOrder {
    /// Id of the room, derived from its operation, so that a repeated order is recognized.
    pub room: RoomId,
    /// The version of the scheduler that the room is created from.
    pub scheduler: Arc<Scheduler>,
    /// Whether the room only tests a new version (architecture 7); the instance is marked with it.
    pub validation: bool,
    /// One port per port of the spec, in the order of containers and their ports.
    pub host_ports: Arc<[u16]>,
    /// Variables of every container, of the version's configuration. Those of the spec and of Maestro take precedence.
    pub config: ConfigPairs,
}

/// What a runtime reports about one scheduler's instances. Events of the same room arrive in the order in which they
/// happened.
#[derive(Clone, Debug, PartialEq)]
pub enum RuntimeEvent {
    /// The complete list at this moment: the first event of each watch, and repeated after each gap.
    Listed(Vec<Instance>),
    /// A new observation of an instance that exists.
    Changed(Instance),
    /// An instance no longer exists: its processes have ended, its pod is deleted.
    Gone {
        /// The room that it belonged to.
        room: RoomId,
        /// The instance's uid, since a namesake may exist by now.
        uid: String,
        /// How it ended; `None` if the runtime does not know.
        exit: Option<Exit>,
    },
}

/// A process of a room on this machine, for tools that attach to it or send it a signal.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ContainerProcess {
    /// The container's name in the spec.
    pub container: String,
    /// The leader of the container's session.
    pub pid: u32,
}

/// The place of a scheduler's rooms, as [`Runtime::prepare`] made or found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Whether the place exists because of this operation, by this call or by an earlier one of the same operation.
    /// `false` for a place that was there before and is adopted: it stays when the operation is rolled back (D17).
    pub created: bool,
}

/// Why the runtime failed, by what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// The order can never succeed: unknown command, invalid quantity, foreign namespace.
    #[error(transparent)]
    Invalid(Cause),
    /// A resource is exhausted: ports, memory, processes. A later attempt may succeed.
    #[error(transparent)]
    Exhausted(Cause),
    /// A transient failure of the runtime.
    #[error(transparent)]
    Unavailable(Cause),
    /// The place of the scheduler's rooms is being removed and is not gone yet: a namespace whose finalizers run.
    /// Nothing has failed, and the same call is repeated until it has another answer. The text says what it waits for.
    #[error(transparent)]
    Terminating(Cause),
    /// The runtime has no such room; for a termination that means success.
    #[error("no such room in the runtime")]
    NotFound,
}

/// Which rooms of a scheduler must not be evicted (D11, D38).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Rooms that are protected from now on.
    pub on: Vec<RoomId>,
    /// Rooms that are protected no longer.
    pub off: Vec<RoomId>,
    /// The number of protected rooms afterwards: the budget's `minAvailable` ([`crate::rules::protection`]). It may be
    /// higher for a moment, which changes nothing for any room.
    pub number: usize,
    /// Whether `on` are all rooms that are to be protected: whatever differs, the budget too, is repaired.
    pub all: bool,
}

/// How a call stands in the queue of a runtime that limits its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It ends a room, which frees what others wait for: such calls go first.
    Removal,
    /// Any other call.
    Other,
}

/// Leave to call a runtime. Dropping it makes room for the next call.
pub type Admission = Box<dyn Send>;

/// Runs rooms. Every call is idempotent by room id, because after a restart an owner repeats what it has not seen
/// completed.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Waits until the runtime may be called about this scheduler. The deadline of the call begins only after that, so
    /// that calls which wait for a rate limit, behind those of other schedulers, do not run out of time. The answer is
    /// kept until the call has ended. The wait is given up when the call is.
    async fn admit(&self, _: &SchedulerName, _: Urgency) -> Option<Admission> {
        None
    }
    /// Creates the place for a scheduler's rooms (its namespace or its folder), or adopts the one that is there. What
    /// `operation` created must be recognized when the same operation asks again: its first answer may have been lost.
    /// A runtime marks the place with the operation's id, or tells by what is in it.
    ///
    /// # Errors
    /// [`RuntimeError::Invalid`] for a foreign place of that name; [`RuntimeError::Terminating`] while an earlier place
    /// is still being removed: a new one cannot be made before it is gone.
    async fn prepare(
        &self,
        scheduler: &Scheduler,
        operation: OperationId,
    ) -> Result<Prepared, RuntimeError>;
    /// Removes that place with everything in it. `Ok` means that it is gone; a missing one is gone. With `made_by` it
    /// is removed only if [`Runtime::prepare`] created it for that operation; any other place stays, which is `Ok` as
    /// well.
    ///
    /// # Errors
    /// [`RuntimeError::Terminating`] when the removal is ordered and not complete: the caller asks again, also after a
    /// restart, until the place is gone.
    async fn remove(
        &self,
        scheduler: &SchedulerName,
        made_by: Option<OperationId>,
    ) -> Result<(), RuntimeError>;
    /// Draws host ports for a room that will be created: one per port of the spec, distinct, and not in use on this
    /// machine (D9). They stay reserved until [`Runtime::create`] or [`Runtime::release_ports`].
    async fn reserve_ports(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError>;
    /// Frees the reservation of a room that will not be created. Ports of a created room stay with it until it is gone.
    async fn release_ports(&self, room: &RoomId);
    /// Starts the room; if one is running under this id, it is returned unchanged.
    async fn create(&self, order: &RoomOrder) -> Result<Instance, RuntimeError>;
    /// Tells the room to end: TERM, and after `grace` KILL to all of its processes. Returns once the order is accepted;
    /// the watch reports the end. `uid` protects a namesake.
    async fn terminate(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: Option<&str>,
        grace: Duration,
        reason: RemovalReason,
    ) -> Result<(), RuntimeError>;
    /// Protects rooms from evictions of their nodes, and releases others. `Ok` means that each room of `on` that exists
    /// is protected; a room that is gone is no error. Calls of one scheduler may overlap, and are carried out in the
    /// order in which they came. The default is for runtimes that evict no room.
    async fn protect(&self, _: &SchedulerName, _: &Protection) -> Result<(), RuntimeError> {
        Ok(())
    }
    /// Events of a scheduler's instances, beginning with [`RuntimeEvent::Listed`]. Ends only when the runtime is shut
    /// down.
    fn watch(&self, scheduler: &SchedulerName) -> BoxStream<'static, RuntimeEvent>;
    /// The current processes of a room, from memory. Empty if rooms are not processes of this machine.
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
