//! The HTTP APIs of Maestro.

pub mod codec;
pub mod gateway;
