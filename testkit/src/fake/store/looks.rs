//! What a test can inspect.

use super::{FakeStore, StoreCall, tables::Tables};
use maestro_core::{domain::*, ports::*};
use std::sync::Arc;

impl FakeStore {
    /// Violations of the port's rules; should be empty.
    pub fn violations(&self) -> Vec<String> {
        self.inner.lock().violations.clone()
    }
    /// Panics when a rule of the port was broken.
    pub fn assert_clean(&self) {
        let found = self.violations();
        assert!(found.is_empty(), "the store was misused: {found:#?}");
    }
    /// The number of calls so far, failed ones included.
    pub fn calls(&self, call: StoreCall) -> u64 {
        self.inner.lock().script.calls(call)
    }
    /// Names of the threads from which it was called.
    pub fn threads(&self) -> Vec<String> {
        self.inner.lock().threads.iter().cloned().collect()
    }
    /// Batches that were applied.
    pub fn commits(&self) -> usize {
        self.inner.lock().log.len()
    }
    /// The batches of one scheduler that were applied, oldest first.
    pub fn log(&self, name: &str) -> Vec<Vec<Change>> {
        let inner = self.inner.lock();
        let of_it = inner
            .log
            .iter()
            .filter(|(f, _)| f.scheduler.as_str() == name);
        of_it.map(|(_, changes)| changes.to_vec()).collect()
    }
    /// The epoch of each applied batch, oldest first.
    pub fn epochs(&self, name: &str) -> Vec<Epoch> {
        let inner = self.inner.lock();
        let of_it = |fence: &&Fence| fence.scheduler.as_str() == name;
        let fences = inner.log.iter().map(|(fence, _)| fence).filter(of_it);
        fences.map(|fence| fence.epoch).collect()
    }
    pub fn epoch_of(&self, name: &str) -> Epoch {
        let inner = self.inner.lock();
        inner
            .schedulers
            .get(name)
            .map(|r| r.epoch)
            .unwrap_or_default()
    }
    pub fn seq_of(&self, name: &str) -> Seq {
        let inner = self.inner.lock();
        inner
            .schedulers
            .get(name)
            .map(|r| r.seq)
            .unwrap_or_default()
    }

    pub fn stored_scheduler(&self, name: &str) -> Option<Arc<Scheduler>> {
        self.inner
            .lock()
            .schedulers
            .get(name)?
            .tables
            .scheduler
            .clone()
    }
    /// By id.
    pub fn stored_rooms(&self, name: &str) -> Vec<Arc<RoomRecord>> {
        self.of(name, |t| t.rooms.values().cloned().collect())
    }
    pub fn stored_room(&self, name: &str, room: &str) -> Option<Arc<RoomRecord>> {
        self.of(name, |t| t.rooms.get(room).cloned())
    }
    /// In the order in which they were first written.
    pub fn stored_operations(&self, name: &str) -> Vec<Arc<OperationRecord>> {
        let mut rows = self.of(name, |t| t.operations.values().cloned().collect::<Vec<_>>());
        rows.sort_by_key(|(came, _)| *came);
        rows.into_iter().map(|(_, o)| o).collect()
    }
    pub fn stored_operation(&self, name: &str, id: OperationId) -> Option<Arc<OperationRecord>> {
        self.of(name, |t| t.operations.get(&id).map(|(_, o)| o.clone()))
    }
    /// Operations that have not ended, in the order of their queue.
    pub fn open_operations(&self, name: &str) -> Vec<Arc<OperationRecord>> {
        self.of(name, |t| t.queue())
    }

    pub(super) fn of<R: Default>(&self, name: &str, look: impl FnOnce(&Tables) -> R) -> R {
        let inner = self.inner.lock();
        let row = inner.schedulers.get(name);
        row.map(|row| look(&row.tables)).unwrap_or_default()
    }
}
