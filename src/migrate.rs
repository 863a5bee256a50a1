//! `maestro migrate`: migrates the store to the format of this program (contract 1.1). A start does
//! the same by itself; this is for deployments with a separate migration step.

use crate::logging::{self, LogConfig};
use crate::start::read_settings;
use clap::Args;
use maestro_store::embedded::{Migrated, migrate};
use std::path::PathBuf;
use tracing::info;

/// The options of `maestro migrate`.
#[derive(Debug, Clone, Args)]
pub struct MigrateArgs {
    /// How to log: JSON at info level, or text at debug level
    #[arg(short, long, value_enum, default_value_t = LogConfig::Development)]
    pub log_config: LogConfig,
    /// Settings file; none is needed
    #[arg(short, long, value_name = "FILE")]
    pub config_path: Option<PathBuf>,
    /// Folder of the embedded store and of the rooms [default: ./maestro-data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

/// Scripts look for these messages (contract 1.1): `migration completed` when something was done,
/// `database schema already up to date` when not.
///
/// # Errors
/// If the store cannot be migrated, or the settings ask for a store that this build does not have.
pub fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    logging::init(Some(args.log_config), None);
    let settings = read_settings(args.config_path.as_deref(), args.data_dir.as_deref())?;
    let folder = settings.data_dir.display();
    match migrate(&settings.data_dir)? {
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
