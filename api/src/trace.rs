//! The span of a request, and traces across processes: the trace context of a caller is adopted, and ours is sent to
//! the services we call (W3C Trace Context).
//!
//! The implementation is supplied by the binary; without one, or while tracing is off, nothing is parsed.

use std::sync::OnceLock;

use tracing::{Span, debug_span};

/// The header with the ids of the trace and of the calling span.
pub const TRACEPARENT: &str = "traceparent";
/// The header with vendor-specific state of the trace.
pub const TRACESTATE: &str = "tracestate";

/// A trace context, as its two headers carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// The value of `traceparent`.
    pub parent: String,
    /// The value of `tracestate`; empty if there is none.
    pub state: String,
}

/// Converts between spans and headers.
#[derive(Clone, Copy, Debug)]
pub struct Propagation {
    /// Makes a new span part of the trace that these headers name: `traceparent`, and `tracestate` or an empty string.
    /// Must tolerate malformed values.
    pub adopt: fn(&Span, &str, &str),
    /// The context of a span; none if it is not traced.
    pub context: fn(&Span) -> Option<TraceContext>,
}

static PROPAGATION: OnceLock<Propagation> = OnceLock::new();

/// Must be called once, before the servers run; later calls have no effect.
pub fn propagate_with(propagation: Propagation) {
    // The first value is kept.
    let _ = PROPAGATION.set(propagation);
}

/// What a request concerns, as far as its path says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// The scheduler's name.
    pub scheduler: Option<&'a str>,
    /// The operation's id.
    pub operation: Option<&'a str>,
    /// The room's id.
    pub room: Option<&'a str>,
}

/// The span of a request, in its caller's trace if `header` finds one. Fields that `subject` leaves out can be recorded
/// later as `scheduler_name`, `operation_id` and `room_id`.
///
/// Its level is debug, because rooms ping so often that the spans would drown everything else.
pub fn request<'h>(
    handler: &str,
    request_id: &str,
    subject: Subject<'_>,
    header: impl Fn(&'static str) -> Option<&'h str>,
) -> Span {
    let span = debug_span!(
        "request",
        otel.kind = "server",
        request_id,
        handler_name = handler,
        scheduler_name = subject.scheduler,
        operation_id = subject.operation,
        room_id = subject.room,
    );
    if span.is_disabled() {
        return span;
    }
    if let (Some(propagation), Some(parent)) = (PROPAGATION.get(), header(TRACEPARENT)) {
        (propagation.adopt)(&span, parent, header(TRACESTATE).unwrap_or_default());
    }
    span
}

/// The context of the current span, to be sent with an outgoing call.
pub fn current() -> Option<TraceContext> {
    let propagation = PROPAGATION.get()?;
    let span = Span::current();
    (!span.is_disabled()).then(|| (propagation.context)(&span))?
}
