//! Implementations of the store ports of `maestro-core`.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

pub mod cluster;
pub mod embedded;
mod names;
pub mod postgres;
pub mod redis;
