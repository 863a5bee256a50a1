//! Postgres and Redis of a cluster, migrated by the built binary.

use super::{BINARY, Home, Maestro};
use maestro_testkit::servers::postgres::{self, TestDatabase};
use maestro_testkit::servers::redis::RedisServer;
use std::process::Command;

const ROLES: [&str; 6] = [
    "SCHEDULERCACHE",
    "OPERATIONSTORAGE",
    "OPERATIONFLOW",
    "OPERATIONLEASESTORAGE",
    "ROOMSTORAGE",
    "INSTANCESTORAGE",
];

/// The variables that name these stores.
pub fn store_variables(postgres: &str, redis: &str) -> Vec<(String, String)> {
    let key = "MAESTRO_ADAPTERS_SCHEDULERSTORAGE_POSTGRES_URL";
    let mut all = vec![(key.to_owned(), postgres.to_owned())];
    for role in ROLES {
        let key = format!("MAESTRO_ADAPTERS_{role}_REDIS_URL");
        all.push((key, redis.to_owned()));
    }
    all
}

/// Creates the tables.
pub fn migrate(environment: &[(String, String)]) {
    let mut migrate = Command::new(BINARY);
    let output = migrate
        .arg("migrate")
        .envs(environment.iter().cloned())
        .output();
    let output = output.expect("the binary starts");
    assert!(output.status.success(), "{output:?}");
}

/// The stores of a cluster.
pub struct Stores {
    pub postgres: TestDatabase,
    pub redis: RedisServer,
}

impl Stores {
    /// `None` where a program is missing, which is said.
    pub async fn start() -> Option<Self> {
        let (postgres, redis) = (postgres::database().await?, RedisServer::start(&[]).await?);
        let stores = Self { postgres, redis };
        migrate(&stores.environment());
        Some(stores)
    }

    pub fn environment(&self) -> Vec<(String, String)> {
        store_variables(self.postgres.url(), &self.redis.url())
    }

    /// A node with rooms without processes.
    pub fn node(&self, home: &Home) -> Maestro {
        self.module("all", home, &[])
    }

    /// A module whose rooms, if it hosts any, have no processes.
    pub fn module(&self, module: &str, home: &Home, more: &[(&str, &str)]) -> Maestro {
        let environment = self.environment();
        let shared = environment
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let all: Vec<_> = [("MAESTRO_RUNTIME_TYPE", "simulated")]
            .into_iter()
            .chain(shared)
            .chain(more.iter().copied())
            .collect();
        home.start_module(module, &all)
    }

    /// The fleets that have a living owner, by name.
    pub fn owned(&self) -> Vec<String> {
        self.postgres.ask(
            "SELECT o.scheduler FROM maestro_owner o JOIN maestro_node n USING (session)
             WHERE n.expires_at > clock_timestamp() ORDER BY 1",
        )
    }
}
