//! Fakes, builders, contract suites and harnesses for tests.

pub mod contract;
