//! Traces of the built binary, as a collector gets them: a request and everything that follows from
//! it form one tree, a caller's own trace is continued, and an unavailable collector delays
//! nothing.

#[path = "support/collector.rs"]
mod collector;
#[path = "support/grpc.rs"]
mod grpc;
mod support;

use collector::{Collector, has, hex, named};
use grpc::GrpcClient;
use maestro_grpc::testing::{TestForwarder, Traced};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::json;
use std::time::{Duration, Instant};
use support::stores::Stores;
use support::{Home, Maestro, eventually, seconds};

/// The trace id and the span id that a caller sends.
const CALLER: [&str; 2] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];

fn traceparent() -> String {
    let [trace, span] = CALLER;
    format!("00-{trace}-{span}-01")
}

/// Whether the span is a child of the caller's.
fn is_callers(span: &Span) -> bool {
    [hex(&span.trace_id), hex(&span.parent_span_id)] == CALLER
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
    // Without a caller's choice nothing would be traced.
    let quiet = [("MAESTRO_TRACING_OTLP_SAMPLER", "0")];
    let maestro = start(&home, &url, &quiet);
    let get = |path: &str, parent: Option<String>| {
        let request = maestro.http.get(format!("{}{path}", maestro.management));
        let request = parent.into_iter().fold(request, |request, parent| {
            request.header("traceparent", parent)
        });
        async move { request.send().await.expect("an answer").status() }
    };
    let ([trace, _], refused) = (CALLER, "00f067aa0ba902b8");
    get("/schedulers", None).await;
    get("/schedulers", Some("rubbish".into())).await;
    get("/schedulers", Some(format!("00-{trace}-{refused}-00"))).await;
    let list = get("/schedulers/info", Some(traceparent()));
    assert_eq!(list.await, 200);
    collector.until("request", |spans| !spans.is_empty()).await;
    assert!(maestro.stop().success());
    let spans = collector.spans();
    assert_eq!(named(&spans), ["request"], "the chosen one alone");
    assert!(is_callers(&spans[0]), "{:?}", spans[0]);
}

