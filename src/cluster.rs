//! Opens the cluster store: what all nodes share, and who this node is among them.

use crate::settings::{Listen, RuntimeKind, Settings};
use anyhow::Context;
use maestro_core::ports::Member;
use maestro_grpc::NodeSecret;
use maestro_store::cluster::ClusterStore;
use maestro_store::postgres::setting::{agreed, own_address};
use maestro_store::postgres::{Database, PostgresOwnership, PostgresSettings};
use maestro_store::redis::{RedisSettings, RedisStore};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Longer than any statement takes on a database that works, and shorter than a lease.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// The database of a cluster, and what its nodes share.
pub struct Cluster {
    database: Database,
    /// Identifies the rooms of this machine and data folder.
    pub installation: Uuid,
}

impl Cluster {
    /// Reads what is shared, and completes the settings with it: the secret of the nodes, and where calls of other
    /// nodes are taken.
    ///
    /// # Errors
    /// If the database cannot be reached, or is not migrated.
    pub async fn open(settings: &mut Settings) -> anyhow::Result<Self> {
        let database = Database::open(&PostgresSettings {
            url: settings.postgres_url.clone(),
            pool_size: settings.postgres_pool_size,
            statement_timeout: STATEMENT_TIMEOUT,
        })?;
        let fresh = Uuid::new_v4().to_string();
        let shared = agreed(&database, "installation", &fresh).await?;
        let shared: Uuid = shared.parse().context(
            "the row `installation` of the table maestro_setting is no UUID; correct it",
        )?;
        let nodes = &mut settings.nodes;
        if nodes.secret.is_none() {
            let fresh = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            let secret = agreed(&database, "cluster_secret", &fresh).await?;
            let secret = NodeSecret::new(&secret);
            let wrong =
                "the row `cluster_secret` of the table maestro_setting is no secret; delete it";
            nodes.secret = Some(secret.context(wrong)?);
        }
        nodes.listen.get_or_insert_with(|| Listen {
            host: "0.0.0.0".into(),
            port: 0,
        });
        let folder = std::path::absolute(&settings.data_dir)?;
        let place = format!("{}:{}", machine(), folder.display());
        Ok(Self {
            database,
            installation: Uuid::new_v5(&shared, place.as_bytes()),
        })
    }

    /// Opens the store. Must run on the I/O runtime.
    ///
    /// # Errors
    /// Says which of the stores cannot be used, and what to do.
    pub async fn store(
        &self,
        settings: &Settings,
        nodes: &TcpListener,
    ) -> anyhow::Result<Arc<ClusterStore>> {
        let session = Uuid::new_v4();
        let domain = match settings.runtime {
            // These rooms end with the process.
            RuntimeKind::Simulated => session,
            _ => self.installation,
        };
        let me = Member {
            session,
            name: machine(),
            address: self.address(settings, nodes).await?,
            hosts: true,
            draining: false,
            runtime_domain: domain.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let redis = RedisStore::connect(&RedisSettings {
            urls: settings.redis.urls(),
            pool_size: u32::try_from(settings.redis.pool_size).unwrap_or(u32::MAX),
            operations_ttl: Some(settings.core.periodic_operation_ttl).filter(|ttl| !ttl.is_zero()),
            authorities: Vec::new(),
        })
        .await?;
        let lease = settings.actors_in_use().lease_ttl;
        let ownership = PostgresOwnership::new(self.database.clone(), me, lease);
        Ok(ClusterStore::open(self.database.clone(), redis, Arc::new(ownership)).await?)
    }

    /// Where other nodes call this one: as set, or else where it reaches the database from.
    async fn address(&self, settings: &Settings, nodes: &TcpListener) -> anyhow::Result<String> {
        let address = nodes.local_addr()?;
        if settings.nodes.advertise.is_some() || !address.ip().is_unspecified() {
            return Ok(settings.nodes.address(nodes)?);
        }
        let host = own_address(&self.database).await?;
        let port = address.port();
        Ok(match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        })
    }
}

/// The name of this machine.
fn machine() -> String {
    let names = rustix::system::uname();
    names.nodename().to_string_lossy().into_owned()
}
