//! `maestro doctor`: reports drift between Postgres, Redis and the rooms that run, mends it when told, and hands the
//! stores back to the original.
//! `maestro doctor kubernetes` looks at the cluster that is to run the rooms.

mod kubernetes;
mod report;
mod rooms;

use crate::logging;
use crate::settings::{self, RuntimeKind, Settings, StoreKind};
use crate::start;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use maestro_cli::{print, print_document};
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Member, Ownership};
use maestro_runtime::kubernetes::{KubernetesSettings, hand_back as hand_back_budgets};
use maestro_store::cluster::ClusterStore;
use maestro_store::postgres::{Database, PostgresOwnership, PostgresSettings};
use maestro_store::redis::{RedisSettings, RedisStore};
use report::Report;
use rooms::Seen;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A report may read much.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long its claims last should it be killed.
const SESSION: Duration = Duration::from_secs(10);
/// The exit status if something does not fit; 1 says that it could not look.
const DRIFT: u8 = 2;

/// The options of `maestro doctor`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DoctorArgs {
    #[command(subcommand)]
    what: Option<What>,
    /// Mend what is safe while the fleet runs; without it nothing is changed
    #[arg(long)]
    repair: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Settings file; none is needed
    #[arg(short, long, value_name = "FILE", global = true)]
    config_path: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Prepare both stores for the Go Maestro; all nodes must be stopped
    HandBack,
    /// Say whether a Kubernetes cluster lets rooms run: rights, Pod Security, ports, clock, nodes
    Kubernetes(kubernetes::KubernetesArgs),
}

/// # Errors
/// If the stores cannot be used, or the settings name no cluster store; the text says what to do.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    match &args.what {
        Some(What::Kubernetes(of_kubernetes)) => {
            kubernetes::run(of_kubernetes, args.config_path.as_deref())
        }
        Some(What::HandBack) => on_stores(args, true),
        None => on_stores(args, false),
    }
}

fn on_stores(args: &DoctorArgs, hands_back: bool) -> anyhow::Result<ExitCode> {
    logging::init_quiet();
    let mut loaded = start::told(settings::load_here(args.config_path.as_deref(), &[]))?;
    start::complete(&mut loaded)?;
    if loaded.settings.store != StoreKind::Postgres {
        bail!(
            "the store is embedded, which is one file that cannot drift apart: a start checks it. Set \
             adapters.schedulerStorage.postgres.url and the Redis URLs to examine a cluster store"
        );
    }
    let tasks = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    tasks.block_on(async {
        let (store, database) = open(&loaded.settings).await?;
        let done = match hands_back {
            true => hand_back(&store, &loaded.settings).await,
            false => examine(&store, &database, &loaded.settings, args).await,
        };
        store.close().await;
        done
    })
}

async fn open(settings: &Settings) -> anyhow::Result<(Arc<ClusterStore>, Database)> {
    let database = Database::open(&PostgresSettings {
        url: settings.postgres_url.clone(),
        pool_size: settings.postgres_pool_size.clamp(1, 4),
        statement_timeout: STATEMENT_TIMEOUT,
    })?;
    let redis = RedisStore::connect(&RedisSettings {
        urls: settings.redis.urls(),
        pool_size: 2,
        operations_ttl: Some(settings.core.periodic_operation_ttl).filter(|ttl| !ttl.is_zero()),
        authorities: Vec::new(),
    })
    .await?;
    let session = Uuid::new_v4();
    let me = Member {
        session,
        name: "maestro doctor".into(),
        // It takes no calls.
        address: "maestro-doctor".into(),
        hosts: false,
        draining: true,
        runtime_domain: session.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let ownership = PostgresOwnership::new(database.clone(), me, SESSION);
    let store = ClusterStore::open(database.clone(), redis, Arc::new(ownership)).await?;
    Ok((store, database))
}

async fn examine(
    store: &ClusterStore,
    database: &Database,
    settings: &Settings,
    args: &DoctorArgs,
) -> anyhow::Result<ExitCode> {
    let migrate = "the stores cannot be examined; has `maestro migrate` run?";
    let before = store.facts().await.context(migrate)?;
    let seen = rooms::look(database, settings, before).await;
    let runtime = match &seen {
        Seen::Rooms(runtime) => Some(&**runtime),
        Seen::Nothing(_) | Seen::Unknown(_) => None,
    };
    let found = store.examine(runtime).await.context(migrate)?;
    let report = match args.repair {
        true => Report::of_repair(store.repair(found).await?, &seen),
        false => Report::of_look(found, &seen),
    };
    match args.json {
        true => print_document(&report.json()?)?,
        false => print(&report.text())?,
    }
    Ok(match (report.is_clean(), seen) {
        (false, _) => ExitCode::from(DRIFT),
        (true, Seen::Unknown(_)) => ExitCode::FAILURE,
        (true, _) => ExitCode::SUCCESS,
    })
}

async fn hand_back(store: &ClusterStore, settings: &Settings) -> anyhow::Result<ExitCode> {
    let cluster = match settings.runtime {
        RuntimeKind::Kubernetes => Some(settings.for_kubernetes()?),
        _ => None,
    };
    let names = store.discover().await?;
    let done = store.hand_back().await?;
    let mut text = format!(
        "{} schedulers are handed back: the outbox is written, fences, journals and owners are deleted.\n",
        done.schedulers
    );
    for name in &done.behind {
        text.push_str(&format!(
            "{name}: Redis had lost changes; compare its rooms with those that run\n"
        ));
    }
    for operation in &done.ended {
        text.push_str(&format!("ended while it was running: {operation}\n"));
    }
    text.push_str(&budgets(cluster, &names, settings).await?);
    text.push_str("Start no node of ours before the Go Maestro is stopped again.\n");
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Nobody protects rooms any more when the budgets are handed back, so this comes after the stores, which refuse while
/// a node lives.
async fn budgets(
    cluster: Option<KubernetesSettings>,
    names: &[SchedulerName],
    settings: &Settings,
) -> anyhow::Result<String> {
    let Some(cluster) = cluster else {
        return Ok(
            "Disruption budgets were not looked at: runtime.type is not kubernetes here.\n"
                .to_owned(),
        );
    };
    let safety = settings.kubernetes.protection.safety;
    let again = "the stores are handed back, but not all disruption budgets; repeat this";
    let budgets = hand_back_budgets(&cluster, names, safety)
        .await
        .context(again)?;
    Ok(format!(
        "{budgets} disruption budgets select all rooms of their schedulers again.\n"
    ))
}
