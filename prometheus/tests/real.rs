//! A real Prometheus, which scrapes pods of known size: the figures are theirs.

use std::time::Duration;

use jiff::Timestamp;
use maestro_core::ports::{Measured, MetricsError, MetricsSource, Usage, Window};
use maestro_prometheus::{PodSelector, PrometheusSettings, PrometheusSource, QuerySettings};
use maestro_testkit::servers::prometheus::{KnownPod, PrometheusServer};

const PATIENCE: Duration = Duration::from_secs(60);

const RULES: &str = r#"
groups:
- name: rooms
  interval: 250ms
  rules:
  - alert: RoomsBusy
    expr: max by (namespace, label_version_name) (kube_pod_labels{namespace="arena"}) > 0
    labels: {severity: warning}
    annotations: {summary: "rooms of {{ $labels.label_version_name }} are busy"}
  - alert: Elsewhere
    expr: vector(1)
    labels: {namespace: other, severity: critical}
"#;

fn pod(
    namespace: &'static str,
    name: &'static str,
    version: &'static str,
    cores: f64,
    bytes: f64,
) -> KnownPod {
    KnownPod {
        namespace,
        name,
        version: Some(version),
        cores,
        bytes,
    }
}

/// Together 0.35 cores and 150,000,000 bytes in version 1 of `arena`, beside others that must not be counted.
fn pods() -> Vec<KnownPod> {
    vec![
        pod("arena", "arena-1", "v1.0.0", 0.25, 100_000_000.0),
        pod("arena", "arena-2", "v1.0.0", 0.1, 50_000_000.0),
        pod("arena", "arena-3", "v2.0.0", 0.5, 1_000_000.0),
        // The same name in another namespace.
        pod("other", "arena-1", "v1.0.0", 4.0, 7_000_000.0),
        KnownPod {
            version: None,
            ..pod("unlabelled", "room-1", "", 1.0, 1.0)
        },
    ]
}

fn source(server: &PrometheusServer, pod_selector: PodSelector) -> PrometheusSource {
    let settings = PrometheusSettings {
        url: server.url.clone(),
        timeout: Duration::from_secs(10),
        token_file: None,
        tenant: None,
        authorities: None,
    };
    let queries = QuerySettings {
        rate_window: Duration::from_secs(4),
        pod_selector,
        version_label: "version-name".into(),
    };
    PrometheusSource::open(settings, queries).expect("good settings")
}

fn of(scheduler: &str, version: &str, rooms: &[&str]) -> Measured {
    Measured {
        scheduler: scheduler.into(),
        version: version.into(),
        rooms: rooms.iter().map(|room| (*room).into()).collect(),
    }
}

fn last_second() -> Window {
    let to = Timestamp::now();
    Window {
        from: to - Duration::from_secs(1),
        to,
        step: Duration::from_secs(1),
    }
}

async fn last(source: &PrometheusSource, of: &Measured) -> Option<Usage> {
    let usage = source.usage(of, last_second()).await.expect("an answer");
    usage.last().copied()
}

fn is_known(usage: &Usage, cores: f64, bytes: f64) -> bool {
    usage.bytes == bytes && (usage.cores - cores).abs() < cores * 0.05
}

/// A rate is complete once its window has passed.
async fn until_known(source: &PrometheusSource, of: &Measured, cores: f64, bytes: f64) {
    let mut seen = None;
    let known = async {
        loop {
            seen = last(source, of).await;
            if seen.is_some_and(|usage| is_known(&usage, cores, bytes)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, known).await;
    assert!(in_time.is_ok(), "{of:?}: {seen:?}");
}

#[tokio::test]
async fn figures_are_those_of_pods_of_known_size() {
    let Some(server) = PrometheusServer::start(pods(), RULES).await else {
        return;
    };
    let by_labels = source(&server, PodSelector::Labels);
    until_known(&by_labels, &of("arena", "v1.0.0", &[]), 0.35, 150_000_000.0).await;
    until_known(&by_labels, &of("arena", "v2.0.0", &[]), 0.5, 1_000_000.0).await;
    until_known(&by_labels, &of("other", "v1.0.0", &[]), 4.0, 7_000_000.0).await;

    let by_rooms = source(&server, PodSelector::Rooms);
    let rooms = of("arena", "v1.0.0", &["arena-1", "arena-2"]);
    until_known(&by_rooms, &rooms, 0.35, 150_000_000.0).await;
    assert_eq!(last(&by_rooms, &of("arena", "v1.0.0", &[])).await, None);

    // Known, but without data; and a namespace whose labels are not exported.
    assert_eq!(last(&by_labels, &of("arena", "v9.0.0", &[])).await, None);
    let unlabelled = of("unlabelled", "v1.0.0", &[]);
    let refused = by_labels.usage(&unlabelled, last_second()).await;
    let Err(MetricsError::Unprepared(text)) = refused else {
        panic!("{refused:?}");
    };
    let flag = "--metric-labels-allowlist=pods=[version-name]";
    assert!(text.contains(flag), "{text}");

    alerts_are_of_the_version(&by_labels).await;
}

async fn alerts_are_of_the_version(source: &PrometheusSource) {
    let alerts = source.alerts(&of("arena", "v1.0.0", &[])).await;
    let alerts = alerts.expect("an answer");
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let alert = &alerts[0];
    assert_eq!(
        (alert.name.as_str(), alert.state.as_str()),
        ("RoomsBusy", "firing")
    );
    assert_eq!(alert.severity, "warning");
    assert_eq!(alert.summary, "rooms of v1.0.0 are busy");
    assert!(alert.active_at.is_some());
    assert_eq!(alert.labels["label_version_name"], "v1.0.0");
}
