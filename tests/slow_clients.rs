//! Clients that send or read very slowly: they are cut off in time, block no actor, and delay no other client.

mod support;

use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::{Home, Maestro, seconds};

/// The longest time that the server waits for a head, a body or a pause, plus a margin for a busy machine.
const CUT_WITHIN: Duration = Duration::from_secs(25);

fn connect(url: &str) -> TcpStream {
    let address = url.strip_prefix("http://").expect("a URL");
    let stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout");
    stream
}

/// Sends `begin`, then `drops` byte by byte, until the other side closes the connection. Returns the answer, and the
/// time until the end.
fn trickle(url: &str, begin: &str, drops: &[u8]) -> (String, Duration) {
    let mut stream = connect(url);
    stream.write_all(begin.as_bytes()).expect("it reads");
    let (began, mut answer) = (Instant::now(), Vec::new());
    for drop in drops.iter().cycle() {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        if stream.write_all(&[*drop]).is_err() {
            break;
        }
        if began.elapsed() > seconds(60) {
            break;
        }
    }
    (
        String::from_utf8_lossy(&answer).into_owned(),
        began.elapsed(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_to_the_grpc_port_is_hung_up_on() {
    let home = Home::new();
    let maestro = home.start();
    let url = maestro.grpc.clone();
    let silent = |said: &'static str| {
        let mut stream = connect(&url);
        stream.write_all(said.as_bytes()).expect("it reads");
        tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let mut buffer = [0; 256];
            while began.elapsed() < seconds(60) {
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(_) => break,
                }
            }
            began.elapsed()
        })
    };
    for client in [silent(""), silent("PRI * HTTP/2.0\r\n")] {
        let after = client.await.expect("it ended");
        assert!(after < CUT_WITHIN, "{after:?}");
    }
}

/// Asks for health on a connection that stays open.
fn health(url: &str) -> TcpStream {
    let mut stream = connect(url);
    stream
        .set_read_timeout(Some(seconds(10)))
        .expect("a timeout");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("it reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer in time");
    assert_eq!(&answer, b"HTTP/1.1 200");
    stream
}

#[test]
fn idle_connections_keep_no_probe_out() {
    let home = Home::new();
    // This limit leaves 32 connections to the internal server.
    let maestro = home.start_after("ulimit -n 512");
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(connect(&maestro.internal));
        crowd.push(health(&maestro.internal));
    }
    for _ in 0..10 {
        health(&maestro.internal);
    }
}

/// A client that is neither idle nor done.
fn busy(url: &str, head: &str, times: usize) -> TcpStream {
    let mut stream = connect(url);
    stream.set_nonblocking(true).expect("a mode");
    // Writes as much as the socket accepts.
    let _ = stream.write_all(head.repeat(times).as_bytes());
    stream
}

#[test]
fn clients_that_read_nothing_or_send_half_a_body_keep_no_probe_out() {
    let home = Home::new();
    // This limit leaves 32 connections to the internal server.
    let maestro = home.start_after("ulimit -n 512");
    for (head, times) in [
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 600),
        (
            "POST /backup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
            1,
        ),
    ] {
        let crowd: Vec<_> = (0..60)
            .map(|_| busy(&maestro.internal, head, times))
            .collect();
        for _ in 0..5 {
            health(&maestro.internal);
        }
        drop(crowd);
    }
}

/// A frame of HTTP/2 without a payload.
fn frame(kind: u8, flags: u8) -> [u8; 9] {
    [0, 0, 0, kind, flags, 0, 0, 0, 0]
}

#[test]
fn whoever_floods_grpc_with_settings_is_hung_up_on() {
    let home = Home::new();
    let maestro = home.start();
    let mut stream = connect(&maestro.grpc);
    let mut reader = stream.try_clone().expect("a socket");
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .expect("it reads");
    // Acknowledgements are read, so that only the flood can end the connection.
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
        }
    });
    let flood = frame(4, 0).repeat(1000);
    let began = Instant::now();
    while stream.write_all(&flood).is_ok() {
        assert!(began.elapsed() < CUT_WITHIN, "the flood goes on");
    }
    reading.join().expect("it ended");
    // The log line appears a moment after the connection is closed.
    while !maestro.logged().contains("frames that no call needs") {
        assert!(began.elapsed() < CUT_WITHIN + seconds(10), "nobody is told");
        std::thread::yield_now();
    }
}

