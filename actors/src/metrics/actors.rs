//! Our own metrics about the actors themselves, named `maestro_actor_…`.

use super::scrape::Scrape;
use crate::Directory;
use crate::catalog::Catalog;
use crate::gauge::{Gauge, Totals};
use crate::turns::TurnTimes;
use crate::writer_inbox::WriterGauge;
use maestro_metrics::MetricKind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(super) fn render(
    scrape: &mut Scrape,
    directory: &Directory,
    catalog: &Catalog,
    supervisor: &Gauge,
) {
    let plain = [("supervisor", supervisor), ("catalog", &*catalog.gauge)];
    by_actor(
        scrape,
        plain,
        ("maestro_actor_mailbox_depth", MetricKind::Gauge),
        "Messages that wait for an actor",
        |gauge, _| gauge.map_or(0.0, |gauge| gauge.depth() as f64),
    );
    by_actor(
        scrape,
        plain,
        ("maestro_actor_oldest_message_seconds", MetricKind::Gauge),
        "How long the oldest message of an actor has waited",
        |gauge, _| gauge.map_or(0.0, |gauge| gauge.oldest_us() as f64 / 1e6),
    );
    by_actor(
        scrape,
        plain,
        ("maestro_actor_late_wakes_total", MetricKind::Counter),
        "Timers that fired noticeably late",
        |_, totals| totals.late_wakes() as f64,
    );
    turns(scrape, directory, plain);
    busy(scrape, catalog);
    owners(scrape);
}

fn by_actor(
    scrape: &mut Scrape,
    plain: [(&str, &Gauge); 2],
    (name, kind): (&str, MetricKind),
    help: &str,
    of: fn(Option<&Gauge>, &Totals) -> f64,
) {
    let mut family = scrape.page.family(name, kind, help);
    for (actor, gauge) in plain {
        let value = of(Some(gauge), &gauge.totals);
        family.value(&[("actor", actor), ("scheduler", "")], value);
    }
    // Counters of deleted actors are shown as long as the other counters of their schedulers.
    let shown = |gone: bool| kind == MetricKind::Counter || !gone;
    for seen in scrape.all.iter().filter(|seen| shown(seen.gone)) {
        let labels = [("actor", "scheduler"), ("scheduler", seen.name())];
        let gauge = seen.live.as_ref().map(|live| &*live.gauge);
        family.value(&labels, of(gauge, seen.totals()));
    }
}

/// Summed over all schedulers: per scheduler there would be hundreds of series each. `/debug/actors` shows the times of
/// a single scheduler.
fn turns(scrape: &mut Scrape, directory: &Directory, plain: [(&str, &Gauge); 2]) {
    let owners = TurnTimes::default();
    owners.merge(&directory.counters().turns);
    for handle in directory.all() {
        owners.merge(&handle.totals().times);
    }
    let mut family = scrape.page.family(
        "maestro_actor_turn_seconds",
        MetricKind::Histogram,
        "How long actors worked on one message",
    );
    let [supervisor, catalog] = plain.map(|(actor, gauge)| (actor, &gauge.totals.times));
    for (actor, times) in [supervisor, catalog, ("scheduler", &owners)] {
        for (message, times) in times.all() {
            // Owners handle messages of every kind, the other two actors only some.
            if actor == "scheduler" || times.count() > 0 {
                let labels = [("actor", actor), ("message", message)];
                let (sum, count) = (times.sum_seconds(), times.count());
                family.histogram(&labels, times.doublings(), sum, count);
            }
        }
    }
}

fn busy(scrape: &mut Scrape, catalog: &Catalog) {
    let mut family = scrape.page.family(
        "maestro_actor_busy_total",
        MetricKind::Counter,
        "Callers that were turned away because too many were waiting",
    );
    let refused = catalog.refused.load(Relaxed) as f64;
    let labels = [("actor", "catalog"), ("scheduler", ""), ("message", "read")];
    family.value(&labels, refused);
    for seen in &scrape.all {
        let counters = seen.counters();
        for (message, busy) in [("ask", &counters.busy_asks), ("ping", &counters.busy_pings)] {
            let labels = [
                ("actor", "scheduler"),
                ("scheduler", seen.name()),
                ("message", message),
            ];
            family.value(&labels, busy.load(Relaxed) as f64);
        }
    }
}

/// Metrics that only owners of schedulers have.
fn owners(scrape: &mut Scrape) {
    let mut family = scrape.page.family(
        "maestro_store_republished_total",
        MetricKind::Counter,
        "How often the store had lost changes and everything was written again",
    );
    for seen in &scrape.all {
        let times = seen.counters().republished.load(Relaxed);
        family.value(&[("scheduler", seen.name())], times as f64);
    }
    let mut family = scrape.page.family(
        "maestro_actor_restarts_total",
        MetricKind::Counter,
        "How often an actor was built anew after a fault",
    );
    for seen in &scrape.all {
        let restarts = seen.handle.restarts().total;
        family.value(&[("scheduler", seen.name())], restarts as f64);
    }
    let mut family = scrape.page.family(
        "maestro_actor_stale_results_total",
        MetricKind::Counter,
        "Results of work that came when nobody wanted them any more",
    );
    for seen in &scrape.all {
        let stale = seen.published.as_ref().map_or(0, |p| p.state.stale_results);
        family.value(&[("scheduler", seen.name())], stale as f64);
    }
    writers(scrape);
}

fn writers(scrape: &mut Scrape) {
    for (name, kind, help, of) in [
        (
            "maestro_actor_writer_queue",
            MetricKind::Gauge,
            "Decisions that are not durable yet",
            (|writer| &writer.waiting) as fn(&WriterGauge) -> &AtomicU64,
        ),
        (
            "maestro_actor_writer_commits_total",
            MetricKind::Counter,
            "Commits of a writer since its owner was loaded",
            |writer| &writer.commits,
        ),
        (
            "maestro_actor_writer_retries_total",
            MetricKind::Counter,
            "Commits that were tried again since the owner was loaded",
            |writer| &writer.retries,
        ),
        (
            "maestro_store_refused",
            MetricKind::Gauge,
            "1 while the store refuses the changes of this scheduler, and takes those of others",
            |writer| &writer.refused,
        ),
    ] {
        let mut family = scrape.page.family(name, kind, help);
        for seen in &scrape.all {
            if let Some(live) = &seen.live {
                let value = of(&live.writer).load(Relaxed);
                family.value(&[("scheduler", seen.name())], value as f64);
            }
        }
    }
}
