//! Resource metrics of rooms and versions, for the K8s manager (k8s-manager 10.5).

use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Duration;

/// One point of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResourceSample {
    pub at: Timestamp,
    pub cpu_millicores: f64,
    pub memory_bytes: f64,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum MetricsError {
    #[error("the metrics source cannot be reached: {0}")]
    Unavailable(String),
}

#[async_trait]
pub trait MetricsSource: Send + Sync + 'static {
    /// Usage of all containers of the pods of `namespace` that carry `labels`.
    async fn usage(
        &self,
        namespace: &str,
        labels: &[(String, String)],
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<ResourceSample>, MetricsError>;
}
