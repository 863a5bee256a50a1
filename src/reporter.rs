//! The module `metrics-reporter`: the gauges of all fleets, read from the stores at an interval (contract 9).

use maestro_actors::FleetReport;
use maestro_core::ports::{Reads, SchedulerFilter, StoreError};
use maestro_store::cluster::ClusterStore;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

/// What was read last. Cheap to clone; reading ends with the last clone.
#[derive(Clone)]
pub struct Reporter {
    last: Arc<Mutex<Arc<[FleetReport]>>>,
    _reading: Arc<AbortOnDropHandle<()>>,
}

impl Reporter {
    /// `page` as for [`ClusterStore::figures`].
    pub fn start(store: Arc<ClusterStore>, every: Duration, page: usize, io: &Handle) -> Self {
        let last = Arc::new(Mutex::new(Arc::default()));
        let reading = io.spawn(read_forever(store, every, page, last.clone()));
        Self {
            last,
            _reading: Arc::new(AbortOnDropHandle::new(reading)),
        }
    }

    /// Empty before the first look, and while the stores cannot be read: old figures would look like new ones.
    pub fn fleets(&self) -> Arc<[FleetReport]> {
        self.last.lock().clone()
    }
}

async fn read_forever(
    store: Arc<ClusterStore>,
    every: Duration,
    page: usize,
    last: Arc<Mutex<Arc<[FleetReport]>>>,
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let read = read(&store, page).await;
        match &read {
            Err(error) if !failing => warn!(%error, "the figures of the fleets cannot be read"),
            Ok(_) if failing => info!("the figures of the fleets can be read again"),
            _ => {}
        }
        failing = read.is_err();
        *last.lock() = read.unwrap_or_default().into();
    }
}

async fn read(store: &ClusterStore, page: usize) -> Result<Vec<FleetReport>, StoreError> {
    let schedulers = store.schedulers(&SchedulerFilter::default()).await?;
    let names: Vec<&str> = schedulers.iter().map(|s| s.name.as_str()).collect();
    let figures = store.figures(&names, page).await?;
    let both = schedulers.iter().zip(figures);
    let reports = both.filter_map(|(scheduler, figures)| {
        let figures = figures?;
        Some(FleetReport {
            scheduler: scheduler.clone(),
            rooms: figures.rooms,
            instances: figures.instances,
            running_matches: figures.running_matches,
        })
    });
    Ok(reports.collect())
}
