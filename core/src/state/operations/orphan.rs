//! Operations whose scheduler has no row (architecture 6).

use crate::domain::*;
use crate::state::SchedulerState;
use crate::state::operations::append;
use crate::state::turn::Turn;
use std::collections::VecDeque;
use std::time::Duration;

/// How long an operation waits for its scheduler's row.
const ORPHAN_WAIT: Duration = Duration::from_secs(60);

impl SchedulerState {
    /// Until then an operation waits for the row of its scheduler: other programs may write
    /// them in either order (architecture 6).
    pub(super) fn orphan_until(&self, now: Now, record: &OperationRecord) -> Mono {
        now.mono_of(record.created_at).plus(ORPHAN_WAIT)
    }

    /// When the first operation without a scheduler is to be ended.
    pub(in crate::state) fn orphans_wake(&self, now: Now) -> Option<Mono> {
        if self.fleet.scheduler.is_some() {
            return None;
        }
        let heads = self.operations.queues.iter().filter_map(VecDeque::front);
        heads.map(|head| self.orphan_until(now, head)).min()
    }

    /// What was left under a name does not become part of the scheduler that gets it.
    pub(in crate::state) fn end_orphans(&mut self, turn: &mut Turn) {
        for queue in std::mem::take(&mut self.operations.queues) {
            for record in queue {
                self.end_orphan(turn, record);
            }
        }
    }

    pub(super) fn end_orphan(&mut self, turn: &mut Turn, mut record: OperationRecord) {
        let text = format!("scheduler {} not found", self.fleet.name);
        append(&mut record, turn.now.wall, &text);
        self.report_not_begun(turn, &record, &text);
        self.archive(turn, record, OperationStatus::Error);
    }
}
