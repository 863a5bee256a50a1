//! Fakes, builders, contract suites and harnesses for tests.

pub mod build;
pub mod certificates;
pub mod contract;
pub mod control_plane;
mod eventually;
pub mod fake;
pub mod kubelet;
pub mod proxy;
pub mod servers;

pub use eventually::eventually;
