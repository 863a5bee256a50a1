//! The trace context of a turn and of everything that follows from it: request → message → commit and work → message
//! with the result, and so on.
//!
//! Spans are created only if someone collects them (traces, or logs at debug level); otherwise the context is empty and
//! costs nothing.

use maestro_core::domain::SchedulerName;
use tracing::{Span, debug_span};

/// Maximum number of steps from message to work and back in one trace: without a limit, a fleet's reactions to its own
/// actions would extend it forever.
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
    /// The span of a message, below its sender's own span.
    pub fn message(scheduler: &SchedulerName, kind: &'static str) -> Self {
        Self {
            span: debug_span!("message", scheduler_name = %scheduler, kind),
            hops: 0,
        }
    }

    /// The span of a commit, open while it is being made durable.
    pub fn commit(&self, changes: usize) -> Option<Span> {
        let made = || debug_span!(parent: &self.span, "commit", changes);
        (!self.span.is_disabled()).then(made)
    }

    /// The span of a call on the runtime. Without a parent, or too many steps from the beginning, it starts a new
    /// trace.
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

    /// The context of the message that returns the result of work.
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
