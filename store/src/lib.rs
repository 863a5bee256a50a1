//! Stores behind the ports of maestro-core.

pub mod embedded;
