//! Taking a caller's trace on: its `traceparent` header (W3C Trace Context) makes our span a part of it.
//!
//! What a trace is, the binary knows; without it, or while nobody traces, nothing is looked at.

use actix_web::http::header::HeaderMap;
use std::sync::OnceLock;
use tracing::Span;

/// Makes a span that has just been made part of the trace that these headers name: `traceparent`, and `tracestate`
/// or an empty text. Has to bear rubbish.
pub type Adopt = fn(&Span, &str, &str);

static ADOPT: OnceLock<Adopt> = OnceLock::new();

/// To be called once, before the servers run; a second call changes nothing.
pub fn adopt_with(adopt: Adopt) {
    // The first one stays.
    let _ = ADOPT.set(adopt);
}

pub(crate) fn adopt(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let (Some(adopt), Some(parent)) = (ADOPT.get(), text("traceparent")) {
        adopt(span, parent, text("tracestate").unwrap_or_default());
    }
}
