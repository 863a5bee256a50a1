//! What the owner of a scheduler is told, and on which ways.

use crate::gauge::Queued;
use crate::order::Order;
use crate::turn_trace::TurnTrace;
use crate::waiter::Waiter;
use crate::writer::WriterEvent;
use actix::prelude::*;
use maestro_core::domain::OperationRecord;
use maestro_core::ports::RuntimeEvent;
use maestro_core::state::{Ping, WorkId, WorkResult};
use tokio::sync::mpsc;

/// A message, and that it waits: every input of an actor counts, whichever way it comes.
pub(crate) struct Counted<M>(pub M, pub Queued);

impl<M: 'static> Message for Counted<M> {
    type Result = ();
}

pub(crate) struct Ask {
    pub trace: TurnTrace,
    pub order: Order,
    pub to: Waiter,
}

pub(crate) struct PingCall {
    pub ping: Ping,
    pub to: Waiter,
}

pub(crate) struct WorkEnded(pub WorkId, pub WorkResult, pub TurnTrace);

pub(crate) struct FromWriter(pub WriterEvent);

pub(crate) enum Control {
    /// The ping cache has answered a ping, the first that this actor is to be told of.
    Pinged,
    /// A sign of life is asked for.
    Probe,
    /// Flush what is coalesced and end; the supervisor loads it anew.
    Reload,
    /// Flush and end for good: the node goes down.
    Stop,
    /// Another node owns it now, or the store cannot say so.
    LeaseLost,
    Pushed(Box<OperationRecord>),
    CancelRequested(maestro_core::domain::OperationId),
    /// For tests only: something that goes wrong in the middle of a turn.
    #[cfg(feature = "faults")]
    Interrupt(Box<dyn FnOnce() + Send>),
}

/// Bulk input. Not through the mailbox, which is emptied before timers and streams get
/// their turn; a stream yields after sixteen items.
pub(crate) struct Inboxes {
    pub asks: mpsc::Receiver<Counted<Ask>>,
    pub pings: mpsc::Receiver<Counted<PingCall>>,
    pub events: mpsc::Receiver<Counted<RuntimeEvent>>,
    /// The actor's own reminder to go on: others get their turn in between.
    pub continue_signal: mpsc::Receiver<()>,
}

/// See [`Inboxes::continue_signal`].
pub(crate) struct ContinueSignal;
