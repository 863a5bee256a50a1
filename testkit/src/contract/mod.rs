//! Contract suites: what every adapter of a port must do, as checks that its tests run.

pub mod ownership;
pub mod place;
pub mod runtime;
pub mod store;
