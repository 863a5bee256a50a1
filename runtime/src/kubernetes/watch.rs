//! The watches of pods, for as long as the process lives.
//!
//! One watch of the whole cluster feeds all schedulers. Where this process may only read single namespaces, each
//! scheduler that somebody watches has a watch of its own. Watching writes nothing.

use super::follower::{Ended, Follower};
use super::lookup::Lookup;
use maestro_core::domain::SchedulerName;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// The watches of a process.
pub struct Watches(Arc<Shared>);

struct Shared {
    lookup: Lookup,
    watch_timeout: Duration,
    single: Mutex<Single>,
}

/// Watches of single namespaces.
#[derive(Default)]
struct Single {
    /// Set when the watch of the whole cluster is not allowed.
    is_needed: bool,
    running: HashSet<SchedulerName>,
}

impl Watches {
    /// Starts the watch of the whole cluster.
    pub fn start(lookup: Lookup, watch_timeout: Duration) -> Self {
        let shared = Arc::new(Shared {
            lookup,
            watch_timeout,
            single: Mutex::default(),
        });
        let all = shared.clone();
        shared.lookup.spawn(async move {
            if let Ended::Forbidden = all.follower(None).follow().await {
                tracing::warn!(
                    "this process may not list and watch pods of the whole cluster: each scheduler is watched by itself; \
                     a ClusterRole costs fewer calls"
                );
                all.follow_each();
            }
        });
        Self(shared)
    }

    /// Somebody watches this scheduler.
    pub fn want(&self, scheduler: &SchedulerName) {
        let mut single = self.0.single.lock();
        if single.is_needed && single.running.insert(scheduler.clone()) {
            self.0.clone().follow_one(scheduler.clone());
        }
    }
}

impl Shared {
    fn follower(&self, scope: Option<SchedulerName>) -> Follower {
        Follower::new(self.lookup.clone(), scope, self.watch_timeout)
    }

    fn follow_each(self: Arc<Self>) {
        let mut single = self.single.lock();
        single.is_needed = true;
        for scheduler in self.lookup.index.list_each() {
            if single.running.insert(scheduler.clone()) {
                self.clone().follow_one(scheduler);
            }
        }
    }

    fn follow_one(self: Arc<Self>, scheduler: SchedulerName) {
        let shared = self.clone();
        self.lookup.spawn(async move {
            loop {
                shared.follower(Some(scheduler.clone())).follow().await;
                let index = &shared.lookup.index;
                let mut single = shared.single.lock();
                // Somebody may have come since.
                if !index.feeds().is_watched(&scheduler) {
                    single.running.remove(&scheduler);
                    index.forget(&scheduler);
                    return;
                }
            }
        });
    }
}
