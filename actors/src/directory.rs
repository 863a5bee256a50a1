//! The registry of schedulers: maps a name to the handle of its owner.

use crate::error::CallError;
use crate::handle::{AskTimeouts, SchedulerHandle};
use crate::node_counters::NodeCounters;
use dashmap::DashMap;
use maestro_core::domain::SchedulerName;
use maestro_core::state::{Refusal, RefusalKind};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Maximum number of owners for names that no scheduler has. A switch ordered under such a name waits for its
/// scheduler, for a minute or while the queues are paused.
const STRANGERS_MAX: usize = 256;

/// Read by every request from many threads; lookups return clones.
#[derive(Clone, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Default)]
struct Inner {
    handles: DashMap<SchedulerName, SchedulerHandle>,
    closed: AtomicBool,
    /// All schedulers of the store are registered: from then on a missing name means "no such scheduler".
    complete: AtomicBool,
    /// Names that have an owner although no scheduler was created.
    strangers: Mutex<HashSet<SchedulerName>>,
    counters: NodeCounters,
}

impl Directory {
    /// The handle of a scheduler; `None` if there is no such scheduler.
    ///
    /// # Errors
    /// When the node is shutting down, or has not listed all schedulers yet.
    pub fn find(&self, name: &str) -> Result<Option<SchedulerHandle>, CallError> {
        if self.0.closed.load(Relaxed) {
            return Err(CallError::ShuttingDown);
        }
        let found = self.0.handles.get(name).map(|entry| entry.value().clone());
        if found.is_none() && !self.0.complete.load(Relaxed) {
            return Err(CallError::Restarting(name.to_owned()));
        }
        Ok(found)
    }

    /// The handle of a scheduler; creates it if necessary.
    pub(crate) fn entry(&self, name: &SchedulerName, timeouts: AskTimeouts) -> SchedulerHandle {
        let made = || SchedulerHandle::new(name.clone(), timeouts);
        self.0
            .handles
            .entry(name.clone())
            .or_insert_with(made)
            .value()
            .clone()
    }

    /// Registers a name that gets an owner although there is no such scheduler.
    ///
    /// # Errors
    /// A refusal if there are too many of them.
    pub(crate) fn admit_stranger(&self, name: &str) -> Result<(), Refusal> {
        let mut strangers = self.0.strangers.lock();
        if strangers.len() >= STRANGERS_MAX && !strangers.contains(name) {
            let text = format!(
                "scheduler {name} not found, and {STRANGERS_MAX} orders for schedulers that do not exist \
                 are waiting already; create it first, or try again in a minute"
            );
            return Err(Refusal::new(RefusalKind::Exhausted, text));
        }
        strangers.insert(name.into());
        Ok(())
    }

    /// The scheduler exists now, so its name no longer counts as a stranger.
    pub(crate) fn created(&self, name: &str) {
        self.0.strangers.lock().remove(name);
    }

    pub(crate) fn remove(&self, name: &str) {
        if let Some((_, handle)) = self.0.handles.remove(name) {
            self.0.counters.gone(handle);
        }
        self.created(name);
    }
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Relaxed);
    }
    pub(crate) fn complete(&self) {
        self.0.complete.store(true, Relaxed);
    }
    /// Whether all schedulers of the store have been listed.
    pub fn is_complete(&self) -> bool {
        self.0.complete.load(Relaxed)
    }

    pub(crate) fn counters(&self) -> &NodeCounters {
        &self.0.counters
    }

    /// All handles, ordered by name.
    pub fn all(&self) -> Vec<SchedulerHandle> {
        let mut all: Vec<_> = self.0.handles.iter().map(|e| e.value().clone()).collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }
}
