//! Calls and what was counted of them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::poll;
use metrics::{Gauge, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tonic::codegen::Service;

use super::*;
use crate::call::tests::{GET, call_counted, calls, framed, request};
use crate::script::{Does, Script};

/// Prometheus' recorder, and how often somebody asked it for a handle.
struct Counting {
    inner: PrometheusRecorder,
    asked: AtomicUsize,
}

impl Counting {
    fn new() -> Self {
        Self {
            inner: PrometheusBuilder::new().build_recorder(),
            asked: AtomicUsize::new(0),
        }
    }

    fn page(&self) -> String {
        self.inner.handle().render()
    }

    /// The value of the one series of this method and code.
    fn handled(&self, service: &str, method: &str, code: &str) -> Option<u64> {
        let labels = format!(
            r#"{{grpc_type="unary",grpc_service="{service}",grpc_method="{method}",grpc_code="{code}"}} "#
        );
        let line = format!("{HANDLED}{labels}");
        let page = self.page();
        let value = page.lines().find_map(|l| l.strip_prefix(line.as_str()));
        value.and_then(|value| value.parse().ok())
    }
}

impl Recorder for Counting {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.inner.describe_counter(key, unit, text);
    }
    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.inner.describe_gauge(key, unit, text);
    }
    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.inner.describe_histogram(key, unit, text);
    }
    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.asked.fetch_add(1, Relaxed);
        self.inner.register_counter(key, metadata)
    }
    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.asked.fetch_add(1, Relaxed);
        self.inner.register_gauge(key, metadata)
    }
    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.asked.fetch_add(1, Relaxed);
        self.inner.register_histogram(key, metadata)
    }
}

const SCHEDULERS: &str = "api.v1.SchedulersService";

#[tokio::test]
async fn calls_are_counted_by_method_and_code_from_the_start() {
    let recorder = Counting::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let metrics = Metrics::register();
    for rpc in services::all() {
        let (service, method) = rpc.path[1..].split_once('/').unwrap();
        assert_eq!(recorder.handled(service, method, "OK"), Some(0), "{rpc:?}");
    }
    let answers = Script::new(Does::Answer);
    let refuses = Script::new(Does::Refuse(Code::NotFound, "nobody"));
    for script in [&answers, &refuses, &answers] {
        call_counted(&metrics, script, GET, &[], framed(b"")).await;
    }
    call_counted(
        &metrics,
        &answers,
        GET,
        &[("grpc-timeout", "soon")],
        framed(b""),
    )
    .await;
    let handled = |code| recorder.handled(SCHEDULERS, "GetScheduler", code);
    assert_eq!(handled("OK"), Some(2));
    assert_eq!(handled("NotFound"), Some(1));
    assert_eq!(handled("InvalidArgument"), Some(1), "refused at the door");
    let labels =
        r#"grpc_type="unary",grpc_service="api.v1.SchedulersService",grpc_method="GetScheduler""#;
    let page = recorder.page();
    let took = format!("{HANDLING_SECONDS}_count{{{labels}}} 4");
    assert!(page.contains(&took), "{page}");
}

#[tokio::test]
async fn what_nobody_serves_is_counted_without_its_name_and_the_streams_not_at_all() {
    let recorder = Counting::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let (metrics, script) = (Metrics::register(), Script::new(Does::Answer));
    for path in [
        "/api.v1.SchedulersService/Sleep",
        "/no.Such/Method",
        "/rubbish",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ] {
        call_counted(&metrics, &script, path, &[], framed(b"")).await;
    }
    let unknown = recorder.handled("unknown", "unknown", "Unimplemented");
    assert_eq!(unknown, Some(3));
    let page = recorder.page();
    for name in ["Sleep", "no.Such", "rubbish", "grpc.health", "reflection"] {
        assert!(!page.contains(name), "{name} in {page}");
    }
}

#[tokio::test]
async fn a_client_that_went_away_has_canceled_its_call() {
    let recorder = Counting::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let (metrics, script) = (Metrics::register(), Script::new(Does::Hang));
    let mut call = calls(&metrics, &script).call(request(GET, &[], framed(b"")));
    assert!(poll!(&mut call).is_pending());
    drop(call);
    let canceled = recorder.handled(SCHEDULERS, "GetScheduler", "Canceled");
    assert_eq!(canceled, Some(1));
}

#[tokio::test]
async fn the_handles_of_a_method_are_asked_for_once() {
    let recorder = Counting::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let (metrics, script) = (Metrics::register(), Script::new(Does::Answer));
    let ping = "/api.v1.RoomsService/UpdateRoomWithPing";
    let before = recorder.asked.load(Relaxed);
    for _ in 0..10 {
        call_counted(&metrics, &script, ping, &[], framed(b"")).await;
    }
    assert_eq!(recorder.asked.load(Relaxed), before);
    let handled = recorder.handled("api.v1.RoomsService", "UpdateRoomWithPing", "OK");
    assert_eq!(handled, Some(10));
}
