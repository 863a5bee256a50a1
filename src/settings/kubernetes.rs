//! Where pods run and what they have, as it is set.

use super::form::{Form, joined, list};
use super::{RuntimeKind, Settings};
use maestro_core::settings::{CoreSettings, ProtectionSettings};
use maestro_runtime::kubernetes::{
    Access, KubernetesSettings, OpenError, PodDefaults, TopologySpread, security_context,
};
use std::path::PathBuf;
use std::time::Duration;

/// The node label that defines topology domains, if none is set (contract 1.4).
const TOPOLOGY_KEY: &str = "topology.kubernetes.io/zone";
/// D38
const PROTECTION_INTERVAL: Duration = Duration::from_secs(5);

/// The keys below `adapters.runtime.kubernetes`.
#[derive(Clone, Debug)]
pub struct KubernetesKeys {
    pub in_cluster: bool,
    pub qps: usize,
    pub burst: usize,
    pub master_url: Option<String>,
    pub kubeconfig: Option<PathBuf>,
    pub spread: bool,
    pub max_skew: i32,
    pub topology_key: Option<String>,
    pub schedule_anyway: bool,
    /// The level that new namespaces enforce.
    pub pod_security: Option<String>,
    pub image_pull_secrets: Vec<String>,
    pub automount_service_account_token: Option<bool>,
    /// JSON, checked when it is read.
    pub security_context: Option<String>,
    pub priority_class_name: Option<String>,
    pub service_account_name: Option<String>,
    /// The disruption budgets.
    pub protection: ProtectionSettings,
}

impl Default for KubernetesKeys {
    fn default() -> Self {
        Self {
            in_cluster: false,
            qps: 100,
            burst: 200,
            master_url: None,
            kubeconfig: Some("./kubeconfig/kubeconfig.yaml".into()),
            spread: true,
            max_skew: 5,
            topology_key: Some(TOPOLOGY_KEY.into()),
            schedule_anyway: false,
            pod_security: None,
            image_pull_secrets: Vec::new(),
            automount_service_account_token: None,
            security_context: None,
            priority_class_name: None,
            service_account_name: None,
            protection: ProtectionSettings {
                interval: PROTECTION_INTERVAL,
                safety: 0.05,
                single: true,
            },
        }
    }
}

impl Settings {
    /// What schedulers are run with, once the runtime in use is known: only pods are evicted, so that other runtimes
    /// have nothing to protect.
    pub fn for_core(&self) -> CoreSettings {
        let evicts = self.runtime == RuntimeKind::Kubernetes;
        CoreSettings {
            protection: evicts.then_some(self.kubernetes.protection),
            ..self.core.clone()
        }
    }

    /// What the Kubernetes runtime is opened with.
    ///
    /// # Errors
    /// If it is to take its access from its pod and runs in none.
    pub fn for_kubernetes(&self) -> Result<KubernetesSettings, OpenError> {
        let keys = &self.kubernetes;
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let access = match keys.in_cluster {
            true => Access::in_cluster()?,
            false => Access::Kubeconfig {
                path: keys.kubeconfig.clone().unwrap_or_default(),
                master_url: keys.master_url.clone(),
            },
        };
        let context = keys.security_context.as_deref();
        let topology_key = keys.topology_key.clone();
        Ok(KubernetesSettings {
            qps: number(keys.qps),
            burst: number(keys.burst),
            silence: self.core.ping_timeout,
            deletion_timeout: self.core.deletion_timeout,
            default_ports: Some(self.default_ports),
            topology_spread: keys.spread.then(|| TopologySpread {
                max_skew: keys.max_skew,
                topology_key: topology_key.unwrap_or_else(|| TOPOLOGY_KEY.into()),
                schedule_anyway: keys.schedule_anyway,
            }),
            pod_security: keys.pod_security.clone(),
            platform: self.runtimes.for_kubernetes(),
            pod: PodDefaults {
                image_pull_secrets: keys.image_pull_secrets.clone(),
                automount_service_account_token: keys.automount_service_account_token,
                security_context: context.and_then(|text| security_context(text).ok()),
                priority_class_name: keys.priority_class_name.clone(),
                service_account_name: keys.service_account_name.clone(),
            },
            ..KubernetesSettings::new(access)
        })
    }
}

/// Names separated by commas, or a YAML list.
pub const NAMES: Form<Vec<String>> = Form {
    unit: "list",
    expected: "names separated by commas",
    read: list,
    show: |all| joined(all),
};

/// Empty: none.
pub const POD_SECURITY: Form<Option<String>> = Form {
    unit: "text",
    expected: "privileged, baseline or restricted",
    read: |text| match text.trim() {
        "" => Ok(Some(None)),
        level @ ("privileged" | "baseline" | "restricted") => Ok(Some(Some(level.to_owned()))),
        _ => Err(String::new()),
    },
    show: |level| level.clone().unwrap_or_default(),
};

/// Empty: none.
pub const SECURITY_CONTEXT: Form<Option<String>> = Form {
    unit: "text",
    expected: "a security context as JSON, such as {\"runAsNonRoot\": true}",
    read: |text| match text.trim() {
        "" => Ok(Some(None)),
        text => security_context(text).map(|_| Some(Some(text.to_owned()))),
    },
    show: |context| context.clone().unwrap_or_default(),
};
