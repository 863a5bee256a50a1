//! What the supervisor is told: to make, load anew and end owners, and that one has ended.

use crate::factory::{BuildError, Fresh};
use crate::handle::SchedulerHandle;
use actix::prelude::*;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::StoreError;
use tokio::sync::oneshot;

/// Why a life ended, and so what comes next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum EndCause {
    Panicked,
    /// The outcome of a write is unknown, or its queue overflowed.
    Failed(String),
    LeaseLost,
    /// On an operator's order: loaded anew, without a mark in the restart log.
    Reload,
    /// The scheduler was deleted, or never came to be.
    Gone,
    Stopped,
}

/// The names that the store has, for the beginning of a node.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Discovered(pub Result<Vec<SchedulerName>, StoreError>);

/// What a factory brought, for a life that is to begin.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Built {
    pub name: SchedulerName,
    pub outcome: Result<Box<Fresh>, BuildError>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ChildEnded {
    pub name: SchedulerName,
    pub life: u64,
    pub cause: EndCause,
}

/// Makes sure that a scheduler has an owner; one that does not exist yet may be created by it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ensure {
    pub name: SchedulerName,
    pub done: oneshot::Sender<SchedulerHandle>,
}

/// Loads an actor anew. Answers whether there is such a scheduler.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reload {
    pub name: SchedulerName,
    pub done: oneshot::Sender<bool>,
}

/// Ends all owners: flushed, rooms left alone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Shutdown(pub oneshot::Sender<()>);

/// All tasks of an owner that ends for good have ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Retired;

/// Tells the supervisor of the end, however it came: also while unwinding.
pub(crate) struct ExitGuard {
    pub name: SchedulerName,
    pub life: u64,
    pub cause: EndCause,
    pub supervisor: Recipient<ChildEnded>,
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let cause = match std::thread::panicking() {
            true => EndCause::Panicked,
            false => std::mem::replace(&mut self.cause, EndCause::Stopped),
        };
        // Nothing here may panic: a second panic while unwinding aborts the process.
        self.supervisor.do_send(ChildEnded {
            name: self.name.clone(),
            life: self.life,
            cause,
        });
    }
}
