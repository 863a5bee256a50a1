//! Fakes, builders, contract suites and harnesses for tests.
