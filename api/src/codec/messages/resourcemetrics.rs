//! Messages of package `resourcemetrics`, which clients of the K8s manager know. What it does not have is numbered from
//! 100. Their names clash with those of other packages, so they are not among those of [`super`].

#![allow(
    non_snake_case,
    reason = "the names of the fields are those of the package"
)]

use crate::codec::macros::{kind, messages, slot};

messages! {
    /// Which samples of which version.
    VersionRequest {
        /// Name of the version.
        versionName "versionName" one String = 1;
        /// Name of the scheduler, which is that of its namespace.
        namespace "namespace" one String = 2;
        /// Begin in RFC 3339. Absent: an hour before `toDate`; of a watch, one step before now.
        fromDate "fromDate" one String = 3;
        /// End in RFC 3339. Absent: now. A watch has none.
        toDate "toDate" one String = 4;
        /// Seconds between two samples. Absent: a sixtieth of the time, at least `resourceMetrics.step`.
        step "step" one i32 = 5;
    }
    /// CPU and memory of all rooms of a version at one time.
    VersionResourceMetrics {
        /// The time in RFC 3339, UTC.
        date "date" one String = 1;
        /// CPU in cores, or in thousandths of one where `resourceMetrics.cpuUnit` says so.
        cpu "cpu" one f64 = 2;
        /// Memory in bytes.
        mem "mem" one f64 = 3;
    }
    /// Samples, the oldest first.
    Response {
        /// The samples.
        versionResourceMetrics "versionResourceMetrics" many VersionResourceMetrics = 1;
    }
    /// Alerts about which version.
    AlertsRequest {
        /// Name of the scheduler, which is that of its namespace.
        namespace "namespace" one String = 100;
        /// Name of the version.
        versionName "versionName" one String = 101;
    }
    /// An alert of Prometheus.
    Alert {
        /// Name of its rule.
        name "name" one String = 1;
        /// `pending` or `firing`.
        state "state" one String = 2;
        /// Its label `severity`.
        severity "severity" one String = 3;
        /// Its annotation `summary`, or else `description`.
        summary "summary" one String = 4;
        /// Since when, in RFC 3339.
        active_at "activeAt" one String = 5;
        /// All of its labels.
        labels "labels" map String = 6;
    }
    /// Alerts about a version, or about the whole namespace.
    AlertsResponse {
        /// The alerts.
        alerts "alerts" many Alert = 100;
    }
}
