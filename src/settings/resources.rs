//! What rooms use, and who is asked about it, as it is set.

use super::form::Form;
use super::{RuntimeKind, Settings};
use maestro_api::{CpuUnit, ResourceSettings};
use maestro_prometheus::{PodSelector, PrometheusSettings, QuerySettings};
use std::path::PathBuf;
use std::time::Duration;

/// The keys below `prometheus` and `resourceMetrics`.
#[derive(Clone, Debug)]
pub struct ResourceKeys {
    pub url: String,
    pub timeout: Duration,
    pub token_file: Option<PathBuf>,
    pub tenant: Option<String>,
    pub authorities: Option<PathBuf>,
    pub watch_interval: Duration,
    pub step: Duration,
    pub rate_window: Duration,
    pub cpu_unit: CpuUnit,
    pub pod_selector: PodSelector,
    pub version_label: String,
}

impl Default for ResourceKeys {
    fn default() -> Self {
        let ResourceSettings {
            watch_interval,
            step,
            cpu_unit,
        } = ResourceSettings::default();
        Self {
            url: "http://localhost:9090".into(),
            timeout: Duration::from_secs(10),
            token_file: None,
            tenant: None,
            authorities: None,
            watch_interval,
            step,
            rate_window: Duration::from_secs(300),
            cpu_unit,
            pod_selector: PodSelector::Labels,
            version_label: "version-name".into(),
        }
    }
}

impl ResourceKeys {
    /// How requests are answered. Steps are whole seconds, because clients count them so.
    pub fn for_api(&self) -> ResourceSettings {
        let seconds = self.step.as_millis().div_ceil(1_000);
        ResourceSettings {
            watch_interval: self.watch_interval,
            step: Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)),
            cpu_unit: self.cpu_unit,
        }
    }

    /// Which server knows what pods use, and how it is asked.
    pub fn for_prometheus(&self) -> (PrometheusSettings, QuerySettings) {
        let server = PrometheusSettings {
            url: self.url.clone(),
            timeout: self.timeout,
            token_file: self.token_file.clone(),
            tenant: self.tenant.clone(),
            authorities: self.authorities.clone(),
        };
        let queries = QuerySettings {
            rate_window: self.rate_window,
            pod_selector: self.pod_selector,
            version_label: self.version_label.clone(),
        };
        (server, queries)
    }
}

impl Settings {
    /// Whether every node knows what the rooms of every scheduler use, once the runtime in use is known. Otherwise the
    /// owner knows: their processes are on its machine, or it knows which rooms there are.
    pub fn resources_known_everywhere(&self) -> bool {
        self.runtime == RuntimeKind::Kubernetes
            && self.resources.pod_selector == PodSelector::Labels
    }
}

pub const CPU_UNIT: Form<CpuUnit> = Form {
    unit: "name",
    expected: "cores or millicores",
    read: |text| match text.trim() {
        "cores" => Ok(Some(CpuUnit::Cores)),
        "millicores" => Ok(Some(CpuUnit::Millicores)),
        _ => Err(String::new()),
    },
    show: |unit| {
        let name = match unit {
            CpuUnit::Cores => "cores",
            CpuUnit::Millicores => "millicores",
        };
        name.to_owned()
    },
};

pub const POD_SELECTOR: Form<PodSelector> = Form {
    unit: "name",
    expected: "labels or rooms",
    read: |text| match text.trim() {
        "labels" => Ok(Some(PodSelector::Labels)),
        "rooms" => Ok(Some(PodSelector::Rooms)),
        _ => Err(String::new()),
    },
    show: |selector| {
        let name = match selector {
            PodSelector::Labels => "labels",
            PodSelector::Rooms => "rooms",
        };
        name.to_owned()
    },
};
