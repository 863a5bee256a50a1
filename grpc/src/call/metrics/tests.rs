//! Calls, and how they are counted.

use futures_util::poll;
use prometheus::TextEncoder;
use tonic::codegen::Service;

use super::*;
use crate::call::tests::{GET, call_counted, calls, framed, request};
use crate::script::{Does, Script};
use crate::services::ActorsShownTo;
use maestro_api::Status;

/// The metrics page as Prometheus scrapes it.
struct Pages(Registry);

impl Pages {
    fn new() -> (Self, Arc<Metrics>) {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry, PUBLIC).expect("the first");
        assert!(
            Metrics::register(&registry, PUBLIC).is_err(),
            "it is there twice"
        );
        (Self(registry), metrics)
    }

    fn page(&self) -> String {
        let text = TextEncoder::new().encode_to_string(&self.0.gather());
        text.expect("a page")
    }

    /// The value of the series for this method and code, if it exists.
    fn handled(&self, service: &str, method: &str, code: &str) -> Option<u64> {
        let kind = match method.starts_with("Watch") {
            true => "server_stream",
            false => "unary",
        };
        let labels = format!(
            r#"{{grpc_code="{code}",grpc_method="{method}",grpc_service="{service}",grpc_type="{kind}"}} "#
        );
        let line = format!("{HANDLED}{labels}");
        let page = self.page();
        let value = page.lines().find_map(|l| l.strip_prefix(line.as_str()));
        value.and_then(|value| value.parse().ok())
    }
}

const PUBLIC: Audience = Audience::Public(ActorsShownTo::Nobody);
const SCHEDULERS: &str = "api.v1.SchedulersService";

#[tokio::test]
async fn calls_are_counted_by_method_and_code_from_the_start() {
    let (pages, metrics) = Pages::new();
    for rpc in PUBLIC.calls() {
        let (service, method) = rpc.path[1..].split_once('/').unwrap();
        assert_eq!(pages.handled(service, method, "OK"), Some(0), "{rpc:?}");
    }
    let answers = Script::new(Does::Answer);
    let refuses = Script::new(Does::Refuse(Status::new(Code::NotFound, "nobody")));
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
    let handled = |code| pages.handled(SCHEDULERS, "GetScheduler", code);
    assert_eq!(handled("OK"), Some(2));
    assert_eq!(handled("NotFound"), Some(1));
    assert_eq!(handled("InvalidArgument"), Some(1), "refused at the door");
    let labels =
        r#"grpc_method="GetScheduler",grpc_service="api.v1.SchedulersService",grpc_type="unary""#;
    let page = pages.page();
    let took = format!("{HANDLING_SECONDS}_count{{{labels}}} 4");
    assert!(page.contains(&took), "{page}");
}

#[tokio::test]
async fn what_nobody_serves_is_counted_without_its_name_and_the_streams_not_at_all() {
    let (pages, metrics) = Pages::new();
    let script = Script::new(Does::Answer);
    for path in [
        "/api.v1.SchedulersService/Sleep",
        "/no.Such/Method",
        "/rubbish",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ] {
        call_counted(&metrics, &script, path, &[], framed(b"")).await;
    }
    let unknown = pages.handled("unknown", "unknown", "Unimplemented");
    assert_eq!(unknown, Some(3));
    let page = pages.page();
    for name in ["Sleep", "no.Such", "rubbish", "grpc.health", "reflection"] {
        assert!(!page.contains(name), "{name} in {page}");
    }
}

#[tokio::test]
async fn a_client_that_went_away_has_canceled_its_call() {
    let (pages, metrics) = Pages::new();
    let script = Script::new(Does::Hang);
    let mut call = calls(&metrics, &script).call(request(GET, &[], framed(b"")));
    assert!(poll!(&mut call).is_pending());
    drop(call);
    let canceled = pages.handled(SCHEDULERS, "GetScheduler", "Canceled");
    assert_eq!(canceled, Some(1));
}

#[tokio::test]
async fn the_handles_of_a_method_are_asked_for_once() {
    let (pages, metrics) = Pages::new();
    let script = Script::new(Does::Answer);
    let ping = "/api.v1.RoomsService/UpdateRoomWithPing";
    let before = std::ptr::from_ref(metrics.handled(metrics.of(ping), None));
    for _ in 0..10 {
        call_counted(&metrics, &script, ping, &[], framed(b"")).await;
    }
    assert_eq!(
        std::ptr::from_ref(metrics.handled(metrics.of(ping), None)),
        before
    );
    let handled = pages.handled("api.v1.RoomsService", "UpdateRoomWithPing", "OK");
    assert_eq!(handled, Some(10));
}
