//! Invalid input is refused where it arrives, and everything else continues.

mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;
use support::{Home, Maestro, memory_kib, seconds};

async fn raw(maestro: &Maestro, method: &str, path: &str, body: Vec<u8>) -> support::Answer {
    let request = maestro.http.request(
        method.parse().expect("a method"),
        format!("{}{path}", maestro.management),
    );
    let answer = request.body(body).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_are_refused_and_change_nothing() {
    let home = Home::new();
    let maestro = home.start();
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let long_name = format!("{{\"name\":\"{}\",\"game\":\"g\"}}", "x".repeat(5_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"{\"name\": \"x\", ".to_vec(),
        b"{'name': 1}".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{\"name\": 7}".to_vec(),
        b"{\"name\":\"a\",\"name\":\"b\"}".to_vec(),
        b"\xff\xfe\x00{".to_vec(),
        b"{\"name\":\"\xff\xfe\"}".to_vec(),
        format!("{{\"unknown\":{deep}}}").into_bytes(),
        long_name.into_bytes(),
        b"{}".to_vec(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let (status, answer) = raw(&maestro, "POST", "/schedulers", body).await;
        assert_eq!(
            (status, &answer["code"]),
            (400, &json!(3)),
            "{shown}: {answer}"
        );
        assert!(!answer["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(maestro.get("/schedulers").await.1["schedulers"], json!([]));
    assert_eq!(maestro.internal("GET", "/readyz", None).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_more_than_a_mebibyte_is_too_large() {
    let home = Home::new();
    let maestro = home.start();
    let body = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024));
    for (method, path) in [
        ("POST", "/schedulers"),
        ("PATCH", "/schedulers/x"),
        ("POST", "/schedulers/x/add-rooms"),
    ] {
        let (status, answer) = raw(&maestro, method, path, body.clone().into_bytes()).await;
        assert_eq!(status, 413, "{method} {path}: {answer}");
    }
    let url = format!("{}/scheduler/x/rooms/y/ping", maestro.rooms);
    let answer = maestro.http.put(url).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    // A body just below the limit is read and validated.
    let body = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024 - 100));
    let (status, _) = raw(&maestro, "POST", "/schedulers", body.into_bytes()).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_not_found_and_names_are_given_once() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("taken", 1)).await;
    let (status, body) = maestro.post("/schedulers", &home.fleet("taken", 5)).await;
    assert_eq!((status, &body["code"]), (409, &json!(6)), "{body}");
    assert_eq!(
        body["message"],
        "error creating scheduler taken: name already exists"
    );
    assert_eq!(maestro.info("taken").await["roomsReplicas"], 1);
    for path in ["/schedulers/nobody", "/schedulers/nobody/versions"] {
        let (status, body) = maestro.get(path).await;
        assert_eq!((status, &body["code"]), (404, &json!(5)), "{path}: {body}");
    }
    assert_eq!(maestro.delete("/schedulers/nobody").await.0, 404);
    let url = format!("{}/schedulers/no:body", maestro.management);
    let (status, told) = maestro.call("PUT", &url, Some(&json!({}))).await;
    assert_eq!(status, 404, "{told}");
    assert_eq!(
        maestro
            .post("/schedulers/nobody", &home.fleet("nobody", 1))
            .await
            .0,
        404
    );
    let (status, body) = maestro.get("/no/such/route").await;
    assert_eq!(
        (status, body),
        (
            404,
            json!({"code": 5, "message": "Not Found", "details": []})
        )
    );
    let (status, body) = maestro
        .call(
            "DELETE",
            &format!("{}/schedulers", maestro.management),
            None,
        )
        .await;
    assert_eq!((status, &body["code"]), (501, &json!(12)), "{body}");
    for (scheduler, room) in [("nobody", "r"), ("taken", "nobody")] {
        let answer = maestro
            .ping(scheduler, room, &json!({"status": "ready"}))
            .await;
        assert_eq!(answer, (200, json!({"success": false})));
    }
    let (status, body) = maestro.allocate("nobody").await;
    assert_eq!((status, &body["code"]), (503, &json!(14)), "{body}");
    maestro.remove("taken").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_creations_of_one_name_at_once_make_one_scheduler() {
    let home = Home::new();
    let maestro = home.start();
    let fleet = home.fleet("race", 2);
    let calls = (0..8).map(|_| maestro.post("/schedulers", &fleet));
    let answers = futures_util::future::join_all(calls).await;
    let created = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(created, 1, "{answers:?}");
    // A caller during the take-over may be asked to try again.
    let refused = |(status, _): &&support::Answer| matches!(*status, 409 | 503);
    assert_eq!(answers.iter().filter(refused).count(), 7, "{answers:?}");
    maestro.wait_ready("race", 2).await;
    maestro.remove("race").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_pings_to_rooms_that_do_not_exist_harm_nobody() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("alive", 2)).await;
    let before = memory_kib(maestro.pid());
    let body = json!({"status": "ready", "runningMatches": 0});
    for wave in 0..100 {
        let pings = (0..100).map(|n| {
            // Half of the rooms belong to schedulers that do not exist either.
            let scheduler = match n % 2 {
                0 => "alive".to_owned(),
                _ => format!("ghost-{wave}-{n}"),
            };
            let (maestro, body) = (&maestro, &body);
            async move {
                maestro
                    .ping(&scheduler, &format!("no-{wave}-{n}"), body)
                    .await
            }
        });
        for answer in futures_util::future::join_all(pings).await {
            assert_eq!(answer, (200, json!({"success": false})));
        }
        if wave % 25 == 0 {
            assert_eq!(maestro.ready_rooms("alive").await, 2, "the others answer");
        }
    }
    let grown = memory_kib(maestro.pid()).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more than before");
    let (_, metrics) = maestro.internal("GET", "/metrics", None).await;
    assert!(
        !metrics.as_str().unwrap().contains("ghost-"),
        "made-up names became labels"
    );
    assert_eq!(maestro.ready_rooms("alive").await, 2);
    assert_eq!(maestro.allocate("alive").await.0, 200);
    maestro.remove("alive").await;
}

/// Sends raw bytes and reads until the other side closes the connection, or for a while.
fn speak(url: &str, bytes: &[u8]) -> String {
    let address = url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(seconds(30)))
        .expect("a timeout");
    stream.write_all(bytes).expect("it reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_requests_are_refused_and_paths_lead_nowhere_else() {
    let home = Home::new();
    let maestro = home.start();
    let url = maestro.management.clone();
    let close = "Host: localhost\r\nConnection: close\r\n";
    for (request, expected) in [
        ("GET /schedulers/../../etc/passwd HTTP/1.1\r\n", ""),
        ("GET /schedulers/%2e%2e%2f%2e%2e HTTP/1.1\r\n", "404"),
        ("GET /schedulers/a%2Fb HTTP/1.1\r\n", "404"),
        ("GET /schedulers/%00 HTTP/1.1\r\n", "404"),
        ("GET /schedulers/%zz HTTP/1.1\r\n", "400"),
        (
            "GET /schedulers?x=%0d%0aX-Injected:%201 HTTP/1.1\r\n",
            "200",
        ),
        ("GET /schedulers/%0d%0aX-Injected:%201 HTTP/1.1\r\n", "404"),
        ("GET //schedulers%0d%0aX-Injected:%201 HTTP/1.1\r\n", "30"),
        ("NONSENSE\r\n", "400"),
        ("GET /schedulers HTTP/1.1\r\nContent-Length: -5\r\n", "400"),
        (
            "POST /schedulers HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
            "400",
        ),
    ] {
        let text = format!("{request}{close}\r\n");
        let address = url.clone();
        let answer = tokio::task::spawn_blocking(move || speak(&address, text.as_bytes()))
            .await
            .unwrap();
        let status = answer.split_whitespace().nth(1).unwrap_or_default();
        assert!(status.starts_with(expected), "{request:?}: {answer}");
        let headers = answer.split("\r\n\r\n").next().unwrap_or_default();
        assert!(
            !headers.to_lowercase().contains("\nx-injected"),
            "{request:?}: {answer}"
        );
        assert!(!answer.contains("root:"), "{request:?}: {answer}");
    }
    let flood = format!(
        "GET /schedulers HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n",
        "x".repeat(2 * 1024 * 1024)
    );
    let address = url.clone();
    let _ = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
        // The server may close the connection in the middle, as it should.
        stream.write_all(flood.as_bytes())
    })
    .await
    .unwrap();
    // A name that would leave the folder of the rooms is invalid.
    for name in ["../up", "a/b", "..", "", "a b", "ä"] {
        let (status, body) = maestro.post("/schedulers", &home.fleet(name, 1)).await;
        assert_eq!(status, 400, "{name:?}: {body}");
    }
    assert_eq!(maestro.get("/schedulers").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_cut_off_and_holds_up_nobody() {
    let home = Home::new();
    let maestro = home.start();
    let address = maestro.management.strip_prefix("http://").unwrap();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(
                b"POST /schedulers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"name\"",
            )
            .unwrap();
        slow.push(stream);
    }
    let began = Instant::now();
    assert_eq!(maestro.get("/schedulers").await.0, 200);
    assert!(began.elapsed() < seconds(5), "{:?}", began.elapsed());
    for mut stream in slow {
        stream.set_read_timeout(Some(seconds(30))).unwrap();
        let answer = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; 1024];
            let read = stream.read(&mut bytes);
            read.map(|n| String::from_utf8_lossy(&bytes[..n]).into_owned())
        });
        // An answer or the end of the connection must come; the server must not stay silent.
        let answer = answer.await.unwrap().expect("cut in time");
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(began.elapsed() < seconds(40), "{:?}", began.elapsed());
}
