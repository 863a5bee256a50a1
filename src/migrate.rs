//! `maestro migrate`: migrates the store to the format of this program (contract 1.1). A start does
//! the same by itself; this is for deployments with a separate migration step.

use crate::logging::{self, LogConfig};
use crate::settings::{self, POSTGRES_URL, Settings};
use crate::start;
use clap::Args;
use maestro_store::embedded::{self, Migrated};
use maestro_store::postgres::{self, Database, PostgresSettings};
use std::path::PathBuf;
use std::time::Duration;
use tracing::info;

/// For the statements that look; those that migrate have no limit.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The options of `maestro migrate`.
#[derive(Debug, Clone, Args)]
pub struct MigrateArgs {
    /// How to log: JSON at info level, or text at debug level
    #[arg(short, long, value_enum, default_value_t = LogConfig::Development)]
    pub log_config: LogConfig,
    /// Settings file; none is needed
    #[arg(short, long, value_name = "FILE")]
    pub config_path: Option<PathBuf>,
    /// Postgres database to migrate, instead of that of adapters.schedulerStorage.postgres.url
    #[arg(long, value_name = "URL")]
    pub postgres_url: Option<String>,
    /// Folder of the embedded store and of the rooms [default: ./maestro-data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

/// Scripts look for these messages (contract 1.1): `migration completed` when something was done,
/// `database schema already up to date` when not.
///
/// # Errors
/// If the store or the database cannot be migrated, or the settings ask for a store that this build does not have.
pub fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    logging::init(Some(args.log_config), None);
    let url = args.postgres_url.clone();
    let flags = [
        url.map(|url| (POSTGRES_URL, "--postgres-url", url)),
        start::in_folder(args.data_dir.as_deref()),
    ];
    let flags: Vec<_> = flags.into_iter().flatten().collect();
    let mut loaded = start::told(settings::load_here(args.config_path.as_deref(), &flags))?;
    if settings::migrates_postgres(&loaded) {
        return database(&loaded.settings);
    }
    start::complete(&mut loaded)?;
    embedded_store(&loaded.settings)
}

fn embedded_store(settings: &Settings) -> anyhow::Result<()> {
    let folder = settings.data_dir.display();
    match embedded::migrate(&settings.data_dir)? {
        Migrated::Nothing => info!(
            store = "embedded", data_dir = %folder,
            "database schema already up to date: there is no store yet, the first start makes it"
        ),
        Migrated::UpToDate { format } => info!(
            store = "embedded", data_dir = %folder, format, "database schema already up to date"
        ),
        Migrated::Done { from, to } => info!(
            store = "embedded", data_dir = %folder, from, to, "Database migration completed"
        ),
    }
    Ok(())
}

fn database(settings: &Settings) -> anyhow::Result<()> {
    let database = Database::open(&PostgresSettings {
        url: settings.postgres_url.clone(),
        pool_size: 1,
        statement_timeout: STATEMENT_TIMEOUT,
    })?;
    let tasks = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let place = database.place();
    match tasks.block_on(postgres::migrate(&database))? {
        postgres::Migrated::UpToDate => {
            info!(store = "postgres", database = %place, "database schema already up to date");
        }
        postgres::Migrated::Done { from, to } => info!(
            store = "postgres", database = %place, from, to, "Database migration completed"
        ),
    }
    Ok(())
}
