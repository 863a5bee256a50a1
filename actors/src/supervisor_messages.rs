//! Messages to the supervisor: to create, reload and end owners, and reports that an owner has ended.

use crate::error::CallError;
use crate::factory::Made;
use crate::gauge::Gauge;
use crate::handle::SchedulerHandle;
use crate::messages::Counted;
use crate::turns::Turn;
use actix::prelude::*;
use maestro_core::domain::SchedulerName;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Why an incarnation ended; decides what follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum EndCause {
    Panicked,
    /// The outcome of a write is unknown, or its queue overflowed.
    Failed(String),
    LeaseLost,
    /// The store refused a write, because the scheduler has another owner.
    Fenced,
    /// The scheduler belongs on another node: it has flushed, and gives the scheduler back.
    HandedOver,
    /// An operator ordered it: the actor is loaded again, without an entry in the restart log.
    Reload,
    /// The scheduler was deleted, or was never created.
    Gone,
    Stopped,
}

pub(crate) enum Notice {
    /// Schedulers that this node should own. The first notice is sent once all schedulers of the store are known.
    Take(Vec<SchedulerName>),
    /// Schedulers that belong on other nodes.
    HandOver(Vec<SchedulerName>),
    /// The result of a factory, for new incarnations.
    Built {
        made: Made,
        /// Whether it was one of the batches, whose number is limited.
        batch: bool,
    },
    ChildEnded {
        name: SchedulerName,
        incarnation: u64,
        cause: EndCause,
    },
    /// Makes sure that a name has an owner, which may then create the scheduler.
    Ensure {
        name: SchedulerName,
        done: oneshot::Sender<Result<SchedulerHandle, CallError>>,
    },
    /// Reloads an actor. Answers whether there is such a scheduler.
    Reload {
        name: SchedulerName,
        done: oneshot::Sender<bool>,
    },
    /// Ends all owners after they have flushed; rooms keep running.
    Shutdown(oneshot::Sender<()>),
    /// All tasks of an owner that ended for good are done.
    Retired,
    /// A thread of owners is blocked.
    ThreadStuck(usize),
    /// Asks for a sign of progress.
    Probe,
    /// For tests only: runs code, such as a panic, in the middle of a turn.
    #[cfg(feature = "faults")]
    Interrupt(Box<dyn FnOnce() + Send>),
}

impl Notice {
    pub fn turn(&self) -> Turn {
        match self {
            Self::Built { .. } | Self::Retired => Turn::WorkDone,
            Self::Take(_)
            | Self::HandOver(_)
            | Self::ChildEnded { .. }
            | Self::Shutdown(_)
            | Self::ThreadStuck(_) => Turn::Control,
            Self::Ensure { .. } | Self::Reload { .. } => Turn::Command,
            Self::Probe => Turn::Probe,
            #[cfg(feature = "faults")]
            Self::Interrupt(_) => Turn::Control,
        }
    }
}

/// The channel to the supervisor. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SupervisorLink {
    pub to: Recipient<Counted<Notice>>,
    pub gauge: Arc<Gauge>,
}

impl SupervisorLink {
    pub fn tell(&self, notice: Notice) {
        self.to.do_send(Counted(notice, self.gauge.enqueue()));
    }

    /// Sends a probe unless one is pending.
    pub fn probe(&self) {
        if self.gauge.depth() == 0 {
            self.tell(Notice::Probe);
        }
    }
}

/// Reports the end of an actor to the supervisor, whatever its cause, also during unwinding.
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
        // Nothing here may panic: a panic while unwinding aborts the process.
        self.supervisor.tell(Notice::ChildEnded {
            name: self.name.clone(),
            incarnation: self.incarnation,
            cause,
        });
    }
}
