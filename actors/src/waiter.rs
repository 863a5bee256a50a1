//! Somebody who waits for an answer of a scheduler's owner.

use maestro_core::domain::{OperationId, RoomId};
use maestro_core::state::{Answer, Reply};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What comes instead of an answer: it was decided, and the store cannot take it now. The text is the store's cause.
pub(crate) struct NotStored(pub String);

/// What was decided about a call, told before it is durable: who stops waiting knows what became of it.
#[derive(Clone, Default)]
pub(crate) struct Decided(Arc<Decision>);

#[derive(Default)]
struct Decision {
    operation: OnceLock<OperationId>,
    taken: AtomicBool,
}

impl Decided {
    /// The operation that a command became.
    pub fn operation(&self) -> Option<OperationId> {
        self.0.operation.get().copied()
    }

    /// Whether the owner has taken what was said: it is answered with success once it is durable.
    pub fn is_taken(&self) -> bool {
        self.0.taken.load(Relaxed)
    }
}

pub(crate) type Told = Result<Answer, NotStored>;

/// The way to whoever waits, and the place among those who may.
pub(crate) struct Waiter {
    /// `None`: it was told [`NotStored`].
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
        // Only the first counts: a command becomes one operation.
        let _ = self.decided.0.operation.set(id);
    }

    pub fn note_taken(&self) {
        self.decided.0.taken.store(true, Relaxed);
    }

    /// Hands an answer over. Returns the room of an allocation that nobody took.
    #[must_use]
    pub fn deliver(self, answer: Answer) -> Option<RoomId> {
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

    /// Nobody needs to wait to the end of the time when the store has failed.
    pub fn not_stored(&mut self, cause: &str) {
        if let Some(to) = self.to.take() {
            self.permit = None;
            // Who asked may have left.
            let _ = to.send(Err(NotStored(cause.to_owned())));
        }
    }

    /// Nobody waits any more.
    pub fn is_gone(&self) -> bool {
        self.to.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}
