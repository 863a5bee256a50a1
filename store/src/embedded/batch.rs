//! A batch on its way to the file: the caller serializes the documents, so that the single writer
//! does not spend its time on it, and nothing is left that could fail half-way.

use super::tables;
use maestro_core::ports::{Change, Fence};
use std::sync::Arc;

pub struct Batch {
    pub fence: Fence,
    changes: Arc<[Change]>,
    /// One per change: its document if it has one, else nothing.
    documents: Vec<Vec<u8>>,
}

impl Batch {
    /// # Errors
    /// When a document cannot be written out.
    pub fn new(fence: Fence, changes: Arc<[Change]>) -> Result<Self, serde_json::Error> {
        let documents = changes.iter().map(encode).collect::<Result<_, _>>()?;
        Ok(Self {
            fence,
            changes,
            documents,
        })
    }

    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Each change with its document.
    pub fn encoded(&self) -> impl Iterator<Item = (&Change, &[u8])> {
        let documents = self.documents.iter().map(Vec::as_slice);
        self.changes.iter().zip(documents)
    }

    /// Rows of a batch that only has steady pings, `None` for any other: such a batch
    /// may wait behind the others.
    pub fn steady_rows(&self) -> Option<usize> {
        if self.changes.is_empty() {
            return None;
        }
        self.changes
            .iter()
            .map(|c| match c {
                Change::TouchRooms(touches) => Some(touches.len()),
                _ => None,
            })
            .sum()
    }
}

fn encode(change: &Change) -> Result<Vec<u8>, serde_json::Error> {
    match change {
        Change::CreateScheduler(scheduler)
        | Change::UpdateScheduler(scheduler)
        | Change::UpdateVersion(scheduler)
        | Change::CreateVersion { scheduler, .. } => tables::encode(scheduler),
        Change::PutRoom(room) => tables::encode(room),
        Change::PutOperation(operation) => tables::encode(operation),
        Change::PutOperator(record) => tables::encode(record),
        Change::DeleteScheduler { .. }
        | Change::DeleteRoom(_)
        | Change::TouchRooms(_)
        | Change::DeleteVersion(_)
        | Change::RenewOperationLease { .. }
        | Change::DeleteOperations(_) => Ok(Vec::new()),
    }
}
