//! What every adapter of a port has to do, as checks that its tests run.

pub mod runtime;
pub mod store;
