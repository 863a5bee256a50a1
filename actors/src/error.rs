//! Why a call on an actor brought no reply.

use maestro_core::domain::OperationId;
use maestro_core::state::Refusal;

/// Why an event was not forwarded. The text is sent to the room (contract 3, 6).
#[derive(Clone, Debug, thiserror::Error)]
pub enum EventError {
    /// The owner could not be reached, or refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A forwarder did not accept it.
    #[error(transparent)]
    Forward(#[from] maestro_core::ports::ForwardError),
}

/// Why a call on an actor failed, besides the caller's own mistakes. `api` converts it to a status in one place.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The maximum number of calls is waiting already.
    #[error("scheduler {0} has too many requests waiting; try again in a moment")]
    Busy(String),
    /// No answer in time; the call has no effect that may still happen.
    #[error("scheduler {0} did not answer in time; try again in a moment")]
    Timeout(String),
    /// The actor is blocked, and the call was only a read.
    #[error("scheduler {0} does not answer now: its actor is held up; try again in a moment")]
    HeldUp(String),
    /// No answer in time. The command may still take effect.
    #[error("scheduler {0} did not answer in time; look at its operations before ordering again")]
    Unanswered(String),
    /// The command became an operation that could not be stored in time.
    #[error("{}", late(name, operation, cause.as_deref()))]
    Late {
        /// The scheduler.
        name: String,
        /// The operation.
        operation: OperationId,
        /// Why the store fails, if it does.
        cause: Option<String>,
    },
    /// Its actor is being rebuilt.
    #[error("scheduler {0} is being loaded; try again in a moment")]
    Restarting(String),
    /// Its owner could not be loaded at the last attempt.
    #[error("scheduler {name} cannot be loaded: {cause}")]
    Unloaded {
        /// The scheduler.
        name: String,
        /// Why not.
        cause: String,
    },
    /// Another node owns it.
    #[error("scheduler {name} is owned by the node at {address}; ask that one")]
    Elsewhere {
        /// The scheduler.
        name: String,
        /// Where the other node takes calls.
        address: String,
    },
    /// No node owns it at the moment.
    #[error("scheduler {0} has no owner at the moment; try again in a moment")]
    Unowned(String),
    /// No living node hosts owners of schedulers.
    #[error(
        "no node that runs schedulers is alive; start one with `maestro start worker`, then try again"
    )]
    NoHost,
    /// It failed repeatedly and is not restarted until an operator intervenes.
    #[error("scheduler {name} is degraded and does not run: {cause}")]
    Degraded {
        /// The scheduler.
        name: String,
        /// The cause of the last failure.
        cause: String,
    },
    /// There is no such scheduler.
    #[error("scheduler {0} not found")]
    Gone(String),
    /// The node is shutting down.
    #[error("this node is shutting down; try again")]
    ShuttingDown,
    /// The owner refused the command.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] maestro_core::ports::StoreError),
}

fn late(name: &str, operation: &OperationId, cause: Option<&str>) -> String {
    let accepted = format!("operation {operation} of scheduler {name} is accepted");
    match cause {
        None => format!(
            "{accepted}, but not stored in time: it is carried out once it is stored; look at it before ordering again"
        ),
        Some(cause) => format!(
            "the store cannot be used now: {cause}; {accepted} and carried out once that is mended: look at it before \
             ordering again"
        ),
    }
}
