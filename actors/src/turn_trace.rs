//! On whose behalf a turn and what follows from it are done, as a trace shows it:
//! request → message → commit and work → the message of its result, and so on.
//!
//! Spans are only made while somebody wants them (traces, or logs on debug level); otherwise
//! a cause is empty and costs nothing.

use maestro_core::domain::SchedulerName;
use tracing::{Span, debug_span};

/// Hand-overs from a message to work and back that one trace follows: what a fleet does
/// because of what it did before would otherwise never end.
const HOPS_MAX: u8 = 8;

#[derive(Clone, Debug)]
pub(crate) struct TurnTrace {
    pub span: Span,
    hops: u8,
}

impl Default for TurnTrace {
    fn default() -> Self {
        Self {
            span: Span::none(),
            hops: 0,
        }
    }
}

impl TurnTrace {
    /// A message that a caller sends, below the caller's own span.
    pub fn message(scheduler: &SchedulerName, kind: &'static str) -> Self {
        Self {
            span: debug_span!("message", scheduler_name = %scheduler, kind),
            hops: 0,
        }
    }

    /// Makes something durable, for as long as the span lives.
    pub fn commit(&self, changes: usize) -> Option<Span> {
        let made = || debug_span!(parent: &self.span, "commit", changes);
        (!self.span.is_disabled()).then(made)
    }

    /// A call on the runtime. One without a cause, or too far from it, begins a trace.
    pub fn work(&self, scheduler: &SchedulerName, id: u64, kind: &'static str) -> Self {
        let follows = !self.span.is_disabled() && self.hops < HOPS_MAX;
        let span = match follows {
            true => {
                debug_span!(parent: &self.span, "work", scheduler_name = %scheduler, work = id, kind)
            }
            false => {
                debug_span!(parent: None, "work", scheduler_name = %scheduler, work = id, kind)
            }
        };
        Self {
            span,
            hops: if follows { self.hops + 1 } else { 0 },
        }
    }

    /// The message that brings the result of work back.
    pub fn result(&self) -> Self {
        let span = match self.span.is_disabled() {
            true => Span::none(),
            false => debug_span!(parent: &self.span, "message", kind = "work_done"),
        };
        Self {
            span,
            hops: self.hops,
        }
    }
}
