//! The metrics of a node's schedulers and actors, assembled at each scrape (contract 9; `docs/metrics.md` lists them).
//!
//! No actor is asked or locked: gauges come from what the actors published, counters from their handles. The gauges of
//! a deleted scheduler vanish at once, its counters after a few minutes.

mod actors;
mod fleet;
mod forwarding;
mod operations;
mod owning;
mod reported;
mod scrape;

use crate::Directory;
use crate::catalog::Catalog;
use crate::forwarding::Outcomes;
use crate::gauge::Gauge;
use maestro_metrics::{MetricKind, Page};
use prometheus::proto::MetricFamily;
pub use reported::{FleetReport, report_fleets};
use scrape::{Scrape, Seen};
use std::sync::atomic::Ordering::Relaxed;

/// Label of pings for unknown schedulers, whose names clients could make up at will.
const UNKNOWN: &str = "unknown";

/// Renders the page. `reports`: also as the metrics reporter does.
pub(crate) fn render(
    directory: &Directory,
    catalog: &Catalog,
    outcomes: &Outcomes,
    supervisor: &Gauge,
    store_fails: bool,
    reports: bool,
) -> Vec<MetricFamily> {
    let mut all: Vec<Seen> = directory
        .all()
        .into_iter()
        .filter_map(|handle| Seen::of(handle, false))
        .collect();
    for handle in directory.counters().lately_gone() {
        // A scheduler that was created again under the same name starts with new counters.
        if !all.iter().any(|seen| seen.name() == handle.name().as_str()) {
            all.extend(Seen::of(handle, true));
        }
    }
    let mut scrape = Scrape {
        page: Page::default(),
        all,
    };
    operations::render(&mut scrape, directory);
    fleet::render(&mut scrape, reports);
    rooms_api(&mut scrape, directory);
    forwarding::render(&mut scrape, outcomes);
    actors::render(&mut scrape, directory, catalog, supervisor);
    owning::render(&mut scrape, directory);
    store(&mut scrape, store_fails);
    scrape.page.into_families()
}

fn store(scrape: &mut Scrape, fails: bool) {
    let mut family = scrape.page.family(
        "maestro_store_failing",
        MetricKind::Gauge,
        "1 while the store takes no changes",
    );
    family.value(&[], f64::from(u8::from(fails)));
}

fn rooms_api(scrape: &mut Scrape, directory: &Directory) {
    let mut family = scrape.page.family(
        "maestro_api_ping_handler_update_room_failures_total",
        MetricKind::Counter,
        "Pings whose room could not be updated (counter)",
    );
    for seen in &scrape.all {
        let failures = seen.counters().ping_failures.load(Relaxed);
        family.value(&[("scheduler", seen.name())], failures as f64);
    }
    // If a scheduler really has that name, it counts as that scheduler's.
    if !scrape.all.iter().any(|seen| seen.name() == UNKNOWN) {
        let failures = directory.counters().unknown_pings.load(Relaxed);
        family.value(&[("scheduler", UNKNOWN)], failures as f64);
    }
}
