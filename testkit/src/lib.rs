//! Fakes, builders, contract suites and harnesses for tests.

pub mod build;
pub mod contract;
mod eventually;
pub mod fake;
#[cfg(feature = "forwarder")]
pub mod forwarder;

pub use eventually::eventually;
