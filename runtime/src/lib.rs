//! Runtimes behind the ports of maestro-core: where rooms live.

pub mod process;
