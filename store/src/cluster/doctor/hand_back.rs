//! Gives an installation back to the original, so that a later take-over begins like the first.

use crate::cluster::ClusterStore;
use jiff::Timestamp;
use maestro_core::domain::{Epoch, OperationEvent, OperationStatus, SchedulerName};
use maestro_core::ports::{Change, Claim, Fence, Ownership, Store, StoreError};
use std::sync::Arc;

/// Schedulers that are claimed together.
const TOGETHER: usize = 100;
/// Sessions of others that live. None can begin before the transaction ends.
const LOCK: &str = "LOCK TABLE maestro_node IN EXCLUSIVE MODE";
const ALIVE: &str =
    "SELECT address FROM maestro_node WHERE expires_at > clock_timestamp() AND session <> $1";
/// What operators decided and what nodes share stays: the original does not know it, and the rooms of this machine are
/// recognized by it after the next take-over.
const FORGET: [&str; 3] = [
    "DELETE FROM maestro_outbox",
    "DELETE FROM maestro_owner",
    "DELETE FROM maestro_node",
];

/// Why it was not handed back, or not as a whole. It can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum HandBackError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("nodes still run: {}; stop all of them first (a killed one counts for three more seconds)", .0.join(", "))]
    Running(Vec<String>),
    #[error("scheduler {0}: {1}; mend that first, with a node or by hand")]
    Scheduler(SchedulerName, String),
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HandedBack {
    /// Schedulers whose data was completed.
    pub schedulers: usize,
    /// Operations that were running: the original would wait for them for ever (contract 11.1), so they are ended.
    pub ended: Vec<String>,
    /// Schedulers of which Redis had lost changes.
    pub behind: Vec<SchedulerName>,
}

impl ClusterStore {
    /// Completes what is in the outbox, ends what was running, and deletes fences, journals, outbox, owners and nodes.
    ///
    /// # Errors
    /// If a node runs, a scheduler cannot be read, or the stores cannot be reached.
    pub async fn hand_back(&self) -> Result<HandedBack, HandBackError> {
        self.refuse_while_nodes_run().await?;
        let mut done = HandedBack::default();
        let names = self.discover().await?;
        for part in names.chunks(TOGETHER) {
            let claims = self.acquire(part).await?;
            let mut owned = Vec::new();
            for (name, claim) in part.iter().zip(claims) {
                match claim {
                    Claim::Owned { epoch, .. } => owned.push((name.clone(), epoch)),
                    Claim::HeldBy(holder) => {
                        return Err(HandBackError::Running(vec![holder.address]));
                    }
                }
            }
            for (owner, loaded) in owned.iter().zip(self.load(&owned).await) {
                let loaded = loaded
                    .map_err(|why| HandBackError::Scheduler(owner.0.clone(), why.to_string()))?;
                done.schedulers += 1;
                if loaded.behind {
                    done.behind.push(owner.0.clone());
                }
                self.end_running(owner, loaded, &mut done).await?;
            }
        }
        // Redis first: without its fences it is only doubted, while fences without rows of owners refuse everybody.
        self.redis.delete_own_keys().await?;
        self.forget_nodes().await?;
        Ok(done)
    }

    async fn end_running(
        &self,
        (name, epoch): &(SchedulerName, Epoch),
        loaded: maestro_core::ports::Loaded,
        done: &mut HandedBack,
    ) -> Result<(), HandBackError> {
        let mut changes = Vec::new();
        let running = loaded.operations.into_iter();
        for mut record in running.filter(|record| record.status == OperationStatus::InProgress) {
            let now = Timestamp::now();
            done.ended.push(format!(
                "{name}: {} {}",
                record.definition.name(),
                record.id
            ));
            (record.status, record.status_at) = (OperationStatus::Error, now);
            record.lease_until = None;
            record.history.push(OperationEvent {
                created_at: now,
                event: "Ended by maestro doctor hand-back, while no node ran it".to_owned(),
            });
            changes.push(Change::PutOperation(Box::new(record)));
        }
        let fence = Fence {
            scheduler: name.clone(),
            epoch: *epoch,
            previous: loaded.seq,
            seq: loaded.seq.next(),
        };
        let committed = self.commit(fence, Arc::from(changes)).await;
        committed.map_err(|why| HandBackError::Scheduler(name.clone(), why.to_string()))
    }

    async fn living(&self) -> Result<Vec<String>, StoreError> {
        let me = self.myself().session;
        let others = self.members().await?.into_iter();
        let others = others.filter(|member| member.session != me);
        Ok(others.map(|member| member.address).collect())
    }

    async fn refuse_while_nodes_run(&self) -> Result<(), HandBackError> {
        match self.living().await? {
            living if living.is_empty() => Ok(()),
            living => Err(HandBackError::Running(living)),
        }
    }

    async fn forget_nodes(&self) -> Result<(), HandBackError> {
        let me = self.myself().session;
        let transaction = self
            .database
            .transaction()
            .await
            .map_err(StoreError::from)?;
        transaction
            .query(LOCK, &[])
            .await
            .map_err(StoreError::from)?;
        let asked = [(&me as _, tokio_postgres::types::Type::UUID)];
        let alive = transaction
            .query(ALIVE, &asked)
            .await
            .map_err(StoreError::from)?;
        if !alive.is_empty() {
            transaction.rollback().await;
            let alive = alive.iter().map(|row| row.get(0)).collect();
            return Err(HandBackError::Running(alive));
        }
        for statement in FORGET {
            transaction
                .query(statement, &[])
                .await
                .map_err(StoreError::from)?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(())
    }
}
