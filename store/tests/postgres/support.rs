//! A database on a real server.

use maestro_store::postgres::{Database, PostgresSettings};
use std::time::Duration;

/// For conditions that a slow machine reaches late.
pub const SOON: Duration = Duration::from_secs(10);

pub fn settings(url: &str) -> PostgresSettings {
    PostgresSettings {
        url: url.to_owned(),
        pool_size: 4,
        statement_timeout: Duration::from_secs(5),
    }
}

pub fn open(url: &str) -> Database {
    Database::open(&settings(url)).unwrap()
}

/// With this limit for a statement.
pub fn hasty(url: &str, limit: Duration) -> Database {
    let settings = PostgresSettings {
        statement_timeout: limit,
        ..settings(url)
    };
    Database::open(&settings).unwrap()
}
