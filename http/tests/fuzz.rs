//! Fuzzes the codec and the routes over the real actors of one node: nothing panics, nothing is answered with a server
//! error, and nothing exceeds its time budget.

#[path = "service/fleet.rs"]
#[allow(dead_code, reason = "shared with the tests of the services")]
mod fleet;

use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use actix_web::rt::System;
use actix_web::test::TestRequest;
use fleet::{Fleet, Reply, Server, arena};
use maestro_api::codec::messages::*;
use maestro_api::codec::{Struct, decode, encode, yaml_to_json};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

/// Cases per property, for a few seconds in total. `PROPTEST_CASES` overrides it.
const CASES: u32 = 400;

fn runner() -> TestRunner {
    let config = Config::default();
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config.cases,
        None => CASES,
    };
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..config
    })
}

/// A mutation of a body.
#[derive(Clone, Debug)]
enum Change {
    Replace(usize, u8),
    Insert(usize, u8),
    Remove(usize, usize),
    /// Copies a part of it to another position.
    Copy(usize, usize, usize),
    Splice(usize, &'static [u8]),
    Cut(usize),
}

/// Fragments that tend to break JSON and YAML parsers.
const SPLICES: &[&[u8]] = &[
    b"null",
    b"{}",
    b"[]",
    b"{",
    b"[",
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\\u0000",
    b"1e400",
    b"-0",
    b"1e-400",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"\"NaN\"",
    b"\"Infinity\"",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\x00",
    b"\n",
    b"\r\n",
    b"\x1b[31m",
    b"//",
    b"/*",
    b",",
    b":",
    b"&a ",
    b"*a",
    b"!!binary ",
    b"<<: ",
    b"- ",
    b"? ",
    b"| ",
    b"---\n",
    b"...\n",
    b"%YAML 1.2\n",
    b"\"0.0000000001s\"",
    b"\"-1s\"",
    b"\"315576000001s\"",
];

impl Change {
    fn apply(&self, body: &mut Vec<u8>) {
        let place = |at: &usize, body: &Vec<u8>| at % (body.len() + 1);
        match self {
            Self::Replace(at, byte) if !body.is_empty() => {
                let at = at % body.len();
                body[at] = *byte;
            }
            Self::Replace(..) => {}
            Self::Insert(at, byte) => body.insert(place(at, body), *byte),
            Self::Remove(at, length) => {
                let at = place(at, body);
                let end = body.len().min(at + length % 40);
                body.drain(at..end);
            }
            Self::Copy(from, length, to) => {
                let from = place(from, body);
                let end = body.len().min(from + length % 200);
                let part = body[from..end].to_vec();
                let to = place(to, body);
                body.splice(to..to, part);
            }
            Self::Splice(at, part) => {
                let at = place(at, body);
                body.splice(at..at, part.iter().copied());
            }
            Self::Cut(at) => body.truncate(place(at, body)),
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = || any::<usize>();
    let change = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        2 => (at(), at()).prop_map(|(at, length)| Change::Remove(at, length)),
        2 => (at(), at(), at()).prop_map(|(from, length, to)| Change::Copy(from, length, to)),
        6 => (at(), prop::sample::select(SPLICES)).prop_map(|(at, part)| Change::Splice(at, part)),
        1 => at().prop_map(Change::Cut),
    ];
    prop::collection::vec(change, 0..6)
}

/// Valid bodies for every kind of request.
fn valid() -> Vec<Vec<u8>> {
    let mut full = arena(2);
    full["autoscaling"] = json!({"enabled": true, "min": 1, "max": -1, "cooldown": 5, "policy": {"type": "roomOccupancy",
        "parameters": {"roomOccupancy": {"readyTarget": 0.5, "downThreshold": 0.9}, "fixedBuffer": {"amount": 3}}}});
    full["forwarders"] = json!([{"name": "f", "enable": true, "type": "gRPC", "address": "127.0.0.1:1",
        "options": {"timeout": "1000", "metadata": {"a": [1, null, {"b": "\u{e9}\u{1f600}"}]}}}]);
    full["annotations"] = json!({"a": "b"});
    full["labels"] = json!({});
    full["matchAllocation"] = json!({"maxMatches": 3});
    full["spec"]["containers"][0]["environment"] = json!([{"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}, "secretKeyRef": {"name": "n", "key": "k"}}}]);
    let patch = json!({"rooms_replicas": "3", "spec": {"containers": [{"image": "i", "ports": null}], "toleration": ""},
        "autoscaling": {"min": 1.0e0}});
    let ping = json!({"status": "ready", "timestamp": "12312312313", "running_matches": 0, "metadata": {"x": {"y": [[]]}}});
    let event = json!({"event": "playerJoin", "timestamp": 1, "metadata": {"playerId": "p"}});
    [
        full,
        patch,
        ping,
        event,
        json!({"version": "v1.0.0"}),
        json!({"amount": 1}),
    ]
    .iter()
    .map(|body| body.to_string().into_bytes())
    .collect()
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(valid()), changes()).prop_map(|(mut body, changes)| {
        changes.iter().for_each(|change| change.apply(&mut body));
        body
    })
}

/// A body that can be decoded can be encoded and decoded again to the same message.
fn reads<M: maestro_api::codec::Message + PartialEq + std::fmt::Debug>(body: &[u8]) {
    let Ok(message) = decode::<M>(body) else {
        return;
    };
    let printed = encode(&message);
    serde_json::from_str::<serde::de::IgnoredAny>(&printed).expect("an answer is JSON");
    let again = decode::<M>(printed.as_bytes());
    let again = again.unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(encode(&again), printed);
}

#[test]
fn mutated_bodies_are_read_or_refused() {
    let property = |body: Vec<u8>| {
        reads::<CreateSchedulerRequest>(&body);
        reads::<NewSchedulerVersionRequest>(&body);
        reads::<PatchSchedulerRequest>(&body);
        reads::<UpdateRoomWithPingRequest>(&body);
        reads::<ForwardPlayerEventRequest>(&body);
        reads::<AddRoomsRequest>(&body);
        if let Ok(text) = std::str::from_utf8(&body)
            && let Ok(object) = Struct::from_text(text)
        {
            object.to_map();
        }
        if let Ok(json) = yaml_to_json(&body) {
            reads::<CreateSchedulerRequest>(&json);
        }
        Ok(())
    };
    runner().run(&body(), property).expect("no body breaks it");
}

/// Fragments of paths and queries: names, escapes, malformed text.
const PIECES: &[&str] = &[
    "schedulers",
    "scheduler",
    "info",
    "versions",
    "operations",
    "rooms",
    "allocate",
    "ping",
    "cancel",
    "add-rooms",
    "rollout",
    "pause",
    "log",
    "status",
    "address",
    "debug",
    "actors",
    "arena",
    "docs",
    "openapi.json",
    "",
    ".",
    "..",
    "%2e%2e",
    "%2F",
    "%00",
    "%0d%0aX:1",
    "%ff",
    "%c3%28",
    "%zz",
    "%",
    "+",
    ";",
    "a=b",
    "~",
    "*",
    "\u{7f}",
];

fn path() -> impl Strategy<Value = String> {
    let segments = prop::collection::vec(prop::sample::select(PIECES), 0..7);
    let name = prop::sample::select(vec![
        "name", "game", "version", "stage", "page", "perPage", "per_page", "orderBy", "status",
        "tail", "force", "spec", "a[b]", "a.b", "%ff", "",
    ]);
    let value = prop::sample::select(vec![
        "",
        "1",
        "-1",
        "0",
        "4294967296",
        "final",
        "%ff",
        "%zz",
        "a;b",
        "true",
        "createdAt desc",
        "%00",
    ]);
    let query = prop::collection::vec((name, value), 0..4);
    (segments, query).prop_map(|(segments, query)| {
        let query: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace(' ', "%20")))
            .collect();
        format!("/{}?{}", segments.join("/"), query.join("&"))
    })
}

type Sent = (
    bool,
    &'static str,
    String,
    Vec<(&'static str, &'static [u8])>,
    Vec<u8>,
);

const METHODS: &[&str] = &[
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "LIST",
];
const HEADERS: &[(&str, &[u8])] = &[
    ("content-type", b"application/yaml"),
    ("content-type", b"application/x-www-form-urlencoded"),
    ("content-type", b"\xff\xfe"),
    ("x-http-method-override", b"PATCH"),
    ("x-http-method-override", b"\xff"),
    ("grpc-timeout", b"5S"),
    ("grpc-timeout", b"-1n"),
    ("grpc-timeout", b"99999999999999999999H"),
    ("grpc-timeout", b"\xe9S"),
    ("grpc-metadata-x-bin", b"\xff"),
    ("x-request-id", b"\xe9 [31m"),
    ("accept-encoding", b"gzip;q=nan"),
];

fn request() -> impl Strategy<Value = Sent> {
    let headers = prop::collection::vec(prop::sample::select(HEADERS), 0..3);
    (
        any::<bool>(),
        prop::sample::select(METHODS),
        path(),
        headers,
        body(),
    )
}

/// Answers of 500 and above that are correct: unknown methods, unavailable owners, and cases that the contract defines
/// (2.4 cancel, 15.9 invalid UTF-8, 15.11 a deadline that had already passed).
fn is_allowed(reply: &Reply, path: &str, with_deadline: bool) -> bool {
    let says = |words| reply.text.contains(words);
    match reply.status {
        501 | 503 => true,
        500 => {
            path.contains("/cancel")
                || says("failed to marshal error message")
                || with_deadline && says("context deadline exceeded")
        }
        status => status < 500,
    }
}

#[test]
fn mutated_requests_are_never_a_fault_of_ours() {
    let system = System::new();
    let fleet = system.block_on(Fleet::start(false));
    system.block_on(fleet.create(1));
    let property = |(rooms, method, path, headers, body): Sent| {
        let Ok(uri) = path.parse::<Uri>() else {
            return Ok(());
        };
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = TestRequest::default()
            .method(method)
            .uri(&uri.to_string())
            .set_payload(body);
        let with_deadline = headers.iter().any(|(name, _)| *name == "grpc-timeout");
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value).expect("a value");
            request = request.insert_header((HeaderName::from_static(name), value));
        }
        let server = if rooms {
            Server::Rooms
        } else {
            Server::Management
        };
        let reply = system.block_on(fleet.raw(&server, request));
        prop_assert!(
            is_allowed(&reply, &path, with_deadline),
            "{path}: {reply:?}"
        );
        Ok(())
    };
    runner()
        .run(&request(), property)
        .expect("no request breaks it");
    // The valid scheduler has survived all requests.
    assert_eq!(system.block_on(fleet.get("/schedulers/arena")).status, 200);
}

