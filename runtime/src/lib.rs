//! Implementations of the runtime port of `maestro-core`: they run the rooms.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

mod elsewhere;
mod feeds;
mod limit;
mod quantity;
mod unmeasured;

pub mod kubernetes;
pub mod process;
pub mod simulated;

pub use elsewhere::Elsewhere;
pub use unmeasured::Unmeasured;
