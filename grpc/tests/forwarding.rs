//! The client of forwarders against real servers: what arrives, and which error is reported when a call fails.

use maestro_core::domain::{Address, Forwarder, ForwarderOptions, PingStatus, Port};
use maestro_core::ports::{ForwardError, ForwardedEvent, Forwarders, Forwarding};
use maestro_grpc::testing::TestForwarder;
use maestro_grpc::{ForwarderMetrics, GrpcForwarders, KeepAlive};
use maestro_testkit::eventually;
use serde_json::Map;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Status;

const LONG: Duration = Duration::from_secs(60);

fn client() -> GrpcForwarders {
    let metrics = ForwarderMetrics::register(&prometheus::Registry::new()).expect("the first");
    GrpcForwarders::new(KeepAlive::default(), metrics)
}

fn forwarder(address: &str, timeout: i64) -> Forwarder {
    Forwarder {
        name: "mm".into(),
        enabled: true,
        forward_type: "gRPC".into(),
        address: address.into(),
        options: Some(ForwarderOptions {
            timeout,
            metadata: Map::new(),
        }),
    }
}

fn event(event: ForwardedEvent) -> Forwarding {
    Forwarding {
        scheduler: "s".into(),
        game: "g".into(),
        to: Arc::new([]),
        room: "r1".into(),
        address: Some(Arc::new(Address {
            host: "10.0.0.7".into(),
            ports: vec![Port {
                name: "clientPort".into(),
                port: 40123,
                protocol: "UDP".into(),
            }],
        })),
        event,
        metadata: r#"{"n": 1e6}"#.into(),
    }
}

fn goal() -> Forwarding {
    event(ForwardedEvent::RoomEvent("goal".into()))
}

async fn failure(client: &GrpcForwarders, forwarder: &Forwarder) -> String {
    client
        .forward(forwarder, &goal())
        .await
        .expect_err("a failure")
        .to_string()
}

/// An address on which nothing listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

#[tokio::test]
async fn each_kind_of_event_goes_to_its_method() {
    let mm = TestForwarder::start();
    let (client, to) = (client(), forwarder(&mm.address(), 5000));
    let status = PingStatus::Occupied;
    let word = "Occupied".into();
    let (joined, player) = (true, "p1".into());
    for kind in [
        ForwardedEvent::Resync(PingStatus::Ready),
        ForwardedEvent::Status { status, word },
        ForwardedEvent::Terminated,
        ForwardedEvent::RoomEvent("goal".into()),
        ForwardedEvent::Player { joined, player },
    ] {
        client.forward(&to, &event(kind)).await.unwrap();
    }
    let expected = [
        "resync:ready",
        "status:occupied",
        "status:terminated",
        "event:goal",
        "player:p1",
    ];
    assert_eq!(mm.words("r1"), expected);
    let received = mm.received();
    assert!(received.iter().all(|r| r.metadata("n") == Some("1e+06")));
    assert_eq!(received[1].metadata("pingType"), Some("Occupied"));
    assert_eq!(mm.patience().as_deref(), Some("5000000u"));
}

