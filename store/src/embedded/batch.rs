//! A batch on its way to the file. The caller serializes the documents, so that the single writer spends no time on it,
//! and so that nothing can fail halfway through a transaction.

use super::tables;
use maestro_core::ports::{Change, Fence};
use std::sync::Arc;

pub struct Batch {
    pub fence: Fence,
    changes: Arc<[Change]>,
    /// One entry per change: its document, or nothing if it has none.
    documents: Vec<Vec<u8>>,
}

impl Batch {
    /// # Errors
    /// When a document cannot be serialized.
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

    /// Number of rows if the batch contains only steady pings, else `None`. A batch of steady pings may wait behind
    /// others.
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
        Change::PutRuntime(record) => tables::encode(record),
        Change::PutLiveVersion(live) => tables::encode(live),
        Change::DeleteScheduler { .. }
        | Change::Clear
        | Change::DeleteRoom(_)
        | Change::TouchRooms(_)
        | Change::DeleteVersion(_)
        | Change::RenewOperationLease { .. }
        | Change::DeleteOperations(_) => Ok(Vec::new()),
    }
}
