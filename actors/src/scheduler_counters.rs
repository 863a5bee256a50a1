//! Counters of one scheduler, kept across all incarnations of its actor (contract 9).
//!
//! They belong to the scheduler's handle, so a deleted scheduler leaves no series behind.

use maestro_core::domain::{Instance, InstanceStatus, Scheduler};
use maestro_core::ports::RuntimeEvent;
use maestro_core::state::{Named, Outcome, Report, RoomTable};
use maestro_metrics::LATENCY_BUCKETS_MS;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Maximum number of unknown operation names with a label of their own; the rest share [`OTHER`].
const EVICTED_NAMES_MAX: usize = 20;
pub(crate) const OTHER: &str = "other";

#[derive(Default)]
pub(crate) struct SchedulerCounters {
    pub busy_asks: AtomicU64,
    pub busy_pings: AtomicU64,
    pub ping_failures: AtomicU64,
    pub instances: InstanceEvents,
    pub rooms_not_removed: AtomicU64,
    pub adds_failed: AtomicU64,
    /// Rooms that were given to a caller before they were protected from evictions.
    pub given_unprotected: AtomicU64,
    /// The owner could not be loaded, so its queue could not be read.
    pub loads_failed: AtomicU64,
    /// The owner failed, so the operations it had begun are begun again.
    pub starts_failed: AtomicU64,
    /// The store lost changes, so everything was written again.
    pub republished: AtomicU64,
    /// The latest document, kept after the scheduler's deletion.
    last: Mutex<Option<Arc<Scheduler>>>,
    operations: Mutex<Operations>,
}

/// Events of a runtime by type.
#[derive(Default)]
pub(crate) struct InstanceEvents {
    pub added: AtomicU64,
    pub updated: AtomicU64,
    pub deleted: AtomicU64,
    /// Ready instances without an address.
    pub unconverted: AtomicU64,
}

/// Latencies by operation and success.
pub(crate) type Latencies = BTreeMap<(String, bool), Latency>;

#[derive(Clone, Default)]
pub(crate) struct Operations {
    pub executed: Latencies,
    pub rolled_back: Latencies,
    pub evicted: BTreeMap<String, u64>,
    /// Rooms that ended, by reason ([`maestro_core::state::RoomEnd`]).
    pub rooms_ended: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Default)]
pub(crate) struct Latency {
    buckets: [u64; LATENCY_BUCKETS_MS.len()],
    pub count: u64,
    pub sum_ms: f64,
}

impl Latency {
    fn add(&mut self, took: Duration) {
        let ms = took.as_secs_f64() * 1000.0;
        self.count += 1;
        self.sum_ms += ms;
        for (bound, up_to) in LATENCY_BUCKETS_MS.iter().zip(&mut self.buckets) {
            *up_to += u64::from(ms <= *bound);
        }
    }

    /// Upper bounds with cumulative counts.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        LATENCY_BUCKETS_MS.into_iter().zip(self.buckets)
    }
}

impl SchedulerCounters {
    pub fn record(&self, reports: Vec<Report>) {
        if reports.is_empty() {
            return;
        }
        let mut operations = self.operations.lock();
        for report in reports {
            match report {
                Report::Executed {
                    operation: Named { name, .. },
                    took,
                    outcome,
                    ..
                } => {
                    if outcome == Outcome::Failure && name == "add_rooms" {
                        self.adds_failed.fetch_add(1, Relaxed);
                    }
                    let key = (name, outcome == Outcome::Success);
                    operations.executed.entry(key).or_default().add(took);
                }
                Report::RolledBack {
                    operation,
                    took,
                    success,
                } => {
                    let key = (operation.name, success);
                    operations.rolled_back.entry(key).or_default().add(took);
                }
                Report::Evicted { operation } => operations.evict(operation.name),
                Report::RoomNotRemoved => drop(self.rooms_not_removed.fetch_add(1, Relaxed)),
                Report::RoomEnded(end) => {
                    *operations.rooms_ended.entry(end.reason).or_default() += 1;
                }
                Report::DuplicateCreate
                | Report::Began { .. }
                | Report::RollsBack { .. }
                | Report::NotBegun { .. }
                | Report::RoomHangs(_)
                | Report::OnError { .. }
                | Report::NotShown { .. }
                | Report::InSyncAgain => {}
            }
        }
    }

