//! Everything that a store has to contain, for one that lost a part of it (architecture 5, A store that lost changes).

use crate::domain::*;
use crate::ports::Change;
use crate::state::SchedulerState;
use crate::state::fleet::Fleet;
use crate::state::operations::Operations;

impl SchedulerState {
    /// Changes after which a store contains what this owner knows, whatever it contained before: the documents, the
    /// operator's decisions, all rooms, and the operations that have not ended, in the order of their queue. Of those
    /// that have ended the last ones are among them; older ones are only in the store.
    pub fn snapshot(&self) -> Vec<Change> {
        let mut changes = vec![Change::Clear];
        documents(&self.fleet, &mut changes);
        let rooms = self.fleet.rooms.in_order();
        changes.extend(rooms.map(|room| Change::PutRoom(Box::new(room.record.clone()))));
        changes.extend(operations(&self.operations));
        changes
    }
}

/// The row comes first, because a store accepts no version without it.
fn documents(fleet: &Fleet, changes: &mut Vec<Change>) {
    let runtime = fleet.runtime.iter();
    changes.extend(runtime.map(|runtime| Change::PutRuntime(Box::new(runtime.clone()))));
    let Some(active) = &fleet.scheduler else {
        return;
    };
    changes.push(Change::UpdateScheduler(active.clone()));
    for document in fleet.versions.values() {
        changes.push(Change::CreateVersion {
            scheduler: document.clone(),
            created_at: document.created_at,
        });
        // If it is there, its document may be an earlier one.
        changes.push(Change::UpdateVersion(document.clone()));
    }
    let live = fleet.live.values();
    changes.extend(live.map(|live| Change::PutLiveVersion(Box::new(live.clone()))));
    changes.push(Change::PutOperator(fleet.operator));
}

/// An operation with priority is put before those that are stored already, so the last of these comes first.
fn operations(operations: &Operations) -> impl Iterator<Item = Change> {
    let put = |record: &OperationRecord| Change::PutOperation(Box::new(record.clone()));
    let (first, others): (Vec<_>, Vec<_>) = operations.open().partition(|record| record.priority);
    let open = others.into_iter().chain(first.into_iter().rev());
    open.chain(&operations.recent).map(put)
}
