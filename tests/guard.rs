//! Web pages are kept out of every HTTP server of the built binary (decision D28), and out of gRPC.

mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;
use support::{Home, Maestro, seconds};
use tonic::codegen::Service;
use tonic::codegen::http::Request;
use tonic::transport::Endpoint;

/// An answer as it came: head and body.
struct Said {
    head: String,
    body: String,
}

impl Said {
    fn status(&self) -> &str {
        self.head.get(9..12).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (of, value) = line.split_once(": ")?;
            of.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

fn connect(url: &str) -> TcpStream {
    let address = url.strip_prefix("http://").expect("a URL");
    let stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(seconds(20)))
        .expect("a timeout");
    stream
}

/// Sends a raw head; returns everything that is answered until the connection ends.
fn say(url: &str, head: &str) -> Said {
    let mut stream = connect(url);
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    // If the server did not read everything, the connection ends with a reset.
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Said {
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// A request without a body.
fn ask(url: &str, request: &str, lines: &[&str]) -> Said {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    // Only HTTP/1.0 may omit the host.
    let version = if lines.contains("Host") { 1 } else { 0 };
    let head = format!("{request} HTTP/1.{version}\r\n{lines}Connection: close\r\n\r\n");
    say(url, &head)
}

const HOSTS: &str = "api.allowedHosts";
const ORIGINS: &str = "api.allowedOrigins";
const LOCAL: &str = "Host: localhost:8080";
const EVIL: &str = "Origin: http://evil.example";
const SCRIPT: [&str; 2] = ["Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"];
const PERSON: [&str; 2] = ["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];

/// Requests that are refused, and the setting that could allow them.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("GET /", &[LOCAL, EVIL], ORIGINS),
    ("POST /", &[LOCAL, EVIL], ORIGINS),
    (
        "OPTIONS /",
        &[LOCAL, EVIL, "Access-Control-Request-Method: PUT"],
        ORIGINS,
    ),
    ("POST /", &[LOCAL, "Origin: null"], ORIGINS),
    ("POST /", &[LOCAL, "Origin: http://localhost:3000"], ORIGINS),
    (
        "POST /",
        &[LOCAL, "Origin: http://localhost:8080", EVIL],
        ORIGINS,
    ),
    ("GET /", &["Origin: http://localhost:8080"], ORIGINS),
    ("POST /", &[LOCAL, "Sec-Fetch-Site: cross-site"], ORIGINS),
    (
        "GET /",
        &[LOCAL, "Sec-Fetch-Site: same-site", SCRIPT[0], SCRIPT[1]],
        ORIGINS,
    ),
    (
        "POST /",
        &[LOCAL, "Sec-Fetch-Site: cross-site", PERSON[0], PERSON[1]],
        ORIGINS,
    ),
    ("GET /", &["Host: evil.example"], HOSTS),
    (
        "GET /",
        &["Host: evil.example:8080", PERSON[0], PERSON[1]],
        HOSTS,
    ),
    (
        "POST /",
        &["Host: evil.example", "Origin: http://evil.example"],
        HOSTS,
    ),
    ("GET /", &["Host: user@localhost"], HOSTS),
    ("GET http://evil.example/", &[LOCAL], HOSTS),
    ("GET /", &["Host: \u{202e}evil"], HOSTS),
];

/// Requests that pass the guard.
const SERVED: &[(&str, &[&str])] = &[
    ("GET /", &[]),
    ("GET /", &["Host:"]),
    ("GET /", &["Host: 127.0.0.1:1"]),
    ("GET /", &["Host: [::1]:8080"]),
    ("GET /", &["Host: 192.0.2.7"]),
    ("GET /", &["Host: LOCALHOST."]),
    ("GET /", &["Host: maestro.localhost"]),
    (
        "POST /",
        &[
            LOCAL,
            "Origin: http://localhost:8080",
            "Sec-Fetch-Site: same-origin",
        ],
    ),
    ("POST /", &[LOCAL, "Origin: https://localhost:8080"]),
    (
        "GET /",
        &[LOCAL, "Sec-Fetch-Site: none", PERSON[0], PERSON[1]],
    ),
    (
        "GET /",
        &[LOCAL, "Sec-Fetch-Site: cross-site", PERSON[0], PERSON[1]],
    ),
    ("GET http://localhost:8080/", &[LOCAL]),
];

fn check(server: &str) {
    for (request, lines, setting) in REFUSED {
        let said = ask(server, request, lines);
        assert_eq!(
            said.status(),
            "403",
            "{server} {request} {lines:?}: {}",
            said.head
        );
        let body: Value = serde_json::from_str(&said.body).expect("JSON");
        assert_eq!((&body["code"], &body["details"]), (&json!(7), &json!([])));
        let message = body["message"].as_str().expect("text");
        assert!(message.contains(setting), "{request} {lines:?}: {message}");
        assert_eq!(said.header("content-type"), Some("application/json"));
        assert_eq!(said.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(said.header("vary"), Some("Origin"));
        assert_eq!(said.header("access-control-allow-origin"), None);
    }
    for (request, lines) in SERVED {
        let said = ask(server, request, lines);
        assert!(
            ["200", "404", "501"].contains(&said.status()),
            "{server} {request} {lines:?}: {}",
            said.head
        );
        assert_eq!(
            said.header("x-content-type-options"),
            Some("nosniff"),
            "{}",
            said.head
        );
    }
    // A request with two hosts is malformed.
    let said = ask(server, "GET /", &[LOCAL, "Host: evil.example"]);
    assert_eq!(said.status(), "400", "{}", said.head);
    // The server does not wait for the body of a refused request, and takes nothing after the head for a request.
    for length in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let inner = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let head = format!("POST / HTTP/1.1\r\n{LOCAL}\r\n{EVIL}\r\n{length}\r\n\r\n{inner}");
        let began = Instant::now();
        let said = say(server, &head);
        assert_eq!(said.status(), "403", "{length}: {}", said.head);
        assert!(
            began.elapsed() < seconds(8),
            "{length}: {:?}",
            began.elapsed()
        );
        assert_eq!(
            said.body.matches("HTTP/1.1").count(),
            0,
            "{length}: {}",
            said.body
        );
    }
}

/// The counts of refused requests, by server and reason.
async fn refused(maestro: &Maestro, server: &str, reason: &str) -> u64 {
    let (_, page) = maestro.internal("GET", "/metrics", None).await;
    let label = format!("maestro_http_refused_total{{reason=\"{reason}\",server=\"{server}\"}} ");
    let page = page.as_str().expect("a page");
    let line = page.lines().find_map(|line| line.strip_prefix(&label));
    line.expect("a line").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_web_page_sends_is_refused_by_every_server() {
    let home = Home::new();
    let maestro = home.start();
    let servers = [&maestro.management, &maestro.rooms, &maestro.internal];
    for server in servers {
        tokio::task::block_in_place(|| check(server));
    }
    for server in ["management-api", "rooms-api", "internal"] {
        for (reason, expected) in [
            ("foreign-host", 6),
            ("foreign-origin", 9),
            ("cross-site", 3),
        ] {
            assert_eq!(
                refused(&maestro, server, reason).await,
                expected,
                "{server} {reason}"
            );
        }
    }
    // Refusals are in the APIs' metrics too.
    let (_, page) = maestro.internal("GET", "/metrics", None).await;
    let series = r#"http_request_duration_seconds_count{service="rooms-api",handler="refused",method="POST",code="403"}"#;
    assert!(page.as_str().expect("a page").contains(series), "{page}");
    // Each refusal is logged, but at most twenty per server: a page must not be able to fill the log.
    tokio::task::block_in_place(|| {
        for _ in 0..30 {
            ask(&maestro.rooms, "GET /", &["Host: evil.example"]);
        }
    });
    let log = maestro.logged();
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["status"] == 403)
        .collect();
    let of = |server: &str| lines.iter().filter(|l| l["server"] == server).count();
    assert_eq!(
        (of("management-api"), of("rooms-api"), of("internal")),
        (18, 20, 18)
    );
    assert!(lines.iter().any(|l| l["origin"] == "http://evil.example"));
    assert!(
        lines.iter().any(|l| l["host"] == r"\xe2\x80\xaeevil"),
        "{log}"
    );
    assert!(!log.contains('\u{202e}'));
}

/// A fleet of one room, as a page would send it.
fn body(home: &Home, name: &str) -> String {
    home.mute_fleet(name, 1).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_for_a_page_and_whoever_is_trusted_is_served() {
    let home = Home::new();
    let maestro = home.start_with(&[
        ("MAESTRO_API_ALLOWEDHOSTS", "maestro.example, maestro"),
        ("MAESTRO_API_ALLOWEDORIGINS", "https://tools.example"),
        ("MAESTRO_ROOMSAPI_URL", "http://host.docker.internal:1"),
    ]);
    let post = |origin: &str, name: &str| {
        let body = body(&home, name);
        let head = format!(
            "POST /schedulers HTTP/1.1\r\n{LOCAL}\r\nOrigin: {origin}\r\nContent-Type: text/plain\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        tokio::task::block_in_place(|| say(&maestro.management, &head))
    };
    for origin in [
        "http://evil.example",
        "null",
        "http://tools.example",
        "https://tools.example:8443",
    ] {
        assert_eq!(post(origin, "evil").status(), "403", "{origin}");
    }
    assert_eq!(maestro.get("/schedulers").await.1["schedulers"], json!([]));
    // This also holds for reads.
    let trusted = "Origin: https://tools.example";
    let site = "Sec-Fetch-Site: cross-site";
    let said = tokio::task::block_in_place(|| {
        let wants = [
            "Access-Control-Request-Method: PATCH",
            "Access-Control-Request-Headers: content-type",
        ];
        ask(
            &maestro.management,
            "OPTIONS /schedulers",
            &[LOCAL, trusted, site, wants[0], wants[1]],
        )
    });
    assert_eq!(said.status(), "204", "{}", said.head);
    assert_eq!(
        said.header("access-control-allow-origin"),
        Some("https://tools.example")
    );
    assert_eq!(
        said.header("access-control-allow-headers"),
        Some("content-type")
    );
    assert!(
        said.header("access-control-allow-methods")
            .is_some_and(|m| m.contains("PATCH"))
    );
    let said = post("https://tools.example", "good");
    assert_eq!(said.status(), "200", "{}", said.body);
    assert_eq!(
        said.header("access-control-allow-origin"),
        Some("https://tools.example")
    );
    assert_eq!(said.header("vary"), Some("Origin"));
    for (server, host, served) in [
        (&maestro.management, "maestro.example:8080", true),
        (&maestro.internal, "MAESTRO", true),
        (&maestro.management, "other.example", false),
        // Rooms call the rooms API by this name.
        (&maestro.rooms, "host.docker.internal:1", true),
        (&maestro.management, "host.docker.internal", false),
    ] {
        let said =
            tokio::task::block_in_place(|| ask(server, "GET /", &[&format!("Host: {host}")]));
        assert_eq!(said.status() != "403", served, "{host}: {}", said.head);
    }
    maestro.remove("good").await;
}

/// Everything that a browser could send to the gRPC port is HTTP/1.1: browsers speak HTTP/2 only over TLS.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_answers_nothing_that_a_browser_could_send() {
    let home = Home::new();
    let maestro = home.start();
    let path = "/api.v1.SchedulersService/CreateScheduler";
    let message = "\0\0\0\0\u{6}\n\u{4}evil";
    for kind in [
        "application/grpc",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "text/plain",
    ] {
        for more in [
            "",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ] {
            let head = format!(
                "POST {path} HTTP/1.1\r\n{LOCAL}\r\nContent-Type: {kind}\r\n{more}Content-Length: {}\r\n\r\n{message}",
                message.len()
            );
            let said = tokio::task::block_in_place(|| say(&maestro.grpc, &head));
            assert!(!said.head.contains("HTTP/1.1"), "{kind}: {}", said.head);
        }
    }
    // A proxy may forward a page's request over HTTP/2. A request that a page can send without a preflight is no gRPC
    // call either.
    let channel = Endpoint::from_shared(maestro.grpc.clone()).expect("an address");
    let mut channel = channel.connect().await.expect("a connection");
    for kind in ["text/plain", "application/grpc-web", "multipart/form-data"] {
        let request = Request::post(format!("{}{path}", maestro.grpc))
            .header("content-type", kind)
            .header("origin", "https://evil.example")
            .body(tonic::body::Body::empty())
            .expect("a request");
        std::future::poll_fn(|cx| Service::<Request<_>>::poll_ready(&mut channel, cx))
            .await
            .expect("it is up");
        let answer = channel.call(request).await.expect("an answer");
        assert_eq!(answer.status(), 415, "{kind}");
    }
    assert_eq!(maestro.get("/schedulers").await.1["schedulers"], json!([]));
    let page = maestro.internal("GET", "/metrics", None).await.1;
    let page = page.as_str().expect("a page");
    let calls = page
        .lines()
        .filter(|line| line.starts_with("grpc_server_handled_total"));
    for line in calls {
        assert!(line.ends_with(" 0"), "{line}");
    }
}
