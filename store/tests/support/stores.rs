//! A cluster store on servers of a test's own; also the tests of the binary use it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use maestro_core::ports::Member;
use maestro_store::cluster::ClusterStore;
use maestro_store::postgres::{Database, PostgresOwnership, PostgresSettings, migrate};
use maestro_store::redis::{RedisSettings, RedisStore};
use maestro_testkit::fake::member;
use maestro_testkit::servers::postgres::{self, TestDatabase};
use maestro_testkit::servers::redis::RedisServer;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Sessions that do not end within a test.
const LEASE: Duration = Duration::from_secs(60);

pub struct Stores {
    pub postgres: TestDatabase,
    pub redis: RedisServer,
}

impl Stores {
    /// With tables and without data. `None` where a program is missing, which is said.
    pub async fn start() -> Option<Self> {
        let (postgres, redis) = (postgres::database().await?, RedisServer::start(&[]).await?);
        let stores = Self { postgres, redis };
        migrate(&stores.database()).await.unwrap();
        Some(stores)
    }

    pub fn database(&self) -> Database {
        let settings = PostgresSettings {
            url: self.postgres.url().to_owned(),
            pool_size: 8,
            statement_timeout: Duration::from_secs(5),
        };
        Database::open(&settings).unwrap()
    }

    /// The store as a node of its own opens it.
    pub async fn store(&self) -> Arc<ClusterStore> {
        let settings = RedisSettings {
            urls: vec![("adapters.roomStorage.redis.url", self.redis.url())],
            pool_size: 0,
            operations_ttl: None,
            authorities: Vec::new(),
        };
        let redis = RedisStore::connect(&settings).await.unwrap();
        let me = Member {
            session: Uuid::new_v4(),
            ..member("127.0.0.1:1")
        };
        let ownership = PostgresOwnership::new(self.database(), me, LEASE);
        let opened = ClusterStore::open(self.database(), redis, Arc::new(ownership)).await;
        opened.unwrap()
    }
}
