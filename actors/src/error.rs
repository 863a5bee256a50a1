//! Why a call on an actor brought no reply.

use maestro_core::domain::OperationId;
use maestro_core::state::Refusal;

/// Why an event was not forwarded; the text is what the room is told (contract 3, 6).
#[derive(Clone, Debug, thiserror::Error)]
pub enum EventError {
    /// The owner was not reached, or refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A forwarder did not take it.
    #[error(transparent)]
    Forward(#[from] maestro_core::ports::ForwardError),
}

/// What a caller of an actor may run into, beside its own mistakes. HTTP and gRPC turn
/// it into an answer in one place each.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// As many calls as allowed are waiting already.
    #[error("scheduler {0} has too many requests waiting; try again in a moment")]
    Busy(String),
    /// No answer in time, to somebody who has ordered nothing that may still happen.
    #[error("scheduler {0} did not answer in time; try again in a moment")]
    Timeout(String),
    /// Its actor is held up, and somebody only wanted to look.
    #[error("scheduler {0} does not answer now: its actor is held up; try again in a moment")]
    HeldUp(String),
    /// No answer in time. What was ordered may still happen.
    #[error("scheduler {0} did not answer in time; look at its operations before ordering again")]
    Unanswered(String),
    /// It was decided and has become an operation, which is not stored in time; `cause`: since the store fails.
    #[error("{}", late(name, operation, cause.as_deref()))]
    Late {
        /// The scheduler.
        name: String,
        /// What was ordered.
        operation: OperationId,
        /// Why the store fails.
        cause: Option<String>,
    },
    /// Its actor is being built anew.
    #[error("scheduler {0} is being loaded; try again in a moment")]
    Restarting(String),
    /// It failed again and again and is left alone until an operator looks at it.
    #[error("scheduler {name} is degraded and does not run: {cause}")]
    Degraded {
        /// The scheduler.
        name: String,
        /// Why it failed last.
        cause: String,
    },
    /// There is no such scheduler.
    #[error("scheduler {0} not found")]
    Gone(String),
    /// The node is going down.
    #[error("this node is shutting down; try again")]
    ShuttingDown,
    /// The command itself was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store cannot be read now.
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
