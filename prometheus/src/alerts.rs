//! Alerts of a server, and which of them are about a version.

use maestro_core::ports::{Alert, Measured};

use crate::answer;

/// Labels that name a version: that of our pods, and that of kube-state-metrics' series.
const VERSION_LABELS: [&str; 2] = ["version_name", "label_version_name"];

/// Those about the version, and those about its whole namespace.
pub fn about(of: &Measured, all: Vec<answer::Alert>) -> Vec<Alert> {
    let concerns = |alert: &answer::Alert| {
        let label = |name: &str| alert.labels.get(name).map(String::as_str);
        let mut versions = VERSION_LABELS.into_iter().filter_map(label);
        label("namespace") == Some(of.scheduler.as_str())
            && versions.all(|version| version == of.version.as_str())
    };
    let of_it = all.into_iter().filter(concerns);
    of_it.map(told).collect()
}

fn told(mut alert: answer::Alert) -> Alert {
    let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
    let mut said = |name: &str| alert.annotations.remove(name);
    let summary = said("summary").or_else(|| said("description"));
    Alert {
        name: label("alertname"),
        severity: label("severity"),
        summary: summary.unwrap_or_default(),
        active_at: alert.active_at.and_then(|at| at.parse().ok()),
        state: alert.state,
        labels: alert.labels,
    }
}
