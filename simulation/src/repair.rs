//! A store that loses commits, and its repair by the owner: what the actors' writer does, by the same rules of
//! [`maestro_core::rules::writing`].

use crate::batch::Group;
use crate::stored::{StoreFault, Stored};
use crate::world::World;
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::rules::writing::republication;
use std::collections::BTreeMap;

impl World {
    /// Loses what this fault loses, if it is one.
    pub fn lose(&mut self, fault: StoreFault) {
        match fault {
            StoreFault::Loses(commits) => {
                for _ in 0..commits {
                    self.stored = self.past.pop_back().unwrap_or(self.stored.clone());
                }
            }
            StoreFault::LosesEverything => {
                self.past.clear();
                self.stored.lose_everything();
            }
            _ => {}
        }
    }

    /// The batch that repairs the store, with everything that was decided until now.
    pub(crate) fn repair_of(
        &mut self,
        refused: &[Change],
        mut group: Group,
        fence: Fence,
    ) -> (Vec<Change>, Group) {
        self.fold();
        let mut waiting = refused.to_vec();
        waiting.append(&mut group.join(std::mem::take(&mut self.folded)));
        let changes = republication(&waiting, self.state.snapshot());
        self.touches.superseded_by(&changes);
        self.repair = Some(fence);
        (changes, group)
    }

    /// A batch is durable. If it repaired the store, that contains what the ordinary batches would have stored.
    pub(crate) fn repaired(&mut self) {
        if self.repair.take().is_none() {
            return;
        }
        self.repairs += 1;
        // What was decided during attempts that failed is not part of the snapshot, and still waits.
        if self.waiting_writes() == 0 {
            assert_eq!(content(&self.stored), content(&self.written), "repaired");
            // Operations that ended long ago are lost.
            self.written = self.stored.clone();
        }
        let stored = &self.stored.operations;
        let open = |o: &&OperationRecord| !o.status.is_final();
        for lost in self.promised.iter().filter(|id| !stored.contains_key(id)) {
            let known = self.written.operations.get(lost).filter(open);
            assert!(
                known.is_none(),
                "operation {lost} was acknowledged and is lost"
            );
        }
        self.promised.retain(|id| stored.contains_key(id));
    }

    /// The owner ends. What it promised and the store lost is lost for good, unless the next owner can see that it has
    /// to be careful.
    pub(crate) fn owner_lost_what_was_lost(&mut self) {
        let lost = self.stored.seq < self.seq;
        self.refused = None;
        self.repair = None;
        if lost {
            let stored = &self.stored.operations;
            self.promised.retain(|id| stored.contains_key(id));
            self.forgetful |= !self.stored.behind;
        }
    }
}

/// What a load makes of a store, apart from times that are written later.
type Content = (
    Option<String>,
    BTreeMap<SchedulerVersion, String>,
    OperatorRecord,
    Vec<LiveVersion>,
    BTreeMap<RoomId, (RoomIntent, RoomStatus, Option<String>)>,
    Vec<(OperationId, OperationStatus, Definition)>,
);

fn content(stored: &Stored) -> Content {
    let loaded = stored.loaded();
    let text = |s: &std::sync::Arc<Scheduler>| format!("{s:?}");
    let versions = loaded.versions.iter();
    let room = |room: RoomRecord| {
        let uid = room.instance.map(|instance| instance.uid);
        (room.id, (room.intent, room.reported.status, uid))
    };
    // An owner keeps the order within a lane, and begins with the operation that was running, now or before it.
    let mut operations = loaded.operations;
    operations.sort_by_key(|o| {
        let begun = o.status == OperationStatus::InProgress || o.resume.attempt > 0;
        (o.definition.lane() as usize, !begun)
    });
    // A batch has the operations of one decision in the order of their ids.
    let together = |a: &OperationRecord, b: &OperationRecord| {
        (a.priority, a.created_at) == (b.priority, b.created_at)
    };
    for decision in operations.chunk_by_mut(together) {
        decision.sort_by_key(|o| o.id);
    }
    let operation = |o: OperationRecord| (o.id, o.status, o.definition);
    (
        loaded.scheduler.as_ref().map(text),
        versions.map(|v| (v.version().clone(), text(v))).collect(),
        loaded.operator,
        loaded.live,
        loaded.rooms.into_iter().map(room).collect(),
        operations.into_iter().map(operation).collect(),
    )
}
