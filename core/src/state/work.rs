//! Calls on the runtime, as the state machine orders them.

use crate::domain::*;
use crate::ports::{PlatformError, Prepared, Protection, RoomOrder, RuntimeError, Shown, Urgency};
use std::sync::Arc;
use std::time::Duration;

/// Identifies a piece of [`Work`]. Results of work that is not expected any more are dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(pub u64);

/// A call on the runtime or the platform, executed outside of the actor.
#[derive(Clone, Debug)]
pub enum Work {
    /// Creates the place for the scheduler's rooms.
    Prepare {
        /// The scheduler whose rooms will be there.
        scheduler: Arc<Scheduler>,
        /// The operation that a rollback is for (D17).
        operation: OperationId,
    },
    /// Removes that place.
    RemovePlace {
        /// If set, only a place that this operation made (D17).
        made_by: Option<OperationId>,
    },
    /// Makes a runtime as a whole.
    EnsureRuntime {
        /// The operation that orders it.
        operation: OperationId,
    },
    /// Makes the platform show this of the scheduler.
    Show(Arc<Shown>),
    /// Draws host ports for a room that is to be created.
    ReservePorts {
        /// The room, which has no row yet.
        room: RoomId,
        /// The version that it will be created from.
        scheduler: Arc<Scheduler>,
    },
    /// Gives back the ports of a room that will not be created.
    ReleasePorts {
        /// The room that they were reserved for.
        room: RoomId,
    },
    /// Creates a room whose row is durable.
    CreateRoom(RoomOrder),
    /// Protects rooms from evictions, and releases others.
    Protect(Protection),
    /// Ends a room whose removal is durable.
    TerminateRoom {
        /// The room to end.
        room: RoomId,
        /// The instance to end, so that a namesake is spared; `None` if none was observed yet.
        uid: Option<String>,
        /// Time between TERM and KILL.
        grace: Duration,
        /// Why, for logs and metrics.
        reason: RemovalReason,
    },
}

impl Work {
    /// The name in `/debug/actors` and traces.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Prepare { .. } => "prepare",
            Self::RemovePlace { .. } => "remove_place",
            Self::EnsureRuntime { .. } => "ensure_runtime",
            Self::Show(_) => "show",
            Self::ReservePorts { .. } => "reserve_ports",
            Self::ReleasePorts { .. } => "release_ports",
            Self::CreateRoom(_) => "create_room",
            Self::Protect(_) => "protect",
            Self::TerminateRoom { .. } => "terminate_room",
        }
    }
}

impl Work {
    /// Its place in the queue of a runtime that limits its calls, where it waits before its deadline begins. `None`:
    /// ports are drawn without a call, and a protection is as many calls as there are rooms, each with a deadline of
    /// its own.
    pub fn urgency(&self) -> Option<Urgency> {
        match self {
            Self::TerminateRoom { .. } => Some(Urgency::Removal),
            Self::ReservePorts { .. } | Self::ReleasePorts { .. } | Self::Protect(_) => None,
            _ => Some(Urgency::Other),
        }
    }
}

/// The outcome of a piece of [`Work`].
#[derive(Clone, Debug)]
pub enum WorkResult {
    /// It succeeded.
    Done,
    /// The place is there.
    Prepared(Prepared),
    /// The host ports that were drawn, in the order of the spec.
    Ports(Arc<[u16]>),
    /// The new instance, or the one that existed already.
    Created(Instance),
    /// The runtime did not do it.
    Failed(RuntimeError),
    /// The platform did not do it.
    Refused(PlatformError),
    /// It timed out or was canceled: whether it took effect is unknown.
    Unknown(String),
}
