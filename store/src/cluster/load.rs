//! Loads schedulers for their new owner, after what earlier owners left in the outbox is written to Redis.

use super::ClusterStore;
use super::outbox::Pending;
use crate::postgres::outbox;
use crate::postgres::reads::{self, StoredRows};
use crate::redis::Stored;
use maestro_core::domain::{Epoch, SchedulerName, Seq};
use maestro_core::ports::{Cause, Claim, CommitError, Fence, Loaded, StoreError};
use tracing::{info, warn};

type Owned = (SchedulerName, Epoch);

impl ClusterStore {
    /// From here on Redis refuses earlier owners too. The order of a scheduler goes on after the last batch of either
    /// store.
    pub(super) async fn refuse_earlier_owners(
        &self,
        names: &[SchedulerName],
        mut claims: Vec<Claim>,
    ) -> Result<Vec<Claim>, StoreError> {
        let owned = names
            .iter()
            .zip(&claims)
            .filter_map(|(name, claim)| match claim {
                Claim::Owned { epoch, .. } => Some((name.clone(), *epoch)),
                Claim::HeldBy(_) => None,
            });
        let owned: Vec<Owned> = owned.collect();
        if owned.is_empty() {
            return Ok(claims);
        }
        let writer = self.redis.writer();
        let mut fences = self.redis.raise_over(&writer, &owned).await?.into_iter();
        self.proof.granted(writer.number, names, &claims);
        for claim in &mut claims {
            if let Claim::Owned { seq, .. } = claim
                // What cannot be read is reported by the load that follows.
                && let Some(Ok(Some((_, stored)))) = fences.next()
            {
                *seq = (*seq).max(stored);
            }
        }
        Ok(claims)
    }

    /// Redis first: its fences are raised before anything is read. In Postgres the claim itself refuses earlier owners.
    pub(super) async fn load_both(&self, owned: &[Owned]) -> Vec<Result<Loaded, StoreError>> {
        let fail = |error: StoreError| owned.iter().map(|_| Err(error.clone())).collect();
        let stored = self.redis.load(owned).await;
        let names: Vec<&str> = owned.iter().map(|(name, _)| name.as_str()).collect();
        let rows = reads::load(&self.database, &self.documents, &names);
        let pending = outbox::pending(&self.database, &names);
        let (mut rows, mut pending) = match tokio::try_join!(rows, pending) {
            Ok(both) => both,
            Err(error) => return fail(error.into()),
        };
        let mut loaded = Vec::with_capacity(owned.len());
        for (owned, stored) in owned.iter().zip(stored) {
            let name = owned.0.as_str();
            let rows = rows
                .remove(name)
                .unwrap_or_else(|| Ok(StoredRows::default()));
            let rows = rows.map_err(|error| StoreError::Corrupt(Cause::of(error)));
            let left = pending.remove(name).unwrap_or_default();
            loaded.push(match (rows, stored) {
                (Ok(rows), Ok(stored)) => self.complete(owned, rows, stored, left).await,
                (Err(error), _) | (_, Err(error)) => Err(error),
            });
        }
        loaded
    }

    async fn complete(
        &self,
        owned: &Owned,
        rows: StoredRows,
        mut stored: Stored,
        left: Vec<(Seq, Vec<u8>)>,
    ) -> Result<Loaded, StoreError> {
        let mut seq = stored.fence.map_or(Seq(0), |(_, seq)| seq);
        let mut behind = false;
        if let Some((last, _)) = left.last() {
            let last = *last;
            let before = seq;
            for (number, payload) in left {
                let written = self.write_left(owned, seq, number, &payload).await?;
                behind |= written.is_gap;
                seq = written.seq;
            }
            self.clear_outbox(&owned.0, last).await;
            if seq != before {
                stored = self.redis_again(owned).await?;
            }
        }
        if seq < rows.seq {
            warn!(scheduler_name = %owned.0, redis = seq.0, postgres = rows.seq.0,
                  "Redis has lost changes: rooms are taken from the runtime, and operations may be missing");
            behind = true;
            self.catch_up(owned, seq, rows.seq).await?;
            seq = rows.seq;
        }
        Ok(Loaded {
            scheduler: rows.scheduler,
            versions: rows.versions,
            rooms: stored.rooms,
            operations: stored.operations,
            ended: stored.ended,
            live: rows.live,
            runtime: rows.runtime,
            operator: rows.operator,
            seq,
            behind,
        })
    }

    /// Writes a batch of the outbox to Redis, unless that has it already.
    async fn write_left(
        &self,
        (name, epoch): &Owned,
        stored: Seq,
        number: Seq,
        payload: &[u8],
    ) -> Result<Left, StoreError> {
        if number <= stored {
            let is_gap = false;
            return Ok(Left {
                seq: stored,
                is_gap,
            });
        }
        let pending = Pending::read(payload).map_err(|error| {
            let text = format!(
                "the outbox has a batch ({}) that another version of maestro wrote ({error}); start that version",
                number.0
            );
            StoreError::Corrupt(text.into())
        })?;
        let is_gap = pending.previous() != stored;
        let fence = Fence {
            scheduler: name.clone(),
            epoch: *epoch,
            previous: stored,
            seq: number,
        };
        let committed = self.redis.commit(&fence, &pending.changes(name)).await;
        committed.map_err(unloaded)?;
        info!(scheduler_name = %name, seq = number.0, "a change that an earlier owner had begun is complete");
        Ok(Left {
            seq: number,
            is_gap,
        })
    }

    async fn redis_again(&self, owned: &Owned) -> Result<Stored, StoreError> {
        let stored = self.redis.load(std::slice::from_ref(owned)).await;
        stored.into_iter().next().unwrap_or_else(|| {
            let text = "Redis did not answer for this scheduler";
            Err(StoreError::Unavailable(text.into()))
        })
    }

    /// The order goes on where Postgres is, so that it never goes back.
    async fn catch_up(
        &self,
        (name, epoch): &Owned,
        previous: Seq,
        seq: Seq,
    ) -> Result<(), StoreError> {
        let fence = Fence {
            scheduler: name.clone(),
            epoch: *epoch,
            previous,
            seq,
        };
        self.redis.commit(&fence, &[]).await.map_err(unloaded)
    }
}

struct Left {
    /// The seq of Redis from here on.
    seq: Seq,
    /// Redis was not where the batch expected it.
    is_gap: bool,
}

fn unloaded(error: CommitError) -> StoreError {
    match error {
        CommitError::Fenced { stored } => StoreError::Fenced { stored },
        other => StoreError::Unavailable(Cause::of(other)),
    }
}
