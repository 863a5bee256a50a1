//! Fakes, builders, contract suites and harnesses for tests.

pub mod build;
pub mod contract;
pub mod fake;