const MEBIBYTE: usize = 1 << 20;

/// The maximum size of a YAML body.
const YAML: usize = MEBIBYTE / 4;

fn filled(begin: &str, part: &str, end: &str) -> Vec<u8> {
    filled_to(MEBIBYTE, begin, part, end)
}

fn filled_to(size: usize, begin: &str, part: &str, end: &str) -> Vec<u8> {
    let times = (size - begin.len() - end.len()) / part.len();
    format!("{begin}{}{end}", part.repeat(times)).into_bytes()
}

fn numbered(begin: &str, part: impl Fn(usize) -> String, end: &str) -> Vec<u8> {
    numbered_to(MEBIBYTE, begin, part, end)
}

fn numbered_to(size: usize, begin: &str, part: impl Fn(usize) -> String, end: &str) -> Vec<u8> {
    let mut body = begin.to_owned();
    for n in 0.. {
        let next = part(n);
        if body.len() + next.len() + end.len() > size {
            break;
        }
        body += &next;
    }
    (body + end).into_bytes()
}

/// Bodies of one mebibyte that could take a parser disproportionate time.
fn heavy() -> Vec<(&'static str, Vec<u8>)> {
    [heavy_nesting(), heavy_tokens(), heavy_members()].concat()
}

/// Deep ones.
fn heavy_nesting() -> Vec<(&'static str, Vec<u8>)> {
    let half = MEBIBYTE / 2 - 20;
    let nested = |open: &str, close: &str, levels: usize| {
        (open.repeat(levels) + "1" + &close.repeat(levels)).into_bytes()
    };
    vec![
        ("brackets that only open", filled("", "[", "")),
        ("brackets", nested("[", "]", half)),
        ("brackets in an unknown field", filled("{\"x\":", "[", "")),
        ("brackets, as deep as is read, side by side", {
            let block = "[".repeat(9_000) + &"]".repeat(9_000);
            filled("{\"x\":[0", &format!(",{block}"), "]}")
        }),
        ("objects", nested("{\"a\":", "}", MEBIBYTE / 8)),
        (
            "objects in a free object",
            filled("{\"metadata\":", "{\"a\":", ""),
        ),
        ("objects in a free object, as deep as is read", {
            let block = "{\"a\":".repeat(9_000) + "1" + &"}".repeat(9_000);
            numbered(
                "{\"metadata\":{\"b\":0",
                |n| format!(",\"k{n}\":{block}"),
                "}}",
            )
        }),
    ]
}

