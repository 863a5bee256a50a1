//! HTTP/1.1 on the wire: some cases send requests that no library would.

use super::case::{Generate, Request};
use super::variables::Variables;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Sends a request of a case to the server at `address`. Returns the answer as cases write it, and its raw body.
pub fn call(address: &str, request: &Request, variables: &Variables) -> (Value, String) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let limit = Some(ANSWER_MAX);
    stream.set_read_timeout(limit).expect("a socket");
    // A server may answer and close the connection before it has read everything.
    let _ = stream.write_all(&bytes_of(address, request, variables));
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("no answer to {}: {error}", request.path),
    }
    match answer.is_empty() {
        true => (json!({"dropped": true}), String::new()),
        false => read(&answer),
    }
}

fn bytes_of(address: &str, request: &Request, variables: &Variables) -> Vec<u8> {
    let (method, path) = (&request.method, variables.fill(&request.path));
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {}\r\n", variables.fill(value)));
    }
    let body = body_of(request).map(|body| variables.fill(&body));
    let chunked = request.headers.contains_key("Transfer-Encoding");
    if !chunked && (body.is_some() || matches!(method.as_str(), "POST" | "PUT" | "PATCH")) {
        let length = body.as_ref().map_or(0, String::len);
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    let body = body.unwrap_or_default();
    match chunked {
        true => {
            let length = body.len();
            format!("{head}\r\n{length:x}\r\n{body}\r\n0\r\n\r\n").into_bytes()
        }
        false => format!("{head}\r\n{body}").into_bytes(),
    }
}

fn body_of(request: &Request) -> Option<String> {
    if let Some(body) = &request.body {
        return Some(body.get().to_owned());
    }
    let (before, inner, after) = match &request.generate {
        None => return request.raw.clone(),
        Some(Generate::Fill {
            before,
            count,
            after,
        }) => (before, "x".repeat(*count), after),
        Some(Generate::Nested {
            before,
            depth,
            after,
            with,
        }) => {
            let inner = match with.as_str() {
                "[" => "[".repeat(*depth) + &"]".repeat(*depth),
                _ => format!("{}1{}", "{\"a\":".repeat(*depth), "}".repeat(*depth)),
            };
            (before, inner, after)
        }
    };
    Some(format!("{before}{inner}{after}"))
}

/// Parses an answer into the form of cases, and its raw body.
fn read(answer: &[u8]) -> (Value, String) {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status: u16 = status.and_then(|code| code.parse().ok()).expect("a status");
    let header = |name: &str| {
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let body = match header("transfer-encoding") {
        Some(_) => joined(body),
        None => body.to_owned(),
    };
    let content_type = header("content-type");
    let is_json = content_type
        .as_ref()
        .is_some_and(|of| of.starts_with("application/json"));
    let mut shown = json!({"status": status, "content_type": content_type});
    for name in ["location", "allow"] {
        if let Some(value) = header(name) {
            shown[name] = value.into();
        }
    }
    match serde_json::from_str::<Value>(&body) {
        Ok(document) if is_json => shown["body"] = document,
        _ => shown["text"] = body.clone().into(),
    }
    (shown, body)
}

/// A body without the lengths of its chunks.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a length");
        body.push_str(&rest[..length]);
        chunks = rest[length..].trim_start_matches("\r\n");
    }
    body
}
