//! The HTTP APIs of Maestro.

pub mod codec;
