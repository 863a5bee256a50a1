//! Our own metrics about who owns what, named `maestro_cluster_…`. With the embedded store there is one node.

use super::scrape::Scrape;
use crate::Directory;
use maestro_metrics::MetricKind;
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn render(scrape: &mut Scrape, directory: &Directory) {
    let taken = &directory.counters().taken;
    let outbox = taken.outbox();
    let owned = directory
        .unordered()
        .iter()
        .filter(|h| h.live().is_ok())
        .count();
    let elsewhere = directory.elsewhere();
    let unowned = elsewhere.iter().filter(|(_, holder)| holder.is_none());
    for (name, help, value) in [
        (
            "maestro_cluster_nodes",
            "Nodes that were alive at the last look",
            directory.members().len() as f64,
        ),
        (
            "maestro_cluster_owned_schedulers",
            "Schedulers whose owner runs on this node",
            owned as f64,
        ),
        (
            "maestro_cluster_unowned_schedulers",
            "Schedulers that this node knows and nobody owns",
            unowned.count() as f64,
        ),
        (
            "maestro_cluster_outbox_batches",
            "Batches that Postgres has and Redis still lacked at the last listing",
            outbox.rows as f64,
        ),
        (
            "maestro_cluster_outbox_oldest_seconds",
            "Age of the oldest of them",
            outbox.oldest.unwrap_or_default().as_secs_f64(),
        ),
    ] {
        let mut family = scrape.page.family(name, MetricKind::Gauge, help);
        family.value(&[], value);
    }
    let mut family = scrape.page.family(
        "maestro_cluster_takeovers_total",
        MetricKind::Counter,
        "Schedulers that this node took, by why they had no owner",
    );
    for (cause, count) in taken.by_cause() {
        family.value(&[("cause", cause)], count as f64);
    }
    let mut family = scrape.page.family(
        "maestro_cluster_unowned_seconds",
        MetricKind::Histogram,
        "How long schedulers that this node took had been without an owner",
    );
    let (sum, count) = taken.waits_in_all();
    family.histogram(&[], taken.waits(), sum, count);
    let mut family = scrape.page.family(
        "maestro_cluster_loaded_behind_total",
        MetricKind::Counter,
        "Owners that were loaded from a store which had lost changes",
    );
    family.value(&[], taken.behind.load(Relaxed) as f64);
}
