//! The cluster store: Postgres and Redis together, for several nodes (architecture 5).
//!
//! Schedulers, versions, owners and what operators decided are rows of Postgres; rooms and operations are in Redis. A
//! batch with rows is committed to Postgres first, together with what Redis takes of it (`outbox`), and then to Redis;
//! one without rows goes to Redis alone, in one round trip.

mod commit;
pub mod doctor;
mod health;
mod load;
mod outbox;
mod proof;
mod proving;
mod reads;

use crate::postgres::document::Documents;
use crate::postgres::{Database, DatabaseError};
use crate::redis::{ConnectError, RedisFeed, RedisStore};
use health::Health;
use maestro_core::ports::{Cause, Ownership, StoreError};
use proof::Proof;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// During an outage the stores are tried this often.
const PROBE: Duration = Duration::from_millis(500);

/// Both halves of the store, as one node uses them.
pub struct ClusterStore {
    database: Database,
    redis: Arc<RedisStore>,
    ownership: Arc<dyn Ownership>,
    feed: RedisFeed,
    documents: Documents,
    health: Arc<Health>,
    proof: Proof,
    /// Notices the end of an outage while nobody commits.
    _probe: AbortOnDropHandle<()>,
}

impl ClusterStore {
    /// Must be called on the I/O runtime.
    ///
    /// # Errors
    /// If Redis cannot be reached.
    pub async fn open(
        database: Database,
        redis: RedisStore,
        ownership: Arc<dyn Ownership>,
    ) -> Result<Arc<Self>, ConnectError> {
        let feed = redis.feed().await?;
        let (redis, health) = (Arc::new(redis), Arc::new(Health::default()));
        let probe = probe(database.clone(), redis.clone(), health.clone());
        Ok(Arc::new(Self {
            database,
            redis,
            ownership,
            feed,
            documents: Documents::default(),
            health,
            proof: Proof::default(),
            _probe: AbortOnDropHandle::new(tokio::spawn(probe)),
        }))
    }

    /// Ends the connections to Redis; those to Postgres end with the last reference.
    pub async fn close(&self) {
        self.redis.close().await;
    }
}

async fn probe(database: Database, redis: Arc<RedisStore>, health: Arc<Health>) {
    loop {
        health.begins().await;
        while health.outage().is_some() {
            tokio::time::sleep(PROBE).await;
            let (postgres, redis) = tokio::join!(postgres_works(&database), redis.takes_changes());
            let postgres = postgres.map_err(StoreError::from);
            let errors = [postgres.err(), redis.err()].into_iter().flatten();
            health.found(&errors.map(words).collect::<Vec<_>>());
        }
    }
}

/// As a change that fails would say it.
fn words(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(cause) | StoreError::Corrupt(cause) => cause.text().to_owned(),
        fenced @ StoreError::Fenced { .. } => fenced.to_string(),
    }
}

async fn postgres_works(database: &Database) -> Result<(), DatabaseError> {
    // A change of nothing is refused where changes are.
    database
        .change("DELETE FROM maestro_outbox WHERE false", &[])
        .await?;
    Ok(())
}

/// Whether both stores answer, for readiness. A full Redis is no reason to take pings away from this process.
async fn check(database: &Database, redis: &RedisStore) -> Result<(), StoreError> {
    let (postgres, redis) = tokio::join!(postgres_works(database), redis.check());
    postgres.map_err(|error| StoreError::Unavailable(Cause::of(error)))?;
    redis
}
