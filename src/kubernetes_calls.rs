//! Metrics of the calls that the Kubernetes runtime makes: whether `qps` is what rooms wait for.

use maestro_metrics::{MetricKind, Page};
use maestro_runtime::kubernetes::KubernetesRuntime;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use std::collections::HashMap;
use std::sync::Arc;

const SENT: &str = "maestro_kubernetes_calls_total";
const SENT_HELP: &str = "Calls that were sent to Kubernetes, watches left out";
const WAITING: &str = "maestro_kubernetes_calls_waiting";
const WAITING_HELP: &str = "Calls that wait for their turn within qps and burst";

/// Reads the counts when a page is made.
pub struct KubernetesCalls {
    runtime: Arc<KubernetesRuntime>,
    desc: Desc,
}

impl KubernetesCalls {
    /// # Errors
    /// None: the name and the labels are fixed.
    pub fn of(runtime: Arc<KubernetesRuntime>) -> prometheus::Result<Self> {
        let labels = vec!["urgency".to_owned()];
        let desc = Desc::new(SENT.into(), SENT_HELP.into(), labels, HashMap::new())?;
        Ok(Self { runtime, desc })
    }
}

impl Collector for KubernetesCalls {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let counts = self.runtime.calls();
        let mut page = Page::default();
        let mut sent = page.family(SENT, MetricKind::Counter, SENT_HELP);
        for (urgency, count) in counts.sent {
            sent.value(&[("urgency", urgency)], count as f64);
        }
        let mut waiting = page.family(WAITING, MetricKind::Gauge, WAITING_HELP);
        waiting.value(&[], counts.waiting as f64);
        page.into_families()
    }
}
