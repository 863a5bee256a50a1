//! Somebody who waits for an answer of a scheduler's owner.

use maestro_core::domain::{OperationId, RoomId};
use maestro_core::state::{Answer, Reply};
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What comes instead of an answer: it was decided, and the store cannot take it now. The text is the store's cause.
pub(crate) struct NotStored(pub String);

/// The operation that a command became, told before it is durable: who stops waiting can name it.
#[derive(Clone, Default)]
pub(crate) struct Ordered(Arc<OnceLock<OperationId>>);

impl Ordered {
    pub fn operation(&self) -> Option<OperationId> {
        self.0.get().copied()
    }
}

pub(crate) type Told = Result<Answer, NotStored>;

/// The way to whoever waits, and the place among those who may.
pub(crate) struct Waiter {
    /// `None`: it was told [`NotStored`].
    to: Option<oneshot::Sender<Told>>,
    permit: Option<OwnedSemaphorePermit>,
    /// Of commands only.
    ordered: Option<Ordered>,
}

impl Waiter {
    /// For the answer to a ping.
    pub fn of_ping(to: oneshot::Sender<Told>) -> Self {
        Self {
            to: Some(to),
            permit: None,
            ordered: None,
        }
    }

    /// For the answer to a command.
    pub fn of_command(
        to: oneshot::Sender<Told>,
        permit: OwnedSemaphorePermit,
        ordered: Ordered,
    ) -> Self {
        Self {
            to: Some(to),
            permit: Some(permit),
            ordered: Some(ordered),
        }
    }

    pub fn note_operation(&self, id: OperationId) {
        if let Some(ordered) = &self.ordered {
            // Only the first counts: a command becomes one operation.
            let _ = ordered.0.set(id);
        }
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

    /// Who gave a command need not wait to the end of its time when the store has failed. A room's ping waits for its
    /// second, as ever: mostly the store is back by then.
    pub fn not_stored(&mut self, cause: &str) {
        if self.ordered.is_some()
            && let Some(to) = self.to.take()
        {
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