#[tokio::test]
async fn a_reply_other_than_200_is_a_failure() {
    let mm = TestForwarder::start();
    let (client, to) = (client(), forwarder(&mm.address(), 5000));
    for code in [404, 0, 201, 500] {
        mm.answer(code, "because");
        let error = client.forward(&to, &goal()).await.unwrap_err();
        let forwarder = "mm".to_owned();
        assert_eq!(error, ForwardError::Refused { forwarder, code });
        assert_eq!(error.to_string(), r#"failed to forward event room at "mm""#);
    }
    mm.answer(200, "");
    client.forward(&to, &goal()).await.unwrap();
}

#[tokio::test]
async fn a_status_is_told_with_its_name_and_its_words() {
    let mm = TestForwarder::start();
    let (client, to) = (client(), forwarder(&mm.address(), 5000));
    for (status, expected) in [
        (Status::cancelled("because"), "Canceled: because"),
        (
            Status::permission_denied("because"),
            "PermissionDenied: because",
        ),
        (Status::deadline_exceeded(""), "DeadlineExceeded"),
        (Status::unavailable("not today"), "Unavailable: not today"),
    ] {
        mm.fail(status);
        let expected = format!(r#"failed to forward event room at "mm" with code {expected}"#);
        assert_eq!(failure(&client, &to).await, expected);
    }
}

/// Answers every call with a status outside the standard range.
#[derive(Clone)]
struct Odd;

impl tonic::server::NamedService for Odd {
    const NAME: &'static str = "eventforwarder.GRPCForwarder";
}

impl tower::Service<http::Request<tonic::body::Body>> for Odd {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;
    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: http::Request<tonic::body::Body>) -> Self::Future {
        let response = http::Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "99")
            .body(tonic::body::Body::empty());
        std::future::ready(Ok(response.expect("a response")))
    }
}

#[tokio::test]
async fn a_status_that_nobody_knows_keeps_its_number() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(Odd);
    let server = tokio::spawn(server.serve_with_incoming(incoming));
    let expected = r#"failed to forward event room at "mm" with code Code(99)"#;
    assert_eq!(
        failure(&client(), &forwarder(&address, 5000)).await,
        expected
    );
    server.abort();
}

#[tokio::test]
async fn a_forwarder_that_is_slow_is_waited_for_until_its_timeout() {
    let mm = TestForwarder::start();
    let gate = mm.hold("");
    let address = mm.address();
    let text = failure(&client(), &forwarder(&address, 150)).await;
    let expected = format!(
        r#"failed to forward event room at "mm" with code DeadlineExceeded: {address} did not answer within 150ms"#
    );
    assert_eq!(text, expected);
    // A timeout that has expired before the call begins waits for nothing.
    for timeout in [0, -1, i64::MIN] {
        let text = failure(&client(), &forwarder(&address, timeout)).await;
        let cause = format!("with code DeadlineExceeded: its timeout is {timeout} ms");
        assert!(text.ends_with(&cause), "{text}");
    }
    assert_eq!(mm.received().len(), 1);
    gate.open();
    // Without options the timeout is a second.
    let mut to = forwarder(&address, 1);
    to.options = None;
    client().forward(&to, &goal()).await.unwrap();
    assert_eq!(mm.patience().as_deref(), Some("1000000u"));
}

