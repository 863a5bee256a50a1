//! What is counted of a node, and of schedulers that are gone.

use crate::handle::SchedulerHandle;
use crate::turns::TurnTimes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// The counters of a deleted scheduler are shown for so long: several scrapes, so that its
/// deletion is seen as well.
const SHOWN_AFTER_END: Duration = Duration::from_secs(300);
/// As many of these at most.
const GONE_MAX: usize = 200;

#[derive(Default)]
pub(crate) struct NodeCounters {
    /// Looks at whether every scheduler has its owner here.
    pub syncs: AtomicU64,
    /// Pings for schedulers that do not exist.
    pub unknown_pings: AtomicU64,
    /// Turns of actors whose schedulers are gone.
    pub turns: TurnTimes,
    gone: Mutex<VecDeque<(Instant, SchedulerHandle)>>,
}

impl NodeCounters {
    pub fn synced(&self) {
        self.syncs.fetch_add(1, Relaxed);
    }

    pub fn unknown_ping(&self) {
        self.unknown_pings.fetch_add(1, Relaxed);
    }

    pub fn gone(&self, handle: SchedulerHandle) {
        self.turns.merge(&handle.totals().times);
        let mut gone = self.gone.lock();
        gone.retain(|(_, other)| other.name() != handle.name());
        if gone.len() >= GONE_MAX {
            gone.pop_front();
        }
        gone.push_back((Instant::now(), handle));
    }

    /// Schedulers that have just gone.
    pub fn lately_gone(&self) -> Vec<SchedulerHandle> {
        let mut gone = self.gone.lock();
        gone.retain(|(at, _)| at.elapsed() < SHOWN_AFTER_END);
        gone.iter().map(|(_, handle)| handle.clone()).collect()
    }
}
