//! Traces of the built binary, as a collector gets them: one tree from the request to what follows
//! from it, a caller's own trace taken on, and nothing that a collector which is away holds up.

mod support;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Home, Maestro, eventually, seconds};
use tokio_stream::wrappers::TcpListenerStream;

/// A collector on a free port.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.lock().expect("whole").push(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// With its URL.
    async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        // It ends with the test's runtime.
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, url)
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.0.lock().expect("whole");
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The attributes of whoever sends.
    fn resource(&self) -> Vec<(String, String)> {
        let requests = self.0.lock().expect("whole");
        let resource = requests[0].resource_spans[0].resource.clone();
        let attributes = resource.expect("a resource").attributes;
        attributes
            .iter()
            .map(|a| (a.key.clone(), text(a)))
            .collect()
    }

    /// Waits for spans that satisfy.
    async fn until(&self, what: &str, level: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let came = eventually(seconds(30), || async { level(&self.spans()) }).await;
        let spans = self.spans();
        assert!(came, "no {what} among {:?}", named(&spans));
        spans
    }
}

fn named(spans: &[Span]) -> Vec<String> {
    spans.iter().map(|span| span.name.clone()).collect()
}

fn text(attribute: &KeyValue) -> String {
    let value = attribute.value.as_ref().and_then(|v| v.value.clone());
    match value {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

fn has(span: &Span, key: &str, value: &str) -> bool {
    let mut attributes = span.attributes.iter();
    attributes.any(|a| a.key == key && text(a) == value)
}

/// The request that created this scheduler.
fn request<'a>(spans: &'a [Span], handler: &str) -> Option<&'a Span> {
    let mut requests = spans.iter().filter(|span| span.name == "request");
    requests.find(|span| has(span, "handler_name", handler))
}

fn below<'a>(spans: &'a [Span], parent: &Span, name: &str) -> Vec<&'a Span> {
    let mine = |span: &&Span| span.parent_span_id == parent.span_id && span.name == name;
    spans.iter().filter(mine).collect()
}

/// request → message → commit and work → message → commit, all of one trace.
fn tree_of(spans: &[Span]) -> Option<Vec<&Span>> {
    let request = request(spans, "/schedulers")?;
    let message = *below(spans, request, "message").first()?;
    let commit = *below(spans, message, "commit").first()?;
    let work = *below(spans, message, "work").first()?;
    let result = *below(spans, work, "message").first()?;
    let stored = *below(spans, result, "commit").first()?;
    Some(vec![request, message, commit, work, result, stored])
}

fn start(home: &Home, url: &str, more: &[(&str, &str)]) -> Maestro {
    let mut environment = vec![
        ("MAESTRO_TRACING_OTLP_ENDPOINT", url),
        ("MAESTRO_TRACING_OTLP_SAMPLER", "1"),
    ];
    environment.extend(more);
    home.start_with(&environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_its_message_its_commit_and_its_work_are_one_trace() {
    let (collector, url) = Collector::start().await;
    let home = Home::new();
    let maestro = start(&home, &url, &[]);
    maestro.bring_up(&home.fleet("traced", 1)).await;
    let spans = collector
        .until("tree of a creation", |spans| tree_of(spans).is_some())
        .await;
    let tree = tree_of(&spans).expect("it was there");
    let [request, message, commit, work, result, _] = tree[..] else {
        panic!("{tree:?}")
    };
    assert!(tree.iter().all(|span| span.trace_id == request.trace_id));
    assert!(request.parent_span_id.is_empty(), "nobody stands above it");
    assert!(has(message, "kind", "create_scheduler"), "{message:?}");
    assert!(has(message, "scheduler_name", "traced"), "{message:?}");
    assert!(has(work, "kind", "prepare"), "{work:?}");
    assert!(has(result, "kind", "work_done"), "{result:?}");
    // The answer is given once the change is durable, and the work begins after that.
    assert!(commit.end_time_unix_nano <= request.end_time_unix_nano);
    assert!(commit.end_time_unix_nano <= work.start_time_unix_nano + 1_000_000);
    let resource = collector.resource();
    for (key, value) in [
        ("service.name", "maestro-next"),
        ("service.namespace", "all"),
    ] {
        let found = resource.iter().any(|(k, v)| k == key && v == value);
        assert!(found, "{key}: {resource:?}");
    }
    maestro.remove("traced").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_goes_on_and_its_choice_is_followed() {
    let (collector, url) = Collector::start().await;
    let home = Home::new();
    // By itself it would trace nothing.
    let quiet = [("MAESTRO_TRACING_OTLP_SAMPLER", "0")];
    let maestro = start(&home, &url, &quiet);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let get = |path: &str, parent: Option<String>| {
        let request = maestro.http.get(format!("{}{path}", maestro.management));
        let request = parent.into_iter().fold(request, |request, parent| {
            request.header("traceparent", parent)
        });
        async move { request.send().await.expect("an answer").status() }
    };
    let (chosen, refused) = ("00f067aa0ba902b7", "00f067aa0ba902b8");
    get("/schedulers", None).await;
    get("/schedulers", Some("rubbish".into())).await;
    get("/schedulers", Some(format!("00-{trace}-{refused}-00"))).await;
    let list = get("/schedulers/info", Some(format!("00-{trace}-{chosen}-01")));
    assert_eq!(list.await, 200);
    collector.until("request", |spans| !spans.is_empty()).await;
    assert!(maestro.stop().success());
    let spans = collector.spans();
    assert_eq!(named(&spans), ["request"], "the chosen one alone");
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&spans[0].trace_id), trace);
    assert_eq!(hex(&spans[0].parent_span_id), chosen);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_at_the_end() {
    let (collector, url) = Collector::start().await;
    let home = Home::new();
    let maestro = start(&home, &url, &[]);
    assert_eq!(maestro.get("/schedulers").await.0, 200);
    assert!(maestro.stop().success());
    assert!(request(&collector.spans(), "/schedulers").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nothing_up_and_is_told_of_once() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    let home = Home::new();
    let url = format!("http://{address}");
    let maestro = start(&home, &url, &[]);
    let told = |maestro: &Maestro| maestro.logged().matches("traces cannot be sent").count();
    let loses = eventually(seconds(30), || async {
        maestro.get("/schedulers").await.0 == 200 && told(&maestro) > 0
    });
    assert!(loses.await, "{}", maestro.logged());
    for _ in 0..100 {
        assert_eq!(maestro.get("/schedulers").await.0, 200);
    }
    let log = maestro.log.clone();
    let began = Instant::now();
    assert!(maestro.stop().success());
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "the end is bounded"
    );
    let log = log.lock().expect("whole").join("\n");
    assert_eq!(log.matches("traces cannot be sent").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jaeger_settings_lead_to_a_collector_with_a_warning() {
    let home = Home::new();
    let maestro = home.start_with(&[
        ("MAESTRO_API_TRACING_JAEGER_DISABLED", "false"),
        ("MAESTRO_API_TRACING_JAEGER_AGENT_HOST", "127.0.0.9"),
    ]);
    let log = maestro.logged();
    assert!(log.contains("http://127.0.0.9:4317"), "{log}");
    assert!(log.contains("write tracing.otlp.endpoint"), "{log}");
    let other = Home::new();
    let silent = other.start();
    assert!(!silent.logged().contains("traces"), "{}", silent.logged());
    let wrong = [("MAESTRO_TRACING_OTLP_ENDPOINT", "https://there:4317")];
    let refused = other.try_start(&wrong).map(drop).expect_err("no TLS here");
    assert!(refused.contains("TLS to a collector"), "{refused}");
}
