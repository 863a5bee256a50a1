//! Runtimes behind the ports of maestro-core: where rooms live.

mod capped;
mod feeds;
mod quantity;

pub mod process;
pub mod simulated;

pub use capped::CappedRuntime;
