//! A batch on its way to the file: the caller serializes the documents, so that the single writer
//! does not spend its time on it, and nothing is left that could fail half-way.

use super::tables;
use maestro_core::ports::{Change, Fence};

pub struct Batch {
    pub fence: Fence,
    pub changes: Vec<Encoded>,
}

pub struct Encoded {
    pub change: Change,
    /// The document of a change, if it has one.
    pub document: Vec<u8>,
}

impl Batch {
    pub fn new(fence: Fence, changes: Vec<Change>) -> Result<Self, serde_json::Error> {
        let changes = changes.into_iter().map(encode).collect::<Result<_, _>>()?;
        Ok(Self { fence, changes })
    }

    /// Rows of a batch that only has steady pings, `None` for any other: such a batch
    /// may wait behind the others.
    pub fn steady_rows(&self) -> Option<usize> {
        if self.changes.is_empty() {
            return None;
        }
        self.changes
            .iter()
            .map(|c| match &c.change {
                Change::TouchRooms(touches) => Some(touches.len()),
                _ => None,
            })
            .sum()
    }
}

fn encode(change: Change) -> Result<Encoded, serde_json::Error> {
    let document = match &change {
        Change::CreateScheduler(scheduler)
        | Change::UpdateScheduler(scheduler)
        | Change::UpdateVersion(scheduler)
        | Change::CreateVersion { scheduler, .. } => tables::encode(scheduler)?,
        Change::PutRoom(room) => tables::encode(room)?,
        Change::PutOperation(operation) => tables::encode(operation)?,
        Change::PutOperator(record) => tables::encode(record)?,
        Change::DeleteScheduler { .. }
        | Change::DeleteRoom(_)
        | Change::TouchRooms(_)
        | Change::DeleteVersion(_)
        | Change::RenewOperationLease { .. }
        | Change::DeleteOperations(_) => Vec::new(),
    };
    Ok(Encoded { change, document })
}