/// Long ones: texts, numbers, blanks.
fn heavy_tokens() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("escapes", filled("{\"name\":\"", "\\u0041", "\"}")),
        (
            "escapes of pairs",
            filled("{\"name\":\"", "\\ud83d\\ude00", "\"}"),
        ),
        ("escaped quotes", filled("{\"name\":\"", "\\\"", "\"}")),
        (
            "escapes in a free object",
            filled("{\"metadata\":{\"a\":\"", "\\n", "\"}}"),
        ),
        ("a long number", filled("{\"roomsReplicas\":", "9", "}")),
        (
            "a long number in a text",
            filled("{\"roomsReplicas\":\"", "9", "\"}"),
        ),
        (
            "a long fraction",
            filled("{\"roomsReplicas\":0.", "0", "1e3}"),
        ),
        ("a long exponent", filled("{\"roomsReplicas\":1e", "9", "}")),
        (
            "a long number in a free object",
            filled("{\"metadata\":{\"a\":", "9", "}}"),
        ),
        (
            "numbers in a free object",
            filled("{\"metadata\":{\"a\":[1", ",1e9", "]}}"),
        ),
        ("a long name", filled("{\"name\":\"", "x", "\"}")),
        ("blanks", filled("", " ", "{}")),
        ("lines", filled("{", "\n", "\"name\":1}")),
        ("bytes that are no text", vec![0xff; MEBIBYTE]),
    ]
}

