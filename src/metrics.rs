//! The page of `/metrics`: what was recorded through the `metrics` facade, then what is looked
//! up when somebody asks. `docs/metrics.md` lists all of it.

use crate::{logging, observed, process_metrics};
use anyhow::Context;
use maestro_actors::Node;
use maestro_actors::exposition::{Kind, Page};
use maestro_grpc::HANDLING_SECONDS;
use maestro_http::MetricsPage;
use maestro_http::metrics::{DURATION_BUCKETS, DURATION_SECONDS, RESPONSE_BYTES, SIZE_BUCKETS};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Lines that the log did not take.
const LINES_DROPPED: &str = "maestro_log_lines_dropped_total";

/// How often histograms are drained, scraped or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder, and the upkeep that keeps its histograms small. To be done before
/// anything measures.
///
/// # Errors
/// When there is a recorder already.
pub fn install(
    io: &tokio::runtime::Runtime,
    stop: CancellationToken,
) -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(DURATION_SECONDS.into()), &DURATION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(HANDLING_SECONDS.into()), &DURATION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(RESPONSE_BYTES.into()), &SIZE_BUCKETS)?
        .set_buckets_for_metric(
            Matcher::Suffix("_latency".into()),
            &observed::LATENCY_BUCKETS,
        )?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("metrics are recorded already")?;
    maestro_http::metrics::describe();
    observed::describe();
    let upkeep = handle.clone();
    io.spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(UPKEEP) => upkeep.run_upkeep(),
            }
        }
    });
    Ok(handle)
}

/// Everything that is known of this process, rendered when it is called. `None`: it hosts nothing.
pub fn page(recorded: PrometheusHandle, node: Option<Node>) -> MetricsPage {
    Arc::new(move || {
        let mut page = recorded.render();
        page.push_str(&node.as_ref().map(Node::metrics).unwrap_or_default());
        let mut process = Page::default();
        process_metrics::render(&mut process);
        process
            .family(
                LINES_DROPPED,
                Kind::Counter,
                "Lines of the log that nobody took in time, or that could not be written.",
            )
            .value(&[], logging::lines_dropped() as f64);
        page.push_str(&process.into_text());
        page
    })
}