/// Checks that a request's span is a child of the caller's, and has these attributes.
fn assert_request(span: &Span, attributes: &[(&str, &str)]) {
    assert_eq!(span.kind, SpanKind::Server as i32, "{span:?}");
    assert!(is_callers(span), "{span:?}");
    for (key, value) in attributes {
        assert!(has(span, key, value), "{key}: {span:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_grpc_is_traced_like_a_request() {
    let (collector, url) = Collector::start().await;
    let home = Home::new();
    let quiet = [("MAESTRO_TRACING_OTLP_SAMPLER", "0")];
    let maestro = start(&home, &url, &quiet);
    let grpc = GrpcClient::connect(&maestro.grpc).await;
    let parent = traceparent();
    let metadata = [("traceparent", parent.as_str()), ("x-request-id", "a-call")];
    let order = "SchedulersService/CreateScheduler";
    let made = grpc.send(order, home.fleet("called", 1), &metadata).await;
    made.expect("it is created");
    let ping = json!({"schedulerName": "called", "roomName": "nobody", "status": "ready"});
    let ping = grpc.send("RoomsService/UpdateRoomWithPing", ping, &metadata);
    ping.await.expect("an answer");
    let read = json!({"schedulerName": "called", "operationId": "none"});
    let read = grpc.send("OperationsService/GetOperation", read, &metadata);
    assert_eq!(
        read.await.expect_err("no such").code(),
        tonic::Code::NotFound
    );
    let list = grpc.send("SchedulersService/ListSchedulers", json!({}), &metadata);
    list.await.expect("a list");
    let all = [
        (
            "SchedulersService/CreateScheduler",
            ("scheduler_name", "called"),
        ),
        ("RoomsService/UpdateRoomWithPing", ("room_id", "nobody")),
        ("OperationsService/GetOperation", ("operation_id", "none")),
        ("SchedulersService/ListSchedulers", ("request_id", "a-call")),
    ];
    let named = |method: &str| format!("/api.v1.{method}");
    let spans = collector
        .until("calls", |spans| {
            let came = |(method, _): &(&str, _)| request(spans, &named(method)).is_some();
            all.iter().all(came)
        })
        .await;
    for (method, subject) in all {
        let span = request(&spans, &named(method)).expect("it was there");
        assert_request(span, &[("request_id", "a-call"), subject]);
    }
    let created = request(&spans, &named(order)).expect("it was there");
    assert_eq!(below(&spans, created, "message").len(), 1, "it goes on");
    let list = request(&spans, &named(all[3].0)).expect("it was there");
    let about = list.attributes.iter().any(|a| a.key == "scheduler_name");
    assert!(!about, "of none: {list:?}");
    maestro.remove("called").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_beside_the_contract_are_traced_like_requests() {
    let (collector, url) = Collector::start().await;
    let home = Home::new();
    let quiet = [("MAESTRO_TRACING_OTLP_SAMPLER", "0")];
    let maestro = start(&home, &url, &quiet);
    maestro.bring_up(&home.fleet("beside", 1)).await;
    let get = async |url: String| {
        let request = maestro.http.get(url).header("traceparent", traceparent());
        let request = request.header("x-request-id", "an-operator");
        request.send().await.expect("an answer").status().as_u16()
    };
    let at = |path: &str| format!("{}{path}", maestro.management);
    assert_eq!(get(at("/schedulers/beside/rooms/nobody")).await, 404);
    assert_eq!(get(at("/debug/actors")).await, 200);
    let internal = format!("{}/debug/actors/beside/reload", maestro.internal);
    let reload = maestro
        .http
        .post(internal)
        .header("traceparent", traceparent());
    assert_eq!(reload.send().await.expect("an answer").status(), 200);
    let all = [
        "/schedulers/{scheduler}/rooms/{room}",
        "/debug/actors",
        "/debug/actors/{scheduler}/reload",
    ];
    let spans = collector
        .until("requests", |spans| {
            all.iter().all(|path| request(spans, path).is_some())
        })
        .await;
    let [room, actors, reload] = all.map(|path| request(&spans, path).expect("it was there"));
    let (name, operator) = (("scheduler_name", "beside"), ("request_id", "an-operator"));
    assert_request(room, &[operator, name, ("room_id", "nobody")]);
    assert_eq!(below(&spans, room, "message").len(), 1, "it goes on");
    assert_request(actors, &[operator]);
    assert_request(reload, &[name]);
    maestro.remove("beside").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_at_another_node_reaches_the_owner_in_its_trace() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let (collector, url) = Collector::start().await;
    let (first_home, second_home) = (Home::new(), Home::new());
    let settings = [
        ("MAESTRO_TRACING_OTLP_ENDPOINT", url.as_str()),
        ("MAESTRO_TRACING_OTLP_SAMPLER", "1"),
    ];
    let first = stores.module("all", &first_home, &settings);
    let second = stores.module("all", &second_home, &settings);
    let created = first.post("/schedulers", &first_home.fleet("far", 1)).await;
    assert_eq!(created.0, 200, "{}", created.1);
    let ping = async |node: &Maestro| {
        let url = format!("{}/scheduler/far/rooms/nobody/ping", node.rooms);
        let request = node.http.put(url).header("traceparent", traceparent());
        let request = request.header("x-request-id", "a-room");
        let request = request.body(r#"{"status": "ready"}"#);
        request.send().await.expect("an answer").status() == 200
    };
    // One of them is not the owner.
    assert!(eventually(seconds(30), || ping(&first)).await);
    assert!(eventually(seconds(30), || ping(&second)).await);
    let passed = |spans: &[Span]| {
        let there = request(spans, "/node.v1.PingService/Pass");
        there.is_some_and(|span| {
            hex(&span.trace_id) == CALLER[0] && has(span, "request_id", "a-room")
        })
    };
    collector.until("the owner's span", passed).await;
    first.remove("far").await;
}

/// The only forwarder call with such an event.
fn forward<'a>(spans: &'a [Span], kind: &str) -> Option<&'a Span> {
    let forwards = spans.iter().filter(|span| span.name == "forward");
    let mut forwards = forwards.filter(|span| has(span, "kind", kind));
    let first = forwards.next();
    assert_eq!(forwards.next(), None, "{kind} twice");
    first
}

/// A mute room with an address, whose events go to the matchmaker.
async fn told_room(home: &Home, maestro: &Maestro, mm: &TestForwarder) -> String {
    let mut fleet = home.mute_fleet("told", 1);
    fleet["forwarders"] = json!([
        {"name": "mm", "enable": true, "type": "gRPC", "address": mm.address(),
         "options": {"timeout": 5000}},
    ]);
    let (status, body) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{body}");
    let id = async || {
        let (_, body) = maestro.get("/schedulers/told/rooms").await;
        body["rooms"][0]["id"].as_str().map(str::to_owned)
    };
    let placed = eventually(seconds(30), || async {
        let Some(id) = id().await else { return false };
        let path = format!("{}/scheduler/told/rooms/{id}/address", maestro.rooms);
        maestro.call("GET", &path, None).await.0 == 200
    });
    assert!(placed.await, "no room with an address");
    id().await.expect("it was there")
}

/// The beginning of the routes about one room.
const ROOM: &str = "/scheduler/:schedulerName/rooms/:roomID";

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_forwarders_are_traced_and_know_the_trace() {
    let (collector, url) = Collector::start().await;
    let (home, mm) = (Home::new(), TestForwarder::start());
    let maestro = start(&home, &url, &[]);
    let room = told_room(&home, &maestro, &mm).await;
    let post = async |method: &str, kind: &str, body| {
        let url = format!("{}/scheduler/told/rooms/{room}/{kind}", maestro.rooms);
        maestro.call(method, &url, Some(&body)).await.1["success"] == true
    };
    let traced = async |event: &str, parent: String| {
        let url = format!("{}/scheduler/told/rooms/{room}/roomevent", maestro.rooms);
        let request = maestro.http.post(url).json(&json!({"event": event}));
        let request = request.header("tracestate", "vendor=1");
        let sent = request.header("traceparent", parent).send().await;
        assert_eq!(sent.expect("an answer").status(), 200);
    };
    traced("goal", traceparent()).await;
    traced("quiet", traceparent().replace("-01", "-00")).await;
    let joined = json!({"event": "playerJoin", "metadata": {"playerId": "p1"}});
    assert!(post("POST", "playerevent", joined).await);
    let ready = json!({"status": "ready"});
    assert_eq!(maestro.ping("told", &room, &ready).await.0, 200);
    collector
        .until("resync", |spans| forward(spans, "resync").is_some())
        .await;
    mm.answer(500, "no");
    assert!(!post("PUT", "status", json!({"status": "occupied"})).await);
    // A parent span closes after its child, and may arrive with the next batch.
    let status = format!("{ROOM}/status");
    let both =
        |spans: &[Span]| forward(spans, "status").is_some() && request(spans, &status).is_some();
    let spans = collector.until("status", both).await;

    a_call_that_is_not_traced_says_so(&mm);
    each_call_has_its_span(&spans, &mm, &room);
    maestro.remove("told").await;
    let ended = |span: &Span| {
        has(span, "kind", "terminated") && span.name == "forward" && span.parent_span_id.is_empty()
    };
    collector
        .until("end", |spans| spans.iter().any(ended))
        .await;
}

/// `forward` would find two if this one had been traced.
fn a_call_that_is_not_traced_says_so(mm: &TestForwarder) {
    let mut quiet = mm.traces();
    quiet.retain(|traced| traced.word == "event:quiet");
    let [quiet] = &quiet[..] else {
        panic!("{quiet:?}")
    };
    let [trace, _] = CALLER;
    assert!(quiet.traceparent.contains(trace), "{quiet:?}");
    assert!(quiet.traceparent.ends_with("-00"), "{quiet:?}");
}

/// Checks that each call's span is below the request that waits for it, and that the forwarder
/// received its context.
fn each_call_has_its_span(spans: &[Span], mm: &TestForwarder, room: &str) {
    let find = |kind| forward(spans, kind).expect(kind);
    let words = [
        ("room_event", "event:goal", Some("roomevent")),
        ("player_event", "player:p1", Some("playerevent")),
        ("status", "status:occupied", Some("status")),
        ("resync", "resync:ready", None),
    ];
    for (kind, word, caller) in words {
        let span = find(kind);
        assert_eq!(span.kind, SpanKind::Client as i32, "{span:?}");
        for (key, value) in [
            ("scheduler_name", "told"),
            ("forwarder", "mm"),
            ("room_id", room),
        ] {
            assert!(has(span, key, value), "{key}: {span:?}");
        }
        let parent = caller.map(|caller| {
            let caller = request(spans, &format!("{ROOM}/{caller}")).expect(caller);
            assert_eq!(span.trace_id, caller.trace_id, "{kind}");
            caller.span_id.clone()
        });
        assert_eq!(span.parent_span_id, parent.unwrap_or_default(), "{kind}");
        let sent = format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id));
        let goes_on = Traced {
            word: word.to_owned(),
            traceparent: sent,
            tracestate: (kind == "room_event").then(|| "vendor=1".to_owned()),
        };
        let heard = mm.traces();
        assert!(heard.contains(&goes_on), "{goes_on:?}: {heard:?}");
        let failed = span
            .status
            .as_ref()
            .is_some_and(|s| s.code() == StatusCode::Error);
        assert_eq!(failed, kind == "status", "{span:?}");
    }
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