#[tokio::test]
async fn a_forwarder_that_cannot_be_reached_is_told_with_the_reason() {
    let client = client();
    let address = nobody();
    let text = failure(&client, &forwarder(&address, 5000)).await;
    let start = format!(
        r#"failed to forward event room at "mm" with code Unavailable: cannot connect to {address}: "#
    );
    assert!(
        text.starts_with(&start) && text.contains("refused"),
        "{text}"
    );
    // During the back-off a call fails at once, with the same reason.
    assert_eq!(failure(&client, &forwarder(&address, 5000)).await, text);

    for wrong in [
        "no port here",
        "",
        ":80",
        "host:http",
        "a b:80",
        "host:99999",
    ] {
        let text = failure(&client, &forwarder(wrong, 5000)).await;
        let start = r#"failed to forward event room at "mm" with code Unavailable: "#;
        assert!(
            text.starts_with(start) && text.len() > start.len(),
            "{text}"
        );
        assert!(
            text.contains("is not of the form host:port") || wrong == "a b:80",
            "{text}"
        );
    }
    let text = failure(&client, &forwarder("name.invalid:80", 60_000)).await;
    assert!(
        text.contains(r#"Unavailable: cannot look up "name.invalid": "#),
        "{text}"
    );
}

#[tokio::test]
async fn a_forwarder_that_comes_back_is_used_again() {
    let mut mm = TestForwarder::start();
    let (client, to) = (client(), forwarder(&mm.address(), 5000));
    client.forward(&to, &goal()).await.unwrap();
    mm = tokio::task::spawn_blocking(move || {
        mm.stop();
        mm
    })
    .await
    .unwrap();
    let text = failure(&client, &to).await;
    assert!(text.contains("with code Unavailable: "), "{text}");
    mm = tokio::task::spawn_blocking(move || {
        mm.restart();
        mm
    })
    .await
    .unwrap();
    eventually_forwarded(&client, &to).await;
    assert!(mm.received().len() >= 2);
}

async fn eventually_forwarded(client: &GrpcForwarders, to: &Forwarder) {
    let until = tokio::time::Instant::now() + LONG;
    while let Err(why) = client.forward(to, &goal()).await {
        assert!(tokio::time::Instant::now() < until, "{why}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_call_that_is_cut_is_told() {
    let mut mm = TestForwarder::start();
    let _gate = mm.hold("");
    let (client, to) = (Arc::new(client()), forwarder(&mm.address(), 60_000));
    let calling = tokio::spawn({
        let (client, to) = (client.clone(), to.clone());
        async move { failure(&client, &to).await }
    });
    eventually(LONG, "it is called", || !mm.received().is_empty()).await;
    tokio::task::spawn_blocking(move || mm.stop())
        .await
        .unwrap();
    let text = calling.await.unwrap();
    let start = format!(
        r#"failed to forward event room at "mm" with code Unavailable: the connection to {} was lost: "#,
        to.address
    );
    assert!(text.starts_with(&start), "{text}");
}

/// `localhost` resolves to 127.0.0.1 and, on most machines, to ::1 as well: if nothing listens on one of them, the
/// other one is called.
#[tokio::test]
async fn a_name_is_looked_up_and_all_that_it_stands_for_is_tried() {
    let mm = TestForwarder::start();
    let port = mm.address().rsplit_once(':').unwrap().1.to_owned();
    let client = client();
    for address in [
        format!("localhost:{port}"),
        format!("dns:///localhost:{port}"),
    ] {
        for _ in 0..4 {
            client
                .forward(&forwarder(&address, 5000), &goal())
                .await
                .unwrap();
        }
    }
    assert_eq!(mm.received().len(), 8);
}

#[tokio::test]
async fn an_event_that_cannot_be_told_calls_nobody() {
    let mm = TestForwarder::start();
    let (client, to) = (client(), forwarder(&mm.address(), 5000));
    let mut no_port = goal();
    no_port.address = None;
    let text = client.forward(&to, &no_port).await.unwrap_err().to_string();
    let expected =
        r#"no room port found to forward roomEvent. Forwarder name: "mm", Scheduler: "s""#;
    assert_eq!(text, expected);
    let mut deep = goal();
    deep.metadata = format!(r#"{{"a":{}1{}}}"#, "[".repeat(200), "]".repeat(200)).into();
    let text = client.forward(&to, &deep).await.unwrap_err().to_string();
    assert!(
        text.contains("cannot be forwarded: recursion limit"),
        "{text}"
    );
    assert!(mm.received().is_empty());
}

/// A forwarder that accepts no call: it allows no concurrent streams.
#[tokio::test]
async fn a_connection_on_which_no_call_ever_begins_ends_with_its_scheduler() {
    const NO_STREAMS: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("it connects");
        stream.write_all(NO_STREAMS).await.expect("it reads");
        // Reads until the connection ends, in an orderly way or with an error.
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
    });
    let client = client();
    let to = forwarder(&address, 200);
    let mut event = goal();
    event.to = Arc::new([to.clone()]);
    // The first call may end before the settings arrive.
    for _ in 0..3 {
        client
            .forward(&to, &event)
            .await
            .expect_err("no call is let in");
    }
    assert!(!serving.is_finished());
    client.ended(&event.scheduler);
    let ended = tokio::time::timeout(LONG, serving).await;
    ended
        .expect("the connection ends")
        .expect("it heard the end");
}
