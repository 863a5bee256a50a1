//! Operations whose scheduler has no row (architecture 6).

use super::*;

/// How long an operation waits for its scheduler's row.
const ORPHAN_WAIT: Duration = Duration::from_secs(60);

impl SchedulerState {
    /// Until then an operation waits for the row of its scheduler: other programs may write
    /// them in either order (architecture 6).
    pub(super) fn orphan_until(&self, record: &OperationRecord) -> Mono {
        self.now.mono_of(record.created_at).plus(ORPHAN_WAIT)
    }

    /// When the first operation without a scheduler is to be ended.
    pub(in crate::state) fn orphans_wake(&self) -> Option<Mono> {
        if self.scheduler.is_some() {
            return None;
        }
        let heads = self.operations.queues.iter().filter_map(VecDeque::front);
        heads.map(|head| self.orphan_until(head)).min()
    }

    /// What was left under a name does not become part of the scheduler that gets it.
    pub(in crate::state) fn end_orphans(&mut self) {
        for queue in std::mem::take(&mut self.operations.queues) {
            for record in queue {
                self.end_orphan(record);
            }
        }
    }

    pub(super) fn end_orphan(&mut self, mut record: OperationRecord) {
        let text = format!("scheduler {} not found", self.name);
        append(&mut record, self.now.wall, &text);
        self.report_not_begun(&record, &text);
        self.archive(record, OperationStatus::Error);
    }
}
