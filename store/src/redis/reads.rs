//! Plain reads of operations and room counts, in a bounded number of round trips.

use super::RedisStore;
use super::asking::{Ask, QUEUE_MAX, Reply, WrongType, ask};
use super::error::store_error;
use super::keys::{FENCE, Keys};
use super::operation::{OperationValues, Unreadable, operation_id};
use super::pod_map::instance_address;
use maestro_core::domain::{Address, OperationId, OperationRecord, OperationStatus, SchedulerName};
use maestro_core::ports::{Cause, OperationPage, RoomCounts, Stage, StoreError};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tracing::warn;

/// A key that is written to see whether a key can be.
const PROBE: &str = "maestro:probe";
const PROBE_KEPT_MILLIS: i64 = 1000;

/// Schedulers that one call of a script looks at.
const TOGETHER: usize = 1000;

impl RedisStore {
    /// A page of a scheduler's operations. Two round trips.
    ///
    /// # Errors
    /// If Redis cannot be read, or an operation of the page has a status or a history that cannot be (contract 15.15).
    pub async fn operations(
        &self,
        scheduler: &str,
        stage: Stage,
    ) -> Result<OperationPage, StoreError> {
        let keys = Keys(scheduler);
        let wrong = |WrongType| wrong_type(scheduler);
        let asked = match stage {
            Stage::Pending => vec![
                Ask::list(keys.taken(), QUEUE_MAX),
                Ask::list(keys.queue(), QUEUE_MAX),
            ],
            Stage::Active => vec![Ask::scores(keys.active()), Ask::scores(keys.leases())],
            Stage::Final {
                offset,
                limit,
                ascending,
            } => {
                let command = if ascending { "ZRANGE" } else { "ZREVRANGE" };
                let last = offset.saturating_add(limit.max(1)) - 1;
                let index = |n: u64| i64::try_from(n).unwrap_or(i64::MAX).into();
                let range = [
                    keys.history().into(),
                    index(offset),
                    index(last),
                    "WITHSCORES".into(),
                ];
                vec![
                    Ask::new("ZCARD", [keys.history().into()]),
                    Ask::new(command, range),
                ]
            }
        };
        let mut replies = ask(&self.connections.reads()?, asked).await?.into_iter();
        let mut next = || replies.next().unwrap_or(Reply::WrongType);
        let (first, second) = (next(), next());
        let (mut total, mut leases) = (None, HashMap::new());
        let ids: Vec<(String, Option<i64>)> = match stage {
            Stage::Pending => {
                let waiting = [
                    first.texts().map_err(wrong)?,
                    second.texts().map_err(wrong)?,
                ];
                waiting.concat().into_iter().map(|id| (id, None)).collect()
            }
            Stage::Active => {
                leases = second.scores().map_err(wrong)?.into_iter().collect();
                scored(first.scores().map_err(wrong)?)
            }
            Stage::Final { limit, .. } => {
                total = Some(first.number().map_err(wrong)?);
                let mut ids = second.scores().map_err(wrong)?;
                ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                scored(ids)
            }
        };
        let records = self.records(scheduler, ids, leases).await?;
        let fits = |status: OperationStatus| match stage {
            Stage::Pending => status == OperationStatus::Pending,
            Stage::Active => status == OperationStatus::InProgress,
            Stage::Final { .. } => status.is_final(),
        };
        let operations = records.into_iter().filter(|record| fits(record.status));
        let operations: Vec<_> = operations.map(Arc::new).collect();
        Ok(OperationPage {
            total: total.unwrap_or(operations.len() as u64),
            operations,
        })
    }

    /// The operations behind ids. Ids without an operation are passed over, as are others that are no UUIDs.
    async fn records(
        &self,
        scheduler: &str,
        ids: Vec<(String, Option<i64>)>,
        leases: HashMap<String, i64>,
    ) -> Result<Vec<OperationRecord>, StoreError> {
        let keys = Keys(scheduler);
        let known = ids.into_iter().filter_map(|(text, since)| {
            let lease = leases.get(&text).copied();
            Some((operation_id(&text)?, since, lease))
        });
        let known: Vec<_> = known.collect();
        let asked = known.iter().flat_map(|(id, ..)| {
            [
                Ask::hash(keys.operation(*id)),
                Ask::fields(keys.journal(), [id]),
            ]
        });
        let mut replies = ask(&self.connections.reads()?, asked.collect())
            .await?
            .into_iter();
        let name = SchedulerName::from(scheduler);
        let mut records = Vec::with_capacity(known.len());
        for (id, since, lease) in known {
            let values = values(replies.next(), replies.next(), since, lease)
                .map_err(|WrongType| wrong_type(scheduler))?;
            // A write to an expired hash leaves a part of it (contract 5.11).
            if !values.hash.contains_key("status") {
                continue;
            }
            // One that cannot be read does not hide the others (contract 11.13); an unknown status does (15.15).
            match values.record(&name, id) {
                Ok(record) => records.push(record),
                Err(why @ Unreadable::UnknownStatus(_)) => return Err(corrupt(why)),
                Err(why) => {
                    warn!(scheduler_name = scheduler, operation_id = %id, %why, "left an operation out of a listing");
                }
            }
        }
        Ok(records)
    }

