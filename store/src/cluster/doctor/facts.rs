//! What both stores have, as it is read for a report.

use crate::cluster::ClusterStore;
use crate::postgres::count_of;
use crate::postgres::reads::{self, StoredRows};
use crate::postgres::rows::count;
use crate::redis::{Found, Oddity, parse_fence};
use jiff::{SignedDuration, Timestamp};
use maestro_core::domain::{OperationId, RoomId, SchedulerName, SchedulerPhase};
use maestro_core::ports::StoreError;
use std::collections::{BTreeMap, BTreeSet};

const SCHEDULERS: &str = "
SELECT s.name, coalesce(s.version, ''), EXISTS (
    SELECT FROM scheduler_versions v WHERE v.name = s.name AND v.version = s.version)
FROM schedulers s ORDER BY s.name";
const OWNERS: &str = "
SELECT o.scheduler, o.epoch, o.seq, o.session IS NOT NULL,
    CASE WHEN n.expires_at > clock_timestamp() THEN n.address END, n.runtime_domain
FROM maestro_owner o LEFT JOIN maestro_node n ON n.session = o.session
ORDER BY o.scheduler";
const OUTBOX: &str = "SELECT scheduler, max(seq) FROM maestro_outbox GROUP BY scheduler";
const FORGOTTEN: &str = concat!(
    "SELECT ",
    count_of!("value"),
    " FROM maestro_setting WHERE key = 'epochs'"
);
/// Schedulers that are read together.
const TOGETHER: usize = 100;
/// An operation this young may be on its way into its queue.
const YOUNG: SignedDuration = SignedDuration::from_secs(60);

/// The row of a scheduler.
#[derive(Clone, Debug, Default)]
pub struct SchedulerFacts {
    pub version: String,
    /// Whether its active version has a row.
    pub has_version: bool,
    /// Why one of its documents cannot be read.
    pub unreadable: Option<String>,
    /// Its state, if that is no word of the contract (4.1).
    pub foreign_state: Option<String>,
    /// Versions that are no version numbers (contract 4.3).
    pub odd_versions: Vec<String>,
}

/// The row of an owner.
#[derive(Clone, Debug, Default)]
pub struct OwnerFacts {
    pub epoch: u64,
    pub seq: u64,
    /// A session is named.
    pub is_held: bool,
    /// The address of that session's node, while it lives.
    pub alive: Option<String>,
    /// Which runtime has its rooms, as far as the session's row is still there.
    pub domain: Option<String>,
}

/// What Redis has of a name.
#[derive(Clone, Debug, Default)]
pub struct RedisFacts {
    /// The keys cannot be read.
    pub unreadable: Option<String>,
    /// Rooms with whole rows, and whether each has been made.
    pub rooms: BTreeMap<RoomId, bool>,
    pub operations: usize,
    /// Members of sets and lists with nothing behind them, and the reverse within `podMap`.
    pub oddities: Vec<Oddity>,
    /// Hashes that are in no set.
    pub lost_rooms: Vec<RoomId>,
    /// Operations that have not ended and are in no queue.
    pub lost_operations: Vec<OperationId>,
}

/// Both stores.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub schedulers: BTreeMap<String, SchedulerFacts>,
    pub owners: BTreeMap<String, OwnerFacts>,
    /// The last batch of each scheduler in the outbox.
    pub outbox: BTreeMap<String, u64>,
    pub redis: BTreeMap<String, RedisFacts>,
    /// The highest epoch of the names that are forgotten.
    pub forgotten: u64,
    /// Epoch and seq, or what stands there instead.
    pub fences: BTreeMap<String, Result<(u64, u64), String>>,
}

impl SchedulerFacts {
    fn look_at(&mut self, rows: &StoredRows) {
        let state = rows.scheduler.as_ref().map(|scheduler| &scheduler.state);
        if let Some(SchedulerPhase::Other(text)) = state {
            self.foreign_state = Some(text.to_string());
        }
        let versions = rows.versions.iter().map(|document| document.version());
        let odd = versions.filter(|version| version.semver().is_none());
        self.odd_versions = odd.map(|version| version.to_string()).collect();
    }
}