    /// Counts an event before it is decided on; `rooms` are those known so far.
    pub fn record_event(&self, event: &RuntimeEvent, rooms: &RoomTable) {
        let seen = &self.instances;
        let changed = match event {
            RuntimeEvent::Gone { .. } => {
                seen.deleted.fetch_add(1, Relaxed);
                return;
            }
            RuntimeEvent::Changed(instance) => std::slice::from_ref(instance),
            RuntimeEvent::Listed(instances) => instances,
        };
        for instance in changed {
            let known = is_known(instance, rooms);
            let kind = if known { &seen.updated } else { &seen.added };
            kind.fetch_add(1, Relaxed);
            let ready = instance.status == InstanceStatus::Ready;
            if ready && instance.address.is_none() {
                seen.unconverted.fetch_add(1, Relaxed);
            }
        }
    }

    /// Usually the answer to its creation is the first sign of an instance.
    pub fn record_created(&self, instance: &Instance, rooms: &RoomTable) {
        if !is_known(instance, rooms) {
            self.instances.added.fetch_add(1, Relaxed);
        }
    }

    /// Remembers the document of an existing scheduler.
    pub fn record_document(&self, scheduler: Option<&Arc<Scheduler>>) {
        if let Some(scheduler) = scheduler {
            *self.last.lock() = Some(scheduler.clone());
        }
    }
    pub fn last_known(&self) -> Option<Arc<Scheduler>> {
        self.last.lock().clone()
    }

    pub fn ping_failed(&self) {
        self.ping_failures.fetch_add(1, Relaxed);
    }
    pub fn load_failed(&self) {
        self.loads_failed.fetch_add(1, Relaxed);
    }
    pub fn start_failed(&self) {
        self.starts_failed.fetch_add(1, Relaxed);
    }

    pub fn store_was_behind(&self) {
        self.republished.fetch_add(1, Relaxed);
    }

    pub fn operations(&self) -> Operations {
        self.operations.lock().clone()
    }
}

fn is_known(instance: &Instance, rooms: &RoomTable) -> bool {
    let room = rooms.get(instance.room.as_str());
    room.is_some_and(|room| room.record.instance.is_some())
}

impl Operations {
    fn evict(&mut self, name: String) {
        let known = self.evicted.contains_key(&name) || self.evicted.len() < EVICTED_NAMES_MAX;
        let label = if known { name } else { OTHER.to_owned() };
        *self.evicted.entry(label).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::domain::OperationId;

    fn named(name: &str) -> Named {
        Named {
            id: OperationId(uuid::Uuid::nil()),
            name: name.into(),
        }
    }

    fn executed(operation: &str, outcome: Outcome) -> Report {
        Report::Executed {
            operation: named(operation),
            took: Duration::from_millis(30),
            outcome,
            cause: String::new(),
        }
    }

    #[test]
    fn a_canceled_order_of_rooms_has_not_failed() {
        let counters = SchedulerCounters::default();
        let outcomes = [Outcome::Success, Outcome::Canceled, Outcome::Failure];
        counters.record(
            outcomes
                .map(|outcome| executed("add_rooms", outcome))
                .into(),
        );
        counters.record(vec![executed("create_scheduler", Outcome::Failure)]);
        assert_eq!(counters.adds_failed.load(Relaxed), 1);
        let operations = counters.operations();
        let of = |success| &operations.executed[&("add_rooms".to_owned(), success)];
        assert_eq!((of(true).count, of(false).count), (1, 2));
        assert_eq!((of(true).sum_ms, of(false).sum_ms), (30.0, 60.0));
        let buckets: Vec<_> = of(true).buckets().collect();
        assert_eq!(buckets[2..4], [(25.0, 0), (50.0, 1)]);
    }

    #[test]
    fn names_of_strange_operations_are_bounded() {
        let counters = SchedulerCounters::default();
        for i in 0..100 {
            let operation = named(&format!("strange-{i}"));
            counters.record(vec![Report::Evicted { operation }]);
        }
        let evicted = counters.operations().evicted;
        assert_eq!(evicted.len(), EVICTED_NAMES_MAX + 1);
        assert_eq!(evicted[OTHER], 80);
    }
}
