//! Sends spans to a collector by OTLP over gRPC: a bounded queue, sent in batches from a separate thread. An
//! unreachable collector costs traces, and nothing else.

use super::SpanLayer;
use crate::settings::Collector;
use anyhow::Context as _;
use maestro_api::trace::{Propagation, TRACEPARENT, TRACESTATE, TraceContext, propagate_with};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tracing::level_filters::LevelFilter;
use tracing::{Span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;

/// As the Go Maestro calls itself (contract 1.4).
const SERVICE: &str = "maestro-next";
/// Spans that wait to be sent; more are dropped.
const QUEUE: usize = 4096;
const BATCH: usize = 512;
const SEND_EVERY: Duration = Duration::from_secs(1);
/// How long a collector may take for one batch.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How long shutdown waits for the last spans.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// The interval between log lines about a failing collector.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The exporter. Must be closed, or the last spans are lost.
pub struct Traces {
    provider: SdkTracerProvider,
    /// The connection lives on this runtime, apart from the threads of requests and actors.
    runtime: tokio::runtime::Runtime,
}

impl Traces {
    /// The exporter, whose collector need not be up yet, and the layer that receives spans.
    ///
    /// # Errors
    /// If the endpoint is not an address.
    pub fn open(collector: &Collector, module: &str) -> anyhow::Result<(Self, SpanLayer)> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("traces")
            .enable_all()
            .build()
            .context("cannot start a thread for traces")?;
        let exporter = {
            let _inside = runtime.enter();
            OtlpExporter::builder()
                .with_tonic()
                .with_endpoint(&collector.endpoint)
                .with_timeout(SEND_WITHIN)
                .build()
                .with_context(|| format!("cannot send traces to {}", collector.endpoint))?
        };
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(SEND_EVERY)
            .build();
        let told = Told::new(exporter, collector.endpoint.clone());
        let processor = BatchSpanProcessor::builder(told).with_batch_config(config);
        let sampler = Sampler::TraceIdRatioBased(collector.sampler);
        let resource = Resource::builder_empty()
            .with_service_name(SERVICE)
            .with_attribute(KeyValue::new("service.namespace", module.to_owned()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource.build())
            .with_span_processor(processor.build())
            .build();
        propagate_with(Propagation { adopt, context });
        // Spans only, and only ours: events stay in the log.
        let ours = filter_fn(|of| of.is_span() && of.target().starts_with("maestro"));
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("maestro"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(ours.with_max_level_hint(LevelFilter::DEBUG));
        Ok((Self { provider, runtime }, layer.boxed()))
    }

    /// Sends the remaining spans, as far as the collector accepts them.
    pub fn close(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_WITHIN) {
            warn!(%error, "the last traces were not sent");
        }
        self.runtime.shutdown_background();
    }
}

/// Makes a span part of its caller's trace (W3C Trace Context); malformed headers are ignored.
fn adopt(span: &Span, parent: &str, state: &str) {
    let headers = HashMap::from([
        (TRACEPARENT.to_owned(), parent.to_owned()),
        (TRACESTATE.to_owned(), state.to_owned()),
    ]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    // An error means that the span is not recorded.
    let _ = span.set_parent(context);
}

/// Even for an unsampled span: then the callee knows that its caller does not trace this.
fn context(span: &Span) -> Option<TraceContext> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
    let parent = headers.remove(TRACEPARENT)?;
    let state = headers.remove(TRACESTATE).unwrap_or_default();
    Some(TraceContext { parent, state })
}

/// An exporter with rate-limited logging of failures.
#[derive(Debug)]
struct Told<E> {
    inner: E,
    endpoint: String,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    /// Spans lost since the last log line.
    lost: usize,
    told: Option<Instant>,
}

impl Failures {
    /// Counts lost spans. Returns how many to report, if it is time.
    fn add(&mut self, lost: usize, now: Instant) -> Option<usize> {
        self.lost += lost;
        let due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
        due.then(|| {
            self.told = Some(now);
            std::mem::take(&mut self.lost)
        })
    }
}

impl<E> Told<E> {
    fn new(inner: E, endpoint: String) -> Self {
        Self {
            inner,
            endpoint,
            failures: Mutex::default(),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        if let Err(error) = &result
            && let Some(lost) = self.failures.lock().add(spans, Instant::now())
        {
            let endpoint = &self.endpoint;
            warn!(%endpoint, lost, %error, "traces cannot be sent; the next line about it comes in a minute at the earliest");
        }
        result
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }
    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_summed_up_and_told_once_a_minute() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        assert_eq!(failures.add(3, start), Some(3));
        for second in 1..60 {
            assert_eq!(failures.add(2, start + Duration::from_secs(second)), None);
        }
        assert_eq!(failures.add(2, start + TELL_EVERY), Some(120));
    }
}
