//! A caller that waits for an answer of a scheduler's owner.

use maestro_core::domain::{OperationId, RoomId};
use maestro_core::state::{CommandResult, Reply};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Sent instead of an answer: the decision was made, but the store cannot take it now. The text is the store's cause.
pub(crate) struct NotStored(pub String);

/// What was decided about a call, visible before it is durable: a caller that stops waiting can tell the outcome.
#[derive(Clone, Default)]
pub(crate) struct Decided(Arc<Decision>);

#[derive(Default)]
struct Decision {
    operation: OnceLock<OperationId>,
    taken: AtomicBool,
}

impl Decided {
    /// The operation that the command became.
    pub fn operation(&self) -> Option<OperationId> {
        self.0.operation.get().copied()
    }

    /// Whether the owner has accepted the request: once that is durable, the answer is success.
    pub fn is_taken(&self) -> bool {
        self.0.taken.load(Relaxed)
    }
}

pub(crate) type Told = Result<CommandResult, NotStored>;

/// The channel to a waiting caller, with its permit.
pub(crate) struct Waiter {
    /// `None` after [`NotStored`] was sent.
    to: Option<oneshot::Sender<Told>>,
    permit: Option<OwnedSemaphorePermit>,
    decided: Decided,
}

impl Waiter {
    /// For the answer to a ping.
    pub fn of_ping(to: oneshot::Sender<Told>, decided: Decided) -> Self {
        Self {
            to: Some(to),
            permit: None,
            decided,
        }
    }

    /// For the answer to a command.
    pub fn of_command(
        to: oneshot::Sender<Told>,
        permit: OwnedSemaphorePermit,
        decided: Decided,
    ) -> Self {
        Self {
            to: Some(to),
            permit: Some(permit),
            decided,
        }
    }

    pub fn note_operation(&self, id: OperationId) {
        // Only the first one is kept: a command becomes one operation.
        let _ = self.decided.0.operation.set(id);
    }

    pub fn note_taken(&self) {
        self.decided.0.taken.store(true, Relaxed);
    }

    /// Sends the answer. Returns the room of an allocation if the caller has stopped waiting.
    #[must_use]
    pub fn deliver(self, answer: CommandResult) -> Option<RoomId> {
        let answer = match self.to {
            Some(to) => match to.send(Ok(answer)) {
                Err(Ok(answer)) => answer,
                _ => return None,
            },
            None => answer,
        };
        match answer {
            Ok(Reply::Allocated { room, .. }) => Some(room),
            _ => None,
        }
    }

    /// Tells the caller now that the store has failed, instead of letting it wait for its timeout.
    pub fn not_stored(&mut self, cause: &str) {
        if let Some(to) = self.to.take() {
            self.permit = None;
            // The caller may have stopped waiting.
            let _ = to.send(Err(NotStored(cause.to_owned())));
        }
    }

    /// Whether the caller has stopped waiting.
    pub fn is_gone(&self) -> bool {
        self.to.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}
