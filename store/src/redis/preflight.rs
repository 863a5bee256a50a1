//! What is looked at before the first write: whether the server can hold the data, and how well.

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::ClientLike;
use fred::types::{CustomCommand, Value};
use std::collections::HashMap;
use std::fmt;

/// LPOS and other commands of the scripts are known since 6.0.6; the original needs 6.2 (contract 1.4).
const OLDEST: (u32, u32) = (6, 2);

/// Why a server is refused.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    #[error("Redis {found} is too old; use 6.2 or newer")]
    Version { found: String },
    #[error(
        "this Redis is part of a Redis Cluster, where a change of a scheduler cannot be atomic because its keys are on \
         several servers; use one server, with replicas and Sentinel or a proxy for its fail-over"
    )]
    Cluster,
    #[error("Redis does not answer INFO: {0}; permit it to this user")]
    Unseen(String),
}

/// What an operator should know about the server. Maestro runs all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// A full server deletes keys of its choice.
    Eviction {
        /// The policy that is set.
        policy: String,
    },
    /// A restart of the server forgets all rooms and operations.
    NoPersistence,
    /// The server takes no writes until it is promoted.
    Replica,
    /// The server's settings cannot be read, so that the concerns above may be missing.
    Hidden {
        /// The server's words.
        reason: String,
    },
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eviction { policy } => write!(
                f,
                "Redis deletes rooms and operations when it is full (maxmemory-policy {policy}); set maxmemory-policy \
                 to noeviction"
            ),
            Self::NoPersistence => f.write_str(
                "Redis forgets everything when it restarts; the owners write it again from their memory, and what no \
                 owner knows is lost: set appendonly to yes",
            ),
            Self::Replica => f.write_str(
                "this Redis is a replica and takes no changes; name the primary in adapters.*.redis.url",
            ),
            Self::Hidden { reason } => write!(
                f,
                "whether Redis keeps its data cannot be seen ({reason}); permit CONFIG GET to this user, or see to \
                 maxmemory-policy noeviction and appendonly yes yourself"
            ),
        }
    }
}

/// Refuses a server that cannot hold the data, and reports what may go wrong later.
pub async fn look(client: &Client) -> Result<Vec<Concern>, PreflightError> {
    let info = info(client, &[])
        .await
        .map_err(|error| PreflightError::Unseen(error.details().to_owned()))?;
    let field = |name: &str| info.get(name).map_or("", String::as_str);
    let found = field("redis_version");
    if version(found).is_some_and(|version| version < OLDEST) {
        let found = found.to_owned();
        return Err(PreflightError::Version { found });
    }
    if field("redis_mode") == "cluster" || field("cluster_enabled") == "1" {
        return Err(PreflightError::Cluster);
    }
    let mut concerns = Vec::new();
    if field("role") == "slave" {
        concerns.push(Concern::Replica);
    }
    let policy = field("maxmemory_policy");
    if !matches!(policy, "noeviction" | "") {
        let policy = policy.to_owned();
        concerns.push(Concern::Eviction { policy });
    }
    if field("aof_enabled") != "1" {
        match snapshots(client).await {
            Ok(true) => {}
            Ok(false) => concerns.push(Concern::NoPersistence),
            Err(error) => concerns.push(Concern::Hidden {
                reason: error.details().to_owned(),
            }),
        }
    }
    Ok(concerns)
}

/// Whether the server writes its data to disk from time to time.
async fn snapshots(client: &Client) -> Result<bool, Error> {
    let setting = ask(client, "CONFIG", &["GET", "save"]).await?;
    let texts: Vec<String> = setting.convert()?;
    Ok(texts.get(1).is_some_and(|save| !save.is_empty()))
}

/// Whether the server that answers is a replica.
///
/// # Errors
/// If it does not answer.
pub async fn is_replica(client: &Client) -> Result<bool, Error> {
    let info = info(client, &["replication"]).await?;
    Ok(info.get("role").is_some_and(|role| role == "slave"))
}

async fn info(
    client: &Client,
    sections: &[&'static str],
) -> Result<HashMap<String, String>, Error> {
    let text: String = ask(client, "INFO", sections).await?.convert()?;
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    let owned = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Ok(owned.collect())
}

async fn ask(
    client: &Client,
    command: &'static str,
    arguments: &[&'static str],
) -> Result<Value, Error> {
    let command = CustomCommand::new_static(command, None, false);
    client.custom(command, arguments.to_vec()).await
}

/// Major and minor number; `None` for what no release of Redis is called.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.');
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(version("6.2.14") >= Some(OLDEST));
        assert!(version("10.0.1") > Some(OLDEST));
        assert!(version("6.0.16") < Some(OLDEST));
        assert_eq!(version("unstable"), None);
    }
}
