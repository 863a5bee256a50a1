//! What rooms use, as a Prometheus server knows it: two queries over the metrics of cAdvisor and kube-state-metrics,
//! and its alerts.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

mod alerts;
mod answer;
mod client;
mod queries;
mod source;
mod tls;

pub use client::{OpenError, PrometheusSettings};
pub use queries::PodSelector;
pub use source::{PrometheusSource, QuerySettings};
