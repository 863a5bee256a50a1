//! Settings of resource metrics.

use crate::settings::form::{OPTIONAL_PATH, OPTIONAL_TEXT, PERIOD, TEXT};
use crate::settings::key::Key;
use crate::settings::resources::{CPU_UNIT, POD_SELECTOR};

pub fn keys() -> Vec<Key> {
    let mut keys = prometheus();
    keys.extend(resource_metrics());
    keys
}

fn prometheus() -> Vec<Key> {
    vec![
        Key::new(
            "prometheus.url",
            &TEXT,
            |s| &mut s.resources.url,
            "The URL of the Prometheus that knows what pods use. Rooms that are processes are measured by Maestro itself. KRE_PROMETHEUS_URL is another name of the variable.",
        ),
        Key::new(
            "prometheus.timeout",
            &PERIOD,
            |s| &mut s.resources.timeout,
            "How long one query may take.",
        ),
        Key::new(
            "prometheus.bearerTokenFile",
            &OPTIONAL_PATH,
            |s| &mut s.resources.token_file,
            "A file with the token that Prometheus asks for; it is read for each query. Empty: none.",
        ),
        Key::new(
            "prometheus.tenant",
            &OPTIONAL_TEXT,
            |s| &mut s.resources.tenant,
            "The tenant whose metrics are read, sent as X-Scope-OrgID. Empty: none.",
        ),
        Key::new(
            "prometheus.caFile",
            &OPTIONAL_PATH,
            |s| &mut s.resources.authorities,
            "The PEM file of the authorities that certify Prometheus. Empty: those of the system.",
        ),
    ]
}

fn resource_metrics() -> Vec<Key> {
    vec![
        Key::new(
            "resourceMetrics.watchInterval",
            &PERIOD,
            |s| &mut s.resources.watch_interval,
            "How often a watch of a version asks for newer samples, however many clients watch it.",
        ),
        Key::new(
            "resourceMetrics.step",
            &PERIOD,
            |s| &mut s.resources.step,
            "The time between two samples of a watch that names none, and the least that is chosen for an answer. Whole seconds.",
        ),
        Key::new(
            "resourceMetrics.rateWindow",
            &PERIOD,
            |s| &mut s.resources.rate_window,
            "The time over which Prometheus averages the use of CPU.",
        ),
        Key::new(
            "resourceMetrics.cpuUnit",
            &CPU_UNIT,
            |s| &mut s.resources.cpu_unit,
            "cores or millicores.",
        ),
        Key::new(
            "resourceMetrics.podSelector",
            &POD_SELECTOR,
            |s| &mut s.resources.pod_selector,
            "How the pods of a version are found in Prometheus. labels: by their label, which kube-state-metrics has to export; rooms: by the names of the rooms there are now.",
        ),
        Key::new(
            "resourceMetrics.versionLabel",
            &TEXT,
            |s| &mut s.resources.version_label,
            "The label of pods that has the version.",
        ),
    ]
}
