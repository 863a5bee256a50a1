//! Timeouts of real connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use maestro_api::ManagementService;
use maestro_http::{ConnectionTimeouts, RefusedRequests, ServerSettings, Trusted, gateway, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::fleet::Fleet;

pub const LONG: Duration = Duration::from_secs(20);
const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The library's clock has a resolution of half a second, so much shorter timeouts would expire immediately.
pub fn short() -> ConnectionTimeouts {
    ConnectionTimeouts {
        head: Duration::from_millis(1000),
        between: Duration::from_millis(1000),
        unread: LONG,
    }
}

pub fn settings(
    timeouts: ConnectionTimeouts,
    connections_max: usize,
) -> (ServerSettings, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let refused = RefusedRequests::register(&prometheus::Registry::new()).expect("the first");
    let settings = ServerSettings {
        refused,
        listener,
        workers: 1,
        shutdown_timeout: Duration::from_secs(1),
        connections_max,
        timeouts,
        trusted: Trusted::default(),
    };
    (settings, address)
}

/// A server with a trivial page.
fn serve(timeouts: ConnectionTimeouts, connections_max: usize) -> SocketAddr {
    let (settings, address) = settings(timeouts, connections_max);
    actix_web::rt::spawn(server::waiting(settings, true).expect("it listens"));
    address
}

pub async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("it listens")
}

/// Reads until the other side closes the connection.
async fn rest(client: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // If the server has not read all bytes, the connection ends with a reset.
    let _ = tokio::time::timeout(LONG, client.read_to_end(&mut all))
        .await
        .expect("it ends");
    String::from_utf8(all).expect("text")
}

async fn answer(client: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let read = tokio::time::timeout(LONG, client.read(&mut buffer)).await;
    let length = read.expect("in time").expect("it answers");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[actix_web::test]
async fn a_connection_with_a_part_of_a_head_ends() {
    let address = serve(short(), 16);
    let alone = "GET /hea".as_bytes().to_vec();
    let second = [HEALTH, b"GET /hea"].concat();
    let later = HEALTH.to_vec();
    for (begin, then, expected) in [
        (alone, None, "HTTP/1.1 408"),
        (second, None, "HTTP/1.1 200"),
        (later, Some(b"GET /hea"), "HTTP/1.1 200"),
    ] {
        let mut client = connect(address).await;
        client.write_all(&begin).await.unwrap();
        let mut said = String::new();
        if let Some(then) = then {
            said = answer(&mut client).await;
            client.write_all(then).await.unwrap();
        }
        said += &rest(&mut client).await;
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
    }
}

#[actix_web::test]
async fn a_second_head_that_trickles_is_cut() {
    let timeouts = ConnectionTimeouts {
        between: LONG * 10,
        ..short()
    };
    let address = serve(timeouts, 16);
    let mut client = connect(address).await;
    client.write_all(HEALTH).await.unwrap();
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
    let (mut reader, mut writer) = client.into_split();
    let drops = actix_web::rt::spawn(async move {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut buffer = [0; 64];
    let end = tokio::time::timeout(LONG, reader.read(&mut buffer)).await;
    assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}");
    drops.abort();
}

#[actix_web::test]
async fn an_answer_may_take_longer_than_any_request() {
    let (fleet, gate) = Fleet::with_held_reads().await;
    let (settings, address) = settings(short(), 16);
    let service = Arc::new(ManagementService::new(fleet.node.clone()));
    let api = gateway::management(service);
    let server = server::management(settings, api, fleet.management_parts()).unwrap();
    actix_web::rt::spawn(server);
    let mut client = connect(address).await;
    let request = b"GET /schedulers/arena HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write_all(request).await.unwrap();
    let (timeouts, began) = (short(), Instant::now());
    let longer = (timeouts.head + timeouts.between) * 3 / 2;
    let early = tokio::time::timeout(longer, client.readable()).await;
    assert!(early.is_err(), "ended after {:?}", began.elapsed());
    gate.open();
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
    // The connection was not closed meanwhile.
    client.write_all(request).await.unwrap();
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
}

#[actix_web::test]
async fn more_connections_than_allowed_wait_for_one_to_end() {
    let timeouts = ConnectionTimeouts {
        between: LONG * 10,
        ..short()
    };
    let address = serve(timeouts, 2);
    let mut served = Vec::new();
    for _ in 0..2 {
        let mut client = connect(address).await;
        client.write_all(HEALTH).await.unwrap();
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
        served.push(client);
    }
    let mut waiting = connect(address).await;
    waiting.write_all(HEALTH).await.unwrap();
    // Connections in use continue to be served; the waiting client is not.
    for _ in 0..20 {
        for client in &mut served {
            client.write_all(HEALTH).await.unwrap();
            assert!(answer(client).await.starts_with("HTTP/1.1 200"));
        }
    }
    let mut nothing = [0; 1];
    assert!(waiting.try_read(&mut nothing).is_err());
    served.pop();
    assert!(answer(&mut waiting).await.starts_with("HTTP/1.1 200"));
}

#[actix_web::test]
async fn idle_connections_make_room_for_whoever_has_something_to_say() {
    let timeouts = ConnectionTimeouts {
        head: LONG * 10,
        between: LONG * 10,
        unread: LONG,
    };
    let address = serve(timeouts, 16);
    let mut crowd = Vec::new();
    for n in 0..64 {
        let mut client = connect(address).await;
        // Nothing at all, a part of a head, or a request long ago.
        let begin = [&[][..], &HEALTH[..12], HEALTH][n % 3];
        client.write_all(begin).await.unwrap();
        if begin == HEALTH {
            assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
        }
        crowd.push(client);
    }
    let mut probe = connect(address).await;
    probe.write_all(HEALTH).await.unwrap();
    assert!(answer(&mut probe).await.starts_with("HTTP/1.1 200"));
    // The oldest connections are closed, the newest are not.
    let first = rest(&mut crowd.remove(0)).await;
    assert_eq!(first, "");
    let mut nothing = [0; 1];
    let last = crowd.pop().expect("one").try_read(&mut nothing);
    assert_eq!(last.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[cfg(target_os = "linux")]
#[actix_web::test]
async fn a_client_that_reads_nothing_loses_its_connection() {
    let timeouts = ConnectionTimeouts {
        head: LONG * 10,
        between: LONG * 10,
        unread: Duration::from_millis(500),
    };
    let address = serve(timeouts, 1);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(address).await.unwrap();
    let asking = actix_web::rt::spawn(async move {
        let many = HEALTH.repeat(1000);
        // Ends when its connection does.
        while deaf.write_all(&many).await.is_ok() {}
    });
    let mut other = connect(address).await;
    other.write_all(HEALTH).await.unwrap();
    // The only place is available again.
    assert!(answer(&mut other).await.starts_with("HTTP/1.1 200"));
    tokio::time::timeout(LONG, asking).await.unwrap().unwrap();
}