/// Many ones: fields, keys, items.
fn heavy_members() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "one field again and again",
            filled("{", "\"name\":\"\",", "\"game\":\"\"}"),
        ),
        (
            "one key of a map again and again",
            filled("{\"labels\":{", "\"a\":\"\",", "\"b\":\"\"}}"),
        ),
        (
            "one key of a free object again and again",
            filled("{\"metadata\":{", "\"a\":1,", "\"b\":1}}"),
        ),
        (
            "unknown fields",
            numbered("{\"a\":1", |n| format!(",\"x{n}\":1"), "}"),
        ),
        (
            "keys of a map",
            numbered(
                "{\"labels\":{\"a\":\"\"",
                |n| format!(",\"x{n}\":\"\""),
                "}}",
            ),
        ),
        (
            "keys of a free object",
            numbered("{\"metadata\":{\"a\":1", |n| format!(",\"x{n}\":1"), "}}"),
        ),
        (
            "containers",
            filled("{\"spec\":{\"containers\":[{}", ",{}", "]}}"),
        ),
        (
            "ports",
            filled("{\"spec\":{\"containers\":[{\"ports\":[{}", ",{}", "]}]}}"),
        ),
        (
            "variables",
            filled(
                "{\"spec\":{\"containers\":[{\"environment\":[{}",
                ",{}",
                "]}]}}",
            ),
        ),
        ("forwarders", filled("{\"forwarders\":[{}", ",{}", "]}")),
    ]
}

/// Constructs that exist only in YAML.
fn heavy_yaml() -> Vec<(&'static str, Vec<u8>)> {
    let mut doubling = "a0: &a0 [x, x]\n".to_owned();
    for n in 1..30 {
        let before = n - 1;
        doubling += &format!("a{n}: &a{n} [*a{before}, *a{before}]\n");
    }
    vec![
        ("aliases of aliases", doubling.into_bytes()),
        ("brackets that only open", filled_to(YAML, "", "[", "")),
        ("lists in lists", filled_to(YAML, "", "- ", "")),
        (
            "indentation",
            numbered_to(YAML, "", |n| format!("{}a:\n", " ".repeat(n)), ""),
        ),
        (
            "anchors",
            numbered_to(YAML, "", |n| format!("k{n}: &a{n} 1\n"), ""),
        ),
        ("keys", numbered_to(YAML, "", |n| format!("k{n}: 1\n"), "")),
        ("one key again and again", filled_to(YAML, "", "k: 1\n", "")),
        ("documents", filled_to(YAML, "", "---\n", "")),
        ("a folded text", filled_to(YAML, "a: >\n", "  x\n", "")),
        ("a quoted text", filled_to(YAML, "a: \"", "\\x41", "\"")),
        ("questions", filled_to(YAML, "", "? ", "")),
        ("colons", filled_to(YAML, "", ": ", "")),
        ("comments", filled_to(YAML, "", "#\n", "")),
        ("tags", filled_to(YAML, "", "!a ", "")),
    ]
}

