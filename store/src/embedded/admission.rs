//! Decides which batches of a group are applied, by fence and order, before anything is written.

use super::{batch::Batch, shared::Shared, snapshot::Seqs};
use maestro_core::{
    domain::SchedulerName,
    ports::{Change, CommitError},
};
use std::collections::HashMap;

/// The state that each batch of a group will find, after those before it.
pub struct Admission<'a> {
    shared: &'a Shared,
    stored: &'a Seqs,
    seqs: Seqs,
    exists: HashMap<SchedulerName, bool>,
}

impl<'a> Admission<'a> {
    pub fn new(shared: &'a Shared, stored: &'a Seqs) -> Self {
        Self {
            shared,
            stored,
            seqs: Seqs::new(),
            exists: HashMap::new(),
        }
    }

    /// The seqs after all admitted batches.
    pub fn into_seqs(self) -> Seqs {
        self.seqs
    }

    /// Checks whether the batch fits; if so, it counts as applied for those after it.
    pub fn admit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let fence = &batch.fence;
        let epoch = self.shared.epoch;
        if fence.epoch != epoch {
            return Err(CommitError::Fenced { stored: epoch });
        }
        let name = &fence.scheduler;
        let stored = self.seqs.get(name).or_else(|| self.stored.get(name));
        let stored = stored.copied().unwrap_or_default();
        if stored != fence.previous || fence.seq <= fence.previous {
            return Err(CommitError::Behind { stored });
        }
        let before = self.exists.get(name).copied();
        let mut exists = before.unwrap_or_else(|| self.shared.model.exists(name.as_str()));
        for change in batch.changes() {
            match change {
                Change::CreateScheduler(_) if exists => return Err(CommitError::AlreadyExists),
                Change::CreateScheduler(_) | Change::UpdateScheduler(_) => exists = true,
                Change::DeleteScheduler { .. } => exists = false,
                _ => {}
            }
        }
        self.exists.insert(name.clone(), exists);
        self.seqs.insert(name.clone(), fence.seq);
        Ok(())
    }
}
