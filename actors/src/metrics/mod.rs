//! The metrics of a node's schedulers and actors, put together when somebody asks (contract 9;
//! `docs/metrics.md` has the list).
//!
//! Nothing is asked or locked for it: gauges come from what the actors published, counters
//! from the tallies of their handles. A scheduler that is deleted takes its gauges with it at
//! once and its counters after a few minutes.

mod actors;
mod fleet;
mod forwarding;
mod operations;

use crate::Directory;
use crate::catalog::Catalog;
use crate::forwarding::Outcomes;
use crate::gauge::{Gauge, Totals};
use crate::handle::SchedulerHandle;
use crate::owner_status::Live;
use crate::published::Published;
use crate::scheduler_counters::SchedulerCounters;
use maestro_core::domain::Scheduler;
use maestro_metrics::{Kind, Labels, Page};
use prometheus::proto::MetricFamily;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Label of pings for schedulers that do not exist: anybody may make names up.
const UNKNOWN: &str = "unknown";

/// One scheduler as the page shows it.
struct Seen {
    handle: SchedulerHandle,
    /// Its document, now or at last.
    scheduler: Arc<Scheduler>,
    published: Option<Arc<Published>>,
    live: Option<Live>,
    /// Deleted: only its counters are left.
    gone: bool,
}

impl Seen {
    /// `None`: a name without a scheduler, which somebody asked for.
    fn of(handle: SchedulerHandle, gone: bool) -> Option<Self> {
        let scheduler = handle.counters().last_known()?;
        let published = handle.published();
        Some(Self {
            scheduler,
            published,
            live: handle.live().ok(),
            gone,
            handle,
        })
    }
    fn name(&self) -> &str {
        self.handle.name().as_str()
    }
    fn game(&self) -> &str {
        &self.scheduler.game
    }
    fn counters(&self) -> &SchedulerCounters {
        self.handle.counters()
    }
    fn totals(&self) -> &Totals {
        self.handle.totals()
    }
}

/// All schedulers of a node and its page.
struct Scrape {
    page: Page,
    all: Vec<Seen>,
}

impl Scrape {
    /// A counter by scheduler, of those too that have just gone.
    fn counters(
        &mut self,
        name: &str,
        help: &str,
        more: Labels<'_>,
        of: fn(&SchedulerCounters) -> &AtomicU64,
    ) {
        let mut family = self.page.family(name, Kind::Counter, help);
        for seen in &self.all {
            let mut labels = vec![("scheduler", seen.name())];
            labels.extend(more);
            family.value(&labels, of(seen.counters()).load(Relaxed) as f64);
        }
    }

    /// A gauge by game and scheduler; `None`: that one has no such value.
    fn gauges(&mut self, name: &str, help: &str, of: impl Fn(&Published) -> Option<f64>) {
        let mut family = self.page.family(name, Kind::Gauge, help);
        for seen in self.all.iter().filter(|seen| !seen.gone) {
            if let Some(value) = seen.published.as_deref().and_then(&of) {
                let labels = [("game", seen.game()), ("scheduler", seen.name())];
                family.value(&labels, value);
            }
        }
    }
}

/// Renders the page.
pub(crate) fn render(
    directory: &Directory,
    catalog: &Catalog,
    outcomes: &Outcomes,
    supervisor: &Gauge,
    store_fails: bool,
) -> Vec<MetricFamily> {
    let mut all: Vec<Seen> = directory
        .all()
        .into_iter()
        .filter_map(|handle| Seen::of(handle, false))
        .collect();
    for handle in directory.counters().lately_gone() {
        // One that came back under its name counts anew.
        if !all.iter().any(|seen| seen.name() == handle.name().as_str()) {
            all.extend(Seen::of(handle, true));
        }
    }
    let mut scrape = Scrape {
        page: Page::default(),
        all,
    };
    operations::render(&mut scrape, directory);
    fleet::render(&mut scrape);
    rooms_api(&mut scrape, directory);
    forwarding::render(&mut scrape, outcomes);
    actors::render(&mut scrape, directory, catalog, supervisor);
    store(&mut scrape, store_fails);
    scrape.page.into_families()
}

fn store(scrape: &mut Scrape, fails: bool) {
    let mut family = scrape.page.family(
        "maestro_store_failing",
        Kind::Gauge,
        "1 while the store takes no changes",
    );
    family.value(&[], f64::from(u8::from(fails)));
}

fn rooms_api(scrape: &mut Scrape, directory: &Directory) {
    let mut family = scrape.page.family(
        "maestro_api_ping_handler_update_room_failures_total",
        Kind::Counter,
        "Pings whose room could not be updated (counter)",
    );
    for seen in &scrape.all {
        let failures = seen.counters().ping_failures.load(Relaxed);
        family.value(&[("scheduler", seen.name())], failures as f64);
    }
    // A scheduler may have that name: then it is counted as that one's.
    if !scrape.all.iter().any(|seen| seen.name() == UNKNOWN) {
        let failures = directory.counters().unknown_pings.load(Relaxed);
        family.value(&[("scheduler", UNKNOWN)], failures as f64);
    }
}
