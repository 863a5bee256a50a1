//! Operations whose scheduler has no row (architecture 6).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::history::append;
use crate::state::operations::queue::Operations;
use crate::state::report::Report;
use crate::state::turn::Turn;
use std::time::Duration;

/// How long an operation waits for its scheduler's row.
const ORPHAN_WAIT: Duration = Duration::from_secs(60);

impl Operations {
    /// How long an operation waits for the row of its scheduler: other programs may write them in either order
    /// (architecture 6).
    pub fn orphan_until(&self, now: Now, record: &OperationRecord) -> Mono {
        now.mono_of(record.created_at).plus(ORPHAN_WAIT)
    }

    /// When the first operation without a scheduler must be ended. Behind one that makes or removes the runtime it
    /// waits for that one's end.
    pub fn orphans_wake(&self, fleet: &Fleet, now: Now) -> Option<Mono> {
        if fleet.scheduler.is_some() {
            return None;
        }
        let lanes = self.queues.iter().zip(&self.running);
        let idle = lanes.filter(|(_, running)| running.is_none());
        let heads = idle.filter_map(|(queue, _)| queue.front());
        let heads = heads.filter(|head| !self.needs_no_scheduler(fleet, head));
        heads.map(|head| self.orphan_until(now, head)).min()
    }

    /// Operations left under a name do not become part of a new scheduler with that name. One that makes its runtime
    /// does.
    pub fn end_orphans(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        for queue in std::mem::take(&mut self.queues) {
            for record in queue {
                match record.definition {
                    Definition::CreateRuntime { .. } => self.restore(record),
                    _ => self.end_orphan(fleet, turn, record),
                }
            }
        }
    }

    pub fn end_orphan(&mut self, fleet: &mut Fleet, turn: &mut Turn, mut record: OperationRecord) {
        let text = format!("scheduler {} not found", self.name);
        append(&mut record, turn.now.wall, &text);
        turn.reports.push(Report::not_begun(&record, &text));
        self.archive(fleet, turn, record, OperationStatus::Error);
    }
}
