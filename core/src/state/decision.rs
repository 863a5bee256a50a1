//! The outcome of one input.

use super::command::{Caller, CommandResult};
use super::input::PingCacheChange;
use super::report::Report;
use super::work::{Work, WorkId};
use crate::domain::*;
use crate::ports::{Change, Forwarding};
use std::sync::Arc;
use std::time::Duration;

/// What the shell must do once the changes of the same decision are durable.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answers a caller.
    Reply {
        /// Who waits.
        caller: Caller,
        /// The reply or the refusal.
        answer: CommandResult,
        /// It waits until this protection, or a later one, has succeeded: the room that it gives away can be evicted
        /// before. The shell limits that wait (D11).
        protected_by: Option<WorkId>,
    },
    /// Starts a piece of work outside of the actor.
    Run {
        /// Its id; the result carries it.
        id: WorkId,
        /// What is to be done.
        work: Work,
        /// After this time its outcome counts as [`super::WorkResult::Unknown`].
        timeout: Duration,
    },
    /// Give up pieces of work; their results are not expected any more.
    Abandon(Vec<WorkId>),
    /// Queue an event for the forwarders; its outcome is not awaited.
    Forward(Arc<Forwarding>),
    /// The scheduler is gone: the actor ends.
    Ended,
}

/// The outcome of one input.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// One batch: durable as a whole before any of `effects`.
    pub changes: Vec<Change>,
    /// To be carried out in order once `changes` are durable.
    pub effects: Vec<Effect>,
    /// Steady pings, to be written after everything else (architecture 5).
    pub touches: Vec<RoomTouch>,
    /// For logs and metrics only.
    pub reports: Vec<Report>,
    /// To be applied before any reply is sent.
    pub ping_cache: Vec<PingCacheChange>,
    /// There is more to do: [`super::Input::Continue`] must follow soon, after other waiting inputs.
    pub more: bool,
}