/// The number of messages that wait for actors, plus running turns.
async fn held(maestro: &Maestro) -> usize {
    let (_, body) = maestro.internal("GET", "/debug/actors", None).await;
    let busy = |actor: &&Value| actor["mailbox_depth"] != 0 || actor["state"] == "stuck";
    let actors = body["actors"].as_array().expect("actors");
    actors.iter().filter(busy).count()
}

/// The server, the bytes that come at once, those that come slowly, and the allowed answer.
type Trickle<'a> = (&'a str, String, &'static str, &'static str);

const PING: &str = "PUT /scheduler/steady/rooms/nobody/ping HTTP/1.1\r\n";

fn trickled_heads(maestro: &Maestro) -> Vec<Trickle<'_>> {
    let ping = PING;
    vec![
        (&maestro.management, "GET /sche".to_owned(), "a", "408"),
        (
            &maestro.rooms,
            "PUT /scheduler/steady/rooms/x/ping HTTP/1.1\r\nHost".to_owned(),
            "a",
            "408",
        ),
        (&maestro.internal, "GET /hea".to_owned(), "a", "408"),
        // The second head on a connection: alone, and in one packet with the first request.
        (
            &maestro.management,
            "GET /schedulers HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "a",
            "200",
        ),
        (
            &maestro.rooms,
            format!("{ping}Host: localhost\r\nContent-Length: 2\r\n\r\n{{}}{ping}"),
            "a",
            "400",
        ),
    ]
}

fn trickled_bodies(maestro: &Maestro) -> Vec<Trickle<'_>> {
    let ping = PING;
    let body = "Host: localhost\r\nContent-Length: 100000\r\n\r\n{";
    let room = "DELETE /schedulers/steady/rooms/nobody HTTP/1.1\r\n";
    vec![
        (
            &maestro.management,
            format!("POST /schedulers HTTP/1.1\r\n{body}"),
            " ",
            "408",
        ),
        (
            &maestro.management,
            format!("PATCH /schedulers/steady HTTP/1.1\r\n{body}"),
            " ",
            "408",
        ),
        (&maestro.management, format!("{room}{body}"), " ", "4"),
        (&maestro.rooms, format!("{ping}{body}"), " ", "408"),
        (
            &maestro.rooms,
            format!("{ping}Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "1\r\n \r\n",
            "408",
        ),
        (
            &maestro.internal,
            format!("POST /backup HTTP/1.1\r\n{body}"),
            " ",
            "408",
        ),
        (
            &maestro.internal,
            format!("POST /debug/actors/steady/test-operation HTTP/1.1\r\n{body}"),
            " ",
            "408",
        ),
        (
            &maestro.internal,
            format!("POST /debug/actors/nobody/reload HTTP/1.1\r\n{body}"),
            " ",
            "4",
        ),
        (
            &maestro.management,
            format!("POST /openapi.json HTTP/1.1\r\n{body}"),
            " ",
            "",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_trickles_is_cut_off_and_holds_no_actor() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("steady", 1)).await;
    let crowd: Vec<_> = [trickled_heads(&maestro), trickled_bodies(&maestro)]
        .concat()
        .into_iter()
        .map(|(url, begin, drops, expected)| {
            let (url, shown) = (url.to_owned(), begin.clone());
            let client =
                tokio::task::spawn_blocking(move || trickle(&url, &begin, drops.as_bytes()));
            (shown, expected, client)
        })
        .collect();
    // Meanwhile all other clients are served.
    for _ in 0..20 {
        assert_eq!(maestro.get("/schedulers").await.0, 200);
        assert_eq!(held(&maestro).await, 0);
    }
    let mut wrong = Vec::new();
    for (shown, expected, client) in crowd {
        let (answer, after) = client.await.expect("it ended");
        let status = answer.get(9..12).unwrap_or_default();
        if after > CUT_WITHIN || !status.starts_with(expected) {
            wrong.push(format!("{shown:?}: {status} after {after:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(maestro.ready_rooms("steady").await, 1);
    maestro.remove("steady").await;
}
