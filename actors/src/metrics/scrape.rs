//! The input of all parts of the page: a view of each scheduler, taken at one moment.

use crate::gauge::Totals;
use crate::handle::SchedulerHandle;
use crate::owner_status::Live;
use crate::published::Published;
use crate::scheduler_counters::SchedulerCounters;
use maestro_core::domain::Scheduler;
use maestro_metrics::{Labels, MetricKind, Page};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One scheduler as the page shows it.
pub(super) struct Seen {
    pub handle: SchedulerHandle,
    /// Its document, the last one if it is deleted.
    pub scheduler: Arc<Scheduler>,
    pub published: Option<Arc<Published>>,
    pub live: Option<Live>,
    /// Deleted: only its counters are left.
    pub gone: bool,
}

impl Seen {
    /// `None` for a name that was requested but has no scheduler.
    pub fn of(handle: SchedulerHandle, gone: bool) -> Option<Self> {
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
    pub fn name(&self) -> &str {
        self.handle.name().as_str()
    }
    pub fn game(&self) -> &str {
        &self.scheduler.game
    }
    pub fn counters(&self) -> &SchedulerCounters {
        self.handle.counters()
    }
    pub fn totals(&self) -> &Totals {
        self.handle.totals()
    }
}

/// All schedulers of a node, and the page to render.
pub(super) struct Scrape {
    pub page: Page,
    pub all: Vec<Seen>,
}

impl Scrape {
    /// Writes a counter per scheduler, including recently deleted ones.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        more: Labels<'_>,
        of: fn(&SchedulerCounters) -> &AtomicU64,
    ) {
        let mut family = self.page.family(name, MetricKind::Counter, help);
        for seen in &self.all {
            let mut labels = vec![("scheduler", seen.name())];
            labels.extend(more);
            family.value(&labels, of(seen.counters()).load(Relaxed) as f64);
        }
    }

    /// Writes a gauge per game and scheduler; `None` skips the scheduler.
    pub fn gauges(&mut self, name: &str, help: &str, of: impl Fn(&Published) -> Option<f64>) {
        let mut family = self.page.family(name, MetricKind::Gauge, help);
        for seen in self.all.iter().filter(|seen| !seen.gone) {
            if let Some(value) = seen.published.as_deref().and_then(&of) {
                let labels = [("game", seen.game()), ("scheduler", seen.name())];
                family.value(&labels, value);
            }
        }
    }
}
