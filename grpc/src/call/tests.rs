//! Calls as they arrive from the wire, without a network.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::codegen::http::Request;

use super::*;
use crate::script::{Does, Script};
use crate::server::routes;
use crate::{
    API_DESCRIPTORS, CONTROL_DESCRIPTORS, PUBLIC_DESCRIPTORS, RESOURCES_DESCRIPTORS,
    RUNTIME_DESCRIPTORS, VERSION_DESCRIPTORS,
};
use tokio_util::sync::CancellationToken;

pub const GET: &str = "/api.v1.SchedulersService/GetScheduler";

/// A message as gRPC frames it: uncompressed, with its length in front.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// Code, message and request id of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    code: String,
    message: String,
    request_id: String,
}

async fn call(script: &Arc<Script>, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Told {
    let metrics =
        Metrics::register(&prometheus::Registry::new(), Audience::Nodes).expect("the first");
    call_counted(&metrics, script, path, headers, body).await
}

pub fn calls(metrics: &Arc<Metrics>, script: &Arc<Script>) -> Calls {
    let metrics = metrics.clone();
    let routes = routes(script.apis(), Audience::Nodes, CancellationToken::new())
        .expect("whole descriptors");
    Calls {
        secret: None,
        by_certificate: false,
        routes,
        audience: Audience::Nodes,
        access: ManagerAccess::default(),
        metrics,
    }
}

pub fn request(path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request<Body> {
    let mut request = Request::post(path).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Body::new(Full::new(body.into()));
    request.body(body).expect("a request")
}

pub async fn call_counted(
    metrics: &Arc<Metrics>,
    script: &Arc<Script>,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Told {
    let request = request(path, headers, body);
    let answer = calls(metrics, script).call(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned();
    let all = [head.headers, trailers.unwrap_or_default()];
    let header = |name| {
        let found = all.iter().find_map(|headers| text(headers, name));
        found.unwrap_or_default().to_owned()
    };
    Told {
        code: header("grpc-status"),
        message: header("grpc-message").replace("%20", " "),
        request_id: header(REQUEST_ID),
    }
}

#[tokio::test]
async fn the_callers_request_id_is_kept_and_a_bad_one_replaced() {
    let script = Script::new(Does::Answer);
    let told = call(&script, GET, &[(REQUEST_ID, "from-ci.7")], framed(b"")).await;
    assert_eq!(
        (told.code.as_str(), told.request_id.as_str()),
        ("0", "from-ci.7")
    );
    let told = call(&script, GET, &[(REQUEST_ID, "two words")], framed(b"")).await;
    let heard = script.heard.lock().unwrap();
    assert_eq!(heard[0].1.request_id, "from-ci.7");
    assert_eq!(heard[1].1.request_id, told.request_id);
    assert!(!told.request_id.is_empty() && told.request_id != "two words");
}

#[tokio::test]
async fn every_call_of_the_proto_files_reaches_its_method() {
    let script = Script::new(Does::Answer);
    let sets = [
        API_DESCRIPTORS,
        PUBLIC_DESCRIPTORS,
        CONTROL_DESCRIPTORS,
        RESOURCES_DESCRIPTORS,
        RUNTIME_DESCRIPTORS,
        VERSION_DESCRIPTORS,
    ]
    .map(|set| FileDescriptorSet::decode(set).unwrap());
    // The descriptors of `ControlService` repeat the files that they import.
    let files: BTreeMap<_, _> = sets
        .iter()
        .flat_map(|set| &set.file)
        .map(|file| (file.name(), file))
        .collect();
    let services: Vec<_> = files
        .values()
        .flat_map(|file| file.service.iter().map(|s| (file.package(), s)))
        .collect();
    assert_eq!(services.len(), 9);
    for (package, service) in services {
        for method in &service.method {
            let path = format!("/{package}.{}/{}", service.name(), method.name());
            let told = call(&script, &path, &[], framed(b"")).await;
            assert_eq!(told.code, "0", "{path}");
            // A call changes something unless its name begins with one of these verbs.
            let reads = ["Get", "List", "Read", "Watch", "RuntimeStatus"]
                .iter()
                .any(|word| method.name().starts_with(word));
            assert_eq!(
                Audience::Nodes.call(&path).unwrap().mutating,
                !reads,
                "{path}"
            );
            let heard = script.heard.lock().unwrap().pop().unwrap().0;
            assert_eq!(heard.replace('_', ""), method.name().to_lowercase());
        }
    }
}

#[tokio::test]
async fn failures_have_the_code_and_message_of_the_api() {
    for code in 1..=16 {
        let code = Code::from_number(code).unwrap();
        let script = Script::new(Does::Refuse(Status::new(code, "because of that")));
        let told = call(&script, GET, &[], framed(b"")).await;
        assert_eq!(told.code, code.number().to_string());
        assert_eq!(told.message, "because of that");
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    let script = Script::new(Does::Panic);
    let told = call(&script, GET, &[(REQUEST_ID, "r")], framed(b"")).await;
    let expected = Told {
        code: "13".into(),
        message: "internal error".into(),
        request_id: "r".into(),
    };
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_call_ends_with_the_callers_patience() {
    let script = Script::new(Does::Hang);
    for timeout in ["20m", "0S", "-1S"] {
        let told = call(&script, GET, &[("grpc-timeout", timeout)], framed(b"")).await;
        let told = (told.code.as_str(), told.message.as_str());
        assert_eq!(told, ("4", "context deadline exceeded"), "{timeout}");
    }
    let left = script.heard.lock().unwrap()[0].1.deadline;
    assert!(left.is_some(), "the API knows how long it may take");
    let told = call(&script, GET, &[("grpc-timeout", "soon")], framed(b"")).await;
    assert_eq!(told.code, "3");
    assert_eq!(told.message, "invalid grpc-timeout: soon");
}

#[tokio::test]
async fn messages_are_bounded_and_rubbish_is_refused() {
    let script = Script::new(Does::Answer);
    let name = |length: usize| {
        let name = "x".repeat(length);
        maestro_api::codec::to_wire(&maestro_api::codec::messages::GetSchedulerRequest {
            scheduler_name: name,
            ..Default::default()
        })
    };
    // The tag and the length of the name take four bytes.
    let told = call(&script, GET, &[], framed(&name(MESSAGE_MAX - 4))).await;
    assert_eq!(told.code, "0");
    let told = call(&script, GET, &[], framed(&name(MESSAGE_MAX - 3))).await;
    assert_eq!(told.code, "8");
    assert_eq!(
        told.message,
        "request body exceeds the limit of 1048576 bytes"
    );
    let told = call(&script, GET, &[], framed(b"\x08\x01")).await;
    assert_eq!(told.code, "3");
    assert_eq!(
        told.message,
        "proto: field scheduler_name: unexpected wire type: varint"
    );
    for broken in [
        &b""[..],
        b"\x00",
        b"\x00\xff\xff\xff\xff",
        b"\x00\x00\x00\x00\x00\x00",
        b"GET / HTTP",
    ] {
        let told = call(&script, GET, &[], broken.to_vec()).await;
        assert_eq!(told.code, "3", "{broken:?}: {told:?}");
    }
    // An unknown flag.
    let told = call(&script, GET, &[], b"\x02\x00\x00\x00\x00".to_vec()).await;
    assert_ne!(told.code, "0");
    assert_eq!(
        script.heard.lock().unwrap().len(),
        1,
        "nothing else came through"
    );
}
