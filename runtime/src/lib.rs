//! Runtimes behind the ports of maestro-core.
