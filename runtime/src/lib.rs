//! Implementations of the runtime port of `maestro-core`: they run the rooms.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

mod capped;
mod feeds;
mod quantity;

pub mod process;
pub mod simulated;

pub use capped::CappedRuntime;