impl ClusterStore {
    /// Reads both stores. Changes nothing.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub async fn facts(&self) -> Result<Facts, StoreError> {
        let mut facts = Facts::default();
        // Redis first: what is created meanwhile has its row before its keys.
        let survey = self.redis.survey().await?;
        for (name, text) in &survey.fences {
            let read = parse_fence(text).map(|(epoch, seq)| (epoch.0, seq.0));
            let read = read.ok_or_else(|| text.clone());
            facts.fences.insert(name.clone(), read);
        }
        for row in &self.database.query(OUTBOX, &[]).await? {
            facts.outbox.insert(row.get(0), count(row.get(1)));
        }
        for row in &self.database.query(OWNERS, &[]).await? {
            let owner = OwnerFacts {
                epoch: count(row.get(1)),
                seq: count(row.get(2)),
                is_held: row.get(3),
                alive: row.get(4),
                domain: row.get(5),
            };
            facts.owners.insert(row.get(0), owner);
        }
        for row in &self.database.query(FORGOTTEN, &[]).await? {
            facts.forgotten = count(row.get(0));
        }
        for row in &self.database.query(SCHEDULERS, &[]).await? {
            let scheduler = SchedulerFacts {
                version: row.get(1),
                has_version: row.get(2),
                ..SchedulerFacts::default()
            };
            facts.schedulers.insert(row.get(0), scheduler);
        }
        let names: Vec<String> = facts.schedulers.keys().cloned().collect();
        for part in names.chunks(TOGETHER) {
            let part: Vec<&str> = part.iter().map(String::as_str).collect();
            let read = reads::load(&self.database, &self.documents, &part).await?;
            for (name, rows) in read {
                let Some(row) = facts.schedulers.get_mut(&name) else {
                    continue;
                };
                match rows {
                    Ok(rows) => row.look_at(&rows),
                    Err(error) => row.unreadable = Some(error.to_string()),
                }
            }
        }
        let found: Vec<(String, Found)> = survey.schedulers.into_iter().collect();
        for part in found.chunks(TOGETHER) {
            self.look_at(part, &mut facts).await?;
        }
        Ok(facts)
    }

    async fn look_at(&self, part: &[(String, Found)], facts: &mut Facts) -> Result<(), StoreError> {
        let names: Vec<SchedulerName> = part.iter().map(|(name, _)| name.as_str().into()).collect();
        let all: Vec<&SchedulerName> = names.iter().collect();
        let stored = self.redis.stored(&all).await?;
        for ((name, found), stored) in part.iter().zip(stored) {
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) => {
                    let unreadable = Some(error.to_string());
                    let redis = RedisFacts {
                        unreadable,
                        ..RedisFacts::default()
                    };
                    facts.redis.insert(name.clone(), redis);
                    continue;
                }
            };
            let rooms = stored.rooms.iter().map(|room| &room.id);
            let odd = stored.oddities.iter().filter_map(|oddity| match oddity {
                Oddity::Room { room, .. } | Oddity::Instance { room } => Some(room),
                _ => None,
            });
            let known: BTreeSet<&RoomId> = rooms.chain(odd).collect();
            let lost = found.rooms.iter().filter(|room| !known.contains(room));
            let lost_rooms = self.redis.with_hash(name, lost.cloned().collect()).await?;
            let open: BTreeSet<OperationId> = stored.operations.iter().map(|o| o.id).collect();
            let ended: BTreeSet<OperationId> = stored.ended.iter().map(|o| o.id).collect();
            let known = |id: &&OperationId| !open.contains(id) && !ended.contains(id);
            let mut lost_operations = Vec::new();
            for id in found.operations.iter().filter(known) {
                if self.is_lost(name, *id).await {
                    lost_operations.push(*id);
                }
            }
            let redis = RedisFacts {
                unreadable: None,
                rooms: stored
                    .rooms
                    .iter()
                    .map(|room| (room.id.clone(), room.instance.is_some()))
                    .collect(),
                operations: stored.operations.len(),
                oddities: stored.oddities,
                lost_rooms,
                lost_operations,
            };
            facts.redis.insert(name.clone(), redis);
        }
        Ok(())
    }

    /// Whether an operation that is in no list has not ended. What cannot be read may be anything.
    async fn is_lost(&self, scheduler: &str, id: OperationId) -> bool {
        match self.redis.operation(scheduler, id).await {
            Ok(Some(record)) => {
                !record.status.is_final()
                    && Timestamp::now().duration_since(record.created_at) > YOUNG
            }
            _ => false,
        }
    }
}
