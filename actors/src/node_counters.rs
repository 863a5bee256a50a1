//! Counters of a node, and those of deleted schedulers.

use crate::handle::SchedulerHandle;
use crate::taken::Taken;
use crate::turns::TurnTimes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// How long the counters of a deleted scheduler are still shown: several scrapes, so that its deletion is seen too.
const SHOWN_AFTER_END: Duration = Duration::from_secs(300);
/// Maximum number of deleted schedulers whose counters are kept.
const GONE_MAX: usize = 200;

#[derive(Default)]
pub(crate) struct NodeCounters {
    /// Checks whether every scheduler has its owner here.
    pub syncs: AtomicU64,
    /// Pings for unknown schedulers.
    pub unknown_pings: AtomicU64,
    /// Turns of the actors of deleted schedulers.
    pub turns: TurnTimes,
    /// How schedulers came to this node.
    pub taken: Taken,
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

    /// Recently deleted schedulers.
    pub fn lately_gone(&self) -> Vec<SchedulerHandle> {
        let mut gone = self.gone.lock();
        gone.retain(|(at, _)| at.elapsed() < SHOWN_AFTER_END);
        gone.iter().map(|(_, handle)| handle.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::AskTimeouts;

    fn handle(name: &str) -> SchedulerHandle {
        SchedulerHandle::new(name.into(), AskTimeouts::default())
    }

    fn names(counters: &NodeCounters) -> Vec<String> {
        let gone = counters.lately_gone().into_iter();
        gone.map(|handle| handle.name().to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_gone_is_shown_for_some_minutes() {
        let counters = NodeCounters::default();
        counters.gone(handle("first"));
        let moment = Duration::from_millis(1);
        tokio::time::advance(SHOWN_AFTER_END - moment).await;
        counters.gone(handle("second"));
        assert_eq!(names(&counters), ["first", "second"]);
        tokio::time::advance(moment).await;
        assert_eq!(names(&counters), ["second"]);
        // One that went twice is shown once, from its last end.
        counters.gone(handle("second"));
        tokio::time::advance(SHOWN_AFTER_END - moment).await;
        assert_eq!(names(&counters), ["second"]);
    }

    #[test]
    fn of_many_that_have_gone_the_last_are_shown() {
        let counters = NodeCounters::default();
        for n in 0..=GONE_MAX {
            counters.gone(handle(&format!("fleet-{n}")));
        }
        let names = names(&counters);
        assert_eq!((names.len(), names[0].as_str()), (GONE_MAX, "fleet-1"));
    }
}
