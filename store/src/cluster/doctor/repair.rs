//! Mends what is safe, as the owner of the scheduler for a moment: its writes are fenced as those of any owner.

use super::compare::{OWNER_FIRST, owned_by};
use super::finding::{Finding, Kind, Remedy};
use crate::cluster::ClusterStore;
use crate::postgres::Param;
use jiff::Timestamp;
use maestro_core::domain::{
    Epoch, OperationEvent, OperationStatus, Scheduler, SchedulerName, SchedulerPhase,
};
use maestro_core::ports::{Change, Claim, Fence, Ownership, Store, StoreError};
use serde::Serialize;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// Goes on counting where Redis is. Not while somebody owns it.
const COUNT_ON: &str = "
INSERT INTO maestro_owner AS o (scheduler, session, epoch, seq)
SELECT $1, NULL, coalesce((SELECT split_part($2, ':', 1)::bigint), 0), 0
ON CONFLICT (scheduler) DO UPDATE SET epoch = greatest(o.epoch, excluded.epoch)
WHERE NOT EXISTS (SELECT FROM maestro_node n WHERE n.session = o.session AND n.expires_at > clock_timestamp())";

/// What became of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Done as the remedy says.
    Mended,
    /// Not done, because of this.
    Refused(String),
    /// Nothing that a repair does.
    Left,
}

/// A finding and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Treated {
    #[serde(flatten)]
    pub finding: Finding,
    pub outcome: Outcome,
}

impl ClusterStore {
    /// Mends what is safe of these findings. What a living node owns is left alone.
    ///
    /// # Errors
    /// If the stores cannot be reached. What is mended until then stays mended; repeat it.
    pub async fn repair(&self, findings: Vec<Finding>) -> Result<Vec<Treated>, StoreError> {
        let mut treated = Vec::with_capacity(findings.len());
        let mut rest = &findings[..];
        while let Some(first) = rest.first() {
            let same = |finding: &&Finding| finding.scheduler == first.scheduler;
            let (of_one, others) = rest.split_at(rest.iter().take_while(same).count());
            rest = others;
            let outcome = self.repair_one(&first.scheduler, of_one).await?;
            treated.extend(of_one.iter().map(|finding| Treated {
                finding: finding.clone(),
                outcome: match &finding.remedy {
                    Remedy::Repair(_) => outcome.clone(),
                    _ => Outcome::Left,
                },
            }));
        }
        self.ownership.leave().await?;
        Ok(treated)
    }

    async fn repair_one(&self, name: &str, findings: &[Finding]) -> Result<Outcome, StoreError> {
        if !findings
            .iter()
            .any(|finding| matches!(finding.remedy, Remedy::Repair(_)))
        {
            return Ok(Outcome::Left);
        }
        let is = |kind| findings.iter().any(|finding| finding.kind == kind);
        if is(Kind::Behind) || is(Kind::Outbox) {
            return Ok(Outcome::Refused(OWNER_FIRST.to_owned()));
        }
        if is(Kind::Ahead) {
            self.count_on(name).await?;
        }
        let scheduler = SchedulerName::from(name);
        let names = [scheduler.clone()];
        let epoch = match self.acquire(&names).await?.first() {
            Some(Claim::Owned { epoch, .. }) => *epoch,
            Some(Claim::HeldBy(holder)) => {
                return Ok(Outcome::Refused(owned_by(&holder.address)));
            }
            None => return Ok(Outcome::Refused("it cannot be claimed".to_owned())),
        };
        let outcome = self.mend(&scheduler, epoch, findings).await;
        self.release(&[(scheduler, epoch)]).await?;
        Ok(match outcome {
            Ok(()) => Outcome::Mended,
            Err(why) => Outcome::Refused(why),
        })
    }

    async fn count_on(&self, name: &str) -> Result<(), StoreError> {
        let Some(fence) = self.redis.survey().await?.fences.remove(name) else {
            return Ok(());
        };
        let params: [Param<'_>; 2] = [(&name, Type::TEXT), (&fence, Type::TEXT)];
        self.database.change(COUNT_ON, &params).await?;
        Ok(())
    }

    async fn mend(
        &self,
        scheduler: &SchedulerName,
        epoch: Epoch,
        findings: &[Finding],
    ) -> Result<(), String> {
        let loaded = self
            .load(&[(scheduler.clone(), epoch)])
            .await
            .into_iter()
            .next();
        let loaded = loaded
            .ok_or("it is not stored")?
            .map_err(|error| error.to_string())?;
        let mut changes = Vec::new();
        for finding in findings {
            if finding.kind == Kind::ForeignState
                && let Some(stored) = &loaded.scheduler
            {
                let mut scheduler = Scheduler::clone(stored);
                scheduler.state = SchedulerPhase::InSync;
                changes.push(Change::UpdateScheduler(Arc::new(scheduler)));
            }
            // What the loader takes for a room stays.
            let is_none = |room: &&_| !loaded.rooms.iter().any(|record| record.id == **room);
            let rooms = finding.rooms.iter().filter(is_none).cloned();
            changes.extend(rooms.map(Change::DeleteRoom));
            for id in &finding.operations {
                // It may have found its queue meanwhile.
                if loaded.operations.iter().any(|record| record.id == *id) {
                    continue;
                }
                let record = self.redis.operation(scheduler.as_str(), *id).await;
                let Some(record) = record.map_err(|error| error.to_string())? else {
                    continue;
                };
                if record.status.is_final() {
                    continue;
                }
                let mut record = (*record).clone();
                let now = Timestamp::now();
                (record.status, record.status_at) = (OperationStatus::Canceled, now);
                record.lease_until = None;
                record.history.push(OperationEvent {
                    created_at: now,
                    event: "Canceled by maestro doctor: it was in no queue".to_owned(),
                });
                changes.push(Change::PutOperation(Box::new(record)));
            }
        }
        let fence = Fence {
            scheduler: scheduler.clone(),
            epoch,
            previous: loaded.seq,
            seq: loaded.seq.next(),
        };
        let committed = self.commit(fence, Arc::from(changes)).await;
        committed.map_err(|error| error.to_string())
    }
}
