//! The commands that talk to a running server: for operators, not for rooms. And what every command prints with.
//!
//! Nothing here opens a store or a runtime; what a command can do, `curl` can do too.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]
// They panic where stdout or stderr is closed: see `print`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

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
pub use output::{is_dumb_terminal, print, print_document};
pub use table::Table;
