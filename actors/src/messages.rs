//! Messages to the owner of a scheduler, and the channels that carry them.

use crate::gauge::Queued;
use crate::order::Order;
use crate::turn_trace::TurnTrace;
use crate::waiter::Waiter;
use crate::writer_event::WriterEvent;
use actix::prelude::*;
use maestro_core::domain::OperationRecord;
use maestro_core::ports::RuntimeEvent;
use maestro_core::state::{Ping, WorkId, WorkResult};
use tokio::sync::mpsc;

/// A message with its entry in the mailbox count: every input of an actor is counted, on whichever channel it comes.
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
    /// The ping cache has answered a ping that is the first unreported one.
    Pinged,
    /// Asks for a sign of progress.
    Probe,
    /// Flush coalesced changes and end; the supervisor loads the actor again.
    Reload,
    /// Flush and end for good: the node is shutting down.
    Stop,
    /// Flush and end: the scheduler belongs on another node.
    HandOver,
    /// Another node owns the scheduler now, or the store cannot confirm that we do.
    LeaseLost,
    Pushed(Box<OperationRecord>),
    CancelRequested(maestro_core::domain::OperationId),
    /// For tests only: runs code, such as a panic, in the middle of a turn.
    #[cfg(feature = "faults")]
    Interrupt(Box<dyn FnOnce() + Send>),
}

/// Channels for bulk input. They bypass the mailbox, which is emptied before timers and streams get a turn; a stream
/// yields after sixteen items.
pub(crate) struct Inboxes {
    pub asks: mpsc::Receiver<Counted<Ask>>,
    pub pings: mpsc::Receiver<Counted<PingCall>>,
    pub events: mpsc::Receiver<Counted<RuntimeEvent>>,
    /// The actor's signal to itself to continue; other inputs are handled in between.
    pub continue_signal: mpsc::Receiver<()>,
}

/// See [`Inboxes::continue_signal`].
pub(crate) struct ContinueSignal;
