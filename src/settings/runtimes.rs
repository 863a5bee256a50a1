//! Runtimes of the K8s manager, as they are set.

use maestro_runtime::kubernetes::{OperatorImage, PlatformSettings};
use std::time::Duration;

/// The keys of runtimes, some of which have the names that the K8s manager gave them.
#[derive(Clone, Debug)]
pub struct RuntimeKeys {
    pub base_domain: String,
    pub development: bool,
    pub has_operator: bool,
    pub operator_image: String,
    pub operator_version: String,
    pub status_timeout: Duration,
}

impl Default for RuntimeKeys {
    fn default() -> Self {
        Self {
            base_domain: "local".into(),
            development: false,
            has_operator: true,
            operator_image: "maestro".into(),
            operator_version: "latest".into(),
            status_timeout: Duration::from_secs(300),
        }
    }
}

impl RuntimeKeys {
    /// What runtimes are made with on Kubernetes.
    pub fn for_kubernetes(&self) -> PlatformSettings {
        let image = format!("{}:{}", self.operator_image, self.operator_version);
        PlatformSettings {
            base_domain: self.base_domain.clone(),
            development: self.development,
            operator: self.has_operator.then_some(OperatorImage { image }),
        }
    }
}
