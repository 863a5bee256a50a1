//! `maestro backup`: a copy of the server's store, in the server's own data folder.

use crate::block_on::block_on;
use crate::internal::{INTERNAL_URL, Internal};
use crate::output;
use clap::Args;
use maestro_core::text::escaped;
use serde_json::json;
use std::time::Duration;

/// Copying a store of gigabytes takes long.
const COPY_TIMEOUT: Duration = Duration::from_secs(600);

/// The options of `maestro backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// Name of the copy
    #[arg(help = "Name of the copy: it becomes <data folder>/backups/<NAME>.redb")]
    pub name: String,
    /// The internal server
    #[arg(long, default_value = INTERNAL_URL)]
    pub url: String,
}

/// # Errors
/// If nothing was written; the message says why.
pub fn run(args: &BackupArgs) -> anyhow::Result<()> {
    let internal = Internal::new(&args.url)?;
    let body = json!({ "name": args.name });
    let done = block_on(async {
        internal.reach().await?;
        internal.post(&["backup"], &body, COPY_TIMEOUT).await
    })?;
    let (path, bytes) = (&done["path"], &done["bytes"]);
    let path = path.as_str().unwrap_or_default();
    let seconds = done["seconds"].as_f64().unwrap_or_default();
    output::print(&format!(
        "{}: {bytes} bytes in {seconds:.3} s\n",
        escaped(path)
    ))
}
