//! Postgres and Redis of a cluster, and what is done to them.

use crate::support::{BINARY, Mounted, skip};
use maestro_testkit::servers::postgres::{PostgresServer, TestDatabase};
use maestro_testkit::servers::redis::RedisServer;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

const ROLES: [&str; 6] = [
    "SCHEDULERCACHE",
    "OPERATIONSTORAGE",
    "OPERATIONFLOW",
    "OPERATIONLEASESTORAGE",
    "ROOMSTORAGE",
    "INSTANCESTORAGE",
];
/// Connections that the network lost stay open at the server.
const POSTGRES: [&str; 3] = [
    "max_connections=300",
    "max_wal_size=4MB",
    "min_wal_size=2MB",
];
/// Nothing acknowledged is lost when the server is killed.
const REDIS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
const SMALL: &str = "size=160m,mode=755";

pub struct Stores {
    pub postgres: PostgresServer,
    pub redis: RedisServer,
    pub database: TestDatabase,
    /// The small file system of Postgres, where this process may mount one. After the server: it is dropped later.
    small: Option<Mounted>,
    folder: TempDir,
}

impl Stores {
    /// `None` where a program is missing, which is said.
    pub async fn start() -> Option<Self> {
        let folder = TempDir::with_prefix("maestro-faults-").expect("a folder");
        let all = Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), all).expect("it is ours");
        let small = Mounted::new(folder.path(), SMALL);
        let small = small.inspect_err(|why| {
            skip(format!(
                "no full disk of Postgres: nothing can be mounted here: {why}"
            ));
        });
        let postgres = PostgresServer::start_in(folder.path(), &POSTGRES).await?;
        let redis = RedisServer::start(&REDIS).await?;
        let database = postgres.database();
        let stores = Self {
            postgres,
            redis,
            database,
            small: small.ok(),
            folder,
        };
        let environment = stores.environment(&stores.postgres.address(), stores.redis.address());
        let mut migrate = Command::new(BINARY);
        let output = migrate.arg("migrate").envs(environment).output();
        let output = output.expect("the binary starts");
        assert!(output.status.success(), "{output:?}");
        Some(stores)
    }

    /// The settings of a node that reaches the stores at these addresses.
    pub fn environment(&self, postgres: &str, redis: &str) -> Vec<(String, String)> {
        let url = self
            .database
            .url()
            .replace(&self.postgres.address(), postgres);
        let mut all = vec![(
            "MAESTRO_ADAPTERS_SCHEDULERSTORAGE_POSTGRES_URL".to_owned(),
            url,
        )];
        for role in ROLES {
            let key = format!("MAESTRO_ADAPTERS_{role}_REDIS_URL");
            all.push((key, self.redis.url().replace(self.redis.address(), redis)));
        }
        all
    }

    /// The server ends as by a failure, and is started again.
    pub async fn restart_postgres(&mut self) {
        self.postgres.kill();
        self.postgres.again().await;
    }

    /// Whether Postgres can be filled here.
    pub fn has_small_disk(&self) -> bool {
        self.small.is_some()
    }

    /// Fills the file system of Postgres to the last byte.
    pub fn fill_postgres(&self) {
        let mut file = File::create(self.ballast()).expect("a file");
        for size in [1 << 20, 4_096, 1] {
            let bytes = vec![1_u8; size];
            while file.write_all(&bytes).is_ok() {}
        }
    }

    /// Gives the space back. Postgres ends when it cannot write its journal, and is started again then, as a service
    /// manager does.
    pub async fn empty_postgres(&mut self) {
        fs::remove_file(self.ballast()).expect("it is there");
        if self
            .database
            .try_ask("CREATE TEMPORARY TABLE probe (n int)")
            .is_err()
        {
            self.restart_postgres().await;
        }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    /// Redis refuses whatever needs memory.
    pub fn fill_redis(&self) {
        self.redis
            .ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        self.redis.ask(&["CONFIG", "SET", "maxmemory", "100kb"]);
    }

    pub fn empty_redis(&self) {
        self.redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    }
}