    /// One operation, open or ended; `None` if the scheduler has none of this id. One round trip.
    ///
    /// # Errors
    /// If Redis cannot be read, or the operation cannot be.
    pub async fn operation(
        &self,
        scheduler: &str,
        id: OperationId,
    ) -> Result<Option<Arc<OperationRecord>>, StoreError> {
        let keys = Keys(scheduler);
        let score = |key: String| Ask::new("ZSCORE", [key.into(), id.to_string().into()]);
        let asked = vec![
            Ask::hash(keys.operation(id)),
            Ask::fields(keys.journal(), [id]),
            score(keys.active()),
            score(keys.history()),
            score(keys.no_action()),
            score(keys.leases()),
        ];
        let mut replies = ask(&self.connections.reads()?, asked).await?.into_iter();
        let wrong = |WrongType| wrong_type(scheduler);
        let (hash, entry) = (replies.next(), replies.next());
        let mut scores = Vec::new();
        for reply in replies {
            let text = reply
                .optional()
                .map_err(wrong)?
                .into_iter()
                .next()
                .flatten();
            scores.push(
                text.and_then(|text| text.parse::<f64>().ok())
                    .map(|score| score as i64),
            );
        }
        let lease = scores.pop().flatten();
        let since = scores.into_iter().flatten().next();
        let values = values(hash, entry, since, lease).map_err(wrong)?;
        match values.record(&scheduler.into(), id) {
            Ok(record) => Ok(Some(Arc::new(record))),
            Err(Unreadable::NoHash(_)) => Ok(None),
            Err(other) => Err(corrupt(other)),
        }
    }

    /// Rooms by status of each of these schedulers, in order; zeros for names without rooms. One round trip for each
    /// thousand.
    ///
    /// # Errors
    /// If Redis cannot be read.
    pub async fn room_counts(&self, schedulers: &[&str]) -> Result<Vec<RoomCounts>, StoreError> {
        const STATUSES: usize = 9;
        let mut counts = Vec::with_capacity(schedulers.len());
        for part in schedulers.chunks(TOGETHER) {
            let keys = part.iter().map(|name| Keys(name).status().into()).collect();
            let answer = self
                .counts
                .run(&self.connections.reads()?, FENCE, keys)
                .await;
            let answer = answer.and_then(|value| value.convert::<Vec<i64>>());
            let numbers = answer.map_err(|error| store_error(&error))?;
            for numbers in numbers.chunks(STATUSES).take(part.len()) {
                let mut count = RoomCounts::default();
                for (to, from) in count.0.iter_mut().zip(numbers) {
                    // What cannot be counted is told by its owner and by `maestro doctor`. The others are shown.
                    *to = u64::try_from(*from).unwrap_or(0);
                }
                counts.push(count);
            }
        }
        Ok(counts)
    }

    /// Names that an owner of ours has written and that have operations that have not ended: with the rows of
    /// Postgres, all that need an owner. A queue that another program begins for a name that nobody knows is told by
    /// the feed instead, because finding it here would take a scan over all keys.
    ///
    /// # Errors
    /// If Redis cannot be read.
    pub async fn with_open_operations(&self) -> Result<Vec<SchedulerName>, StoreError> {
        let asked = vec![Ask::new("HKEYS", [FENCE.into()])];
        let mut replies = ask(&self.connections.reads()?, asked).await?.into_iter();
        let names = replies.next().unwrap_or(Reply::WrongType).texts();
        let mut names = names.map_err(|WrongType| {
            StoreError::Corrupt(format!("Redis: {FENCE} is no hash; rename it").into())
        })?;
        names.retain(|name| self.names.accept(FENCE, name));
        names.sort_unstable();
        let names: Vec<SchedulerName> = names.into_iter().map(Into::into).collect();
        let (busy, _) = self.by_open_operations(names).await?;
        Ok(busy)
    }

