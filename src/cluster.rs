//! Opens the cluster store: what all nodes share, and who this node is among them.

use crate::compose::Stores;
use crate::settings::{RuntimeKind, Settings};
use anyhow::Context;
use maestro_core::ports::{Member, Ownership};
use maestro_grpc::NodeSecret;
use maestro_store::cluster::ClusterStore;
use maestro_store::embedded::ClaimedFolder;
use maestro_store::postgres::setting::{agreed, in_common, own_address, stored};
use maestro_store::postgres::{Database, PostgresOwnership, PostgresSettings};
use maestro_store::redis::{RedisSettings, RedisStore};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Longer than any statement takes on a database that works, and shorter than a lease.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// Most nodes that a message names.
const NAMED_MAX: usize = 5;
/// The shared setting that all domains of a cluster are derived from.
const INSTALLATION: &str = "installation";

/// The store of a cluster, and whose rooms this process finds.
pub struct OpenCluster {
    store: Arc<ClusterStore>,
    /// Identifies the rooms of this machine and data folder.
    installation: Uuid,
}

impl OpenCluster {
    /// `folder` is that of the rooms, if this process hosts any.
    pub fn stores(self, folder: Option<ClaimedFolder>) -> Stores {
        Stores::Cluster {
            store: self.store,
            installation: self.installation.to_string(),
            folder,
        }
    }
}

/// Opens the store, and completes the settings with what all nodes share. `nodes` takes the calls of other nodes.
/// Must run on the I/O runtime.
///
/// # Errors
/// Says which of the stores cannot be used, and what to do.
pub async fn open(
    mut settings: Settings,
    nodes: &TcpListener,
    hosts: bool,
) -> anyhow::Result<(OpenCluster, Settings)> {
    let database = Database::open(&PostgresSettings {
        url: settings.postgres_url.clone(),
        pool_size: settings.postgres_pool_size,
        statement_timeout: STATEMENT_TIMEOUT,
    })?;
    let installation = installation(&database, &settings).await?;
    // Certificates prove as much by themselves.
    if settings.nodes.secret.is_none() && settings.nodes.tls.cert.is_none() {
        settings.nodes.secret = Some(shared_secret(&database).await?);
    }
    let session = Uuid::new_v4();
    let domain = match settings.runtime {
        _ if !hosts => session,
        // These rooms end with the process.
        RuntimeKind::Simulated => session,
        // Every node reaches all pods.
        RuntimeKind::Kubernetes => pods_of(&database).await?,
        _ => installation,
    };
    let me = Member {
        session,
        name: machine(),
        address: address(&database, &settings, nodes).await?,
        hosts,
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
    let ownership = PostgresOwnership::new(database.clone(), me, lease);
    if let Some(secret) = &settings.nodes.secret {
        agree(&database, &ownership, secret).await?;
    }
    let store = ClusterStore::open(database, redis, Arc::new(ownership)).await?;
    let open = OpenCluster {
        store,
        installation,
    };
    Ok((open, settings))
}

/// The same for all nodes of a cluster.
async fn pods_of(database: &Database) -> anyhow::Result<Uuid> {
    Ok(Uuid::new_v5(&shared_installation(database).await?, b"pods"))
}

/// The runtime domain of nodes whose rooms are pods; `None` where no node has ever run. For reports: nothing is
/// written.
///
/// # Errors
/// If the database fails.
pub async fn pods_if_any(database: &Database) -> anyhow::Result<Option<String>> {
    let shared = stored_installation(database).await?;
    Ok(shared.map(|shared| Uuid::new_v5(&shared, b"pods").to_string()))
}

/// The runtime domain of a node on this machine with these settings whose rooms are processes, which is also their
/// mark; `None` where no node has ever run.
///
/// # Errors
/// If the database fails.
pub async fn installation_if_any(
    database: &Database,
    settings: &Settings,
) -> anyhow::Result<Option<String>> {
    let Some(shared) = stored_installation(database).await? else {
        return Ok(None);
    };
    Ok(Some(at_this_place(&shared, settings)?.to_string()))
}

/// Differs for each machine and data folder of a cluster, and stays the same over restarts.
async fn installation(database: &Database, settings: &Settings) -> anyhow::Result<Uuid> {
    at_this_place(&shared_installation(database).await?, settings)
}

fn at_this_place(shared: &Uuid, settings: &Settings) -> anyhow::Result<Uuid> {
    let folder = std::path::absolute(&settings.data_dir)?;
    let place = format!("{}:{}", machine(), folder.display());
    Ok(Uuid::new_v5(shared, place.as_bytes()))
}

async fn stored_installation(database: &Database) -> anyhow::Result<Option<Uuid>> {
    let text = stored(database, INSTALLATION).await?;
    text.map(|text| parsed(&text)).transpose()
}

fn parsed(installation: &str) -> anyhow::Result<Uuid> {
    let parsed = installation.parse();
    parsed.context("the row `installation` of the table maestro_setting is no UUID; correct it")
}

/// Generated once, by whichever node starts first.
async fn shared_installation(database: &Database) -> anyhow::Result<Uuid> {
    let fresh = Uuid::new_v4().to_string();
    parsed(&agreed(database, INSTALLATION, &fresh).await?)
}

/// As [`shared_installation`].
async fn shared_secret(database: &Database) -> anyhow::Result<NodeSecret> {
    let fresh = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let secret = agreed(database, "cluster_secret", &fresh).await?;
    NodeSecret::new(&secret)
        .context("the row `cluster_secret` of the table maestro_setting is no secret; delete it")
}

/// Refuses to run beside nodes that would refuse each call of this one, and whose calls it would refuse.
async fn agree(
    database: &Database,
    ownership: &PostgresOwnership,
    secret: &NodeSecret,
) -> anyhow::Result<()> {
    let salt = shared_installation(database).await?;
    let fingerprint = secret.fingerprint(&salt).to_string();
    let session = ownership.myself().session;
    ownership.renew(&[]).await?;
    let others = in_common(
        database,
        "cluster_secret_fingerprint",
        &fingerprint,
        &session,
    )
    .await?;
    if others.is_empty() {
        return Ok(());
    }
    ownership.leave().await?;
    let some = others.iter().take(NAMED_MAX).map(String::as_str);
    let some = some.collect::<Vec<_>>().join(", ");
    anyhow::bail!(
        "cluster.secret is another one than that of the nodes that run ({some}{}): set the same on all of them; \
         to change it, stop all of them first",
        if others.len() > NAMED_MAX {
            ", …"
        } else {
            ""
        }
    )
}

/// Where other nodes call this one: as set, or else where it reaches the database from.
async fn address(
    database: &Database,
    settings: &Settings,
    nodes: &TcpListener,
) -> anyhow::Result<String> {
    let address = nodes.local_addr()?;
    if settings.nodes.advertise.is_some() || !address.ip().is_unspecified() {
        return Ok(settings.nodes.address(nodes)?);
    }
    let host = own_address(database).await.to_canonical();
    Ok(SocketAddr::new(host, address.port()).to_string())
}

/// The name of this machine.
fn machine() -> String {
    let names = rustix::system::uname();
    names.nodename().to_string_lossy().into_owned()
}
