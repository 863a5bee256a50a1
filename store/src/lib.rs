//! Stores behind the ports of maestro-core.
