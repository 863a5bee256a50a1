//! What Redis still has to take of a batch whose rows are in Postgres already. It is stored with these rows, and
//! written to Redis by the batch itself, or by the next owner if the process ended in between.

use maestro_core::domain::{
    OperationId, OperationRecord, RoomId, RoomRecord, RoomTouch, Scheduler, SchedulerName, Seq,
};
use maestro_core::ports::Change;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A batch in the outbox.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pending {
    /// The seq of the batch before.
    previous: u64,
    changes: Vec<Stored>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Stored {
    /// The copy of the document in Redis is outdated.
    Outdated,
    DeleteScheduler(OperationId),
    Clear,
    PutRoom(Box<RoomRecord>),
    DeleteRoom(RoomId),
    TouchRooms(Vec<RoomTouch>),
    PutOperation(Box<OperationRecord>),
    RenewOperationLease(OperationId, jiff::Timestamp),
    DeleteOperations(Vec<OperationId>),
}

impl Pending {
    /// The part of a batch that Redis takes.
    pub fn of(previous: Seq, changes: &[Change]) -> Self {
        Self {
            previous: previous.0,
            changes: changes.iter().filter_map(Stored::of).collect(),
        }
    }

    /// The seq that Redis must be at, for the batch to follow.
    pub fn previous(&self) -> Seq {
        Seq(self.previous)
    }

    /// # Errors
    /// Never for what [`Self::read`] reads.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// # Errors
    /// If it was written by another program, or by a newer one.
    pub fn read(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }

    /// The changes again, as Redis takes them.
    pub fn changes(self, scheduler: &SchedulerName) -> Arc<[Change]> {
        let changes = self.changes.into_iter();
        changes.map(|change| change.change(scheduler)).collect()
    }
}

impl Stored {
    fn of(change: &Change) -> Option<Self> {
        Some(match change {
            Change::CreateScheduler(_) | Change::UpdateScheduler(_) => Self::Outdated,
            Change::DeleteScheduler { keep } => Self::DeleteScheduler(*keep),
            Change::Clear => Self::Clear,
            Change::PutRoom(room) => Self::PutRoom(room.clone()),
            Change::DeleteRoom(room) => Self::DeleteRoom(room.clone()),
            Change::TouchRooms(touches) => Self::TouchRooms(touches.clone()),
            Change::PutOperation(operation) => Self::PutOperation(operation.clone()),
            Change::RenewOperationLease { operation, until } => {
                Self::RenewOperationLease(*operation, *until)
            }
            Change::DeleteOperations(ids) => Self::DeleteOperations(ids.clone()),
            Change::CreateVersion { .. }
            | Change::UpdateVersion(_)
            | Change::DeleteVersion(_)
            | Change::PutLiveVersion(_)
            | Change::PutRuntime(_)
            | Change::PutOperator(_) => return None,
        })
    }

    fn change(self, scheduler: &SchedulerName) -> Change {
        match self {
            // Redis takes nothing of the document itself.
            Self::Outdated => Change::UpdateScheduler(Arc::new(Scheduler {
                name: scheduler.clone(),
                ..Scheduler::default()
            })),
            Self::DeleteScheduler(keep) => Change::DeleteScheduler { keep },
            Self::Clear => Change::Clear,
            Self::PutRoom(room) => Change::PutRoom(room),
            Self::DeleteRoom(room) => Change::DeleteRoom(room),
            Self::TouchRooms(touches) => Change::TouchRooms(touches),
            Self::PutOperation(operation) => Change::PutOperation(operation),
            Self::RenewOperationLease(operation, until) => {
                Change::RenewOperationLease { operation, until }
            }
            Self::DeleteOperations(ids) => Change::DeleteOperations(ids),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::domain::{LiveVersion, PingStatus, RoomStatus};
    use maestro_core::ports::OperatorRecord;
    use maestro_testkit::contract::store::samples::{at, operation, operation_id, room, scheduler};

    #[test]
    fn what_redis_takes_is_read_as_it_was_written() {
        let document = scheduler("fleet", "v1.0.0");
        let touch = RoomTouch {
            room: "r-1".into(),
            last_ping_at: at(3),
            matches: 2,
            ping: PingStatus::Occupied,
            metadata: Some("{}".into()),
        };
        let both: Vec<Change> = vec![
            Change::DeleteScheduler {
                keep: operation_id(1),
            },
            Change::Clear,
            Change::PutRoom(Box::new(room("r-1", RoomStatus::Ready))),
            Change::TouchRooms(vec![touch]),
            Change::DeleteRoom("r-1".into()),
            Change::PutOperation(Box::new(operation("fleet", 1))),
            Change::RenewOperationLease {
                operation: operation_id(1),
                until: at(9),
            },
            Change::DeleteOperations(vec![operation_id(1)]),
        ];
        let rows = [
            Change::UpdateVersion(document.clone()),
            Change::DeleteVersion("v1.0.0".into()),
            Change::PutOperator(OperatorRecord::default()),
            Change::PutLiveVersion(Box::new(LiveVersion::stopped("v1.0.0".into()))),
            Change::CreateVersion {
                scheduler: document.clone(),
                created_at: at(1),
            },
        ];
        let all: Vec<_> = rows.into_iter().chain(both.clone()).collect();
        let payload = Pending::of(Seq(6), &all).write().unwrap();
        let read = Pending::read(&payload).unwrap();
        assert_eq!(read.previous(), Seq(6));
        assert_eq!(&*read.changes(&"fleet".into()), both);
        // Of a document Redis has to know only that there is another.
        let outdated = Pending::of(Seq(0), &[Change::CreateScheduler(document)]);
        let changes = outdated.changes(&"fleet".into());
        assert!(matches!(&*changes, [Change::UpdateScheduler(s)] if s.name.as_str() == "fleet"));
        assert!(Pending::read(b"{}").is_err());
    }
}
