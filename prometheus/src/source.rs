//! The port, by queries.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use maestro_core::ports::{Alert, Measured, MetricsError, MetricsSource, Usage, Window};
use parking_lot::Mutex;

use crate::alerts;
use crate::answer::{self, Alerts, Queried, Range, values};
use crate::client::{OpenError, PrometheusClient, PrometheusSettings};
use crate::queries::{PodSelector, Queries, what_is_there};

/// How long a namespace that had what queries need is not looked at again while nothing is known of its versions.
const LOOKED_AT_FOR: Duration = Duration::from_secs(60);
/// The most namespaces that are remembered.
const NAMESPACES_MAX: usize = 4_096;

/// How pods and their use are found.
#[derive(Clone, Debug)]
pub struct QuerySettings {
    /// The time over which the use of CPU is averaged.
    pub rate_window: Duration,
    /// How the pods of a version are found.
    pub pod_selector: PodSelector,
    /// The label of pods that has the version.
    pub version_label: String,
}

/// What a Prometheus server knows about rooms that are pods.
pub struct PrometheusSource {
    client: PrometheusClient,
    queries: QuerySettings,
    /// Namespaces that had all that queries need, and when that was seen.
    prepared: Mutex<HashMap<String, Instant>>,
}

impl PrometheusSource {
    /// Calls nobody yet. Its calls are to be made on one runtime, where its connections live.
    ///
    /// # Errors
    /// If a setting is of no use.
    pub fn open(server: PrometheusSettings, queries: QuerySettings) -> Result<Self, OpenError> {
        Ok(Self {
            client: PrometheusClient::new(server)?,
            queries,
            prepared: Mutex::default(),
        })
    }

    async fn range(
        &self,
        query: &str,
        window: Window,
    ) -> Result<impl Iterator<Item = (Timestamp, f64)> + use<>, MetricsError> {
        let time = |at: Timestamp| format!("{}.{:03}", at.as_second(), at.subsec_millisecond());
        let form = [
            ("query", query),
            ("start", &time(window.from)),
            ("end", &time(window.to)),
            ("step", &window.step.as_secs_f64().to_string()),
            (
                "timeout",
                &format!("{}ms", self.client.timeout().as_millis()),
            ),
        ];
        let queried: Queried<Range> = self.client.post("/api/v1/query_range", &form).await?;
        Ok(values(queried))
    }

    /// Tells an empty answer of a version without data from one that no version could have.
    async fn is_prepared(&self, namespace: &str) -> Result<(), MetricsError> {
        let seen_at = self.prepared.lock().get(namespace).copied();
        if seen_at.is_some_and(|at| at.elapsed() < LOOKED_AT_FOR) {
            return Ok(());
        }
        let label = &self.queries.version_label;
        let query = what_is_there(namespace, label);
        let form = [("query", query.as_str())];
        let queried: Queried<answer::Instant> = self.client.post("/api/v1/query", &form).await?;
        let found: Vec<_> = queried
            .result
            .iter()
            .filter_map(|element| element.metric.get("seen"))
            .collect();
        let seen = ["containers", "pods", "labels"].map(|what| found.iter().any(|it| *it == what));
        let how = format!(
            "start kube-state-metrics with --metric-labels-allowlist=pods=[{label}], or set \
             resourceMetrics.podSelector to rooms"
        );
        match seen {
            [_, true, false] => Err(MetricsError::Unprepared(format!(
                "kube-state-metrics does not export the label {label} of the pods in namespace {namespace}: {how}"
            ))),
            [true, false, _] => Err(MetricsError::Unprepared(format!(
                "Prometheus has no kube_pod_labels of namespace {namespace}: let it scrape kube-state-metrics, and {how}"
            ))),
            _ => {
                let mut prepared = self.prepared.lock();
                if prepared.len() >= NAMESPACES_MAX {
                    prepared.clear();
                }
                prepared.insert(namespace.to_owned(), Instant::now());
                Ok(())
            }
        }
    }
}

#[async_trait]
impl MetricsSource for PrometheusSource {
    fn selects_by_rooms(&self) -> bool {
        self.queries.pod_selector == PodSelector::Rooms
    }

    async fn usage(&self, of: &Measured, window: Window) -> Result<Vec<Usage>, MetricsError> {
        let (rate, label) = (self.queries.rate_window, &self.queries.version_label);
        let queries = match self.queries.pod_selector {
            PodSelector::Labels => Queries::by_label(of, label, rate),
            // A pattern without a name would match every pod.
            PodSelector::Rooms if of.rooms.is_empty() => return Ok(Vec::new()),
            PodSelector::Rooms => Queries::by_rooms(of, rate),
        };
        let (cores, bytes) = tokio::try_join!(
            self.range(&queries.cores, window),
            self.range(&queries.bytes, window)
        )?;
        let usage = Usage::joined(cores, bytes);
        if usage.is_empty() && self.queries.pod_selector == PodSelector::Labels {
            self.is_prepared(of.scheduler.as_str()).await?;
        }
        Ok(usage)
    }

    async fn alerts(&self, of: &Measured) -> Result<Vec<Alert>, MetricsError> {
        let Alerts { alerts } = self.client.get("/api/v1/alerts").await?;
        Ok(alerts::about(of, alerts))
    }
}
