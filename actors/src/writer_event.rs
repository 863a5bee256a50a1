//! What a writer tells its actor.

use maestro_core::domain::RoomId;
use maestro_core::state::Caller;

/// Reports of the writer to its actor.
pub(crate) enum WriterEvent {
    /// A reply whose caller had stopped waiting (its deadline had passed).
    Untaken(RoomId, Caller),
    /// The scheduler was deleted from the store.
    Ended,
    /// Another owner wrote: the scheduler is not ours any more.
    Fenced,
    /// The outcome of a write is unknown: the state in memory is invalid.
    Lost(String),
    /// The store lost changes: an [`Order::Snapshot`](crate::writer_inbox::Order::Snapshot) is wanted.
    Behind {
        /// It lost changes again before it was repaired.
        again: bool,
    },
}
