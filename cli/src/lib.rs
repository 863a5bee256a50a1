//! The operators' commands that talk to a running server, and the output functions of every command.
//!
//! Nothing here opens a store or a runtime: the commands are clients of a server. They call the traits of
//! `maestro_api`, which the gRPC client implements (`remote`). Calls that change the process itself are not on the
//! public ports: `backup` and `node` use the internal server, over HTTP (`internal`).
//! Whatever a command does, `curl` can do too.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]
// They panic where stdout or stderr is closed: see `print`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod actors;
mod address;
mod backup;
mod block_on;
mod document;
mod export;
mod health;
mod import;
mod internal;
mod node;
mod nodes;
mod output;
mod remote;
mod table;
mod unknown;

pub use actors::{ActorsArgs, run as actors};
pub use backup::{BackupArgs, run as backup};
pub use export::{ExportArgs, run as export};
pub use health::{HealthArgs, run as health};
pub use import::{ImportArgs, run as import};
pub use node::{NodeCommand, run as node};
pub use nodes::{NodesArgs, run as nodes};
pub use output::{is_dumb_terminal, print, print_document};
pub use table::Table;
