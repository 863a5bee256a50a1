//! Which schedulers there are and who owns them: the way from a name to a handle.

use crate::error::CallError;
use crate::handle::{AskTimeouts, SchedulerHandle};
use dashmap::DashMap;
use maestro_core::domain::SchedulerName;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Looked up by every request from many threads; only clones leave it.
#[derive(Clone, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Default)]
struct Inner {
    handles: DashMap<SchedulerName, SchedulerHandle>,
    closed: AtomicBool,
    /// All schedulers of the store are in it: from now on absence means "no such scheduler".
    complete: AtomicBool,
}

impl Directory {
    /// The owner of a scheduler; `None`: there is no such scheduler.
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

    /// The handle of a scheduler; made when there is none.
    pub(crate) fn entry(&self, name: &SchedulerName, timeouts: AskTimeouts) -> SchedulerHandle {
        let made = || SchedulerHandle::new(name.clone(), timeouts);
        self.0
            .handles
            .entry(name.clone())
            .or_insert_with(made)
            .value()
            .clone()
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.handles.remove(name);
    }
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Relaxed);
    }
    pub(crate) fn complete(&self) {
        self.0.complete.store(true, Relaxed);
    }
    pub fn is_complete(&self) -> bool {
        self.0.complete.load(Relaxed)
    }

    /// By name.
    pub fn all(&self) -> Vec<SchedulerHandle> {
        let mut all: Vec<_> = self.0.handles.iter().map(|e| e.value().clone()).collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }
}
