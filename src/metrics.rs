//! The page of `/metrics`: registered metrics, then those collected at the scrape. `docs/metrics.md` lists all of them.

use crate::reporter::Reporter;
use crate::{logging, process_metrics};
use maestro_actors::{Node, report_fleets};
use maestro_http::MetricsPage;
use maestro_metrics::{MetricKind, Page};
use prometheus::{Registry, TextEncoder};
use std::sync::Arc;

/// Dropped log lines.
const LINES_DROPPED: &str = "maestro_log_lines_dropped_total";

/// For the calls of other nodes, whose metrics have the names of those of the public server after this prefix: every
/// routed call is counted at both.
///
/// # Errors
/// If the prefix is no valid name, which is a defect.
pub fn registry_of_nodes() -> prometheus::Result<Registry> {
    Registry::new_custom(Some("maestro_node".into()), None)
}

/// All metrics of this process, rendered on call.
pub fn page(registries: [Registry; 2], node: Node, reporter: Option<Reporter>) -> MetricsPage {
    Arc::new(move || {
        let mut families: Vec<_> = registries.iter().flat_map(Registry::gather).collect();
        families.extend(node.metrics());
        if let Some(reporter) = &reporter {
            let mut page = Page::default();
            report_fleets(&mut page, &reporter.fleets());
            families.extend(page.into_families());
        }
        families.extend(process());
        // The encoder refuses only a family without samples, and there are none.
        let text = TextEncoder::new().encode_to_string(&families);
        text.unwrap_or_else(|error| {
            tracing::error!(%error, "the page of metrics cannot be rendered");
            String::new()
        })
    })
}

fn process() -> Vec<prometheus::proto::MetricFamily> {
    let mut page = Page::default();
    process_metrics::render(&mut page);
    page.family(
        LINES_DROPPED,
        MetricKind::Counter,
        "Lines of the log that nobody took in time, or that could not be written.",
    )
    .value(&[], logging::lines_dropped() as f64);
    page.into_families()
}