    /// Those of these names that have no operations that have not ended.
    ///
    /// # Errors
    /// If Redis cannot be read.
    pub async fn without_open_operations(
        &self,
        names: Vec<SchedulerName>,
    ) -> Result<Vec<SchedulerName>, StoreError> {
        let (_, idle) = self.by_open_operations(names).await?;
        Ok(idle)
    }

    /// The names with operations that have not ended, and the others.
    async fn by_open_operations(
        &self,
        names: Vec<SchedulerName>,
    ) -> Result<(Vec<SchedulerName>, Vec<SchedulerName>), StoreError> {
        let keys = |name: &SchedulerName| {
            let keys = Keys(name.as_str());
            [keys.queue(), keys.taken(), keys.active()]
        };
        let mut filled = HashSet::new();
        for part in names.chunks(TOGETHER) {
            filled.extend(self.not_empty(part.iter().flat_map(keys).collect()).await?);
        }
        let is_busy = |name: &SchedulerName| keys(name).iter().any(|key| filled.contains(key));
        Ok(names.into_iter().partition(is_busy))
    }

    /// Which of these lists and sorted sets have something in them. One round trip.
    pub(super) async fn not_empty(&self, keys: Vec<String>) -> Result<HashSet<String>, StoreError> {
        let words = keys.into_iter().map(Into::into).collect();
        let answer = self
            .waiting
            .run(&self.connections.reads()?, FENCE, words)
            .await;
        let answer = answer.and_then(|value| value.convert::<Vec<String>>());
        answer
            .map(|keys| keys.into_iter().collect())
            .map_err(|error| store_error(&error))
    }

    /// The address in the instance of a room, whoever wrote it. One round trip.
    ///
    /// # Errors
    /// If Redis cannot be read, or the instance cannot.
    pub async fn room_address(
        &self,
        scheduler: &str,
        room: &str,
    ) -> Result<Option<Option<Address>>, StoreError> {
        let asked = Ask::fields(Keys(scheduler).instances(), [room]);
        let mut replies = ask(&self.connections.reads()?, vec![asked])
            .await?
            .into_iter();
        let fields = replies.next().unwrap_or(Reply::WrongType).optional();
        let fields = fields.map_err(|WrongType| wrong_type(scheduler))?;
        let Some(pod) = fields.into_iter().next().flatten() else {
            return Ok(None);
        };
        let address = instance_address(&pod);
        address
            .map(Some)
            .map_err(|error| StoreError::Corrupt(Cause::of(error)))
    }

    /// Checks that Redis answers now, for readiness.
    ///
    /// # Errors
    /// If it does not.
    pub async fn check(&self) -> Result<(), StoreError> {
        ask(&self.connections.reads()?, vec![Ask::new("PING", [])])
            .await
            .map(drop)
    }

    /// Checks that Redis takes changes: a full one, a replica, and one that cannot write its log answer everything
    /// else.
    ///
    /// # Errors
    /// If it does not.
    pub async fn takes_changes(&self) -> Result<(), StoreError> {
        let words = [
            PROBE.into(),
            1.into(),
            "PX".into(),
            PROBE_KEPT_MILLIS.into(),
        ];
        ask(
            &self.connections.writes.connected()?.client,
            vec![Ask::new("SET", words)],
        )
        .await
        .map(drop)
    }
}

fn scored(set: Vec<(String, i64)>) -> Vec<(String, Option<i64>)> {
    set.into_iter()
        .map(|(id, score)| (id, Some(score)))
        .collect()
}

fn values(
    hash: Option<Reply>,
    entry: Option<Reply>,
    since: Option<i64>,
    lease: Option<i64>,
) -> Result<OperationValues, WrongType> {
    let entry = entry.unwrap_or(Reply::WrongType).optional()?;
    Ok(OperationValues {
        hash: hash.unwrap_or(Reply::WrongType).hash()?,
        journal: entry.into_iter().next().flatten(),
        since,
        lease,
    })
}

fn corrupt(error: Unreadable) -> StoreError {
    StoreError::Corrupt(Cause::of(error))
}

fn wrong_type(scheduler: &str) -> StoreError {
    let text = format!(
        "Redis: a key of scheduler {scheduler} has another type than Maestro gives it; another program wrote it: rename it"
    );
    StoreError::Corrupt(text.into())
}