/// CPU time of this thread, so that other load on the machine does not count.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// 100 ms for the largest body in an optimized build, ten times that in a debug build. Quadratic parsers would take
/// minutes.
const BUDGET: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 100 });

/// Sends bodies, and takes down how long each took.
struct Stopwatch {
    system: actix_web::rt::SystemRunner,
    fleet: Fleet,
    took: Vec<(Duration, String)>,
}

impl Stopwatch {
    /// `place`: the server, the method and the path.
    fn send(
        &mut self,
        what: &str,
        place: (&Server, Method, &str),
        kind: &'static str,
        body: &[u8],
    ) {
        let (server, method, path) = place;
        let request = TestRequest::default().method(method.clone()).uri(path);
        let request = request
            .insert_header(("content-type", kind))
            .set_payload(body.to_vec());
        let before = cpu();
        let reply = self.system.block_on(self.fleet.raw(server, request));
        let took = cpu() - before;
        assert!(reply.status < 500, "{what}: {reply:?}");
        assert!(
            reply.text.len() <= MEBIBYTE + MEBIBYTE / 2,
            "{what}: an answer of {} bytes",
            reply.text.len()
        );
        let line = format!("{:>5} ms {method} {path} {kind} {what}", took.as_millis());
        let line = line.chars().take(160).collect();
        self.took.push((took, line));
    }
}

/// Bodies of a form, each of one mebibyte.
fn heavy_forms() -> [(&'static str, Vec<u8>); 7] {
    [
        ("names", numbered("a=1", |n| format!("&x{n}=1"), "")),
        ("one name again and again", filled("", "game=1&", "")),
        ("empty pairs", filled("", "&", "")),
        ("subscripts", filled("", "game[a]=1&", "")),
        ("escapes", filled("game=", "%41", "")),
        ("broken escapes", filled("game=", "%zz&", "")),
        ("semicolons", filled("", ";&", "")),
    ]
}

#[test]
fn a_mebibyte_of_anything_is_answered_in_time() {
    let system = System::new();
    let fleet = system.block_on(Fleet::start(true));
    let mut watch = Stopwatch {
        system,
        fleet,
        took: Vec::new(),
    };
    let schedulers = || (&Server::Management, Method::POST, "/schedulers");
    let json = "application/json";
    for (what, body) in heavy() {
        watch.send(what, schedulers(), json, &body);
        let ping = "/scheduler/nobody/rooms/r/ping";
        watch.send(what, (&Server::Rooms, Method::PUT, ping), json, &body);
    }
    let over = vec![b'#'; YAML + 1];
    for (what, body) in heavy_yaml().into_iter().chain([("too much", over)]) {
        watch.send(what, schedulers(), "application/yaml", &body);
    }
    for (what, body) in heavy_forms() {
        let form = "application/x-www-form-urlencoded";
        let info = (&Server::Management, Method::POST, "/schedulers/info");
        watch.send(what, info, form, &body);
        let text = String::from_utf8(body).expect("text");
        let path = format!("/schedulers/info?{}", &text[..60_000]);
        let info = (&Server::Management, Method::GET, path.as_str());
        watch.send(what, info, json, b"");
    }
    let mut took = watch.took;
    took.sort();
    let lines = took.iter().rev().map(|(_, line)| line.as_str());
    println!("{}", lines.take(12).collect::<Vec<_>>().join("\n"));
    let slow = took.iter().filter(|(took, _)| *took > BUDGET);
    let slow: Vec<&str> = slow.map(|(_, line)| line.as_str()).collect();
    assert!(slow.is_empty(), "over {BUDGET:?}:\n{}", slow.join("\n"));
}
