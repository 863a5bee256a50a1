//! What measuring crates need in addition to the Prometheus library: families of values that are collected when
//! `/metrics` is scraped, and counters cheap enough for every ping.
//!
//! There is one registry (`prometheus::Registry`), created by the binary and passed to everything that measures.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

mod page;
mod sharded;

pub use page::{Family, Labels, MetricKind, Page};
pub use sharded::{Distribution, Reading, Sharded};

/// Milliseconds, as all latencies of the contract (contract 9).
pub const LATENCY_BUCKETS_MS: [f64; 11] = [
    5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0,
];
