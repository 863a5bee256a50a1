//! A trace collector: a real OTLP receiver that keeps what it gets.

use crate::support::{eventually, seconds};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::{Arc, Mutex};
use tokio_stream::wrappers::TcpListenerStream;

/// A collector on a free port.
#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

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
    /// Starts a collector; returns it with its URL.
    pub async fn start() -> (Self, String) {
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

    pub fn spans(&self) -> Vec<Span> {
        let requests = self.0.lock().expect("whole");
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The attributes of the sender.
    pub fn resource(&self) -> Vec<(String, String)> {
        let requests = self.0.lock().expect("whole");
        let resource = requests[0].resource_spans[0].resource.clone();
        let attributes = resource.expect("a resource").attributes;
        attributes
            .iter()
            .map(|a| (a.key.clone(), text(a)))
            .collect()
    }

    /// Waits until the received spans satisfy a condition.
    pub async fn until(&self, what: &str, level: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let came = eventually(seconds(30), || async { level(&self.spans()) }).await;
        let spans = self.spans();
        assert!(came, "no {what} among {:?}", named(&spans));
        spans
    }
}

pub fn named(spans: &[Span]) -> Vec<String> {
    spans.iter().map(|span| span.name.clone()).collect()
}

fn text(attribute: &KeyValue) -> String {
    let value = attribute.value.as_ref().and_then(|v| v.value.clone());
    match value {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

pub fn has(span: &Span, key: &str, value: &str) -> bool {
    let mut attributes = span.attributes.iter();
    attributes.any(|a| a.key == key && text(a) == value)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
