//! Metrics of the original's worker and watcher: operations and events of the runtime.

use super::scrape::{Scrape, Seen};
use crate::Directory;
use crate::scheduler_counters::{Latencies, SchedulerCounters};
use maestro_metrics::MetricKind;
use std::sync::atomic::Ordering::Relaxed;

/// Parts of an owner that are separate processes in the original.
const COMPONENTS: [&str; 3] = ["operation_execution", "runtime_watcher", "metrics_reporter"];

pub(super) fn render(scrape: &mut Scrape, directory: &Directory) {
    workers(scrape, directory);
    latencies(
        scrape,
        "maestro_worker_operation_execution_latency",
        "How long the work of operations took, in milliseconds (latency)",
        |counters| counters.operations().executed,
    );
    latencies(
        scrape,
        "maestro_worker_operation_rollback_latency",
        "How long the rollback of operations took, in milliseconds (latency)",
        |counters| counters.operations().rolled_back,
    );
    failures(scrape);
    scrape.counters(
        "maestro_worker_add_rooms_operation_execution_failed_total",
        "Operations add_rooms that failed (counter)",
        &[("operation", "add_rooms")],
        |counters| &counters.adds_failed,
    );
    scrape.counters(
        "maestro_worker_remove_rooms_operation_deletion_failed_total_total",
        "Rooms that operations remove_rooms could not end (counter)",
        &[("operation", "remove_rooms")],
        |counters| &counters.rooms_not_removed,
    );
    events(scrape);
}

fn workers(scrape: &mut Scrape, directory: &Directory) {
    let mut family = scrape.page.family(
        "maestro_current_workers",
        MetricKind::Gauge,
        "Parts of each scheduler's owner that run (gauge)",
    );
    for seen in scrape.all.iter().filter(|seen| !seen.gone) {
        for component in COMPONENTS {
            let labels = [("scheduler", seen.name()), ("maestro_component", component)];
            family.value(&labels, f64::from(u8::from(runs(seen, component))));
        }
    }
    let syncs = directory.counters().syncs.load(Relaxed);
    scrape
        .page
        .family(
            "maestro_workers_sync_total",
            MetricKind::Counter,
            "Looks at whether every scheduler has its owner (counter)",
        )
        .value(&[], syncs as f64);
}

fn runs(seen: &Seen, component: &str) -> bool {
    let hears = || {
        let published = seen.published.as_deref();
        published.is_none_or(|published| published.watch.state != "ended")
    };
    seen.live.is_some() && (component != "runtime_watcher" || hears())
}

fn latencies(scrape: &mut Scrape, name: &str, help: &str, of: fn(&SchedulerCounters) -> Latencies) {
    let mut family = scrape.page.family(name, MetricKind::Histogram, help);
    for seen in &scrape.all {
        for ((operation, success), latency) in of(seen.counters()) {
            let labels = [
                ("game", seen.game()),
                ("scheduler", seen.name()),
                ("operation", operation.as_str()),
                ("success", if success { "true" } else { "false" }),
            ];
            let (sum, count) = (latency.sum_ms, latency.count);
            family.histogram(&labels, latency.buckets(), sum, count);
        }
    }
}

fn failures(scrape: &mut Scrape) {
    let mut family = scrape.page.family(
        "maestro_worker_operation_evicted_total",
        MetricKind::Counter,
        "Operations that nobody knows how to carry out (counter)",
    );
    for seen in &scrape.all {
        for (operation, evicted) in seen.counters().operations().evicted {
            let labels = [
                ("game", seen.game()),
                ("scheduler", seen.name()),
                ("operation", operation.as_str()),
                ("reason", "no_operation_executor_found"),
            ];
            family.value(&labels, evicted as f64);
        }
    }
    let mut family = scrape.page.family(
        "maestro_worker_operation_execution_worker_failed_total",
        MetricKind::Counter,
        "Faults that kept the queue of a scheduler from moving (counter)",
    );
    for seen in &scrape.all {
        let counters = seen.counters();
        for (reason, failed) in [
            ("next_operation_failed", &counters.loads_failed),
            ("start_operation_failed", &counters.starts_failed),
        ] {
            let labels = [
                ("game", seen.game()),
                ("scheduler", seen.name()),
                ("reason", reason),
            ];
            family.value(&labels, failed.load(Relaxed) as f64);
        }
    }
}

fn events(scrape: &mut Scrape) {
    let mut family = scrape.page.family(
        "maestro_watcher_number_of_events_processed_total",
        MetricKind::Counter,
        "Events of the runtime that an owner took in (counter)",
    );
    for seen in &scrape.all {
        let instances = &seen.counters().instances;
        for (kind, events) in [
            ("added", &instances.added),
            ("updated", &instances.updated),
            ("deleted", &instances.deleted),
        ] {
            let events = events.load(Relaxed) as f64;
            // Here, processing an event cannot fail.
            for (success, events) in [("true", events), ("false", 0.0)] {
                let labels = [
                    ("scheduler", seen.name()),
                    ("instanceEventType", kind),
                    ("success", success),
                ];
                family.value(&labels, events);
            }
        }
    }
    scrape.counters(
        "maestro_watcher_failed_instance_conversion_total",
        "Instances that were ready and had no address (counter)",
        &[],
        |counters| &counters.instances.unconverted,
    );
}
