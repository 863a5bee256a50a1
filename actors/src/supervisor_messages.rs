//! What the supervisor is told: to make, load anew and end owners, and that one has ended.

use crate::factory::{BuildError, LoadedOwner};
use crate::gauge::Gauge;
use crate::handle::SchedulerHandle;
use crate::messages::Counted;
use crate::turns::Turn;
use actix::prelude::*;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::StoreError;
use std::sync::Arc;
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

pub(crate) enum Notice {
    /// The names that the store has, for the beginning of a node.
    Discovered(Result<Vec<SchedulerName>, StoreError>),
    /// What a factory brought, for a life that is to begin.
    Built {
        name: SchedulerName,
        outcome: Result<Box<LoadedOwner>, BuildError>,
    },
    ChildEnded {
        name: SchedulerName,
        incarnation: u64,
        cause: EndCause,
    },
    /// Makes sure that a scheduler has an owner; one that does not exist yet may be created by it.
    Ensure {
        name: SchedulerName,
        done: oneshot::Sender<SchedulerHandle>,
    },
    /// Loads an actor anew. Answers whether there is such a scheduler.
    Reload {
        name: SchedulerName,
        done: oneshot::Sender<bool>,
    },
    /// Ends all owners: flushed, rooms left alone.
    Shutdown(oneshot::Sender<()>),
    /// All tasks of an owner that ends for good have ended.
    Retired,
    /// A thread of owners stands still.
    ThreadStuck(usize),
    /// A sign of life is asked for.
    Probe,
    /// For tests only: something that goes wrong in the middle of a turn.
    #[cfg(feature = "faults")]
    Interrupt(Box<dyn FnOnce() + Send>),
}

impl Notice {
    pub fn turn(&self) -> Turn {
        match self {
            Self::Discovered(_) | Self::Built { .. } | Self::Retired => Turn::WorkDone,
            Self::ChildEnded { .. } | Self::Shutdown(_) | Self::ThreadStuck(_) => Turn::Control,
            Self::Ensure { .. } | Self::Reload { .. } => Turn::Command,
            Self::Probe => Turn::Probe,
            #[cfg(feature = "faults")]
            Self::Interrupt(_) => Turn::Control,
        }
    }
}

/// The way to the supervisor. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SupervisorLink {
    pub to: Recipient<Counted<Notice>>,
    pub gauge: Arc<Gauge>,
}

impl SupervisorLink {
    pub fn tell(&self, notice: Notice) {
        self.to.do_send(Counted(notice, self.gauge.enqueue()));
    }

    /// Asks for a sign of life, if it does not owe one.
    pub fn probe(&self) {
        if self.gauge.depth() == 0 {
            self.tell(Notice::Probe);
        }
    }
}

/// Tells the supervisor of the end, however it came: also while unwinding.
pub(crate) struct ExitGuard {
    pub name: SchedulerName,
    pub incarnation: u64,
    pub cause: EndCause,
    pub supervisor: SupervisorLink,
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let cause = match std::thread::panicking() {
            true => EndCause::Panicked,
            false => std::mem::replace(&mut self.cause, EndCause::Stopped),
        };
        // Nothing here may panic: a second panic while unwinding aborts the process.
        self.supervisor.tell(Notice::ChildEnded {
            name: self.name.clone(),
            incarnation: self.incarnation,
            cause,
        });
    }
}
