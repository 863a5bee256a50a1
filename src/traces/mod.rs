//! Traces: spans from a request through the actor's message to what follows from it, sent to
//! a collector by OTLP (`docs/tracing.md`). Off unless a setting names the collector.

#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "otlp")]
pub use otlp::Traces;

#[cfg(not(feature = "otlp"))]
mod none;
#[cfg(not(feature = "otlp"))]
pub use none::Traces;

/// A part of the subscriber that takes spans.
pub type SpanLayer = Box<dyn tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync>;
