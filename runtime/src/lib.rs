//! Runtimes behind the ports of maestro-core: where rooms live.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

mod capped;
mod feeds;
mod quantity;

pub mod process;
pub mod simulated;

pub use capped::CappedRuntime;
