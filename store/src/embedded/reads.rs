//! Plain reads: frequent ones from memory, the history and single versions from the file.

use super::{
    EmbeddedStore,
    shared::ReadError,
    tables::{self, RowError},
};
use async_trait::async_trait;
use maestro_core::{
    domain::{Address, OperationId, OperationRecord, OperationStatus, RoomRecord, Scheduler},
    ports::{OperationPage, Reads, RoomCounts, SchedulerFilter, Stage, StoreError, VersionRow},
};
use redb::ReadTransaction;
use std::sync::Arc;

/// Maximum rows in a page of the history.
const PAGE_MAX: u64 = 1000;

#[async_trait]
impl Reads for EmbeddedStore {
    async fn schedulers(
        &self,
        filter: &SchedulerFilter,
    ) -> Result<Vec<Arc<Scheduler>>, StoreError> {
        Ok(self.shared.model.schedulers(filter))
    }

    async fn scheduler(&self, name: &str) -> Result<Option<Arc<Scheduler>>, StoreError> {
        Ok(self.shared.model.scheduler(name))
    }

    /// The version's own document, with the state and the game of the scheduler (contract 8.1).
    async fn scheduler_version(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<Arc<Scheduler>>, StoreError> {
        let Some(active) = self.shared.model.scheduler(name) else {
            return Ok(None);
        };
        let (name, version) = (name.to_owned(), version.to_owned());
        let read = self.shared.read(move |txn| {
            let table = txn.open_table(tables::VERSIONS)?;
            let Some(row) = table.get((name.as_str(), version.as_str()))? else {
                return Ok(None);
            };
            let document: Scheduler = tables::decode("versions", &version, row.value().1)?;
            Ok(Some(document))
        });
        let document = read.await?.map(|document| Scheduler {
            state: active.state.clone(),
            game: active.game.clone(),
            ..document
        });
        Ok(document.map(Arc::new))
    }

    async fn versions(&self, name: &str) -> Result<Vec<VersionRow>, StoreError> {
        Ok(self.shared.model.versions(name))
    }

    async fn operations(&self, scheduler: &str, stage: Stage) -> Result<OperationPage, StoreError> {
        let status = match stage {
            Stage::Pending => OperationStatus::Pending,
            Stage::Active => OperationStatus::InProgress,
            Stage::Final {
                offset,
                limit,
                ascending,
            } => {
                let name = scheduler.to_owned();
                let total = self.shared.model.history(scheduler);
                let read = self
                    .shared
                    .read(move |txn| history(txn, &name, (offset, limit), ascending));
                let operations = read.await?;
                return Ok(OperationPage { total, operations });
            }
        };
        let operations = self.shared.model.operations(scheduler, status);
        Ok(OperationPage {
            total: operations.len() as u64,
            operations,
        })
    }

    async fn operation(
        &self,
        scheduler: &str,
        id: OperationId,
    ) -> Result<Option<Arc<OperationRecord>>, StoreError> {
        if let Some(open) = self.shared.model.operation(scheduler, id) {
            return Ok(Some(open));
        }
        let name = scheduler.to_owned();
        let read = self.shared.read(move |txn| {
            let table = txn.open_table(tables::OPERATIONS)?;
            let Some(row) = table.get((name.as_str(), id.0.as_u128()))? else {
                return Ok(None);
            };
            Ok(Some(ended(id, row.value().3)?))
        });
        read.await
    }

    async fn room_counts(&self, schedulers: &[&str]) -> Result<Vec<RoomCounts>, StoreError> {
        let counts = schedulers.iter().map(|name| self.shared.model.rooms(name));
        Ok(counts.collect())
    }

    async fn room_address(
        &self,
        scheduler: &str,
        room: &str,
    ) -> Result<Option<Option<Address>>, StoreError> {
        let (scheduler, room) = (scheduler.to_owned(), room.to_owned());
        let read = self.shared.read(move |txn| {
            let table = txn.open_table(tables::ROOMS)?;
            let Some(row) = table.get((scheduler.as_str(), room.as_str()))? else {
                return Ok(None);
            };
            let record: RoomRecord = tables::decode("rooms", &room, row.value().1)?;
            Ok(Some(record.address().map(|address| (**address).clone())))
        });
        read.await
    }

    async fn check(&self) -> Result<(), StoreError> {
        if let Some(outage) = self.shared.outage() {
            return Err(StoreError::Unavailable(outage.cause.as_str().into()));
        }
        self.shared.database().map(drop)
    }
}

/// The page of the history at `(offset, limit)`, in the order in which the operations ended.
fn history(
    txn: &ReadTransaction,
    name: &str,
    (offset, limit): (u64, u64),
    ascending: bool,
) -> Result<Vec<Arc<OperationRecord>>, ReadError> {
    let index = txn.open_table(tables::HISTORY)?;
    let table = txn.open_table(tables::OPERATIONS)?;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let limit = limit.min(PAGE_MAX) as usize;
    let moments = index.range((name, i64::MIN, 0)..=(name, i64::MAX, u128::MAX))?;
    let window: Vec<_> = if ascending {
        moments.skip(offset).take(limit).collect()
    } else {
        moments.rev().skip(offset).take(limit).collect()
    };
    let mut page = Vec::with_capacity(window.len());
    for row in window {
        let (key, _) = row?;
        let (_, _, id) = key.value();
        let Some(row) = table.get((name, id))? else {
            continue;
        };
        // An unreadable row does not hide the others.
        match ended(OperationId(uuid::Uuid::from_u128(id)), row.value().3) {
            Ok(operation) => page.push(operation),
            Err(error) => tracing::error!(%error, "left an operation out of a listing"),
        }
    }
    Ok(page)
}

fn ended(id: OperationId, document: &[u8]) -> Result<Arc<OperationRecord>, RowError> {
    tables::decode("operations", &id.to_string(), document)
}
