//! The commands that talk to a running server over HTTP: for operators, not for rooms.
//!
//! Nothing here opens a store or a runtime; what a tool can do, `curl` can do too.

mod actors;
mod backup;
mod client;
mod document;
mod export;
mod import;
mod output;
mod table;
mod unknown;

pub use actors::{ActorsArgs, run as actors};
pub use backup::{BackupArgs, run as backup};
pub use export::{ExportArgs, run as export};
pub use import::{ImportArgs, run as import};
pub use output::{print, print_document};
pub use table::Table;

use anyhow::Context;

/// Where a server listens that was started without settings.
const MANAGEMENT_URL: &str = "http://127.0.0.1:8080";
const INTERNAL_URL: &str = "http://127.0.0.1:8081";

/// Runs a tool's calls; it has nothing else to do meanwhile.
fn block_on<T>(calls: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the I/O runtime")?
        .block_on(calls)
}
