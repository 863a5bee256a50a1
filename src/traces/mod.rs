//! Traces: spans from a request through the actor's message to everything it causes, sent to a
//! collector over OTLP (`docs/tracing.md`). Off unless a setting names the collector.

#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "otlp")]
pub use otlp::Traces;

#[cfg(not(feature = "otlp"))]
mod none;
#[cfg(not(feature = "otlp"))]
pub use none::Traces;

/// The layer of the subscriber that receives spans.
pub type SpanLayer = Box<dyn tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync>;
