//! Malicious requests: two requests in one, forged lines in the log, endless names.

mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use support::{Home, eventually, seconds};

/// Sends raw bytes and reads until the other side closes the connection or is silent for a moment.
fn speak(url: &str, bytes: &[u8]) -> String {
    let address = url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(seconds(2)))
        .expect("a timeout");
    // The server may close the connection in the middle.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers on a connection.
fn statuses(answer: &str) -> Vec<&str> {
    let each = answer.split("HTTP/1.1 ").skip(1);
    each.map(|rest| rest.get(..3).unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_within_a_request_is_not_answered() {
    let home = Home::new();
    let maestro = home.start();
    let inner = "DELETE /schedulers/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = inner.len();
    let post = "POST /schedulers HTTP/1.1\r\nHost: localhost\r\n";
    // Each body has two contradicting lengths, or an invalid one. The text in it must never become a request of its
    // own.
    let doubtful = [
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{inner}"),
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{inner}"),
        format!("Content-Length: 0, {length}\r\n\r\n{inner}"),
        format!("Content-Length: +0\r\n\r\n{inner}"),
        format!("Content-Length: -1\r\n\r\n{inner}"),
        format!("Content-Length: 0x0\r\n\r\n{inner}"),
        format!("Content-Length: 99999999999999999999\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{inner}"),
        format!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"),
        format!(
            "Transfer-Encoding: identity, chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
        ),
        format!("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\n\r\n-1\r\n{inner}"),
        format!("X: a\r\n Content-Length: 0\r\n\r\n{inner}"),
        format!("X\0: a\r\n\r\n{inner}"),
        format!("X: a\0b\r\n\r\n{inner}"),
        format!("X: a\rContent-Length: {length}\r\n\r\n{inner}"),
    ];
    for rest in doubtful {
        let request = format!("{post}{rest}");
        let url = maestro.management.clone();
        let sent = request.clone();
        let answer = tokio::task::spawn_blocking(move || speak(&url, sent.as_bytes()))
            .await
            .expect("it ran");
        let statuses = statuses(&answer);
        // The inner request would be answered 404, since there is no such scheduler.
        assert!(statuses.len() <= 1, "{request:?}: {answer}");
        assert!(
            statuses
                .iter()
                .all(|status| *status == "400" || *status == "413"),
            "{request:?}: {answer}"
        );
    }
    assert!(
        !maestro.logged().contains("smuggled"),
        "{}",
        maestro.logged()
    );
    assert_eq!(maestro.get("/schedulers").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_and_hosts_of_all_kinds_lead_to_us_or_nowhere() {
    let home = Home::new();
    let maestro = home.start();
    for (request, expected) in [
        (
            "GET http://elsewhere.example/schedulers HTTP/1.1\r\nHost: localhost",
            "403",
        ),
        (
            "GET http://localhost/schedulers HTTP/1.1\r\nHost: localhost",
            "200",
        ),
        (
            "GET http://elsewhere.example/etc/passwd HTTP/1.1\r\nHost: localhost",
            "403",
        ),
        ("GET file:///etc/passwd HTTP/1.1\r\nHost: localhost", "4"),
        (
            "CONNECT elsewhere.example:80 HTTP/1.1\r\nHost: localhost",
            "",
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost", "4"),
        ("GET schedulers HTTP/1.1\r\nHost: localhost", "4"),
        ("GET /schedulers\u{e9} HTTP/1.1\r\nHost: localhost", "4"),
        (
            "GET /schedulers HTTP/1.1\r\nHost: localhost\r\nHost: 127.0.0.1",
            "",
        ),
        ("GET /schedulers HTTP/1.1\r\nHost: \u{e9}\u{1b}[31m", ""),
        ("GET /schedulers HTTP/9.9\r\nHost: localhost", "4"),
        ("GET  /schedulers HTTP/1.1\r\nHost: localhost", "4"),
        ("\r\n\r\nGET /schedulers HTTP/1.1\r\nHost: localhost", ""),
        ("\u{16}\u{3}\u{1}\u{0}\u{5}hello", ""),
        ("PRI * HTTP/2.0\r\n\r\nSM", ""),
    ] {
        let url = maestro.management.clone();
        let sent = format!("{request}\r\nConnection: close\r\n\r\n");
        let answer = tokio::task::spawn_blocking(move || speak(&url, sent.as_bytes()))
            .await
            .expect("it ran");
        let status = statuses(&answer).first().copied().unwrap_or_default();
        assert!(
            status.starts_with(expected) && !status.starts_with("500"),
            "{request:?}: {answer}"
        );
        assert!(!answer.contains("root:"), "{request:?}: {answer}");
    }
    assert_eq!(maestro.get("/schedulers").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_ten_thousand_characters_are_only_names() {
    let home = Home::new();
    let maestro = home.start();
    let name = "n".repeat(10_000);
    let (management, rooms) = (&maestro.management, &maestro.rooms);
    for (method, url, expected) in [
        ("GET", format!("{management}/schedulers/{name}"), 404),
        (
            "GET",
            format!("{management}/schedulers?name={name}&game={name}"),
            200,
        ),
        ("DELETE", format!("{management}/schedulers/{name}"), 404),
        (
            "GET",
            format!("{management}/schedulers/{name}/operations?stage=final"),
            200,
        ),
        (
            "GET",
            format!("{management}/schedulers/{name}/operations/{name}"),
            404,
        ),
        ("GET", format!("{management}/schedulers/{name}/rooms"), 404),
        (
            "GET",
            format!("{management}/schedulers/{name}/rooms/{name}/log"),
            404,
        ),
        ("GET", format!("{management}/{name}"), 404),
        (
            "PUT",
            format!("{rooms}/scheduler/{name}/rooms/{name}/ping"),
            200,
        ),
        (
            "GET",
            format!("{rooms}/scheduler/{name}/rooms/{name}/address"),
            404,
        ),
    ] {
        let body = (method == "PUT").then(|| json!({"status": "ready"}));
        let (status, answer) = maestro.call(method, &url, body.as_ref()).await;
        let shown = answer.to_string();
        assert_eq!(
            status,
            expected,
            "{method} {}: {}",
            &url[..60],
            &shown[..shown.len().min(200)]
        );
    }
    let (status, answer) = maestro.post("/schedulers", &home.fleet(&name, 1)).await;
    assert_eq!((status, &answer["code"]), (400, &json!(3)));
    let mut fleet = home.fleet("fine", 1);
    fleet["game"] = json!(name);
    let (status, answer) = maestro.post("/schedulers", &fleet).await;
    assert_eq!((status, &answer["code"]), (400, &json!(3)));
    assert_eq!(maestro.get("/schedulers").await.1["schedulers"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_lines_into_the_log() {
    let home = Home::new();
    let maestro = home.start_with(&[("RUST_LOG", "debug")]);
    let forged = "x\n{\"level\":\"ERROR\",\"message\":\"forged\"}\u{1b}[31m\r\nforged";
    let in_path = "x%0a%7B%22level%22:%22ERROR%22%7D%1b[31m%0d%0aforged";
    maestro.post("/schedulers", &home.fleet(forged, 1)).await;
    maestro
        .patch(
            &format!("/schedulers/{in_path}"),
            &json!({"roomsReplicas": 1}),
        )
        .await;
    maestro
        .delete(&format!("/schedulers/{in_path}/rooms/{in_path}"))
        .await;
    maestro
        .get(&format!("/schedulers/{in_path}?version={in_path}"))
        .await;
    maestro
        .internal("POST", &format!("/debug/actors/{in_path}/reload"), None)
        .await;
    maestro
        .ping(
            in_path,
            in_path,
            &json!({"status": "ready", "metadata": {"a": forged}}),
        )
        .await;
    let url = format!(
        "{}/scheduler/{in_path}/rooms/{in_path}/roomevent",
        maestro.rooms
    );
    maestro
        .call("POST", &url, Some(&json!({"event": forged})))
        .await;
    let named = maestro
        .http
        .get(format!("{}/schedulers", maestro.management));
    let named = named
        .header("x-request-id", "a b\u{e9}")
        .send()
        .await
        .expect("an answer");
    let given = named.headers()["x-request-id"].to_str().expect("a text");
    assert_ne!(given, "a b\u{e9}");
    // Log lines keep their order, but may appear a moment after the answer.
    let all = eventually(seconds(10), || async { maestro.logged().contains(given) });
    assert!(all.await, "{}", maestro.logged());
    let logged = maestro.logged();
    assert!(logged.contains("forged"), "nothing was logged: {logged}");
    for line in logged.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(
            record.get("timestamp").is_some() || record.get("ts").is_some(),
            "{line}"
        );
        assert!(!line.contains('\u{1b}'), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_yaml_is_bounded_by_what_it_costs() {
    let home = Home::new();
    let maestro = home.start();
    let post = async |body: String| {
        let request = maestro
            .http
            .post(format!("{}/schedulers", maestro.management));
        let request = request
            .header("content-type", "application/yaml")
            .body(body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("a text"))
    };
    let (status, text) = post(format!("name: x\n{}", "#\n".repeat(200_000))).await;
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("as JSON"), "{text}");
    // A kilobyte that expands to more memory than any machine has.
    let mut doubling = "a0: &a0 [x, x]\n".to_owned();
    for n in 1..30 {
        doubling += &format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1);
    }
    let (status, text) = post(doubling).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("invalid YAML"), "{text}");
}

/// The bytes after a CONNECT request would belong to a tunnel: there is no body to wait for, and no next request.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_tunnel_is_refused_at_once() {
    let home = Home::new();
    let maestro = home.start();
    let inner = "DELETE /schedulers/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (url, target, status) in [
        (&maestro.management, "/schedulers", "501"),
        (&maestro.management, "localhost:80", "400"),
        (&maestro.rooms, "http://localhost/nowhere", "404"),
        (&maestro.internal, "/healthz", "200"),
    ] {
        let begun = std::time::Instant::now();
        let answer = speak(
            url,
            format!("CONNECT {target} HTTP/1.1\r\nHost: localhost\r\n\r\n{inner}").as_bytes(),
        );
        assert_eq!(statuses(&answer), [status], "{target}: {answer}");
        assert!(begun.elapsed() < seconds(2), "{target}: {answer}");
    }
    // A request that the library cannot parse is its client's mistake, so no error is logged.
    for bad in [
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /\r\n\r\n",
    ] {
        for _ in 0..20 {
            speak(&maestro.management, bad.as_bytes());
        }
    }
    // Log lines keep their order: every line about them stands before the line of this request.
    let marked =
        "POST /schedulers HTTP/1.1\r\nHost: localhost\r\nOrigin: http://last.example\r\n\r\n";
    speak(&maestro.management, marked.as_bytes());
    let all = eventually(seconds(10), || async {
        maestro.logged().contains("last.example")
    });
    assert!(all.await, "{}", maestro.logged());
    let logged = maestro.logged();
    let errors: Vec<_> = logged.lines().filter(|l| l.contains("ERROR")).collect();
    assert!(errors.is_empty(), "{errors:?}");
}
