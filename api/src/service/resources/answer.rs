//! Samples and alerts as messages.

use maestro_core::ports::{Alert, Usage};

use crate::codec::messages::resourcemetrics::{
    self, AlertsResponse, Response, VersionResourceMetrics,
};

/// How CPU is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// 0.35 for a third of one.
    #[default]
    Cores,
    /// 350 for the same.
    Millicores,
}

impl Unit {
    pub(super) fn response(self, samples: impl IntoIterator<Item = Usage>) -> Response {
        let each = samples.into_iter().map(|sample| VersionResourceMetrics {
            date: sample.at.to_string(),
            cpu: match self {
                Self::Cores => sample.cores,
                Self::Millicores => sample.cores * 1_000.0,
            },
            mem: sample.bytes,
        });
        Response {
            versionResourceMetrics: each.collect(),
        }
    }
}

pub fn alerts(alerts: Vec<Alert>) -> AlertsResponse {
    let each = alerts.into_iter().map(|alert| resourcemetrics::Alert {
        name: alert.name,
        state: alert.state,
        severity: alert.severity,
        summary: alert.summary,
        active_at: alert.active_at.map(|at| at.to_string()).unwrap_or_default(),
        labels: Some(alert.labels),
    });
    AlertsResponse {
        alerts: each.collect(),
    }
}
