//! The span of a request, and traces across processes: its caller's trace is taken on, and ours is told to whom we call
//! (W3C Trace Context).
//!
//! What a trace is, the binary knows; without it, or while nobody traces, nothing is looked at.

use std::sync::OnceLock;

use tracing::{Span, debug_span};

/// The header that names a trace and the span that calls.
pub const TRACEPARENT: &str = "traceparent";
/// What others keep beside that name.
pub const TRACESTATE: &str = "tracestate";

/// A place in a trace, as its two headers have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// `traceparent`.
    pub parent: String,
    /// Empty: there is none.
    pub state: String,
}

/// How spans and headers meet.
#[derive(Clone, Copy, Debug)]
pub struct Propagation {
    /// Makes a span that has just been made part of the trace that these headers name: `traceparent`, and `tracestate`
    /// or an empty text. Has to bear rubbish.
    pub adopt: fn(&Span, &str, &str),
    /// Where a span stands; none when nobody traces it.
    pub context: fn(&Span) -> Option<TraceContext>,
}

static PROPAGATION: OnceLock<Propagation> = OnceLock::new();

/// To be called once, before the servers run; a second call changes nothing.
pub fn propagate_with(propagation: Propagation) {
    // The first one stays.
    let _ = PROPAGATION.set(propagation);
}

/// What a request is about, as far as its path tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// Its name.
    pub scheduler: Option<&'a str>,
    /// Its id.
    pub operation: Option<&'a str>,
    /// Its id.
    pub room: Option<&'a str>,
}

/// The span of a request, in its caller's trace if `header` finds one. What `subject` leaves out may be recorded later,
/// under `scheduler_name`, `operation_id` and `room_id`.
///
/// Debug, because a ping every 30 seconds from every room would drown everything else.
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

/// Where the current span stands, to be sent along with a call that is made inside it.
pub fn current() -> Option<TraceContext> {
    let propagation = PROPAGATION.get()?;
    let span = Span::current();
    (!span.is_disabled()).then(|| (propagation.context)(&span))?
}
