//! Tests that need a real connection, and tests of what the observer is told.

use super::*;

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl RequestObserver for Heard {
    fn observe(&self, handler: &str, method: &str, code: u16, took: Duration, size: u64) {
        assert!((0.0..10.0).contains(&took.as_secs_f64()));
        self.0
            .lock()
            .unwrap()
            .push(format!("{method} {handler} {code} {size}"));
    }
}

#[actix_web::test]
async fn every_request_is_observed_under_a_bounded_label() {
    let heard = Arc::new(Heard::default());
    let gateway = management(Arc::new(Echo)).observer(heard.clone());
    let app = http_test::init_service(App::new().configure(|cfg| gateway.configure(cfg))).await;
    let mut paths = vec![
        "/schedulers/info".to_owned(),
        "/schedulers/s/operations/x/cancel".to_owned(),
        "/none/0".to_owned(),
    ];
    paths.extend((1..=50).map(|n| format!("/none/{n}")));
    for path in &paths {
        http_test::call_service(&app, http_test::TestRequest::get().uri(path).to_request()).await;
    }
    // Another method would add another series to each metric.
    let post = http_test::TestRequest::post().uri("/none/0");
    http_test::call_service(&app, post.to_request()).await;
    let heard = heard.0.lock().unwrap();
    assert!(heard[53].starts_with("POST other 404"), "{}", heard[53]);
    assert_eq!(heard[0], "GET /schedulers/:schedulerName 200 17");
    assert!(heard[1].starts_with("GET /schedulers/:schedulerName/operations/:operationID 501"));
    assert!(heard[2].starts_with("GET /none/0 404"));
    assert!(heard[51].starts_with("GET /none/49 404"));
    assert!(heard[52].starts_with("GET other 404"), "{}", heard[52]);
}

/// Starts a server on a free port and returns its address.
async fn serve_rooms() -> std::net::SocketAddr {
    let gateway = rooms(Arc::new(Echo))
        .body_deadline(Duration::from_millis(100))
        .body_limit(1000);
    let server = HttpServer::new(move || App::new().configure(|cfg| gateway.configure(cfg)))
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    address
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(end) {
        match tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer))
            .await
            .unwrap()
        {
            Ok(0) | Err(_) => break,
            Ok(n) => text.push_str(std::str::from_utf8(&buffer[..n]).unwrap()),
        }
    }
    text
}

#[actix_web::test]
async fn a_connection_survives_bodies_that_nobody_reads() {
    let mut stream = TcpStream::connect(serve_rooms().await).await.unwrap();
    for (request, end) in [
        (
            "GET /scheduler/s/rooms/r/address HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
            "\"details\":[]}",
        ),
        (
            "DELETE /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
            "\"details\":[]}",
        ),
        (
            "HEAD /scheduler/s/rooms/r/address HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "\r\n\r\n",
        ),
        (
            "PUT /scheduler/known/rooms/r1/ping HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
             8\r\n{\"status\r\n9\r\n\":\"ready\"\r\n1\r\n}\r\n0\r\n\r\n",
            "{\"success\":true}",
        ),
    ] {
        stream.write_all(request.as_bytes()).await.unwrap();
        let got = read_until(&mut stream, end).await;
        assert!(
            got.starts_with("HTTP/1.1 ") && got.ends_with(end),
            "{request}: {got}"
        );
    }
}

#[actix_web::test]
async fn slow_and_large_bodies_are_cut() {
    let address = serve_rooms().await;
    for (head, status) in [
        ("Content-Length: 50\r\n\r\n{", "408"),
        ("Content-Length: 1001\r\n\r\n{", "413"),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n", "408"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("PUT /scheduler/s/rooms/r/ping HTTP/1.1\r\nHost: localhost\r\n{head}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let got = read_until(&mut stream, "never").await;
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status} ")) && got.ends_with("\"details\":[]}"),
            "{head}: {got}"
        );
    }
}

/// Java's HTTP client offers HTTP/2 on every new connection, and so does `curl --http2`.
#[actix_web::test]
async fn an_offer_to_speak_another_protocol_is_answered_in_this_one_and_the_end_is_said() {
    let address = serve_rooms().await;
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let socket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let body = r#"{"status":"ready"}"#;
    for (request, end) in [
        (
            format!(
                "PUT /scheduler/known/rooms/r1/ping HTTP/1.1\r\nHost: localhost\r\n{h2c}Content-Length: 18\r\n\r\n{body}"
            ),
            r#"{"success":true}"#,
        ),
        (
            format!("GET /scheduler/s/rooms/r/address HTTP/1.1\r\nHost: localhost\r\n{h2c}\r\n"),
            "\"details\":[]}",
        ),
        (
            format!("GET /scheduler/s/rooms/r/address HTTP/1.1\r\nHost: localhost\r\n{socket}\r\n"),
            "\"details\":[]}",
        ),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // Reads until the server closes the connection.
        let got = read_until(&mut stream, "never").await;
        let status = if end.contains("success") {
            "200"
        } else {
            "503"
        };
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status} ")) && got.ends_with(end),
            "{request}: {got}"
        );
        assert!(got.contains("\r\nconnection: close\r\n"), "{got}");
    }
}
