//! Plain reads of the applied state.

use super::{FakeStore, StoreCall};
use async_trait::async_trait;
use maestro_core::{domain::*, ports::*};
use std::sync::Arc;

#[async_trait]
impl Reads for FakeStore {
    async fn schedulers(
        &self,
        filter: &SchedulerFilter,
    ) -> Result<Vec<Arc<Scheduler>>, StoreError> {
        self.ask(StoreCall::Read).await?;
        let inner = self.inner.lock();
        let all = inner.schedulers.values();
        let all = all.filter_map(|row| {
            let mut listed = Scheduler::clone(row.tables.scheduler.as_ref()?);
            listed.created_at = row.tables.created_at;
            Some(Arc::new(listed))
        });
        let any_or = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        let found = all.filter(|s| {
            any_or(&filter.name, s.name.as_str())
                && any_or(&filter.game, &s.game)
                && any_or(&filter.version, s.version().as_str())
        });
        Ok(found.collect())
    }

    async fn scheduler(&self, name: &str) -> Result<Option<Arc<Scheduler>>, StoreError> {
        self.ask(StoreCall::Read).await?;
        Ok(self.stored_scheduler(name))
    }

    async fn scheduler_version(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<Arc<Scheduler>>, StoreError> {
        self.ask(StoreCall::Read).await?;
        Ok(self.of(name, |tables| {
            let active = tables.scheduler.as_ref()?;
            let (_, stored) = tables.versions.get(&SchedulerVersion::from(version))?;
            Some(Arc::new(Scheduler {
                state: active.state.clone(),
                game: active.game.clone(),
                ..Scheduler::clone(stored)
            }))
        }))
    }

    async fn versions(&self, name: &str) -> Result<Vec<VersionRow>, StoreError> {
        self.ask(StoreCall::Read).await?;
        let mut rows: Vec<VersionRow> = self.of(name, |tables| {
            let rows = tables.versions.iter();
            let rows = rows.map(|(version, (created_at, _))| VersionRow {
                version: version.clone(),
                created_at: *created_at,
            });
            rows.collect()
        });
        rows.sort_by_key(|row| std::cmp::Reverse(row.created_at));
        Ok(rows)
    }

    async fn operations(&self, scheduler: &str, stage: Stage) -> Result<OperationPage, StoreError> {
        self.ask(StoreCall::Read).await?;
        let status = match stage {
            Stage::Pending => OperationStatus::Pending,
            Stage::Active => OperationStatus::InProgress,
            Stage::Final {
                offset,
                limit,
                ascending,
            } => return Ok(self.history(scheduler, offset, limit, ascending)),
        };
        let open = self.open_operations(scheduler).into_iter();
        let operations: Vec<_> = open.filter(|o| o.status == status).collect();
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
        self.ask(StoreCall::Read).await?;
        Ok(self.stored_operation(scheduler, id))
    }

    async fn room_counts(&self, schedulers: &[&str]) -> Result<Vec<RoomCounts>, StoreError> {
        self.ask(StoreCall::Read).await?;
        let counts = schedulers.iter().map(|scheduler| {
            let mut counts = RoomCounts::default();
            for room in self.stored_rooms(scheduler) {
                counts.0[room.reported.status as usize] += 1;
            }
            counts
        });
        Ok(counts.collect())
    }

    async fn room_address(
        &self,
        scheduler: &str,
        room: &str,
    ) -> Result<Option<Option<Address>>, StoreError> {
        self.ask(StoreCall::Read).await?;
        let stored = self.stored_room(scheduler, room);
        Ok(stored.map(|room| room.address().map(|address| (**address).clone())))
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.ask(StoreCall::Check).await
    }
}

impl FakeStore {
    fn history(&self, name: &str, offset: u64, limit: u64, ascending: bool) -> OperationPage {
        let mut shown = self.of(name, |tables| tables.ended());
        shown.retain(|o| !EndedOperation::of(o).no_action);
        if !ascending {
            shown.reverse();
        }
        let total = shown.len() as u64;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        OperationPage {
            total,
            operations: shown.into_iter().skip(offset).take(limit).collect(),
        }
    }
}
